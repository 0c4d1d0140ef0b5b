"""Pictures: bytes to arrays and back, with their orientation, colours and transparency.

Everything here is a function of its arguments: no paths, no printing. Pixels are uint8 arrays
(H, W, 3), masks and alpha uint8 (H, W). All formats come in upright (EXIF orientation) and in
eight bits a channel; what leaves has the colour profile and the alpha of what came.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from genkit.errors import InputError
from genkit.pixels import Pixels, resize, to_bytes

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "composite",
    "decode",
    "encode",
    "fill_hidden",
]

MAX_PIXELS = 150_000_000
"""Larger pictures are refused: a file of a few kilobytes can claim to be one of many gigabytes."""
OPAQUE = 255
WHITE = 255
LOSSY_QUALITY = {"jpeg": 95, "webp": 90}
# First bytes -> format. Pillow reads many more, some with decoders that few people ever tested.
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"GIF8", "gif"),
)


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: Pixels
    """(H, W, 3), in the colours of ``profile``."""
    alpha: Pixels | None = None
    """(H, W), 255 is opaque."""
    profile: bytes | None = None
    """The ICC profile of the pixels; None is sRGB."""
    format: str = "png"
    """What it was decoded from: png, jpeg, webp, tiff or gif."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def srgb(self) -> Pixels:
        """The pixels in sRGB, (H, W, 3)."""
        return _convert(self.pixels, self.profile, None)

    def with_srgb(self, pixels: Pixels) -> Picture:
        """The picture with other pixels, given in sRGB and put into its own colours.

        Alpha is resized where the size changes.
        """
        alpha = self.alpha
        if alpha is not None and alpha.shape != pixels.shape[:2]:
            alpha = resize(alpha, (pixels.shape[0], pixels.shape[1]), "bilinear")
        return replace(self, pixels=_convert(pixels, None, self.profile), alpha=alpha)


# Files


def decode(data: bytes, limit: int = MAX_PIXELS) -> Picture:
    """Decode a PNG, JPEG, WebP, TIFF or GIF file.

    Raises InputError for what is none of these, broken or cut short, animated, or has more
    than ``limit`` pixels.
    """
    kind = _kind(data)
    # Pillow's plug-ins are called directly: Image.open() would print a warning of its own.
    opener, _ = _openers()[kind.upper()]
    try:
        image = opener(io.BytesIO(data), "")
        width, height = image.size
        if width * height > limit:
            raise InputError(
                f"has {width} x {height} pixels, more than the limit of {limit:,} pixels"
            )
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # a photograph, with a preview behind it
            raise InputError(
                f"has {frames} frames or pages; only single pictures can be used",
                hint="extract its frames first, for example with ffmpeg or ImageMagick",
            )
        image.load()
        return _picture(_upright(image), kind)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        cut_short = isinstance(error, EOFError) or "truncated" in reason.lower()
        problem = "truncated" if cut_short else "broken"
        raise InputError(f"{problem} {_label(kind)} ({reason})") from error


def encode(picture: Picture, kind: str, quality: int | None = None) -> bytes:
    """Encode a picture as ``png``, ``jpeg``, ``webp`` or ``tiff``.

    ``quality`` (1 to 100) is for JPEG and WebP. JPEG has no alpha: the picture is then laid
    on white.
    """
    pixels, alpha = picture.pixels, picture.alpha
    options: dict[str, Any] = {}
    if kind in LOSSY_QUALITY:
        options["quality"] = LOSSY_QUALITY[kind] if quality is None else quality
    if kind == "jpeg":
        options["subsampling"] = 0  # full colour resolution
        if alpha is not None:
            pixels, alpha = composite(pixels, alpha), None
    elif kind == "png":
        # Photographs in a third of the time that Pillow's own choice (6) takes, 3 to 10 % larger.
        options["compress_level"] = 2
    elif kind == "tiff":
        options["compression"] = "tiff_adobe_deflate"
    elif kind == "webp":
        options["exact"] = True  # keeps the colours under transparent pixels
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.profile is not None:
        options["icc_profile"] = picture.profile
    file = io.BytesIO()
    try:
        image.save(file, kind.upper(), **options)
    except (OSError, ValueError) as error:  # a format has its own largest size
        height, width = picture.size
        raise InputError(
            f"{width} x {height} pixels cannot be written as {_label(kind)}"
        ) from error
    return file.getvalue()


