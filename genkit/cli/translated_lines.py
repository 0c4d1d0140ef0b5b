"""How ``genkit translate`` writes lines, and what it says of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genkit.streams import json_line
from genkit.text import Line

if TYPE_CHECKING:
    from genkit.tasks.translate import Hypothesis, Translation

__all__ = ["Totals", "as_json", "as_rows", "as_scored", "as_text", "warnings_of"]


def warnings_of(result: Translation, check: bool) -> Iterator[str]:
    """What a user should know of a translation; what is doubtful only with ``check``."""
    if result.truncated:
        yield "cut at the maximum length of a translation"
    if result.lost:
        yield f"lost in translation: {', '.join(result.lost)}"
    if check and result.doubtful:
        yield "the translation is doubtful"


# How a line is written; the result of a line that cannot be used is None.


def as_text(line: Line, result: Translation | None) -> bytes:
    """The translation and the line's own end."""
    return ((result.text if result else "") + line.end).encode()


def as_scored(line: Line, result: Translation | None) -> bytes:
    """The score, a tab, and the translation."""
    return f"{_score(result)}\t".encode() + as_text(line, result)


def as_rows(line: Line, result: Translation | None) -> bytes:
    """A row for each of the n best."""
    best = [(_score(result, h), h.text) for h in result.hypotheses] if result else [("", "")]
    rows = [f"{line.number}\t{score}\t{text}" for score, text in best]
    return ((line.end or "\n").join(rows) + line.end).encode()


def as_json(line: Line, result: Translation | None) -> bytes:
    """An object with all that is known."""
    scored = bool(result and result.sentences)
    others = result.hypotheses[1:] if result else ()
    return json_line(
        {
            "line": line.number,
            "source": line.text,
            "translation": result.text if result else None,
            "score": result.score if result and scored else None,
            "alternatives": [{"translation": h.text, "score": h.score} for h in others],
            "truncated": result.truncated if result else None,
            "doubtful": result.doubtful if result else None,
            "lost": list(result.lost) if result else None,
            "error": line.error,
        }
    )


def _score(result: Translation | None, hypothesis: Hypothesis | None = None) -> str:
    """Empty where there was nothing to translate."""
    if result is None or not result.sentences:
        return ""
    return f"{(hypothesis or result).score:.4f}"


@dataclass
class Totals:
    """What --stats says, and whether a line failed."""

    begun: float = field(default_factory=time.perf_counter)
    lines: int = 0
    failed: int = 0
    sentences: int = 0
    source_tokens: int = 0
    target_tokens: int = 0

    def add(self, result: Translation | None) -> None:
        self.lines += 1
        if result is None:
            self.failed += 1
        else:
            self.sentences += result.sentences
            self.source_tokens += result.source_tokens
            self.target_tokens += result.target_tokens

    def __str__(self) -> str:
        took = time.perf_counter() - self.begun
        return (
            f"lines {self.lines}, failed {self.failed}, sentences {self.sentences}, "
            f"source tokens {self.source_tokens}, target tokens {self.target_tokens}, "
            f"seconds {took:.2f}, sentences/s {self.sentences / took:.1f}, "
            f"target tokens/s {self.target_tokens / took:.1f}"
        )
