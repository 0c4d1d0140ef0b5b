"""What `inspect_checkpoint` says of a file, as the tests of layouts ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from genkit.errors import InputError
from genkit_export import inspect_checkpoint


def settings_in(record: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Setting -> value and source."""
    return {one["name"]: (one["value"], one["source"]) for one in record["settings"]}


def settings_of(path: Path, **given: str) -> dict[str, tuple[Any, str]]:
    """The settings of a checkpoint; some may be given."""
    return settings_in(inspect_checkpoint(path, settings=given))


def assert_refused(path: Path, message: str | None = None, **given: str) -> None:
    """The checkpoint cannot be used, which is said in one line."""
    with pytest.raises(InputError, match=message) as raised:
        inspect_checkpoint(path, settings=given)
    assert "\n" not in raised.value.message
