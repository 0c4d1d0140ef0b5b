"""What the opcodes of a pickle work on: the bytes, the stack with its marks, and the memo."""

import struct
from typing import Any, Protocol, overload

from .budget import DamagedError

CUT = "it is cut short"


class Bytes(Protocol):
    """What a pickle is read from: bytes, or a file that is mapped into memory."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytes: ...
    def find(self, sub: bytes, start: int, end: int, /) -> int:
        """As of bytes."""


class Stack:
    """Bytes and the place in them; objects, those that were marked, and those that are kept."""

    def __init__(self, data: Bytes) -> None:
        self.data, self.place = data, 0
        self.clear()

    def clear(self) -> None:
        """Forgets all objects."""
        self.objects: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def read(self, count: int) -> bytes:
        """The next bytes. Raises DamagedError if there are not as many."""
        end = self.place + count
        if end > len(self.data):
            raise DamagedError(CUT)
        data = self.data[self.place : end]
        self.place = end
        return data

    def line(self, encoding: str = "utf-8") -> str:
        """The next line, without its end."""
        end = self.data.find(b"\n", self.place, len(self.data))
        if end < 0:
            raise DamagedError(CUT)
        text = self.data[self.place : end]
        self.place = end + 1
        return text.decode(encoding, "replace")

    def number(self, form: str) -> int:
        """The next number, of a form of `struct`."""
        (value,) = struct.unpack(form, self.read(struct.calcsize(form)))
        if type(value) is not int:
            raise TypeError(form)
        return value

    def push(self, value: object) -> None:
        self.objects.append(value)

    def pop(self) -> Any:
        return self.objects.pop()

    def pop_mark(self) -> list[Any]:
        """What lies above the last mark."""
        items, self.objects = self.objects, self.marked.pop()
        return items

    def length(self, form: str) -> int:
        count = self.number(form)
        if count < 0:
            raise DamagedError("it has a text of a negative length")
        return count

    def mark(self) -> None:
        self.marked.append(self.objects)
        self.objects = []

    def pop_one(self) -> None:
        if self.objects:
            self.objects.pop()
        else:
            self.pop_mark()

    def put(self, index: int) -> None:
        self.memo[index] = self.objects[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise DamagedError("its pickle refers to what it never kept")
        self.push(self.memo[index])
