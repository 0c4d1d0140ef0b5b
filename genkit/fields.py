"""Checked reading of JSON: values that know where they stand, so that an error can say it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from genkit.errors import CardError

__all__ = ["Field", "optional"]

T = TypeVar("T")


@dataclass(frozen=True)
class Field:
    """A value and its path in the document; every method raises CardError if it does not fit."""

    value: Any
    path: str = ""

    def fail(self, problem: str, hint: str | None = None) -> NoReturn:
        """Refuse the value."""
        raise CardError(f"{self.path}: {problem}" if self.path else problem, hint=hint)

    def object(
        self, required: Iterable[str], optional: Iterable[str] = (), *, more: bool = False
    ) -> dict[str, Field]:
        """An object with these keys, and no others unless ``more``."""
        fields = self.table(required=required)
        allowed = [*required, *optional]
        for key, field in fields.items():
            if key not in allowed and not more:
                near = difflib.get_close_matches(key, allowed, n=1)
                field.fail("unknown field", f"did you mean {near[0]!r}?" if near else None)
        return fields

    def table(
        self, keys: Collection[str] | None = None, required: Iterable[str] = ()
    ) -> dict[str, Field]:
        """An object whose keys are data: any, or some of ``keys``."""
        if not isinstance(self.value, dict):
            self.fail(f"must be an object, is {_kind(self.value)}")
        fields = {key: Field(value, self._below(key)) for key, value in self.value.items()}
        for key in required:
            if key not in fields:
                Field(None, self._below(key)).fail("is missing")
        for key, field in fields.items():
            if keys is not None and key not in keys:
                field.fail(f"must be one of: {', '.join(keys)}")
        return fields

    def list(self, least: int = 1) -> list[Field]:
        """A list of at least that many values."""
        if not isinstance(self.value, list):
            self.fail(f"must be a list, is {_kind(self.value)}")
        if len(self.value) < least:
            self.fail("must not be empty")
        return [Field(value, f"{self.path}[{index}]") for index, value in enumerate(self.value)]

    def text(self) -> str:
        """A string that is not empty."""
        if not isinstance(self.value, str):
            self.fail(f"must be a string, is {_kind(self.value)}")
        if not self.value:
            self.fail("must not be empty")
        return self.value

    def texts(self, least: int = 1) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(field.text() for field in self.list(least))

    def one_of(self, choices: Collection[str]) -> str:
        """One of some strings."""
        if self.text() not in choices:
            self.fail(f"must be one of: {', '.join(choices)}; is {self.value!r}")
        return self.text()

    def matching(self, pattern: str, what: str) -> str:
        """A string of a certain form."""
        if not re.fullmatch(pattern, self.text()):
            self.fail(f"must be {what}, is {self.value!r}")
        return self.text()

    def file_name(self) -> str:
        """A path with forward slashes that stays inside the folder."""
        parts = self.text().split("/")
        if {"", ".", ".."} & set(parts) or re.search(r"[\\:\0]", self.text()):
            self.fail(f"must name a file inside the folder, is {self.value!r}")
        return self.text()

    def integer(self, least: int = 0) -> int:
        """A whole number of at least that much."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.fail(f"must be a whole number, is {_kind(self.value)}")
        if self.value < least:
            self.fail(f"must be at least {least}, is {self.value}")
        return self.value

    def integers(self, least: int = 0, count: int | None = None) -> tuple[int, ...]:
        """A list of whole numbers."""
        fields = self.list(least=0)
        if count is not None and len(fields) != count:
            self.fail(f"must be {count} numbers, is {len(fields)}")
        return tuple(field.integer(least) for field in fields)

    def number(self, *, least: float = 0, most: float = math.inf) -> float:
        """A number from ``least`` to ``most``."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            self.fail(f"must be a number, is {_kind(self.value)}")
        if not least <= self.value <= most:
            self.fail(f"must be from {least:g} to {most:g}, is {self.value}")
        return float(self.value)

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fail(f"must be true or false, is {_kind(self.value)}")
        return self.value

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def optional(fields: dict[str, Field], key: str, read: Callable[[Field], T], otherwise: T) -> T:
    """What ``read`` makes of a field, or something else if it is not there."""
    return read(fields[key]) if key in fields else otherwise


def _kind(value: object) -> str:
    """The JSON name of a value's type."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")
