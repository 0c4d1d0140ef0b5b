"""What is in a picture: the labels of a classifier, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from genkit.alpha import seen_by
from genkit.card import ImageSpec
from genkit.errors import InputError, ModelError, UsageError
from genkit.images import Picture, composite
from genkit.model import Model
from genkit.pixels import Pixels, fit, resize, seen, to_bytes
from genkit.runtime import RuntimeOptions, Session, open_session
from genkit.runtime.session import Closing

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Classifier", "Guess", "overlay", "prepare", "rank"]

ATTENTION = "attention"
BATCH = 8
TOP = 5
TOO_LARGE = "does not fit into memory"
STRENGTH = 0.6
"""How much of an overlay is the map of attention, and not the picture."""
HEAT = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32
)
"""Colours from no attention to the most: five of matplotlib's "inferno"."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A label of the model, and the probability (0 to 1) that the picture shows it."""

    label: str
    probability: float


class Classifier(Closing):
    """A model that names what pictures show, ready to use.

        classify = genkit.load("classify")
        picture = genkit.images.decode(Path("photo.jpg").read_bytes())
        classify([picture])   # [[Guess(label="cat", probability=0.93), ...]]

    Raises ModelError or RuntimeUnavailableError if the model cannot be opened.
    """

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        if model.card.image is None:
            raise TypeError(f"{model.card.name} is no model for pictures")
        self.model = model
        self.spec = model.card.image
        self.labels = self.spec.labels
        """What the classes are called, in the order of the model."""
        self._options = options
        self._session = open_session(model, model.card.role, options)
        self._attention: Session | None = None
        self._opening = Lock()

    @property
    def runs_on(self) -> str:
        """The device, precision and threads, and why this device: for people to read."""
        return self._session.summary

    @property
    def precision(self) -> str:
        """The precision that it computes in."""
        return self._session.precision

    def __call__(
        self,
        pictures: Sequence[Picture],
        *,
        top: int = TOP,
        threshold: float = 0.0,
        batch: int = BATCH,
    ) -> list[list[Guess]]:
        """The ``top`` likeliest labels of each picture, best first, of those that are at least as
        likely as ``threshold``; ``batch`` pictures are run together.

        Raises InputError if a picture does not fit into memory.
        """
        if isinstance(pictures, Picture):
            raise TypeError("pictures must be a list; for one picture: [picture]")
        results = []
        for begin in range(0, len(pictures), batch):
            prepared = [prepare(one, self.spec) for one in pictures[begin : begin + batch]]
            results += [
                rank(found, self.labels, top, threshold) for found in self.probabilities(prepared)
            ]
        return results

    def probabilities(self, prepared: Sequence[Pixels]) -> NDArray[np.float32]:
        """The probabilities (N, classes) of pictures that ``prepare`` returned, run together.

        Pictures of several sizes, which only a model without a size of its own can see, are run
        size by size. A batch for which memory does not suffice is run in parts. Raises InputError
        if even one picture is too much, ModelError if the classes are not those of the card.
        """
        results = np.zeros((len(prepared), len(self.labels)), np.float32)
        places: dict[tuple[int, ...], list[int]] = {}
        for i, pixels in enumerate(prepared):
            places.setdefault(pixels.shape, []).append(i)
        for alike in places.values():
            found = _run(self._session, [prepared[i] for i in alike])
            if found.shape[1] != len(self.labels):
                raise ModelError(
                    f"{self.model.card.name} tells {found.shape[1]} classes apart, but its card "
                    f"has {len(self.labels)} labels"
                )
            results[alike] = found
        return results

    def attention(self, prepared: Pixels) -> NDArray[np.float32]:
        """Where the network looks in a picture that ``prepare`` returned: (rows, columns) of its
        patches, 0 where it looks least and 1 where it looks most.

        It is what the model calls attention: for a ViT, attention rollout of the class token
        (Abnar and Zuidema, 2020). Raises UsageError if the model cannot tell.
        """
        found = _run(self.open_attention(), [prepared])[0].astype(np.float32)
        least, most = found.min(), found.max()
        scaled: NDArray[np.float32] = (found - least) / max(most - least, np.finfo(np.float32).tiny)
        return scaled

    def open_attention(self) -> Session:
        """Open the graph that ``attention`` runs, once. Raises what ``attention`` raises, early."""
        with self._opening:
            if self._attention is None:
                self._attention = self._open_attention()
            return self._attention

    def _open_attention(self) -> Session:
        card = self.model.card
        if ATTENTION not in card.graphs:
            raise UsageError(f"{card.name} cannot show where it looks")
        options = self._options
        if options.precision not in card.graphs[ATTENTION]:
            options = replace(options, precision="auto")
        return open_session(self.model, ATTENTION, options)


def prepare(picture: Picture, spec: ImageSpec) -> Pixels:
    """A picture as the network of a card sees it: sRGB, on white where it is transparent unless
    the network sees alpha, resized and cut as the card says, uint8 (H, W, channels). Raises InputError where memory does not
    suffice.
    """
    try:
        if spec.channels == 4:
            pixels = seen_by(spec.channels, picture)
        else:
            pixels = picture.srgb()
            if picture.alpha is not None:
                pixels = composite(pixels, picture.alpha)
        return np.ascontiguousarray(fit(pixels, spec.resize))
    except MemoryError as error:
        raise InputError(TOO_LARGE) from error


def rank(
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    top: int = TOP,
    threshold: float = 0.0,
) -> list[Guess]:
    """The ``top`` likeliest labels, best first, of those at least as likely as ``threshold``;
    equally likely ones are in the order of the model.
    """
    order = np.argsort(-probabilities, kind="stable")[:top]
    best = (Guess(labels[i], float(probabilities[i])) for i in order)
    return [guess for guess in best if guess.probability >= threshold]


def overlay(picture: Picture, attention: NDArray[np.float32], spec: ImageSpec) -> Picture:
    """A picture under the map of where the network looks: dark where it looks least, bright where
    it looks most. What the card cuts off is not seen, and dark.
    """
    pixels = picture.srgb()
    heat = np.zeros(picture.size, np.uint8)
    rows, columns = seen(picture.size, spec.resize)
    box = (rows.stop - rows.start, columns.stop - columns.start)
    heat[rows, columns] = resize(to_bytes(attention * 255), box, "bicubic")
    steps = np.linspace(0, 255, len(HEAT))
    levels = np.arange(256)
    colours = np.stack([np.interp(levels, steps, channel) for channel in HEAT.T], -1)
    table = (colours * STRENGTH).astype(np.float32)
    return picture.with_srgb(to_bytes(pixels * np.float32(1 - STRENGTH) + table[heat]))


def _run(session: Session, pixels: Sequence[Pixels]) -> NDArray[Any]:
    """The output for pictures of one size."""
    try:
        (found,) = session.run({"image": np.stack(pixels)})
    except MemoryError as error:
        if len(pixels) == 1:
            raise InputError(TOO_LARGE) from error
        half = len(pixels) // 2
        return np.concatenate([_run(session, pixels[:half]), _run(session, pixels[half:])])
    return found
