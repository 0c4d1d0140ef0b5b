"""Whether a translation is far from what validation shows."""

from __future__ import annotations

from collections.abc import Sequence

from genkit.card import Doubt

__all__ = ["is_doubtful", "loops"]

FEW = 6
"""Tokens more or less than in the source that say nothing: a short sentence may double."""
LONGEST_LOOP = 8
REPEATS = 4


def is_doubtful(
    doubt: Doubt, log_probability: float | None, source: Sequence[int], target: Sequence[int]
) -> bool:
    """Whether a sentence's translation is to be looked at.

    ``log_probability`` is the mean of the target's tokens, None if it is not known; ``source``
    and ``target`` have their end tokens.
    """
    if log_probability is not None and log_probability < doubt.log_probability:
        return True
    least, most = doubt.length_ratio
    ratio = len(target) / len(source)
    if abs(len(target) - len(source)) > FEW and not least <= ratio <= most:
        return True
    return loops(target) and not loops(source)


def loops(tokens: Sequence[int]) -> bool:
    """Whether a sequence says the same over and over."""
    if len(tokens) - len(set(tokens)) < REPEATS - 1:
        return False
    for length in range(1, min(LONGEST_LOOP, len(tokens) // REPEATS) + 1):
        same = 0
        for i in range(length, len(tokens)):
            same = same + 1 if tokens[i] == tokens[i - length] else 0
            if same >= length * (REPEATS - 1):
                return True
    return False
