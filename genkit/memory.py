"""Going on where memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["TOO_LARGE", "in_parts"]

T = TypeVar("T")
R = TypeVar("R")

TOO_LARGE = "does not fit into memory"


def in_parts(work: Callable[[Sequence[T]], list[R]], items: Sequence[T], lost: R) -> list[R]:
    """What ``work`` makes of items; where it raises MemoryError, of half of them at a time. In
    place of the result for an item that is too much by itself stands ``lost``.
    """
    try:
        return work(items)
    except MemoryError:
        pass  # the next attempt comes after the block, which keeps what this one took
    if len(items) < 2:
        return [lost for _ in items]
    half = len(items) // 2
    return in_parts(work, items[:half], lost) + in_parts(work, items[half:], lost)
