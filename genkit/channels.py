"""What the files of pictures hold, whatever the mode: grey, colour or inks, and alpha."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from genkit import colors, tiff
from genkit.errors import InputError
from genkit.pixels import Pixels, Samples, eight_bits

__all__ = ["Channels", "channels_of", "split_deep", "tiff_channels"]


@dataclass(frozen=True)
class Channels:
    """What a file holds, of Pillow's mode L, RGB or CMYK, and not yet upright."""

    mode: str
    values: Samples
    alpha: Samples | None


def channels_of(image: Image.Image) -> Channels:
    """The channels of an image of Pillow's, of whatever mode."""
    if image.mode.startswith("I;16"):
        return split_deep(np.asarray(image).astype(np.uint16), image.info.get("transparency"))
    if image.mode in ("I", "F"):
        raise InputError("has 32 bits a channel; 8 and 16 are supported")
    if image.mode == "LAB":
        return Channels("RGB", colors.lab_to_srgb(image), None)
    if image.mode == "CMYK":
        return Channels("CMYK", np.asarray(image), None)
    alpha = _alpha(image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("1", "L", "LA"):
        return Channels("L", np.asarray(image.convert("L")), alpha)
    grey = image.mode in ("P", "PA") and _has_grey_palette(image)
    if alpha is not None:
        image = image.convert("RGBA")
    values = np.asarray(image.convert("RGB"))
    return Channels("L", values[..., 0], alpha) if grey else Channels("RGB", values, alpha)


def _has_grey_palette(image: Image.Image) -> bool:
    table = np.array(image.getpalette("RGB") or [0, 0, 1], np.uint8).reshape(-1, 3)
    return bool((table == table[:, :1]).all())


def split_deep(values: Samples, transparent: Any) -> Channels:
    """Samples of sixteen bits and their alpha, which may be one transparent colour."""
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values, alpha = values[..., :-1], values[..., -1]
        return Channels(*_named(values), alpha)
    if transparent is None:
        return Channels(*_named(values), None)
    hidden = values == np.array(transparent)
    hidden = hidden if hidden.ndim == 2 else hidden.all(-1)
    return Channels(*_named(values), np.where(hidden, 0, 65535).astype(np.uint16))


def _named(values: Samples) -> tuple[str, Samples]:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    return ("L" if values.ndim == 2 else "RGB"), values


def _alpha(image: Image.Image) -> Samples | None:
    if not image.has_transparency_data:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"))


def tiff_channels(data: bytes, tags: Any, page: int, opener: Any) -> Channels:
    """What a page holds, upright."""
    if tiff.is_plain(tags):
        try:
            image = opener(io.BytesIO(data), "")
            image.seek(page)
        except (SyntaxError, KeyError):  # a layout that Pillow does not know
            pass
        else:
            image.load()
            found = channels_of(image)
            if tags.get(tiff.BITS) in (12, (12,)):
                return replace(found, values=(found.values << 4) | (found.values >> 8))
            return found
    samples = tiff.read_samples(data, tags, opener)
    values = samples.values
    if samples.photometric in (tiff.LAB, tiff.ICC_LAB):
        return Channels("RGB", _lab(values, samples.photometric), samples.alpha)
    if samples.photometric == tiff.CMYK:
        alpha = None if samples.alpha is None else eight_bits(samples.alpha)
        return Channels("CMYK", eight_bits(values), alpha)
    if values.shape[2] == 1:
        return Channels("L", values[..., 0], samples.alpha)
    return Channels("RGB", values, samples.alpha)


def _lab(values: Samples, photometric: int) -> Pixels:
    """TIFF's CIELab in sRGB."""
    eight = values
    if values.dtype == np.uint16:  # a and b in 256ths, L of 65535
        rest = ((values[..., 1:].astype(np.uint32) + 128) >> 8).astype(np.uint8)
        eight = np.dstack([eight_bits(values[..., :1]), rest])
    if photometric == tiff.ICC_LAB:
        eight = eight ^ np.array([0, 128, 128], np.uint8)
    # Pillow's own bytes of LAB have signed a and b as they are in a TIFF.
    image = Image.frombytes("LAB", eight.shape[1::-1], eight.tobytes(), "raw", "LAB")
    return colors.lab_to_srgb(image)
