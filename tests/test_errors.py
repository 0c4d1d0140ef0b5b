"""The exception tree and its exit codes."""

from __future__ import annotations

import pytest

from genkit import errors
from genkit.errors import ExitCode, GenkitError


def every_error() -> list[type[GenkitError]]:
    found = [getattr(errors, name) for name in errors.__all__]
    return [error for error in found if isinstance(error, type) and issubclass(error, GenkitError)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.InputError, 1),
        (errors.ModelError, 3),
        (errors.ModelNotFoundError, 3),
        (errors.CardError, 3),
        (errors.RuntimeUnavailableError, 3),
    ],
)
def test_each_error_has_its_exit_code(error: type[GenkitError], code: int) -> None:
    assert error("what").exit_code == code


def test_the_docstring_draws_every_error_with_its_code() -> None:
    assert errors.__doc__ is not None
    drawn = dict(_name_and_code(line) for line in errors.__doc__.splitlines() if "── " in line)
    assert drawn == {
        error.__name__: int(error.exit_code) for error in every_error() if error is not GenkitError
    }


def _name_and_code(line: str) -> tuple[str, int]:
    name, code = line.split("── ")[1].split()[:2]
    return name, int(code)


def test_an_error_keeps_its_hint_apart_from_its_message() -> None:
    error = errors.ModelError("no such graph", hint="export it again")
    assert (str(error), error.message, error.hint) == (
        "no such graph",
        "no such graph",
        "export it again",
    )
    assert errors.ModelError("what").hint is None


def test_the_exit_codes_are_what_the_shell_was_promised() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "INPUT_FAILED": 1,
        "USAGE": 2,
        "UNAVAILABLE": 3,
        "INTERRUPTED": 130,
    }
