"""What is found out once in a process, however many threads ask for it at the same time."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import update_wrapper
from threading import RLock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

__all__ = ["Once", "once"]

R = TypeVar("R")
_all: WeakSet[Once[Any]] = WeakSet()


class Once(Generic[R]):
    """A function whose results are kept. ``functools.cache`` keeps them too, but two threads that
    ask at the same time run the function twice, side by side. Exceptions are not kept.
    """

    def __init__(self, function: Callable[..., R]) -> None:
        self._function = function
        self._results: dict[tuple[Any, ...], R] = {}
        self._lock = RLock()
        update_wrapper(self, function)
        _all.add(self)

    def __call__(self, *args: Any) -> R:
        if args not in self._results:
            with self._lock:
                if args not in self._results:
                    self._results[args] = self._function(*args)
        return self._results[args]

    def cache_clear(self) -> None:
        """Forget all results."""
        self._results.clear()

    def free(self) -> None:
        """Give up a lock that a thread holds which is not there any more, after a fork."""
        self._lock = RLock()


def once(function: Callable[..., R]) -> Once[R]:
    """Make a function whose arguments are hashable run once for each of them, in one thread."""
    return Once(function)


def _after_fork() -> None:
    for one in _all:
        one.free()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
