"""The masks of ``genkit inpaint``: found beside images, told apart from them, and read."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from genkit.cli.pictures import read_bytes
from genkit.errors import InputError, UsageError
from genkit.files import READABLE, Source
from genkit.once import once
from genkit.targets import Job

if TYPE_CHECKING:
    from genkit.pixels import Samples

__all__ = ["Mask", "mask_bytes", "mask_for", "read_mask", "stamp_of", "without_masks"]

Stamp = tuple[int, int, int]
APART = "put masks into a folder of their own, each with the name of its picture"


@dataclass(frozen=True)
class Mask:
    """A mask file."""

    path: Path
    brightness: Samples
    """(H, W), uint8 or uint16; of colours the brightest channel."""
    is_clear: bool
    """Some of it is transparent."""


@lru_cache(maxsize=1)
def read_mask(path: Path, invert: bool, stamp: Stamp | None = None) -> Mask:
    """Read a mask. What is transparent in it is no hole, whether white or black is one; ``stamp``
    tells a file that has changed. Raises InputError.
    """
    import numpy as np

    from genkit.images import decode

    try:
        picture = decode(mask_bytes(path))
    except InputError as error:
        text = error.message if error.message.startswith(str(path)) else f"{path} {error.message}"
        raise InputError(f"its mask {text}", hint=error.hint) from error
    except MemoryError as error:
        raise InputError(f"its mask {path} does not fit into memory") from error
    brightness = picture.pixels if picture.is_grey else picture.pixels.max(-1)
    most = int(np.iinfo(brightness.dtype).max)
    if invert:
        brightness = most - brightness
    if picture.alpha is None:
        return Mask(path, brightness, False)
    seen = brightness.astype(np.float32) * picture.alpha / most
    return Mask(path, np.rint(seen).astype(brightness.dtype), not (picture.alpha == most).all())


def mask_bytes(path: Path) -> bytes:
    """What a mask file holds. A pipe, ``<(...)``, is read once and remembered, for masks are
    hashed as well as looked at. Raises InputError, which names it.
    """
    try:
        plain = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # reading it will say why
        plain = True
    return read_bytes(path) if plain else _piped(path)


_piped = once(read_bytes)


def stamp_of(path: Path) -> Stamp | None:
    """What changes when a file does."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # reading it will say why
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def mask_for(source: Source, mask: Path) -> Path:
    """The mask of a picture: the one for all, or that of the same stem in a folder of masks.

    Raises InputError if there is none, or none but the picture itself.
    """
    itself = False
    if not mask.is_dir():
        if not _same(source.path, mask):
            return mask
        itself = True
    else:
        place = mask / source.place
        for suffix in (source.place.suffix, *READABLE):
            path = place.with_suffix(suffix)
            if path.is_file():
                if not _same(source.path, path):
                    return path
                itself = True
    if itself:
        raise InputError("its mask would be the picture itself", hint=APART)
    raise InputError(f"it has no mask: there is no {place.with_suffix('')} of any kind")


def without_masks(
    jobs: Sequence[Job], mask: Path, named: Collection[str]
) -> tuple[list[Job], list[Path]]:
    """The jobs for pictures, and the masks that lie in the folders that were searched.

    ``named`` are the inputs that were named; those stay. Raises UsageError where masks and
    pictures cannot be told apart, or where a result would replace a mask.
    """
    place = os.path.realpath(mask)
    folder = mask.is_dir()
    kept, masks = [], []
    for job in jobs:
        beside = mask / job.source.place.parent if folder else mask
        if job.target is not None and _same(job.target.parent if folder else job.target, beside):
            raise UsageError(
                f"{job.target} is {'among the masks' if folder else 'the mask'}, and no place "
                "for a result",
                hint="-o another folder" if folder else "-o another file",
            )
        path = job.source.path
        if path is None or str(path) in named or not _lies_in(path, place):
            kept.append(job)
            continue
        root = os.path.realpath(_root(job.source, path))
        if folder and root == place:
            raise UsageError(f"{mask} holds masks, and is searched for pictures too", hint=APART)
        # A folder of pictures below that of the masks is one of pictures.
        if folder and _lies_in(Path(root), place):
            kept.append(job)
        else:
            masks.append(path)
    return kept, masks


def _root(source: Source, path: Path) -> Path:
    """The folder that was searched for a picture."""
    return path.parents[len(source.place.parts) - 1]


def _lies_in(path: Path, place: str) -> bool:
    real = os.path.realpath(path)
    return real == place or real.startswith(place.rstrip(os.sep) + os.sep)


def _same(path: Path | None, other: Path) -> bool:
    return path is not None and os.path.realpath(path) == os.path.realpath(other)
