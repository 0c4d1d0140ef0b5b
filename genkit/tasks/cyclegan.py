"""Pictures in, pictures of another kind out: summer in winter, a photograph as a painting."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from genkit.alpha import made_from, seen_by
from genkit.errors import GenkitWarning, InputError, UsageError
from genkit.images import Picture
from genkit.model import Model
from genkit.pixels import Pixels, pad, resize, tiled
from genkit.runtime import RuntimeOptions, open_session
from genkit.runtime.session import Closing

__all__ = ["SMALLEST_TILE", "PictureTranslator", "side_by_side"]

SMALLEST_TILE = 64
OVERLAP = 8
"""A tile shares one part in so many of its side with the next."""


class PictureTranslator(Closing):
    """A model that turns pictures into pictures, ready to use.

        winter = genkit.load("cyclegan", "summer2winter")
        picture = genkit.images.decode(Path("valley.jpg").read_bytes())
        Path("winter.png").write_bytes(genkit.images.encode(winter(picture), "png"))

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

    def __call__(
        self,
        picture: Picture,
        *,
        size: tuple[int, int] | int | None = None,
        tile: int | None = None,
    ) -> Picture:
        """Translate a picture; its colour profile, depth and metadata are kept, and its alpha
        unless the model makes one. A grey one comes out in colour, and the levels of sixteen bits
        are 257 times those of eight.

        ``size`` is that of the result, as height and width or as the longer side; None keeps
        that of the picture. The whole picture is run at once, or, where a side is longer than
        ``tile``, in overlapping tiles. Networks normalise what they see by its own mean and
        contrast, so that tiles can differ in tone. Where memory does not suffice, tiles are
        taken by themselves, with a warning. Raises InputError if even the smallest are too
        large, UsageError for a size or a tile that makes no sense.
        """
        if tile is not None and tile < SMALLEST_TILE:
            raise UsageError(f"a tile has at least {SMALLEST_TILE} pixels a side, not {tile}")
        pixels = seen_by(self._image.channels, picture)
        pixels = resize(pixels, _target_size(picture.size, size))
        spec = self._image.resize
        if spec.size is None:
            return made_from(picture, self._run_in_parts(pixels, tile))
        small = resize(pixels, spec.size, spec.interpolation, spec.antialias)
        result = self._run_in_parts(small, tile)
        return made_from(picture, resize(result, (pixels.shape[0], pixels.shape[1])))

    def _run_in_parts(self, pixels: Pixels, tile: int | None) -> Pixels:
        longest = max(pixels.shape[:2])
        side = min(tile or longest, longest)
        while True:
            try:
                if side == longest:
                    return self._run(pixels)
                return tiled(self._run, pixels, side, side // OVERLAP)
            except MemoryError as error:
                self._release()
                side = side // 16 * 8  # half of it, in eights
                if side < SMALLEST_TILE:
                    raise InputError("does not fit into memory, not even in tiles") from error
                warnings.warn(
                    f"not enough memory: going on in tiles of {side} pixels, which can differ "
                    "in tone",
                    GenkitWarning,
                    stacklevel=3,
                )

    def _release(self) -> None:
        """Give back what a run that did not fit has left behind."""
        size = self._image.resize.size or (1, 1)
        smallest, _ = pad(np.zeros((*size, self._image.channels), np.uint8), self._image.pad)
        self._session.release({"image": smallest[None]})

    def _run(self, pixels: Pixels) -> Pixels:
        """Pixels (H, W, channels) through the network."""
        padded, inside = pad(pixels, self._image.pad)
        (results,) = self._session.run({"image": np.ascontiguousarray(padded[None])})
        result: Pixels = results[0][inside]
        return result


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Two pictures beside each other, at the size of the second one."""
    left = replace(before.with_srgb(resize(before.srgb(), after.size)), profile=after.profile)
    alpha = None
    if after.alpha is not None:
        most = np.iinfo(after.alpha.dtype).max
        opaque = np.full(after.size, most, after.alpha.dtype)  # before a model that makes alpha
        alpha = np.hstack([opaque if left.alpha is None else left.alpha, after.alpha])
    return replace(after, pixels=np.hstack([left.pixels, after.pixels]), alpha=alpha)


def _target_size(size: tuple[int, int], wanted: tuple[int, int] | int | None) -> tuple[int, int]:
    if wanted is None:
        return size
    if isinstance(wanted, int):
        scale = wanted / max(size)
        wanted = (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1))
    if min(wanted) < 1:
        raise UsageError(f"a picture has at least one pixel, not {wanted[1]} x {wanted[0]}")
    return wanted
