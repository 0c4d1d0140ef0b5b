"""ONNX Runtime itself: imported here and nowhere else, silenced, with the settings of every session."""

from __future__ import annotations

import sys
from typing import Any

from genkit.errors import RuntimeUnavailableError
from genkit.library_output import hushed, owns_process
from genkit.once import once

__all__ = ["LOG_ERRORS", "LOG_NOTHING", "onnxruntime", "settings"]

# The severities of ONNX Runtime's default logger. Its own setting per session does not
# silence the providers.
LOG_ERRORS, LOG_NOTHING = 3, 4


@once
def onnxruntime() -> Any:
    """The module ``onnxruntime``, silenced. Raises RuntimeUnavailableError with the cure.

    A program that had imported it before keeps its own setting for what is logged.
    """
    ours = owns_process() or "onnxruntime" not in sys.modules
    try:
        # Some releases print about GPUs that they cannot find while they are imported.
        with hushed():
            import onnxruntime as module
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise RuntimeUnavailableError(
            "ONNX Runtime is not installed", hint="pip install genkit-onnx"
        ) from error
    except ImportError as error:  # a library that it needs, or two of its builds in one place
        raise RuntimeUnavailableError(
            f"ONNX Runtime does not load: {error}", hint="genkit info tells which builds are there"
        ) from error
    if ours:
        module.set_default_logger_severity(LOG_NOTHING)
    # For a program that imported it before genkit could turn that off (see genkit/__init__.py).
    getattr(module, "disable_telemetry_events", lambda: None)()
    return module


def settings(threads: int, spinning: bool) -> Any:
    """The settings that all sessions share, as ONNX Runtime's SessionOptions."""
    ort = onnxruntime()
    result = ort.SessionOptions()
    result.intra_op_num_threads = threads
    result.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    result.log_severity_level = LOG_NOTHING
    # Numbers too small to matter slow a badly scaled model down eightfold.
    result.add_session_config_entry("session.set_denormal_as_zero", "1")
    result.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return result
