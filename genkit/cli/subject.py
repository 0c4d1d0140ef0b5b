"""What a command is working on, so that a warning from below can name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["subject", "working_on"]

subject: ContextVar[str] = ContextVar("subject", default="")
"""The item of this thread; empty where a warning is about the whole run."""


@contextmanager
def working_on(item: object) -> Iterator[None]:
    """Let warnings of this thread name ``item`` while the block runs."""
    token = subject.set(str(item))
    try:
        yield
    finally:
        subject.reset(token)
