"""Pictures: bytes to arrays and back, with their orientation, colours and transparency.

Everything here is a function of its arguments: no paths, no printing. A picture comes upright
(EXIF orientation) and has the depth and the channels of its file: grey is (H, W), colour
(H, W, 3), each of uint8 or uint16, and masks and alpha are (H, W). What networks see is sRGB of
eight bits. Metadata travels with the pixels.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from genkit import colors, metadata, png, tiff
from genkit.channels import Channels, channels_of, split_deep, tiff_channels
from genkit.errors import InputError
from genkit.formats import diagnosis, is_lossy, kind_of_bytes, label
from genkit.metadata import Metadata
from genkit.pixels import Pixels, Samples, deepened, eight_bits, resize, to_bytes, upright

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "composite",
    "decode",
    "encode",
    "fill_hidden",
    "losses",
]

MAX_PIXELS = 150_000_000
"""Larger pictures are refused: a file of a few kilobytes can claim to be one of many gigabytes."""
WHITE = 255
LOSSY_QUALITY = {"jpeg": 95, "webp": 90}
PNG_LEVEL = 2
"""Photographs in a third of the time that Pillow's own choice (6) takes, 3 to 10 % larger."""
BAD_EXIF = "its EXIF cannot be read and is left out"
DEEP = ("png", "tiff")
"""Formats that hold sixteen bits a channel."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: Samples
    """(H, W, 3), or (H, W) for grey, in the colours of ``profile``; uint8 or uint16."""
    alpha: Samples | None = None
    """(H, W), of the type of the pixels; its largest value is opaque."""
    profile: bytes | None = None
    """The ICC profile of the pixels; None is sRGB."""
    format: str = "png"
    """What it was decoded from: png, jpeg, webp, tiff or gif."""
    is_lossy: bool = False
    """Its file holds its pixels only about as they were."""
    metadata: Metadata = field(default_factory=Metadata)
    """What else its file says."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it was read, a line each."""
    lost: tuple[str, ...] = ()
    """What its file had and a result will not have, in whatever format."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def is_grey(self) -> bool:
        """Whether it has one channel."""
        return self.pixels.ndim == 2

    @property
    def is_deep(self) -> bool:
        """Whether it has sixteen bits a channel."""
        return self.pixels.dtype == np.uint16

    def srgb(self) -> Pixels:
        """The pixels in sRGB, uint8 (H, W, 3); sixteen bits are rounded to the nearest eight."""
        return colors.to_srgb(eight_bits(self.pixels), self.profile, "L" if self.is_grey else "RGB")

    def like_own(self, pixels: Pixels) -> Samples:
        """Pixels of sRGB, uint8 (H, W, 3), in the colours, the channels and the depth of this
        picture. Grey is their luma.
        """
        found = colors.from_srgb(pixels, self.profile, "L" if self.is_grey else "RGB")
        return deepened(found) if self.is_deep else found

    def with_srgb(self, pixels: Pixels) -> Picture:
        """The picture with other pixels, given in sRGB, uint8 (H, W, 3), and put into its own
        colours and depth; a grey picture becomes one in colour.

        Alpha is resized where the size changes.
        """
        alpha = self.alpha
        if alpha is not None and alpha.shape != pixels.shape[:2]:
            small = resize(eight_bits(alpha), (pixels.shape[0], pixels.shape[1]), "bilinear")
            alpha = deepened(small) if self.is_deep else small
        if not self.is_grey:
            return replace(self, pixels=self.like_own(pixels), alpha=alpha)
        own = deepened(pixels) if self.is_deep else pixels
        return replace(self, pixels=own, alpha=alpha, profile=None)

    def without_metadata(self) -> Picture:
        """The picture without what its file said beside its pixels; the profile is needed for its
        colours, and stays.
        """
        kept = Metadata(png_colors=self.metadata.png_colors)
        return replace(self, metadata=kept)


# Files


def decode(data: bytes, limit: int = MAX_PIXELS) -> Picture:
    """Decode a PNG, JPEG, WebP, TIFF or GIF file.

    Raises InputError for what is none of these, of a kind that is not supported, broken or cut
    short, animated, or has more than ``limit`` pixels.
    """
    kind = kind_of_bytes(data)
    # Pillow's plug-ins are called directly: Image.open() would print a warning of its own.
    opener, _ = _openers()[kind.upper()]
    try:
        if kind == "tiff":
            return _decode_tiff(data, opener, limit)
        return _decode(data, kind, opener, limit)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise diagnosis(error, data, kind) from error


def encode(picture: Picture, kind: str, quality: int | None = None) -> bytes:
    """Encode a picture as ``png``, ``jpeg``, ``webp`` or ``tiff``, with its metadata.

    ``quality`` (1 to 100) is for JPEG and WebP. JPEG has no alpha: the picture is then laid
    on white. ``losses`` tells what the format cannot hold. Raises InputError for a size that
    the format cannot have.
    """
    pixels, alpha, profile = picture.pixels, picture.alpha, picture.profile
    if picture.is_deep and kind not in DEEP:
        pixels = eight_bits(pixels)
        alpha = None if alpha is None else eight_bits(alpha)
    if kind == "webp" and picture.is_grey:  # it has no grey, and no place for a grey profile
        pixels, profile = picture.srgb(), None
    if kind == "jpeg" and alpha is not None:
        pixels, alpha = composite(pixels, alpha), None
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    height, width = picture.size
    try:
        if kind == "tiff":
            tags = metadata.tiff_tags(picture.metadata)
            if profile is not None:
                tags[tiff.PROFILE] = 7, profile
            return tiff.pack(pixels, alpha is not None, tags)
        return _encode(pixels, kind, _options(picture, kind, profile, quality))
    except (OSError, ValueError, struct.error) as error:  # a format has its own largest size
        raise InputError(f"{width} x {height} pixels cannot be written as {label(kind)}") from error


def losses(picture: Picture, kind: str) -> tuple[str, ...]:
    """What a picture loses in a file of some kind, for people, a line each."""
    found = list(picture.lost)
    if (
        kind == "jpeg"
        and picture.alpha is not None
        and not (picture.alpha == np.iinfo(picture.alpha.dtype).max).all()
    ):
        found.append("a JPEG has no transparency: it is laid on white")
    if picture.is_deep and kind not in DEEP:
        found.append(f"a {label(kind)} has 8 bits a channel: its 16 bits are rounded")
    return (*found, *metadata.unwritable(picture.metadata, kind))


def _options(
    picture: Picture, kind: str, profile: bytes | None, quality: int | None
) -> dict[str, Any]:
    """Options of Pillow's save()."""
    found = metadata.options(picture.metadata, kind)
    if profile is not None:
        found["icc_profile"] = profile
    if kind in LOSSY_QUALITY:
        found["quality"] = LOSSY_QUALITY[kind] if quality is None else quality
    if kind == "jpeg":
        found["subsampling"] = 0  # full colour resolution
    elif kind == "png":
        found["compress_level"] = PNG_LEVEL
    elif kind == "webp":
        found["exact"] = True  # keeps the colours under transparent pixels
    return found


