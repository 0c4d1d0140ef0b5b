"""Running an exported graph beside the network that it came from."""

from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genkit.errors import InputError, ModelError
from genkit.runtime import open_file

DTYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


BUG = "this is a bug of genkit: please report it with the checkpoint"


class Graph:
    """An ONNX file under ONNX Runtime on the CPU, with the settings that it will run with, called
    with keywords.
    """

    def __init__(self, path: Path, *, text: bool = False) -> None:
        self._session = open_file(path, text=text)
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


def distance(one: ArrayLike, other: ArrayLike) -> float:
    """The largest difference of two arrays; infinities of one sign, which some scores are meant to
    be, do not differ.
    """
    one, other = np.asarray(one), np.asarray(other)
    with np.errstate(invalid="ignore"):
        return float(np.where(one == other, 0, np.abs(one - other)).max(initial=0))


def check(name: str, difference: float, tolerance: float, hint: str = BUG) -> None:
    """Raises ModelError if the difference is above the tolerance, InputError if it is no number:
    then the network makes none of random inputs.
    """
    if isnan(difference):
        raise InputError(
            f"{name} gives no numbers (NaN): with these weights the network overflows",
            hint="if PyTorch gives numbers, this is a bug of genkit: please report it",
        )
    if not difference <= tolerance:
        raise ModelError(
            f"{name} does not compute what PyTorch does: largest difference {difference:.1e}, "
            f"allowed {tolerance:.0e}",
            hint=hint,
        )
