"""Bytes in, lines out.

Lines are decoded one by one, so that one broken line is one error.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from genkit.errors import InputError

__all__ = ["LONGEST_LINE", "Line", "LineReader", "read_chunks", "read_lines"]

CHUNK = 1 << 16
LONGEST_LINE = 1 << 26
"""Bytes. A stream without line ends (/dev/zero) must not fill the memory."""
LINE_WEIGHT = 128


@dataclass(frozen=True, slots=True)
class Line:
    """One line of input.

    ``number`` counts from 1; ``end`` is ``"\\n"``, ``"\\r\\n"`` or, on a last line without
    one, empty. A line that cannot be used says why in ``error``, and its ``text`` shows the
    stray bytes as U+FFFD.
    """

    number: int
    text: str
    end: str
    error: str | None = None

    @property
    def weight(self) -> int:
        """About what it takes in memory, in bytes; that of an empty line is not 0."""
        size = len(self.text) if self.text.isascii() else len(self.text.encode())
        return LINE_WEIGHT + size


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """The lines of a stream, each as soon as it is there. Raises InputError if reading fails.

    A byte order mark at the very beginning is left out.
    """
    number = size = 0
    parts: list[bytes] = []
    for chunk in read_chunks(stream):
        *heads, tail = chunk.split(b"\n")
        for head in heads:
            number += 1
            yield _line(number, b"".join((*parts, head)), size + len(head), b"\n")
            parts, size = [], 0
        size += len(tail)
        if size > LONGEST_LINE:
            parts = []
        elif tail:
            parts.append(tail)
    if size:
        yield _line(number + 1, b"".join(parts), size, b"")


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream, as many at a time as are there. Raises InputError if reading fails."""
    # A thread that waits inside a buffered reader holds its lock, and Python aborts when it
    # ends meanwhile; the raw file under it has no lock.
    raw = getattr(stream, "raw", stream)
    while True:
        try:
            chunk = raw.read(CHUNK)
            if chunk is None:  # a descriptor that somebody made non-blocking: not the end
                select.select([raw], [], [])
                continue
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror or error}") from error
        if not chunk:
            return
        yield chunk


def _line(number: int, data: bytes, size: int, end: bytes) -> Line:
    """Decode a line; ``data`` comes without its final line feed."""
    error = None
    if size > LONGEST_LINE:
        data, error = b"", f"longer than {LONGEST_LINE >> 20} MiB"
    if end and data.endswith(b"\r"):
        data, end = data[:-1], b"\r\n"
    if number == 1:
        data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        text = data.decode(errors="replace")
        error = f"not UTF-8: byte 0x{data[wrong.start]:02x} at position {wrong.start + 1}"
    else:
        if "\0" in text:
            error = f"NUL byte at position {data.index(0) + 1}"
    return Line(number, text, end.decode(), error)


class LineReader:
    """Reads lines in a thread of its own, so that all that is waiting can be taken at once.

    At most ``room`` bytes wait (or one line that is longer); a stream that brings more is left
    to wait itself, so memory stays flat however long it is.
    """

    def __init__(self, stream: BinaryIO, *, room: int = 1 << 21) -> None:
        self._room = room
        self._waiting: deque[Line] = deque()
        self._weight = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        # A daemon: it may stand in a read that never returns when the program is done.
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def take(self, weight: int, *, wait: bool = True) -> list[Line] | None:
        """All lines that wait, up to ``weight`` bytes, but at least one however long it is.

        If none is there, wait for one, or else return an empty list; at the end of the stream
        return None. Raises InputError when reading failed, after the lines before it were
        taken.
        """
        with self._changed:
            while wait and not self._waiting and not self._ended:
                self._changed.wait(1.0)  # on Windows, Ctrl-C does not end a wait without limit
            if self._ended and not self._waiting:
                if self._error is not None:
                    raise self._error
                return None
            lines: list[Line] = []
            while self._waiting and (not lines or self._waiting[0].weight <= weight):
                lines.append(self._waiting.popleft())
                weight -= lines[-1].weight
                self._weight -= lines[-1].weight
            self._changed.notify()
        return lines

    def _read(self, stream: BinaryIO) -> None:
        try:
            for line in read_lines(stream):
                with self._changed:
                    while self._waiting and self._weight + line.weight > self._room:
                        self._changed.wait()
                    self._waiting.append(line)
                    self._weight += line.weight
                    self._changed.notify()
        except BaseException as error:  # raised where the lines are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
