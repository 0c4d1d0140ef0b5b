"""Devices, engines and sessions: the only package that imports ONNX Runtime.

Names are imported when they are first used: the command line reads the table of engines before
it knows whether it will run a graph.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genkit.runtime.choose import RuntimeOptions, choose_precision, open_session
    from genkit.runtime.engines.cpu import open_file
    from genkit.runtime.library import onnxruntime
    from genkit.runtime.session import Closing, Session, Workers

__all__ = [
    "Closing",
    "RuntimeOptions",
    "Session",
    "Workers",
    "choose_precision",
    "onnxruntime",
    "open_file",
    "open_session",
]

# Where each name lives.
_HOMES = {
    "choose": ("RuntimeOptions", "choose_precision", "open_session"),
    "engines.cpu": ("open_file",),
    "library": ("onnxruntime",),
    "session": ("Closing", "Session", "Workers"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
