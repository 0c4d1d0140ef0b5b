"""The sizes of pictures: resizing, padding and tiling of arrays around a graph.

Pixels are uint8 arrays (H, W, 3), masks and alpha uint8 (H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genkit.card import Pad, Resize

__all__ = [
    "Pixels",
    "Samples",
    "deepened",
    "eight_bits",
    "fit",
    "pad",
    "resize",
    "seen",
    "tiled",
    "to_bytes",
    "upright",
]

Pixels = NDArray[np.uint8]
Samples = NDArray[Any]
"""uint8 or uint16: pixels or alpha as a file has them."""

MOST_PIXELS = 100_000_000
"""A picture is not made larger than that only to be cut."""
LEVEL = 257
"""A byte times this is the same level of sixteen bits."""
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def to_bytes(values: NDArray[Any]) -> Pixels:
    """Numbers of 0 to 255 as bytes, rounded to the nearest and clipped."""
    rounded: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return rounded


def resize(
    pixels: Pixels, size: tuple[int, int], interpolation: str = "bicubic", antialias: bool = True
) -> Pixels:
    """Pixels (H, W) or (H, W, 3) at another height and width.

    Without ``antialias`` a reduced picture is sampled as by PyTorch's interpolate().
    """
    if pixels.shape[:2] == size:
        return pixels
    if antialias or interpolation in ("nearest", "lanczos"):
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize(size[::-1], RESAMPLING[interpolation]))
    values = pixels.astype(np.float32)
    for axis, length in enumerate(size):
        values = _sample(values, axis, length, interpolation)
    return to_bytes(values)


def _sample(values: NDArray[Any], axis: int, length: int, interpolation: str) -> NDArray[Any]:
    """One axis sampled at ``length`` points, from the two or four nearest values."""
    old = values.shape[axis]
    at = (np.arange(length) + 0.5) * old / length - 0.5
    if interpolation == "bilinear":
        at = at.clip(0)
    base = np.floor(at).astype(int)
    t = at - base
    if interpolation == "bilinear":
        taps = {0: 1 - t, 1: t}
    else:
        a = -0.75
        taps = {
            -1: a * (t**3 - 2 * t**2 + t),
            0: (a + 2) * t**3 - (a + 3) * t**2 + 1,
            1: -(a + 2) * t**3 + (2 * a + 3) * t**2 - a * t,
            2: -a * (t**3 - t**2),
        }
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    result = np.zeros(())
    for tap, weight in taps.items():
        part = values.take((base + tap).clip(0, old - 1), axis)
        result = result + part * weight.astype(np.float32).reshape(shape)
    return result


def eight_bits(values: Samples) -> Pixels:
    """Values of sixteen bits in eight, rounded to the nearest; those of eight as they are."""
    if values.dtype == np.uint8:
        return values
    result: Pixels = ((values.astype(np.uint32) + LEVEL // 2) // LEVEL).astype(np.uint8)
    return result


def deepened(values: Pixels) -> Samples:
    """Bytes as the same levels of sixteen bits."""
    return values.astype(np.uint16) * np.uint16(LEVEL)


def upright(values: Samples, orientation: int) -> Samples:
    """Rows and columns in the order that an orientation (1 to 8) means."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def fit(pixels: Pixels, spec: Resize) -> Pixels:
    """Pixels brought to the size that a card asks for.

    ``stretch`` is what transformers' image processors do, ``shortest_edge`` what timm and
    torchvision do to evaluate a network, to the pixel: both sides, or the shorter one, become
    size / crop_pct, rounded down, then the longer one in proportion, and what is cut off before
    the middle is rounded to the nearest, half a pixel to even.
    """
    if spec.size is None:
        return pixels
    size = _scaled_size((pixels.shape[0], pixels.shape[1]), spec)
    if size[0] * size[1] > MOST_PIXELS:  # a strip, of which almost nothing will be left
        rows, columns = seen((pixels.shape[0], pixels.shape[1]), spec)
        return resize(pixels[rows, columns], spec.size, spec.interpolation, spec.antialias)
    pixels = resize(pixels, size, spec.interpolation, spec.antialias)
    return pixels[_middle(size, spec.size)]


