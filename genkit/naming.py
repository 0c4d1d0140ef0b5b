"""What a model can be called."""

from __future__ import annotations

import re

from genkit.errors import UsageError

__all__ = ["NAME", "NAME_RULE", "check_name", "name_like"]

NAME = r"[A-Za-z0-9][\w.+-]*"
"""A name is that of a folder, too, and an argument."""
NAME_RULE = "a name without spaces or slashes"


def check_name(name: str) -> None:
    """Raises UsageError for what no model can be called."""
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"a model cannot be called {name!r}: it needs {NAME_RULE}",
            hint=f"for example {name_like(name, 'my-model')}",
        )


def name_like(text: str, otherwise: str) -> str:
    """A name for a model that is as near to a text as names can be."""
    name = re.sub(r"^[^A-Za-z0-9]+|[^\w.+-]+", "-", text).strip("-_.+")
    return name if re.fullmatch(NAME, name) else otherwise
