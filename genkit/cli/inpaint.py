"""``genkit inpaint``: photographs with holes in, whole photographs out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.groups import grouped
from genkit.cli.masks import Mask, mask_for, stamp_of, without_masks
from genkit.cli.masks import read_mask as _read_mask
from genkit.cli.options import (
    ImageOutputOptions,
    ListingOptions,
    MessageOptions,
    ModelOption,
    PicturesArgument,
    PicturesOutputOption,
    RunOptions,
)
from genkit.cli.pictures import Batch, Work, find_jobs, read_bytes, read_picture, run_jobs
from genkit.errors import InputError, UsageError
from genkit.files import Source
from genkit.model import find
from genkit.provenance import Record, hash_of, made_by

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from genkit.images import Picture
    from genkit.tasks.inpaint import Inpainter

    Hole = NDArray[np.bool_]

__all__ = ["app"]

TASK = "inpaint"
SAY_WHERE = "--mask FILE, --box X,Y,W,H or --color '#RRGGBB'"
LOSSY_TOLERANCE = 32
"""How far from a color a channel may be in a JPEG, which changes all of them a little."""
LOSSY_EDGE = 2
"""Pixels by which the edge of such a color is blurred into what is around it."""
ONE_READER = Lock()

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class HoleOptions:
    """Where the holes are."""

    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Picture that is white where the holes are: one for all inputs, or a folder "
            "with one for each, of the same name but for the suffix.",
            show_default="the inputs' transparent pixels, without --box and --color",
        ),
    ] = None
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help="Fill this box too. Repeatable.", show_default=False),
    ] = None
    color: Annotated[
        str | None,
        typer.Option(
            metavar="#RRGGBB", help="Fill the pixels of this color too.", show_default=False
        ),
    ] = None
    color_tolerance: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=255,
            metavar="N",
            help="How far from --color each of red, green and blue may be.",
            show_default=f"0; in a JPEG or a lossy WebP {LOSSY_TOLERANCE}, and {LOSSY_EDGE} pixels "
            "around are filled too",
        ),
    ] = None
    mask_invert: Annotated[
        bool,
        typer.Option(
            "--mask-invert",
            help="The mask is black where the holes are; what is transparent in it never is one.",
        ),
    ] = False
    mask_threshold: Annotated[
        int,
        typer.Option(
            min=0,
            max=254,
            metavar="0..254",
            help="What is brighter in the mask is hole; 0 takes a map of labels.",
        ),
    ] = 127
    mask_dilate: Annotated[
        int, typer.Option(min=0, metavar="N", help="Grow the holes by N pixels.")
    ] = 0


@app.command()
@grouped
def inpaint(
    ctx: typer.Context,
    *,
    inputs: PicturesArgument = None,
    output: PicturesOutputOption = None,
    where: HoleOptions,
    model: ModelOption = None,
    listing: ListingOptions,
    written: ImageOutputOptions,
    runtime: RunOptions,
    messages: MessageOptions,
) -> None:
    """Fill holes in photographs: remove what is not wanted, mend what is scratched.

    \b
    genkit inpaint photo.jpg --mask mask.png -o mended.png
    genkit inpaint photo.jpg --box 80,60,64,64 --box 10,10,20,20 -o mended.png
    genkit inpaint -r photos --mask masks -o mended
    cat cutout.png | genkit inpaint - > whole.png

    Pixels outside of the holes stay as they are, bit for bit in a PNG or TIFF, with eight bits a
    channel or sixteen; JPEG and WebP change all of them a little. A result has the size, the
    depth, the colour profile and the metadata of its input, and grey stays grey; what its format
    cannot hold is told in a warning. CMYK and Lab become sRGB, 1-bit becomes grey, a palette
    RGB. The network makes eight bits of colour: in a grey picture a hole has their luma, in one
    of sixteen bits each level v becomes 257 v. What is filled becomes opaque, also where a box
    lies over transparent pixels.

    Where an option selects nothing a warning says so, and the result is a copy. A result has a
    record of what made it. It is kept if it is there already; if another model, other holes or
    another input made it, that is said, and it is not replaced. What goes wrong with an input
    or a result is reported, the others are done, and the exit code is 1. Masks that lie in a
    folder of inputs are not filled.

    --json writes one object a line: input, output, width, height, kept (the result was there
    already), made (the record in the result), warnings (a list) and error. Whatever does not
    apply is null.
    """
    streams, mask = messages.streams(ctx), where.mask
    if mask is not None and str(mask) == "-":
        raise UsageError("a mask cannot be piped", hint="--mask FILE")
    holes = Holes(
        mask=mask,
        boxes=tuple(map(parse_box, where.box or ())),
        color=None if where.color is None else parse_color(where.color),
        invert=where.mask_invert,
        threshold=where.mask_threshold,
        dilate=where.mask_dilate,
        tolerance=where.color_tolerance,
    )
    if where.color_tolerance is not None and where.color is None:
        raise UsageError("--color-tolerance is for --color, which is not given")
    if where.mask_invert and mask is None and (holes.boxes or holes.color):
        raise UsageError("--mask-invert inverts a mask, and there is none")
    jobs = find_jobs(
        streams,
        inputs,
        files_from=listing.files_from,
        null=listing.null,
        recursive=listing.recursive,
        output=output,
        kind=written.kind,
        json=written.json,
    )
    if mask is not None:
        jobs, masks = without_masks(jobs, mask, inputs or ())
        if masks:
            rest = f" and {len(masks) - 1} more are masks" if len(masks) > 1 else " is a mask"
            streams.tell(f"{masks[0]}{rest}, and not filled")
    found = find(TASK, model)
    made = made_by(found, found.card.role, precision=runtime.precision, **options_of(holes))
    opened: list[Inpainter] = []

    def record(source: Source) -> Record:
        if mask is None:
            return dict(made)
        own = mask_for(source, mask)
        try:
            return made | {"mask": hash_of(read_bytes(own))}
        except InputError as error:
            raise InputError(f"its mask {error.message}", hint=error.hint) from error

    def load(source: Source, piped: bytes | None) -> Loaded:
        return holes.of(read_picture(source, piped), source)

    def open_model() -> Callable[[Loaded], Picture]:
        from genkit.tasks.inpaint import Inpainter

        inpainter = Inpainter(found, runtime.options())
        opened.append(inpainter)
        streams.note(f"{found.card.name} on {inpainter.runs_on}")

        def run(loaded: Loaded) -> Picture:
            if loaded.matched is not None:
                streams.tell(loaded.matched)
            return inpainter(loaded.picture, loaded.hole)

        return run

    work = Work(load, open_model, record, lambda: opened[0].precision)
    run_jobs(
        streams, jobs, work, Batch(written.quality, written.overwrite, written.json, written.strip)
    )


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

    mask: Path | None
    boxes: tuple[tuple[int, int, int, int], ...]
    color: tuple[int, int, int] | None
    invert: bool
    threshold: int
    dilate: int
    tolerance: int | None = None

    def of(self, picture: Picture, source: Source) -> Loaded:
        """The picture, with a note for each option that selects nothing of it, and its holes.
        Raises InputError if it cannot have them.
        """
        import numpy as np

        from genkit.tasks.inpaint import dilate

        hole = np.zeros(picture.size, bool)
        notes, matched = [], None
        if self.mask is not None:
            found, note = self._by_mask(_mask_of(source, self.mask, self.invert), picture)
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


def _mask_of(source: Source, mask: Path, invert: bool) -> Mask:
    """The mask of a picture; one for all is read once."""
    path = mask_for(source, mask)
    if mask.is_dir():
        return _read_mask.__wrapped__(path, invert)
    with ONE_READER:
        return _read_mask(path, invert, stamp_of(path))


def parse_box(text: str) -> tuple[int, int, int, int]:
    """What --box says: left, top, width and height."""
    match = re.fullmatch(r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"unknown box {text!r}", hint="left, top, width, height: 80,60,64,64")
    left, top, width, height = map(int, match.groups())
    return left, top, width, height


def parse_color(text: str) -> tuple[int, int, int]:
    """What --color says: red, green and blue."""
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    if match is None:
        raise UsageError(f"unknown color {text!r}", hint="for example '#ff00ff'")
    red, green, blue = (int(part, 16) for part in match.groups())
    return red, green, blue


def options_of(holes: Holes) -> Record:
    """What says where the holes are, as it stands in the record of a result, the mask aside."""
    return {
        "boxes": holes.boxes or None,
        "color": None if holes.color is None else bytes(holes.color).hex(),
        "mask_invert": holes.invert or None,
        "mask_threshold": holes.threshold,
        "mask_dilate": holes.dilate or None,
        "color_tolerance": holes.tolerance,
    }
