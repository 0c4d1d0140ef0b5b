"""What libraries print by themselves while they load.

To catch it, the descriptors of the process are redirected, so that whatever another thread
writes meanwhile is caught too. The command line may do that, for the process is its own; a
program that uses genkit as a library must not lose a line of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from genkit.streams import captured_output

__all__ = ["hushed", "own_process", "owns_process"]

_lock = Lock()
_owners = 0


@contextmanager
def own_process() -> Iterator[None]:
    """While the block runs, ``hushed`` may redirect the descriptors of the process."""
    global _owners
    with _lock:
        _owners += 1
    try:
        yield
    finally:
        with _lock:
            _owners -= 1


def owns_process() -> bool:
    """Whether the process is the command line's own."""
    return _owners > 0


@contextmanager
def hushed() -> Iterator[Callable[[], str]]:
    """Catch what libraries print while the block runs, if the process is genkit's own; the block
    is given a function that returns what was caught so far.
    """
    if not owns_process():
        yield str
        return
    with captured_output() as caught:
        yield caught