def seen(size: tuple[int, int], spec: Resize) -> tuple[slice, slice]:
    """The rows and columns of a picture of some height and width that ``fit`` does not cut off."""
    if spec.size is None:
        return slice(0, size[0]), slice(0, size[1])
    scaled = _scaled_size(size, spec)
    rows, columns = (
        slice(math.floor(part.start * side / length), math.ceil(part.stop * side / length))
        for part, side, length in zip(_middle(scaled, spec.size), size, scaled, strict=True)
    )
    return rows, columns


def _scaled_size(size: tuple[int, int], spec: Resize) -> tuple[int, int]:
    """Height and width of a picture that is resized, but not cut."""
    assert spec.size is not None
    height, width = size
    low, narrow = (math.floor(side / spec.crop_pct) for side in spec.size)
    if spec.mode == "stretch":
        return low, narrow
    if low != narrow:  # timm's ResizeKeepRatio
        ratio = min(height / low, width / narrow)
        return round(height / ratio), round(width / ratio)
    if height <= width:  # torchvision's Resize
        return low, int(low * width / height)
    return int(low * height / width), low


def _middle(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[slice, slice]:
    """Where the middle of a picture lies (torchvision's CenterCrop)."""
    top, left = (round((have - want) / 2) for have, want in zip(size, wanted, strict=True))
    return slice(top, top + wanted[0]), slice(left, left + wanted[1])


def pad(pixels: Pixels, spec: Pad | None) -> tuple[Pixels, tuple[slice, slice]]:
    """Pixels filled up to a multiple, and where in the result the picture is."""
    height, width = pixels.shape[:2]
    if spec is None:
        return pixels, (slice(0, height), slice(0, width))
    missing = [max(side, spec.smallest) - side for side in (height, width)]
    missing = [
        n + -(side + n) % spec.multiple for n, side in zip(missing, (height, width), strict=True)
    ]
    before = [n // 2 if spec.side == "both" else 0 for n in missing]
    inside = (slice(before[0], before[0] + height), slice(before[1], before[1] + width))
    if not any(missing):
        return pixels, inside
    widths = [(first, n - first) for first, n in zip(before, missing, strict=True)]
    widths += [(0, 0)] * (pixels.ndim - 2)
    mode: Any = spec.mode
    return np.pad(pixels, widths, mode=mode), inside


def tiled(run: Callable[[Pixels], Pixels], pixels: Pixels, tile: int, overlap: int) -> Pixels:
    """Run a function on overlapping tiles of at most ``tile`` pixels a side and blend the results.

    Neighbours share ``overlap`` pixels, over which one fades into the next.
    """
    height, width = pixels.shape[:2]
    total = np.zeros((0,), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    for top, bottom in _spans(height, tile, overlap):
        for left, right in _spans(width, tile, overlap):
            part = run(pixels[top:bottom, left:right])
            ramp = np.minimum.outer(
                _ramp(top, bottom, height, overlap), _ramp(left, right, width, overlap)
            )[..., None]
            if not total.size:  # the function says how many channels there are
                total = np.zeros((height, width, part.shape[2]), np.float32)
            total[top:bottom, left:right] += ramp * part
            weights[top:bottom, left:right] += ramp
    return to_bytes(total / weights)


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """The fewest stretches of a side that overlap enough, as even as they can be."""
    tile = min(tile, length)
    count = 1 if tile == length else math.ceil((length - overlap) / (tile - overlap))
    for i in range(count):
        start = round(i * (length - tile) / max(count - 1, 1))
        yield start, start + tile


def _ramp(start: int, stop: int, length: int, overlap: int) -> NDArray[np.float32]:
    """The weights of a stretch: rising and falling over the overlap, level at the picture's edge."""
    at = np.arange(start, stop) + 0.5
    rise = (at - start) / max(overlap, 1) if start > 0 else np.ones(len(at))
    fall = (stop - at) / max(overlap, 1) if stop < length else np.ones(len(at))
    return np.minimum(np.minimum(rise, fall), 1).astype(np.float32)
