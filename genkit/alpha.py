"""Pictures with their alpha as one array, for networks that see it or make it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genkit.images import Picture, composite, fill_hidden
from genkit.pixels import Pixels, deepened, eight_bits

__all__ = ["made_from", "opaque", "seen_by", "split"]

OPAQUE = 255


def seen_by(channels: int, picture: Picture) -> Pixels:
    """A picture in sRGB as a graph of so many channels sees it: (H, W, 3) without alpha, hidden
    pixels in a colour that tints nothing, or (H, W, 4) with alpha as it is.
    """
    pixels = picture.srgb()
    if channels == 3:
        return fill_hidden(pixels, picture.alpha)
    alpha = picture.alpha
    if alpha is None:
        alpha = np.full(pixels.shape[:2], OPAQUE, np.uint8)
    return np.dstack([pixels, eight_bits(alpha)])


def made_from(picture: Picture, pixels: Pixels) -> Picture:
    """A picture with what a graph has made of it, (H, W, 3) or with an alpha of its own
    (H, W, 4); given in sRGB and put into the picture's colours.
    """
    colours, alpha = split(pixels)
    if alpha is not None:
        picture = replace(picture, alpha=deepened(alpha) if picture.is_deep else alpha)
    return picture.with_srgb(colours)


def split(pixels: Pixels) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, 3), and alpha (H, W) where there is a fourth channel."""
    return (pixels, None) if pixels.shape[2] == 3 else (pixels[..., :3], pixels[..., 3])


def opaque(pixels: Pixels) -> Pixels:
    """Pixels (H, W, 3 or 4) on white, (H, W, 3): for what has no alpha."""
    colours, alpha = split(pixels)
    return colours if alpha is None else composite(colours, alpha)
