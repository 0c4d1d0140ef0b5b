"""Texts with gaps: how they are written, and how they are filled.

A gap is written ``[MASK]``, ``<mask>``, or as three underscores or more. Underscores in a name of
a program (``snake_case___name``, ``___init___``) are none, in a word (``un___able``) they are. What
is filled in is put where the gap stood; the rest of the text stays as it was written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "Answer",
    "Filling",
    "GappedText",
    "JointFilling",
    "JointFillings",
    "Likelihood",
    "split",
]

MASK = re.compile(r"(\[MASK\]|<mask>|_{3,})")
CONTINUES = "##"
"""What WordPiece writes before a piece that goes on with the word before it."""


@dataclass(frozen=True, slots=True)
class GappedText:
    """A text in parts: what stands before, between and after the gaps, and the gaps; its tokens,
    with the columns of the gaps; and whether the model knows none of its words.
    """

    parts: tuple[str, ...]
    row: tuple[int, ...]
    columns: tuple[int, ...]
    unknown: bool

    def filled(self, answers: Mapping[int, str]) -> str:
        """The text with answers for some gaps, by their number."""
        parts = list(self.parts)
        for number, answer in answers.items():
            place = 2 * number + 1
            parts[place] = answer.removeprefix(CONTINUES)
            if answer.startswith(CONTINUES):
                parts[place - 1] = parts[place - 1].rstrip()
        return "".join(parts)


# A text may have thousands of gaps with some answers each: none of them holds the text.


@dataclass(frozen=True, slots=True)
class Answer:
    """What may stand at a gap; ``score`` is its log probability."""

    text: str
    score: float
    _source: GappedText = field(repr=False, compare=False)
    _number: int = field(repr=False, compare=False)

    @property
    def probability(self) -> float:
        return math.exp(self.score)

    @property
    def filled(self) -> str:
        """The text with it, and with the other gaps as they were."""
        return self._source.filled({self._number: self.text})


@dataclass(frozen=True, slots=True)
class Filling:
    """The answers for each gap of a text, best first.

    ``windowed`` says that the text was too long, and each gap saw only what is around it;
    ``unknown``, that the model knows none of the words around the gaps, so that the answers are
    those to nothing.
    """

    masks: tuple[tuple[Answer, ...], ...]
    windowed: bool
    unknown: bool
    _source: GappedText = field(repr=False, compare=False)

    @property
    def filled(self) -> str:
        """The text with the best answer at each gap."""
        return self._source.filled({i: answers[0].text for i, answers in enumerate(self.masks)})


@dataclass(frozen=True, slots=True)
class JointFilling:
    """Answers for all gaps of a text, and the log probability of all of them together."""

    answers: tuple[str, ...]
    score: float
    filled: str

    @property
    def probability(self) -> float:
        return math.exp(self.score)


@dataclass(frozen=True, slots=True)
class JointFillings:
    """The best joint fillings of a text, best first, all of them different; ``windowed`` and
    ``unknown`` as in ``Filling``.
    """

    fillings: tuple[JointFilling, ...]
    windowed: bool
    unknown: bool

    @property
    def filled(self) -> str:
        """The text, filled in the best way."""
        return self.fillings[0].filled


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The pseudo-log-likelihood of a text (Salazar et al., 2020): the sum of the log
    probabilities of its ``tokens`` tokens, each masked while all others are seen. ``windowed``
    and ``unknown`` as in ``Filling``.
    """

    score: float
    tokens: int
    windowed: bool
    unknown: bool

    @property
    def perplexity(self) -> float | None:
        """None for a text without tokens; infinite where it is too large for a number."""
        if not self.tokens:
            return None
        try:
            return math.exp(-self.score / self.tokens)
        except OverflowError:
            return math.inf


def split(text: str) -> tuple[str, ...]:
    """What stands before, between and after the gaps of a text, and the gaps, in turn."""
    parts = MASK.split(text)
    kept = []
    between = [parts[0]]
    for i in range(1, len(parts), 2):
        if _is_gap(parts, i):
            kept += ["".join(between), parts[i]]
            between = [parts[i + 1]]
        else:
            between += parts[i : i + 2]
    return (*kept, "".join(between))


def _is_gap(parts: list[str], place: int) -> bool:
    """Whether what looks like a gap is one, and no part of a name with underscores.

    Alone, or at an end of a word (``re___``), it is. Between two parts of a word it is if they are
    letters, as in ``un___able``; a name of a program mostly has a digit or an underscore more.
    """
    if not parts[place].startswith("_"):
        return True
    before, after = _word_end(parts[place - 1]), _word_start(parts[place + 1])
    whole_before = before and len(before) == len(parts[place - 1]) and place > 1
    whole_after = after and len(after) == len(parts[place + 1]) and place + 2 < len(parts)
    if "_" in before + after:
        return False
    if whole_before and parts[place - 2].startswith("_"):
        return False
    if whole_after and parts[place + 2].startswith("_"):
        return False
    return not (before and after) or (before + after).isalpha()


def _word_start(text: str) -> str:
    match = re.match(r"\w*", text)
    return match[0] if match else ""


def _word_end(text: str) -> str:
    begin = len(text)
    while begin and (text[begin - 1].isalnum() or text[begin - 1] == "_"):
        begin -= 1
    return text[begin:]
