"""Running an exported graph beside the network that it came from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from genkit.errors import ModelError

DTYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class Graph:
    """An ONNX file under ONNX Runtime on the CPU, called with keywords."""

    def __init__(self, path: Path) -> None:
        onnxruntime.set_default_logger_severity(4)
        self._session = onnxruntime.InferenceSession(
            str(path),
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        self._dtypes = {value.name: DTYPES[value.type] for value in self._session.get_inputs()}

    def run(self, outputs: Sequence[str], **inputs: Any) -> list[NDArray[Any]]:
        """The named outputs. Inputs are arrays, lists or numbers, cast to the type wanted."""
        feeds: dict[str, NDArray[Any]] = {
            name: np.asarray(value, self._dtypes[name]) for name, value in inputs.items()
        }
        values: list[NDArray[Any]] = self._session.run(list(outputs), feeds)
        return values


def largest(differences: Iterable[float]) -> float:
    """The largest, or NaN where one is, which `max` can pass over."""
    return float(np.max(list(differences)))


def check(name: str, difference: float, tolerance: float) -> None:
    """Raises ModelError if the difference is above the tolerance, or no number."""
    if not difference <= tolerance:
        raise ModelError(
            f"{name} does not compute what PyTorch does: largest difference {difference:.1e}, "
            f"allowed {tolerance:.0e}",
            hint="this is a bug of genkit: please report it with the checkpoint",
        )
