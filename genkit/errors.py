"""The exceptions genkit raises on purpose, and the exit code that each of them means.

    GenkitError
    ├── UsageError                  2   an option or an argument makes no sense
    ├── InputError                  1   one input cannot be used; the others go on
    ├── ModelError                  3   a model cannot be used
    │   ├── ModelNotFoundError      3   no such model: says where it looked and what is there
    │   └── CardError               3   model.json is broken: names the field
    └── RuntimeUnavailableError     3   ONNX Runtime, a provider or a device is missing

Each carries a message of one line and, where there is one, a hint: what to do about it.
Anything else that escapes from genkit is a bug. What a caller should know and may go on with is
a GenkitWarning.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "CardError",
    "ExitCode",
    "GenkitError",
    "GenkitWarning",
    "InputError",
    "ModelError",
    "ModelNotFoundError",
    "RuntimeUnavailableError",
    "UsageError",
    "first_line",
]


class ExitCode(IntEnum):
    """What the command's exit status tells the shell."""

    OK = 0
    INPUT_FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


class GenkitError(Exception):
    """Base of all of them: catch this one to catch whatever genkit raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.INPUT_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GenkitError):
    """An option or an argument makes no sense."""

    exit_code = ExitCode.USAGE


class InputError(GenkitError):
    """One input cannot be used; the others go on."""

    exit_code = ExitCode.INPUT_FAILED


class ModelError(GenkitError):
    """A model cannot be used: a file is missing, cut short or not what the card says."""

    exit_code = ExitCode.UNAVAILABLE


class ModelNotFoundError(ModelError):
    """There is no model of that name or at that path."""


class CardError(ModelError):
    """The card of a model (model.json) is missing, broken or newer than this genkit."""


class RuntimeUnavailableError(GenkitError):
    """ONNX Runtime, a provider or a device is missing; the hint says what to install."""

    exit_code = ExitCode.UNAVAILABLE


class GenkitWarning(RuntimeWarning):
    """Something that a caller should know: of genkit, not of a library that it uses."""


def first_line(error: Exception) -> str:
    """What a library's exception says, cut to a line; its name where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
