"""Noise in, pictures out: the generators of the GAN family."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from genkit.errors import GenkitWarning, InputError, ModelError, UsageError
from genkit.model import Model
from genkit.noise import Noise, draw
from genkit.pixels import Pixels
from genkit.runtime import RuntimeOptions, open_session
from genkit.runtime.session import Closing

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BATCH",
    "Point",
    "Sampler",
    "check_truncation",
    "find_class",
    "find_classes",
    "label_of",
]

FEW = 64
"""Numbers of a picture that is too small to tell whether it should be black."""
BATCH = 16
"""Pictures in a run of the graph."""


@dataclass(frozen=True)
class Point:
    """What a picture is made from."""

    z: Noise
    """Of the shape that the card tells, as it was drawn: truncation is applied to it here."""
    label: int | None = None
    """The class, for a model that has classes."""
    truncation: float = 1.0
    """0 to 1: less is nearer to what is typical, 1 changes nothing."""


class Sampler(Closing):
    """A generator of pictures, ready to use.

        sample = genkit.load("sample", "biggan")
        for pixels in sample(range(16), classes=["cat"], truncation=0.5):
            ...  # uint8 (H, W, 3), sRGB

    Raises ModelError or RuntimeUnavailableError if the model cannot be opened.
    """

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        if model.card.latent is None:
            raise TypeError(f"{model.card.name} makes nothing from noise")
        self.model = model
        self._latent = model.card.latent
        _check_inputs(model)
        self._session = open_session(model, model.card.role, options)

    @property
    def runs_on(self) -> str:
        """The device, precision and threads, and why this device: for people to read."""
        return self._session.summary

    @property
    def precision(self) -> str:
        """The precision that it computes in."""
        return self._session.precision

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in order; none for a model that has no classes."""
        return self._latent.classes

    def __call__(
        self,
        seeds: Iterable[int],
        *,
        classes: Sequence[str | int] = (),
        truncation: float | None = None,
        batch_size: int = BATCH,
    ) -> Iterator[Pixels]:
        """The pictures (H, W, 3), or 4 with alpha, of seeds, in their order, made as they are asked for.

        Without a truncation it is the model's own, as its card tells. A picture depends on its seed, on ``classes`` and on ``truncation``, and on nothing
        else. The seed also chooses among ``classes`` (names or indices; all that the model
        has by default), which are taken in turn: seed 0 has the first one. Raises UsageError
        for a class or a truncation that the model does not have, before anything is run, and
        for seeds outside of 0 to 2**32 - 1 as they come.
        """
        if truncation is None:
            truncation = self._latent.default_truncation
        check_truncation(self.model.card.name, self._latent.truncation, truncation)
        labels = find_classes(self.model.card.name, self.classes, classes)
        points = (
            Point(draw(seed, self._latent), label_of(seed, labels), truncation) for seed in seeds
        )
        return self.run(points, batch_size)

    def run(self, points: Iterable[Point], batch_size: int = BATCH) -> Iterator[Pixels]:
        """The pictures (H, W, 3) of points, in order; a batch is made when it is asked for.

        One run has one truncation, so that points are best in the order of theirs. Raises
        InputError where a batch does not fit into memory, UsageError for one of none.
        """
        if batch_size < 1:
            raise UsageError(f"a batch has at least one picture, not {batch_size}")
        for truncation, alike in groupby(points, lambda point: point.truncation):
            while batch := list(islice(alike, batch_size)):
                yield from self._run(batch, truncation, batch_size)

    def _run(self, batch: Sequence[Point], truncation: float, full: int) -> Pixels:
        count = len(batch)
        # On a CPU, by ONNX Runtime or by OpenVINO, a picture is the same in every batch. A GPU
        # chooses other kernels for other sizes: there all have one, and the last is filled up.
        if self._session.device.startswith("cuda"):
            batch = [*batch, *[batch[-1]] * (full - count)]
        z = np.stack([point.z for point in batch])
        if self._latent.truncation in ("latent", "both"):
            z *= np.float32(truncation)
        feeds: dict[str, NDArray[np.generic]] = {"z": z}
        if self.classes:
            feeds["class"] = np.array([point.label for point in batch], np.int64)
        if self._latent.truncation in ("graph", "both"):
            feeds["truncation"] = np.array(truncation, np.float32)
        try:
            (pictures,) = self._session.run(feeds)
        except MemoryError as error:
            raise InputError(
                f"{len(batch)} pictures at a time do not fit into memory",
                hint="a smaller batch needs less",
            ) from error
        made: Pixels = pictures[:count]
        # NaN becomes 0 in bytes, and a network that ends in tanh is never at -1 everywhere.
        if any(one.size > FEW and not one.any() for one in made):
            warnings.warn(
                f"{self.model.card.name} made a picture that is all black: its weights may be broken",
                GenkitWarning,
                stacklevel=2,
            )
        return made


def _check_inputs(model: Model) -> None:
    """Raise ModelError for a graph that takes other inputs than the card's latent section says."""
    latent = model.card.latent
    assert latent is not None
    told = {"z"}
    if latent.classes:
        told.add("class")
    if latent.truncation in ("graph", "both"):
        told.add("truncation")
    taken = {tensor.name for tensor in model.card.interface[model.card.role].inputs}
    if taken != told:
        raise ModelError(
            f"{model.card.name} takes {', '.join(sorted(taken))}, but its card tells of "
            f"{', '.join(sorted(told))}",
            hint="export the model again",
        )


def label_of(seed: int, labels: Sequence[int]) -> int | None:
    """The class of a seed: all of them in turn; None where there are none."""
    return labels[seed % len(labels)] if labels else None


def find_classes(model: str, names: Sequence[str], asked: Sequence[str | int]) -> tuple[int, ...]:
    """The indices of the classes that were asked for, or of all. Raises UsageError."""
    if asked and not names:
        raise UsageError(f"{model} has no classes")
    return tuple(find_class(names, text) for text in asked) or tuple(range(len(names)))


def find_class(names: Sequence[str], asked: str | int) -> int:
    """The index of a class that is named, in either case, or given by its index.

    A name with commas lists several for one class, any of which will do. Raises UsageError
    for a class that is not there, or that several could be.
    """
    text = str(asked).strip().lower()
    if text.isdecimal():
        if int(text) < len(names):
            return int(text)
        raise UsageError(f"there is no class {text}", hint=f"classes are 0 to {len(names) - 1}")
    full = [i for i, name in enumerate(names) if name.lower() == text]
    found = full or [i for i, name in enumerate(names) if text in _synonyms(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{len(found)} classes are called {text!r}",
            hint=f"by index: {', '.join(map(str, found))}",
        )
    known = [synonym for name in names for synonym in _synonyms(name)]
    within = [name for name in known if text and text in name]
    near = (difflib.get_close_matches(text, known, n=3) or within or [])[:3]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else _some(names)
    raise UsageError(f"unknown class {asked!r}", hint=hint)


def check_truncation(model: str, where: str, truncation: float) -> None:
    """Raise UsageError for a truncation that a model cannot have."""
    if not 0 <= truncation <= 1:
        raise UsageError(f"truncation is 0 to 1, not {truncation:g}")
    if where == "none" and truncation != 1:
        raise UsageError(f"{model} has no truncation")


def _synonyms(name: str) -> list[str]:
    return [part.strip().lower() for part in name.split(",")]


def _some(names: Sequence[str], most: int = 12) -> str:
    return f"there is: {', '.join(names[:most])}" + (" and others" if len(names) > most else "")
