"""ONNX Runtime's own kernels on the processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genkit.card import Card
from genkit.errors import ModelError, first_line
from genkit.runtime import devices, library
from genkit.runtime.devices import Device
from genkit.runtime.engines.protocol import Order, Status

__all__ = [
    "COMPLAINT",
    "CURE",
    "REOPENS",
    "check",
    "open",
    "open_file",
    "precisions",
    "status",
    "suits",
]

PROVIDER = "CPUExecutionProvider"
REOPENS = True
COMPLAINT = CURE = ""


def status() -> Status:
    """See protocol.Engine."""
    library.onnxruntime()
    return Status(True, "", "")


def check(device: Device) -> None:
    """See protocol.Engine."""


def precisions(card: Card, role: str) -> tuple[str, ...]:
    """See protocol.Engine."""
    return card.precisions(role, "cpu")


def suits(card: Card, role: str, precision: str) -> tuple[bool, str]:
    """See protocol.Engine."""
    return True, ""


def open(order: Order) -> tuple[Any, str]:  # noqa: A001
    """See protocol.Engine."""
    settings, path, model = order.settings(), order.graph, order.model
    try:
        return _load(path, settings, text=model.card.text is not None), ""
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise ModelError(
            f"{path} does not load: {first_line(error)}", hint=f"genkit models verify {model.path}"
        ) from error


def open_file(path: Path, *, text: bool) -> Any:
    """ONNX Runtime's own session of a graph file, on the CPU and under the settings that every run
    has there: for an export, which is to compare what will run.
    """
    return _load(path, library.settings(devices.default_threads(), False), text=text)


def _load(path: Path, settings: Any, *, text: bool) -> Any:
    # SkipLayerNormalization takes 147 us at 256 rows; Add and LayerNormalization take 19.
    disabled = ["SkipLayerNormFusion"] if text else []
    return library.onnxruntime().InferenceSession(
        str(path), settings, providers=[PROVIDER], disabled_optimizers=disabled
    )
