"""Where the holes of a picture are: what the options of ``genkit inpaint`` say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genkit.cli.masks import Mask
from genkit.errors import InputError
from genkit.files import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genkit.images import Picture

    Hole = NDArray[np.bool_]

__all__ = ["LOSSY_EDGE", "LOSSY_TOLERANCE", "Holes", "Loaded"]

SAY_WHERE = "--mask FILE, --box X,Y,W,H or --color '#RRGGBB'"
LOSSY_TOLERANCE = 32
"""How far from a color a channel may be in a JPEG, which changes all of them a little."""
LOSSY_EDGE = 2
"""Pixels by which the edge of such a color is blurred into what is around it."""


@dataclass(frozen=True)
class Loaded:
    """A picture that was read, and its holes."""

    picture: Picture
    hole: Hole
    """(H, W)."""
    matched: str | None = None
    """How many pixels of which picture have the color that was asked for."""


@dataclass(frozen=True)
class Holes:
    """What the options say of where the holes are."""

    boxes: tuple[tuple[int, int, int, int], ...]
    color: tuple[int, int, int] | None
    invert: bool
    threshold: int
    dilate: int
    tolerance: int | None = None

    def of(self, picture: Picture, source: Source, mask: Mask | None) -> Loaded:
        """The picture, with a note for each option that selects nothing of it, and its holes.
        Raises InputError if it cannot have them.
        """
        import numpy as np

        from genkit.tasks.inpaint import dilate

        hole = np.zeros(picture.size, bool)
        notes, matched = [], None
        if mask is not None:
            found, note = self._by_mask(mask, picture)
            hole |= found
            notes.append(note)
        elif not self.boxes and self.color is None:
            found, note = self._by_transparency(picture)
            hole |= found
            notes.append(note)
        height, width = picture.size
        for left, top, across, down in self.boxes:
            if left >= width or top >= height:
                raise InputError(
                    f"the box at {left},{top} is outside of its {width} x {height} pixels"
                )
            hole[top : top + down, left : left + across] = True
        if self.color is not None:
            found, matched, note = self._by_color(picture, self.color)
            hole |= found
            notes.append(note)
            matched = None if note else f"{source}: {matched}"
        hole = dilate(hole, self.dilate) if self.dilate else hole
        told = tuple(note for note in notes if note)
        return Loaded(replace(picture, notes=(*picture.notes, *told)), hole, matched)

    def _by_mask(self, mask: Mask, picture: Picture) -> tuple[Hole, str | None]:
        from genkit.tasks.inpaint import threshold

        brightness = mask.brightness
        if brightness.shape != picture.size:
            (height, width), (rows, columns) = picture.size, brightness.shape
            raise InputError(
                f"the picture has {width} x {height} pixels, its mask {columns} x {rows}"
            )
        hole = threshold(brightness, self.threshold)
        if hole.any():
            return hole, None
        empty, most = f"its mask {mask.path} selects nothing", int(brightness.max())
        if most == 0 and mask.is_clear and not self.invert:
            return hole, f"{empty}: what is not transparent is black; add --mask-invert to fill it"
        if most == 0:
            colour, cure = ("white", "leave out") if self.invert else ("black", "holes are white;")
            rest = "--mask-invert" if self.invert else "--mask-invert is for masks the other way"
            return hole, f"{empty}: it is {colour} everywhere; {cure} {rest}"
        scale = "" if brightness.dtype.itemsize == 1 else " of 65,535"
        return hole, (
            f"{empty}: {'inverted, ' if self.invert else ''}its brightest pixel has {most}{scale}, "
            f"and --mask-threshold is {self.threshold}; --mask-threshold 0 fills all that is not "
            "black"
        )

    def _by_transparency(self, picture: Picture) -> tuple[Hole, str | None]:
        import numpy as np

        from genkit.tasks.inpaint import threshold

        alpha = picture.alpha
        least = None if alpha is None else int(alpha.min())
        if alpha is None or least == np.iinfo(alpha.dtype).max:
            cause = "it has no transparency" if alpha is None else "none of it is transparent"
            raise InputError(f"nothing says where its holes are: {cause}", hint=SAY_WHERE)
        hole = threshold(np.iinfo(alpha.dtype).max - alpha, self.threshold)
        if hole.any():
            return hole, None
        return hole, (
            f"nothing is filled: no pixel is transparent enough for --mask-threshold "
            f"{self.threshold}; --mask-threshold 0 fills all that is not opaque"
        )

    def _by_color(
        self, picture: Picture, color: tuple[int, int, int]
    ) -> tuple[Hole, str, str | None]:
        import numpy as np

        from genkit.pixels import eight_bits
        from genkit.tasks.inpaint import dilate

        pixels = eight_bits(picture.pixels)
        channels = [pixels] * 3 if picture.is_grey else [pixels[..., i] for i in range(3)]
        far = np.zeros(picture.size, np.uint8)  # the largest difference of a channel
        for channel, level in zip(channels, color, strict=True):
            np.maximum(far, np.abs(channel.astype(np.int16) - level).astype(np.uint8), out=far)
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = LOSSY_TOLERANCE if picture.is_lossy else 0
        hole = far <= tolerance
        count, name = int(hole.sum()), "#{:02x}{:02x}{:02x}".format(*color)
        within = f" within {tolerance}" if tolerance else ""
        matched = f"{count:,} pixels have the color {name}{within}"
        if picture.is_lossy and self.tolerance is None and count:
            hole = dilate(hole, LOSSY_EDGE)
            matched += f", and {LOSSY_EDGE} more around them are filled"
        if count:
            return hole, matched, None
        row, column = np.unravel_index(far.argmin(), far.shape)
        nearest = "#{:02x}{:02x}{:02x}".format(*(int(c[row, column]) for c in channels))
        return (
            hole,
            matched,
            (
                f"no pixel has the color {name}{within}; the nearest is {nearest}, which "
                f"--color-tolerance {int(far.min())} would take"
            ),
        )
