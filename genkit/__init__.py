"""Generative inference from the shell and from Python, on ONNX Runtime.

    from genkit import load

    translate = load("translate", "en-de")
    translate(["Good morning."])  # ["Guten Morgen."]

Names are imported when they are first used: ``import genkit`` loads neither NumPy nor
ONNX Runtime, and so does every part of the command line that does not run a graph.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime otherwise keeps a device id and a database of events in the user's cache, and asks
# for a host of Microsoft's to send them to. It looks when it is imported, and never again.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from genkit.errors import (
        CardError,
        ExitCode,
        GenkitError,
        GenkitWarning,
        InputError,
        ModelError,
        ModelNotFoundError,
        RuntimeUnavailableError,
        UsageError,
    )
    from genkit.model import Card, Model, find, list_models, open_model
    from genkit.runtime import RuntimeOptions
    from genkit.tasks import load

__all__ = [
    "Card",
    "CardError",
    "ExitCode",
    "GenkitError",
    "GenkitWarning",
    "InputError",
    "Model",
    "ModelError",
    "ModelNotFoundError",
    "RuntimeOptions",
    "RuntimeUnavailableError",
    "UsageError",
    "__version__",
    "find",
    "list_models",
    "load",
    "open_model",
]

# Where each public name lives.
_HOMES = {
    "genkit.errors": (
        "CardError",
        "ExitCode",
        "GenkitError",
        "GenkitWarning",
        "InputError",
        "ModelError",
        "ModelNotFoundError",
        "RuntimeUnavailableError",
        "UsageError",
    ),
    "genkit.model": ("Card", "Model", "find", "list_models", "open_model"),
    "genkit.runtime": ("RuntimeOptions",),
    "genkit.tasks": ("load",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
