"""How the text commands read: arguments, a file or standard input, as lines, in windows."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from genkit.errors import InputError
from genkit.streams import Streams
from genkit.text import Line, LineReader

__all__ = ["open_input", "read_windows"]


@contextmanager
def open_input(
    texts: Sequence[str] | None, path: Path | None, streams: Streams
) -> Iterator[tuple[str, BinaryIO]]:
    """How messages begin that are about the input, and what to read.

    Raises InputError for a file that cannot be opened.
    """
    if texts:  # arguments are bytes to the system, and need not be UTF-8 either
        yield "", io.BytesIO(b"".join(os.fsencode(text) + b"\n" for text in texts))
    elif path is None or str(path) == "-":
        yield "", streams.stdin
    else:
        try:
            file = path.open("rb", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        with file:
            yield f"{path}: ", file


def read_windows(reader: LineReader, smallest: int, largest: int) -> Iterator[list[Line]]:
    """The lines, as many at a time as wait; none at all if nothing waits just now.

    The first windows are small (in bytes of lines), so that the beginning of a long stream is
    answered at once. Larger ones make better batches, but more is lost when the reader leaves.
    """
    size = smallest
    lines: list[Line] | None = []
    while lines is not None:
        try:
            lines = reader.take(size, wait=not lines)
        except InputError:
            yield []  # what was begun is finished first
            raise
        if lines is not None:
            yield lines
        size = min(2 * size, largest)
