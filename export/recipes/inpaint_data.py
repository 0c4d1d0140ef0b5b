"""Holes to be filled in: thick strokes, boxes and thin scratches."""

import math
import random
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Hole = NDArray[np.bool_]
MOST_COVERED = 0.5
"""A hole that takes a larger share of the picture is drawn anew."""


def draw_hole(kind: str, height: int, width: int, rng: random.Random) -> Hole:
    """A hole of one of the KINDS: (height, width), True where the picture is missing."""
    while True:
        mask = Image.new("1", (width, height))
        KINDS[kind](ImageDraw.Draw(mask), height, width, rng)
        hole = np.asarray(mask).copy()
        if 0 < hole.mean() <= MOST_COVERED:
            return hole


def _strokes(draw: ImageDraw.ImageDraw, height: int, width: int, rng: random.Random) -> None:
    """One to three bent lines of 12 to 28 pixels, with round ends."""
    for _ in range(rng.randint(1, 3)):
        thick = rng.randint(12, 28)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle = rng.uniform(0, 2 * math.pi)
        for _ in range(rng.randint(2, 5)):
            angle += rng.uniform(-1, 1)
            length = rng.uniform(20, 60)
            end = x + length * math.cos(angle), y + length * math.sin(angle)
            draw.line((x, y, *end), fill=1, width=thick)
            for at in ((x, y), end):
                draw.circle(at, thick / 2, fill=1)
            x, y = end


def _boxes(draw: ImageDraw.ImageDraw, height: int, width: int, rng: random.Random) -> None:
    """One to three boxes with sides of 16 to 64 pixels."""
    for _ in range(rng.randint(1, 3)):
        rows, columns = (min(rng.randint(16, 64), side) for side in (height, width))
        left, top = rng.randint(0, width - columns), rng.randint(0, height - rows)
        draw.rectangle((left, top, left + columns - 1, top + rows - 1), fill=1)


def _scratches(draw: ImageDraw.ImageDraw, height: int, width: int, rng: random.Random) -> None:
    """Three to ten bent lines of 1 to 3 pixels."""
    for _ in range(rng.randint(3, 10)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle, thick = rng.uniform(0, 2 * math.pi), rng.randint(1, 3)
        for _ in range(rng.randint(2, 6)):
            angle += rng.uniform(-0.5, 0.5)
            end = x + 30 * math.cos(angle), y + 30 * math.sin(angle)
            draw.line((x, y, *end), fill=1, width=thick)
            x, y = end


KINDS: Mapping[str, Callable[[ImageDraw.ImageDraw, int, int, random.Random], None]] = {
    "strokes": _strokes,
    "boxes": _boxes,
    "scratches": _scratches,
}
