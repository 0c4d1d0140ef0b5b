"""Pictures made of pictures: enlarged, beside each other, one after the other, as text.

Everything here is a function of its arguments. Pixels are uint8 arrays (H, W, 3) in sRGB.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genkit.errors import UsageError
from genkit.images import LOSSY_QUALITY, MAX_PIXELS
from genkit.pixels import Pixels, resize

__all__ = [
    "ANIMATIONS",
    "Place",
    "encode_animation",
    "grid",
    "half_blocks",
    "squarest",
    "upscale",
    "with_labels",
]

Place = tuple[int, int]
"""Row and column in a grid."""

WHITE = 255
FONT_SIZE = 11
"""Pixels; the names at a grid that is not enlarged."""
ANIMATIONS = {".webp": "webp", ".gif": "gif", ".png": "png", ".apng": "png"}
"""Suffix -> what can be animated."""
UPPER_HALF = "▀"
# In the palette of xterm a cube of 6 x 6 x 6 colours comes after the 16 of the user's own.
CUBE_LEVELS = np.array([0, 95, 135, 175, 215, 255])
FIRST_OF_CUBE = 16


def upscale(pixels: Pixels, factor: int) -> Pixels:
    """Every pixel as a square of ``factor`` x ``factor``. Raises UsageError if that is too large."""
    height, width = pixels.shape[0] * factor, pixels.shape[1] * factor
    _refuse_large((height, width), f"a picture of {width} x {height}")
    return pixels.repeat(factor, 0).repeat(factor, 1)


# Grids


def squarest(count: int) -> tuple[int, int]:
    """Columns and rows of the grid that is nearest to a square and holds so many pictures."""
    columns = math.isqrt(max(count, 1) - 1) + 1
    return columns, -(-count // columns)


def grid(pictures: Iterable[tuple[Place, Pixels]], columns: int, rows: int, gap: int = 2) -> Pixels:
    """Pictures of one size in the places of a grid, ``gap`` pixels apart, on white.

    They are laid down as they come. Raises UsageError if the grid would be too large, or
    without a picture to tell its size.
    """
    canvas: Pixels | None = None
    for (row, column), pixels in pictures:
        height, width = pixels.shape[0] + gap, pixels.shape[1] + gap
        if canvas is None:
            size = (rows * height + gap, columns * width + gap)
            _refuse_large(size, f"a grid of {columns} x {rows} pictures")
            canvas = np.full((*size, pixels.shape[2]), WHITE, np.uint8)
        top, left = row * height + gap, column * width + gap
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    if canvas is None:
        raise UsageError("a grid has at least one picture")
    return canvas


def with_labels(
    canvas: Pixels, rows: Sequence[str], columns: Sequence[str], scale: int = 1
) -> Pixels:
    """A grid with a name before each row and above each column, black on white.

    Names above that are wider than their column are left out but for every second, third, ...
    """
    font = ImageFont.load_default(FONT_SIZE * scale)
    space = 2 * scale
    left = max((math.ceil(font.getlength(name)) for name in rows), default=0) + 2 * space
    top = (FONT_SIZE + 2) * scale + space if columns else 0
    height, width = canvas.shape[0] + top, canvas.shape[1] + left
    _refuse_large((height, width), f"a sheet of {len(columns)} x {len(rows)} pictures")
    image = Image.new("RGB", (width, height), (WHITE,) * 3)
    image.paste(Image.fromarray(canvas), (left, top))
    pen = ImageDraw.Draw(image)
    across, down = canvas.shape[1] / max(len(columns), 1), canvas.shape[0] / max(len(rows), 1)
    for i, name in enumerate(rows):
        pen.text((left - space, top + (i + 0.5) * down), name, "black", font, anchor="rm")
    widest = max((font.getlength(name) for name in columns), default=0) + space
    for i in range(0, len(columns), max(math.ceil(widest / across), 1)):
        middle = (left + (i + 0.5) * across, top / 2)
        pen.text(middle, columns[i], "black", font, anchor="mm")
    return np.asarray(image)


def _refuse_large(size: tuple[int, int], what: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise UsageError(
            f"{what} has more than {MAX_PIXELS:,} pixels", hint="fewer or smaller ones, or -o DIR"
        )


# Animations


def encode_animation(
    frames: Iterable[Pixels], kind: str, fps: float, quality: int | None = None
) -> bytes:
    """Encode frames of one size as an endless ``webp``, ``gif`` or ``png`` (APNG).

    ``quality`` (1 to 100) is for WebP. GIF counts time in hundredths of a second and has 256
    colours a frame. Raises UsageError if all of them have too many pixels, for they are held
    in memory together.
    """
    images: list[Image.Image] = []
    total = 0
    for pixels in frames:
        total += pixels.shape[0] * pixels.shape[1]
        _refuse_large((total, 1), "the animation")
        images.append(Image.fromarray(pixels))
    options: dict[str, Any] = {"duration": _durations(len(images), fps, kind), "loop": 0}
    if kind == "webp":
        options["quality"] = LOSSY_QUALITY[kind] if quality is None else quality
    file = io.BytesIO()
    try:
        images[0].save(file, kind.upper(), save_all=True, append_images=images[1:], **options)
    except (OSError, ValueError, RuntimeError) as error:  # a format has its own largest size
        width, height = images[0].size
        raise UsageError(f"{width} x {height} pixels cannot be animated as {kind}") from error
    return file.getvalue()


def _durations(count: int, fps: float, kind: str) -> list[int]:
    """Milliseconds of each frame: whole ones, or tens for GIF, that keep up with the clock."""
    unit = 10 if kind == "gif" else 1
    ends = [round(i * 1000 / fps / unit) * unit for i in range(count + 1)]
    return [after - before for before, after in pairwise(ends)]


# Text


def half_blocks(pixels: Pixels, columns: int, truecolor: bool) -> str:
    """A picture for a terminal of so many columns: a character is two pixels, one over the other.

    A wider picture is reduced. With ``truecolor`` all colours are told, else the nearest of
    256. Every line ends with colours reset.
    """
    height, width = pixels.shape[:2]
    if width > columns:
        pixels = resize(pixels, (max(round(height * columns / width), 1), columns))
    lines = []
    for row in range(0, len(pixels), 2):
        upper, lower = pixels[row], pixels[row + 1] if row + 1 < len(pixels) else None
        line, before = [], ""
        for column in range(pixels.shape[1]):
            colours = _colour(38, upper[column], truecolor)
            if lower is not None:
                colours += ";" + _colour(48, lower[column], truecolor)
            if colours != before:
                line.append(f"\x1b[{colours}m")
                before = colours
            line.append(UPPER_HALF)
        lines.append("".join(line) + "\x1b[0m\n")
    return "".join(lines)


def _colour(what: int, colour: Pixels, truecolor: bool) -> str:
    """The code that sets the colour of what is before (38) or behind (48)."""
    red, green, blue = (int(value) for value in colour)
    if truecolor:
        return f"{what};2;{red};{green};{blue}"
    r, g, b = (int(np.abs(CUBE_LEVELS - value).argmin()) for value in (red, green, blue))
    return f"{what};5;{FIRST_OF_CUBE + 36 * r + 6 * g + b}"
