"""From a text to what a model is to translate, and back.

A text is a plan: strings to keep, and units. A unit is a sentence as a model reads it; it takes
what came of it and gives what stands in the translation, or it is replaced by other units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genkit.text.pairs import wrap
from genkit.text.spans import Span
from genkit.text.spelling import Case, capitalised, in_the_middle
from genkit.text.stand_ins import Rendered

__all__ = ["Inner", "Plan", "Segments", "Unit"]

Segments = tuple[str | Span, ...]
_CURLY = re.compile("[„“”«»]")
LOST = "\ufffd"
"""What a decoder makes of bytes that are no character; no translation has it."""


class Inner(NamedTuple):
    """A pair of marks, and what stands between them as a unit of its own."""

    opening: Span
    closing: Span
    unit: Unit | None
    """None if the words between them are ``text``, which stays."""
    text: str
    tail: str


@dataclass(eq=False)
class Unit:
    """One text for a model. Two units are never equal: each has a place of its own."""

    text: str
    source: Segments = ()
    """What the text was made from, in order to be made otherwise; empty if it is as it stands."""
    rendered: Rendered | None = None
    case: Case = Case.USUAL
    attempt: int = 0
    rival: Unit | None = None
    """The same in another spelling: the likelier translation of the two is taken."""
    is_rival: bool = False
    is_inner: bool = False
    is_part: bool = False
    """Whether it is not a whole sentence."""
    inner: tuple[Inner, ...] = ()
    """Pairs of marks, which were left out of the text."""
    prefix: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """The text in the source's own characters."""
        return "".join(s if isinstance(s, str) else s.text for s in self.source) or self.text

    @property
    def is_guarded(self) -> bool:
        """Whether a translation can be refused, or has to be restored."""
        return self.rendered is not None

    @property
    def wants_alternatives(self) -> bool:
        """Whether more than the best translation is looked at: it may have lost a span, or be less
        likely than the rival's.
        """
        return self.is_guarded or self.is_rival

    def restore(
        self, translation: str, inner: Callable[[Unit], Sequence[str]] | None = None
    ) -> str | None:
        """What stands in the text for a translation: None if a span did not come back.

        ``inner`` gives the translations of what stands between a pair of marks.
        """
        if LOST in translation:
            translation = translation.replace(LOST, "")
        if '"' in self.text and not _CURLY.search(self.text):
            translation = _CURLY.sub('"', translation)
        if self.is_part:
            translation = in_the_middle(self.text, translation)
        if self.rendered is None:
            return translation
        parts = self.rendered.undo(translation)
        if parts is None:
            return None
        if self.case is Case.CAPITALS:
            parts = [_upper(part) if isinstance(part, str) else part for part in parts]
        elif self.case is Case.TITLE and parts and isinstance(parts[0], str):
            parts[0] = capitalised(parts[0])
        text = "".join(part if isinstance(part, str) else part.text for part in parts)
        if not self.inner:
            return text
        assert inner is not None
        return wrap(
            text,
            [
                (
                    pair.opening,
                    pair.closing,
                    inner(pair.unit) if pair.unit else [pair.text],
                    pair.tail,
                )
                for pair in self.inner
            ],
        )


Plan = list[str | Unit]


def _upper(text: str) -> str:
    return "".join(char if char in "µŉ" else char.upper() for char in text)
