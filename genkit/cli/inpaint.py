"""``genkit inpaint``: photographs with holes in, whole photographs out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.groups import grouped
from genkit.cli.holes import LOSSY_EDGE, LOSSY_TOLERANCE, Holes, Loaded
from genkit.cli.masks import Mask, mask_bytes, mask_for, stamp_of, without_masks
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
from genkit.cli.pictures import Batch, Work, find_jobs, read_picture, run_jobs
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
            return made | {"mask": hash_of(mask_bytes(own))}
        except InputError as error:
            raise InputError(f"its mask {error.message}", hint=error.hint) from error

    def load(source: Source, piped: bytes | None) -> Loaded:
        picture = read_picture(source, piped)
        own = None if mask is None else _mask_of(source, mask, where.mask_invert)
        return holes.of(picture, source, own)

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
