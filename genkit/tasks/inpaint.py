"""Pictures with holes in, whole pictures out; what is no hole stays as it was, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from genkit.errors import InputError
from genkit.images import Picture, fill_hidden
from genkit.model import Model
from genkit.pixels import Pixels, Samples, pad, resize
from genkit.runtime import RuntimeOptions, open_session
from genkit.runtime.session import Closing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hole = NDArray[np.bool_]

__all__ = ["Inpainter", "dilate", "threshold"]

HOLE = 255
SMALLEST_MARGIN = 64
"""Pixels around a hole that the network sees, at least; a large hole has half its side."""


class Inpainter(Closing):
    """A model that fills holes, ready to use.

        fill = genkit.load("inpaint")
        whole = fill(picture, hole)   # hole: (H, W), True where the picture is to be made up

    Raises ModelError or RuntimeUnavailableError if the model cannot be opened.
    """

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        if model.card.image is None:
            raise TypeError(f"{model.card.name} is no model for pictures")
        self.model = model
        self._image = model.card.image
        self._session = open_session(model, model.card.role, options)

    @property
    def runs_on(self) -> str:
        """The device, precision and threads, and why this device: for people to read."""
        return self._session.summary

    @property
    def precision(self) -> str:
        """The precision that it computes in."""
        return self._session.precision

    def __call__(self, picture: Picture, hole: Hole) -> Picture:
        """Fill the hole (H, W) of a picture; transparent pixels of it become opaque.

        Each hole is filled from a part of the picture around it, at full resolution. The network
        sees and makes eight bits of sRGB: in a grey picture their luma is taken, in one of
        sixteen bits each level v becomes 257 v. All other pixels stay as they are. Raises
        InputError if the hole has another size than the picture, is all of it, or takes more memory
        than there is.
        """
        if hole.shape != picture.size:
            (height, width), (rows, columns) = picture.size, hole.shape
            raise InputError(
                f"the picture has {width} x {height} pixels, its mask {columns} x {rows}"
            )
        if hole.all():
            raise InputError("the mask covers the whole picture: there is nothing to fill it from")
        try:
            return self._filled(picture, hole)
        except MemoryError as error:
            self._release()
            raise InputError(
                "what is around its largest hole does not fit into memory",
                hint="make the picture smaller first, or fill its holes one after the other",
            ) from error

    def _filled(self, picture: Picture, hole: Hole) -> Picture:
        pixels = picture.pixels.copy()
        for box in _boxes(hole):
            around = _with_margin(box, picture.size, self._image.resize.size)
            part = replace(
                picture,
                pixels=picture.pixels[around],
                alpha=None if picture.alpha is None else picture.alpha[around],
            )
            filled = part.like_own(self._run(part, hole[around]))
            inside = tuple(
                slice(inner.start - outer.start, inner.stop - outer.start)
                for inner, outer in zip(box, around, strict=True)
            )
            where = hole[box] if picture.is_grey else hole[box][..., None]
            pixels[box] = np.where(where, filled[inside], pixels[box])
        alpha = picture.alpha
        if alpha is not None:
            opaque = np.iinfo(alpha.dtype).max
            alpha = np.where(hole, alpha.dtype.type(opaque), alpha)
        return replace(picture, pixels=pixels, alpha=alpha)

    def _release(self) -> None:
        """Give back what a run that did not fit has left behind: the next picture may fit."""
        size = self._image.resize.size or (1, 1)
        smallest, _ = pad(np.zeros((*size, 3), np.uint8), self._image.pad)
        self._session.release({"image": smallest[None], "mask": smallest[None, ..., :1]})

    def _run(self, part: Picture, hole: Hole) -> Pixels:
        """Part of a picture through the network, (H, W, 3) in sRGB."""
        pixels = fill_hidden(part.srgb(), part.alpha)
        mask = np.where(hole, np.uint8(HOLE), np.uint8(0))
        spec = self._image.resize
        if spec.size is not None:
            pixels = resize(pixels, spec.size, spec.interpolation, spec.antialias)
            # A pixel that is partly hole is hole.
            mask = threshold(resize(mask, spec.size, "bilinear"), 0).astype(np.uint8) * HOLE
        padded, inside = pad(pixels, self._image.pad)
        padded_mask, _ = pad(mask, self._image.pad)
        feeds = {
            "image": np.ascontiguousarray(padded[None]),
            "mask": np.ascontiguousarray(padded_mask[None, ..., None]),
        }
        (results,) = self._session.run(feeds)
        result: Pixels = results[0][inside]
        return resize(result, part.size)


def threshold(mask: Samples, level: int) -> Hole:
    """Where a mask (H, W) of uint8 or uint16 is brighter than a level of 0 to 255."""
    most = int(np.iinfo(mask.dtype).max)
    found: Hole = mask > level * most // HOLE
    return found


def dilate(hole: Hole, pixels: int) -> Hole:
    """A hole grown by some pixels to all sides."""
    for axis in (0, 1):
        length = hole.shape[axis]
        sums = np.insert(np.cumsum(hole, axis), 0, 0, axis)
        at = np.arange(length)
        upto = sums.take((at + pixels + 1).clip(max=length), axis)
        hole = upto > sums.take((at - pixels).clip(min=0), axis)
    return hole


Box = tuple[slice, slice]


def _boxes(hole: Hole) -> Iterator[Box]:
    """Boxes of holes that are far from each other: cut through wherever a wide strip has none."""
    boxes = [(slice(0, hole.shape[0]), slice(0, hole.shape[1]))]
    while boxes:
        box = boxes.pop()
        parts = [
            (rows, columns)
            for rows in _runs(np.any(hole[box], 1), box[0].start)
            for columns in _runs(np.any(hole[rows, box[1]], 0), box[1].start)
        ]
        if parts == [box]:
            yield box
        else:
            boxes += parts


def _runs(used: Hole, start: int) -> list[slice]:
    """The stretches of a side that are used, where two margins or more lie between them."""
    (at,) = np.nonzero(used)
    if not len(at):
        return []
    gaps = np.nonzero(np.diff(at) > 2 * SMALLEST_MARGIN)[0]
    firsts, lasts = [at[0], *at[gaps + 1]], [*at[gaps], at[-1]]
    return [
        slice(start + int(first), start + int(last) + 1)
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _with_margin(box: Box, size: tuple[int, int], seen: tuple[int, int] | None) -> Box:
    """What a network gets to see of a picture of some height and width. One that sees all pictures
    at the same size gets a square, as far as there is one, and no smaller part than that, which
    would only be enlarged.
    """
    margin = max(SMALLEST_MARGIN, max(side.stop - side.start for side in box) // 2)
    if seen is not None:
        span = max(*(side.stop - side.start + 2 * margin for side in box), *seen)
        return _square(box[0], span, size[0]), _square(box[1], span, size[1])
    rows, columns = (
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, length in zip(box, size, strict=True)
    )
    return rows, columns


def _square(side: slice, span: int, length: int) -> slice:
    """A stretch around the middle of another one, moved to where there is a picture."""
    start = min(max((side.start + side.stop - span) // 2, 0), max(length - span, 0))
    return slice(start, min(start + span, length))
