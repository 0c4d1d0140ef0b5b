"""Colour profiles (ICC): which of them can be applied, and pixels from one to another.

sRGB is written None. Pixels are uint8, (H, W) for one channel and (H, W, C) for more.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from genkit.pixels import Pixels

__all__ = ["Applied", "from_srgb", "inspect", "lab_to_srgb", "to_srgb"]

COLOR_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FAILURES = (OSError, ValueError, TypeError, ImageCms.PyCMSError)
"""What Pillow raises for a profile that Little CMS does not take."""


@dataclass(frozen=True)
class Applied:
    """What can be done with the profile of an image."""

    forth: bool
    """Its colours can be brought to sRGB."""
    back: bool
    """And sRGB to its colours."""
    reason: str | None
    """Why neither is possible; None where it is, or where there is no profile."""


def inspect(profile: bytes | None, mode: str) -> Applied:
    """What can be done with a profile for pixels of Pillow's mode L, RGB or CMYK.

    The transforms are built, since a profile can have a good header and unusable curves.
    """
    if profile is None:
        return Applied(False, False, None)
    try:
        opened = _open(profile)
        space = opened.profile.xcolor_space.strip()
        if space != COLOR_SPACES[mode]:
            return Applied(False, False, f"it is for {space or 'unknown'} colours")
        if mode == "RGB" and _is_srgb(opened):
            return Applied(True, True, None)
        if not _leads(opened.profile, ImageCms.Direction.INPUT):
            return Applied(False, False, "it does not say what its colours look like")
        _build(opened, _open(None), mode, "RGB")
    except FAILURES as error:
        return Applied(False, False, " ".join(str(error).split()) or type(error).__name__)
    try:
        if not _leads(opened.profile, ImageCms.Direction.OUTPUT):
            return Applied(True, False, None)
        _build(_open(None), opened, "RGB", mode)
    except FAILURES:
        return Applied(True, False, None)
    return Applied(True, True, None)


def to_srgb(pixels: Pixels, profile: bytes | None, mode: str) -> Pixels:
    """Pixels of a profile, of Pillow's mode L, RGB or CMYK, in sRGB, (H, W, 3)."""
    if profile is None and mode == "RGB":
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels), mode)
    source = _open(profile)
    if profile is None or (mode == "RGB" and _is_srgb(source)):
        return np.asarray(image.convert("RGB"))
    return np.asarray(_apply(image, source, _open(None), mode, "RGB"))


def from_srgb(pixels: Pixels, profile: bytes | None, mode: str) -> Pixels:
    """Pixels of sRGB, (H, W, 3), in the colours of a profile, of Pillow's mode L or RGB.

    Grey without a profile is the luma of ITU-R 601.
    """
    if profile is None and mode == "RGB":
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels), "RGB")
    target = _open(profile)
    if profile is None or (mode == "RGB" and _is_srgb(target)):
        return np.asarray(image.convert(mode))
    return np.asarray(_apply(image, _open(None), target, "RGB", mode))


def lab_to_srgb(image: Image.Image) -> Pixels:
    """An image of mode LAB (CIE, D50) in sRGB, (H, W, 3)."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return np.asarray(_apply(image, lab, _open(None), "LAB", "RGB"))


def _apply(image: Image.Image, source: Any, target: Any, before: str, after: str) -> Image.Image:
    result = ImageCms.applyTransform(image, _build(source, target, before, after))
    assert result is not None  # it is None when it is told to work in place
    return result


def _build(source: Any, target: Any, before: str, after: str) -> Any:
    return ImageCms.buildTransform(
        source,
        target,
        before,
        after,
        renderingIntent=INTENT,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _open(data: bytes | None) -> ImageCms.ImageCmsProfile:
    if data is None:
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return "srgb" in (profile.profile.profile_description or "").lower()


def _leads(profile: Any, direction: ImageCms.Direction) -> bool:
    """Whether a profile (Pillow's, opened) leads from its colours to others, or back to them.

    A table may be there for the perceptual intent alone; it is then taken for ours.
    """
    intents = (INTENT, ImageCms.Intent.PERCEPTUAL)
    return any(profile.is_intent_supported(intent, direction) for intent in intents)