def _encode(pixels: Samples, kind: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    if pixels.dtype == np.uint16:
        first = Image.fromarray(np.ascontiguousarray(eight_bits(pixels[:1, :1])))
        first.save(file, "PNG", **options)
        return png.with_samples(file.getvalue(), pixels, PNG_LEVEL)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, kind.upper(), **options)
    return file.getvalue()


@cache
def _openers() -> dict[str, Any]:
    Image.init()
    return dict(Image.OPEN)


# Reading


def _decode(data: bytes, kind: str, opener: Any, limit: int) -> Picture:
    data, extras = png.split(data) if kind == "png" else (data, png.Extras())
    if extras.foreign:
        raise InputError(f"is {extras.foreign}")
    image = opener(io.BytesIO(data), "")
    _check_size(image.size, limit)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a photograph, with a preview behind it
        raise InputError(
            f"has {frames} frames or pages; only single pictures can be used",
            hint="extract its frames first, for example with ffmpeg or ImageMagick",
        )
    image.load()
    texts = tuple(extras.texts)
    image.info |= {text.key: text.value for text in texts}  # some of them hold EXIF and XMP
    turn = _orientation(image)
    lost = list(extras.problems)
    try:
        meta = metadata.read(metadata.find(image, texts, turn > 4))
    except Exception:  # EXIF that cannot be read does not make the picture unusable
        lost.append(BAD_EXIF)
        comment = image.info.get("comment")
        meta = Metadata(texts=texts, comment=comment if isinstance(comment, bytes) else None)
    meta = replace(meta, png_colors=tuple(extras.colors))
    profile = extras.profile if kind == "png" else image.info.get("icc_profile")
    if extras.depth == 16 and kind == "png":
        values = png.deep_samples(image, data, extras, opener)
        found = split_deep(values, image.info.get("transparency"))
    else:
        found = channels_of(image)
    picture = _picture(found, profile or None, kind, turn)
    return replace(
        picture, is_lossy=is_lossy(data, kind), metadata=meta, lost=(*lost, *picture.lost)
    )


