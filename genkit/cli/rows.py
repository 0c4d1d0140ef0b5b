"""What ``genkit classify`` writes of an image: rows of a table, or a line of JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genkit.errors import InputError
from genkit.files import PIPE, Source
from genkit.streams import json_line, printable

if TYPE_CHECKING:
    from genkit.tasks.classify import Guess

__all__ = ["WIDEST", "Result", "as_json", "as_rows", "as_table"]

DIGITS = 6
"""Of a probability: how many pictures run together can change the seventh."""
WIDEST = 32
"""Characters of the column of labels on a terminal; a longer one stands out."""


@dataclass(frozen=True)
class Result:
    """What became of a picture; with an error, of the rest only the source counts."""

    source: Source
    error: InputError | None
    size: tuple[int, int] = (0, 0)
    guesses: Sequence[Guess] = ()
    map: Path | None = None
    """The picture of where the network looks."""


def as_rows(result: Result) -> bytes:
    """Columns parted by tabs. File names need not be UTF-8, and stay as they are."""
    return b"".join(
        f"{guess.probability:.{DIGITS}f}\t{_escaped(guess.label)}\t".encode()
        + os.fsencode(_escaped(_name(result)))
        + b"\n"
        for guess in result.guesses
    )


def as_table(result: Result, width: int) -> bytes:
    """Columns of a width, for a terminal: nothing in them controls it."""
    return b"".join(
        f"{guess.probability:.{DIGITS}f}  {printable(guess.label):<{width}}  ".encode()
        + os.fsencode(printable(_name(result)))
        + b"\n"
        for guess in result.guesses
    )


def as_json(result: Result) -> bytes:
    """A record, of one that failed too."""
    good = result.error is None
    guesses = [
        {"label": guess.label, "probability": round(guess.probability, DIGITS)}
        for guess in result.guesses
    ]
    return json_line(
        {
            "input": _name(result),
            "width": result.size[1] if good else None,
            "height": result.size[0] if good else None,
            "labels": guesses if good else None,
            "attention": None if result.map is None else str(result.map),
            "error": None if result.error is None else result.error.message,
        }
    )


def _name(result: Result) -> str:
    return str(result.source.path or PIPE)


def _escaped(text: str) -> str:
    """Text that is one column of one row."""
    return text.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")