def _kind(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for start, kind in MAGIC:
        if data.startswith(start):
            return kind
    if not data:
        raise InputError("is empty")
    raise InputError("is not a PNG, JPEG, WebP, TIFF or GIF picture")


def _label(kind: str) -> str:
    return "WebP" if kind == "webp" else kind.upper()


@cache
def _openers() -> dict[str, Any]:
    Image.init()
    return dict(Image.OPEN)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be read does not make the picture unusable
        return image


def _picture(image: Image.Image, kind: str) -> Picture:
    """The picture in an image of Pillow's, of whatever mode."""
    profile = image.info.get("icc_profile") or None
    space = _space(profile)
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in ("I", "F"):
        raise InputError("has 32 bits a channel; 8 and 16 are supported")
    if image.mode in ("1", "L", "LA", "La"):
        alpha = _alpha(image)
        grey = image.convert("L")
        if space == "GRAY":
            pixels = _transform(grey, profile, None)
            return Picture(pixels, alpha, None, kind)
        return Picture(np.asarray(grey.convert("RGB")), alpha, None, kind)
    if image.mode == "CMYK":
        if space == "CMYK":
            return Picture(_transform(image, profile, None), None, None, kind)
        return Picture(np.asarray(image.convert("RGB")), None, None, kind)
    alpha = _alpha(image)
    if alpha is not None:
        image = image.convert("RGBA")
    image = image.convert("RGB")
    if space != "RGB":
        return Picture(np.asarray(image), alpha, None, kind)
    if not _leads(_profile(profile).profile, ImageCms.Direction.OUTPUT):  # a scanner's
        return Picture(_transform(image, profile, None), alpha, None, kind)
    return Picture(np.asarray(image), alpha, profile, kind)


def _alpha(image: Image.Image) -> Pixels | None:
    if not image.has_transparency_data:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey in eight bits, rounded."""
    values = np.asarray(image).astype(np.uint32)
    result = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is not None:
        result.putalpha(
            Image.fromarray(np.where(values == transparent, 0, OPAQUE).astype(np.uint8))
        )
    return result


# Colours


def composite(pixels: Pixels, alpha: Pixels, background: int = WHITE) -> Pixels:
    """What is seen of a picture on a background of one grey."""
    share = alpha[..., None].astype(np.float32) / OPAQUE
    return to_bytes(pixels * share + background * (1 - share))


def fill_hidden(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    """The pixels, with the mean of the visible ones where nothing is seen.

    The colours under fully transparent pixels are arbitrary, and a network would let them
    tint the rest.
    """
    if alpha is None or alpha.all():
        return pixels
    visible = pixels[alpha > 0]
    mean = to_bytes(visible.mean(0)) if len(visible) else np.uint8(128)
    return np.where(alpha[..., None] > 0, pixels, mean)


def _convert(pixels: Pixels, source: bytes | None, target: bytes | None) -> Pixels:
    """Pixels of one profile in another; None is sRGB."""
    if source == target:
        return pixels
    return _transform(Image.fromarray(pixels), source, target)


def _transform(image: Image.Image, source: bytes | None, target: bytes | None) -> Pixels:
    """An image of Pillow's in the colours of another profile, (H, W, 3)."""
    before, after = _profile(source), _profile(target)
    if image.mode == "RGB" and _is_srgb(before) and _is_srgb(after):
        return np.asarray(image)  # one and the same, by other words
    result = ImageCms.profileToProfile(
        image,
        before,
        after,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert result is not None  # it is None when it is told to work in place
    return np.asarray(result)


def _profile(data: bytes | None) -> ImageCms.ImageCmsProfile:
    if data is None:
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return "srgb" in (profile.profile.profile_description or "").lower()


def _leads(profile: Any, direction: ImageCms.Direction) -> bool:
    """Whether a profile (Pillow's, opened) leads from its colours to others, or back to them.

    A table may be there for the perceptual intent alone; it is then taken for ours.
    """
    intents = (ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Intent.PERCEPTUAL)
    return any(profile.is_intent_supported(intent, direction) for intent in intents)


def _space(profile: bytes | None) -> str | None:
    """The colours that a profile is for (RGB, GRAY, CMYK); None if it cannot be used."""
    if profile is None:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        if not _leads(opened, ImageCms.Direction.INPUT):
            return None
        return opened.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError):
        return None