def _decode_tiff(data: bytes, opener: Any, limit: int) -> Picture:
    pages = tiff.pages(data)
    page = tiff.choose_page(pages)
    tags = pages[page]
    _check_size((tags[tiff.WIDTH], tags[tiff.LENGTH]), limit)
    refusal = tiff.refusal(tags)
    if refusal is not None:
        raise refusal
    turned = tags.get(tiff.ORIENTATION, 1) in (5, 6, 7, 8)
    found = tiff_channels(data, tags, page, opener)
    picture = _picture(found, tags.get(tiff.PROFILE) or None, "tiff", 1)
    parts = {ifd: tiff.part_of(data, tags, ifd) for ifd in metadata.SUBDIRECTORIES}
    try:
        meta = metadata.read(metadata.Found(dict(tags), parts, {}, turned=turned))
    except Exception:
        return replace(picture, lost=(*picture.lost, BAD_EXIF))
    return replace(picture, is_lossy=tags.get(tiff.COMPRESSION) in (6, 7), metadata=meta)


def _check_size(size: tuple[int, int], limit: int) -> None:
    width, height = size
    if width * height > limit:
        raise InputError(f"has {width} x {height} pixels, more than the limit of {limit:,} pixels")


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(0x0112, 1))
    except Exception:  # EXIF that cannot be read does not make the picture unusable
        return 1
    return value if 1 <= value <= 8 else 1


def _picture(found: Channels, profile: bytes | None, kind: str, turn: int) -> Picture:
    """A picture of what a file holds, as far as its profile can be applied in its own colours."""
    values, mode, notes, lost = found.values, found.mode, [], []
    applied = colors.inspect(profile, mode)
    if profile is not None and not applied.forth:
        notes.append(f"its colour profile is ignored, for it cannot be applied: {applied.reason}")
        profile = None
    if mode == "CMYK" or (profile is not None and not applied.back):
        what = (
            "CMYK colours" if mode == "CMYK" else "colours, to which its profile has no way back,"
        )
        lost.append(f"its {what} become sRGB")
        values, profile, mode = colors.to_srgb(eight_bits(values), profile, mode), None, "RGB"
        if found.mode == "L":
            values, mode = values[..., 1], "L"
    alpha = found.alpha
    if alpha is not None and alpha.dtype != values.dtype:
        alpha = eight_bits(alpha) if values.dtype == np.uint8 else deepened(alpha)
    return Picture(
        upright(values, turn),
        None if alpha is None else upright(alpha, turn),
        profile,
        kind,
        notes=tuple(notes),
        lost=tuple(lost),
    )


# Colours


def composite(pixels: Pixels, alpha: Samples, background: int = WHITE) -> Pixels:
    """What is seen of a picture of eight bits on a background of one grey."""
    share = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
    share = share if pixels.ndim == 2 else share[..., None]
    return to_bytes(pixels * share + background * (1 - share))


def fill_hidden(pixels: Pixels, alpha: Samples | None) -> Pixels:
    """The pixels, with the mean of the visible ones where nothing is seen.

    The colours under fully transparent pixels are arbitrary, and a network would let them
    tint the rest.
    """
    if alpha is None or alpha.all():
        return pixels
    visible = pixels[alpha > 0]
    mean = to_bytes(visible.mean(0)) if len(visible) else np.uint8(128)
    return np.where(alpha[..., None] > 0, pixels, mean)
