"""``genkit inpaint``: photographs with holes in, whole photographs out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.options import (
    DeviceOption,
    FilesFromOption,
    FormatOption,
    JsonOption,
    ModelOption,
    NullOption,
    OverwriteOption,
    PicturesArgument,
    PicturesOutputOption,
    PrecisionOption,
    QualityOption,
    QuietOption,
    RecursiveOption,
    ThreadsOption,
    VerboseOption,
    streams_of,
)
from genkit.cli.pictures import Batch, Work, find_jobs, read_bytes, read_picture, run_jobs
from genkit.errors import InputError, UsageError
from genkit.files import READABLE, Source, is_same
from genkit.model import find
from genkit.provenance import Record, hash_of, made_by
from genkit.targets import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from genkit.images import Picture
    from genkit.pixels import Pixels
    from genkit.tasks.inpaint import Inpainter

    Hole = NDArray[np.bool_]
    Loaded = tuple[Picture, Hole]

__all__ = ["app"]

TASK = ROLE = "inpaint"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def inpaint(
    ctx: typer.Context,
    inputs: PicturesArgument = None,
    output: PicturesOutputOption = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Picture that is white where the holes are: one for all inputs, or a folder "
            "with one for each, of the same name but for the suffix.",
            show_default="the inputs' transparent pixels, without --box and --color",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help="Fill this box too. Repeatable.", show_default=False),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            metavar="#RRGGBB", help="Fill what has exactly this colour too.", show_default=False
        ),
    ] = None,
    mask_invert: Annotated[
        bool, typer.Option("--mask-invert", help="The mask is black where the holes are.")
    ] = False,
    mask_threshold: Annotated[
        int,
        typer.Option(
            min=0, max=254, metavar="0..254", help="What is brighter in the mask is hole."
        ),
    ] = 127,
    mask_dilate: Annotated[
        int, typer.Option(min=0, metavar="N", help="Grow the holes by N pixels.")
    ] = 0,
    model: ModelOption = None,
    recursive: RecursiveOption = False,
    files_from: FilesFromOption = None,
    null: NullOption = False,
    kind: FormatOption = None,
    quality: QualityOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """Fill holes in photographs: remove what is not wanted, mend what is scratched.

    \b
    genkit inpaint photo.jpg --mask mask.png -o mended.png
    genkit inpaint photo.jpg --box 80,60,64,64 --box 10,10,20,20 -o mended.png
    genkit inpaint -r photos --mask masks -o mended
    cat cutout.png | genkit inpaint - > whole.png

    Pixels outside of the holes stay as they are, bit for bit in a PNG or TIFF; JPEG and WebP
    change all of them a little. A result has the size and the colour profile of its input, and
    a record of what made it. It is kept if it is there already; if another model, other holes
    or another input made it, that is said, and it is not replaced. Masks that lie among the
    inputs are no inputs. What goes wrong with an input or a result is reported, the others are
    done, and the exit code is 1.

    --json writes one object a line: input, output, width, height, kept (the result was there
    already), made (the record in the result) and error. Whatever does not apply is null.
    """
    streams = streams_of(ctx, quiet, verbose)
    if mask is not None and str(mask) == "-":
        raise UsageError("a mask cannot be piped", hint="--mask FILE")
    holes = Holes(
        mask=mask,
        boxes=tuple(map(parse_box, box or ())),
        color=None if color is None else parse_color(color),
        invert=mask_invert,
        threshold=mask_threshold,
        dilate=mask_dilate,
    )
    if mask_invert and mask is None and (holes.boxes or holes.color):
        raise UsageError("--mask-invert inverts a mask, and there is none")
    jobs = find_jobs(
        streams,
        inputs,
        files_from=files_from,
        null=null,
        recursive=recursive,
        output=output,
        kind=kind,
        json=json,
        exclude=[] if mask is None else [mask],
    )
    if mask is not None:
        refuse_own_masks(jobs, mask)
    found = find(TASK, model)
    made = made_by(found, ROLE, precision=precision, **options_of(holes))
    opened: list[Inpainter] = []

    def record(source: Source) -> Record:
        if mask is None:
            return dict(made)
        own = _mask_for(source, mask)
        try:
            return made | {"mask": hash_of(read_bytes(own))}
        except InputError as error:
            raise InputError(f"its mask {error.message}", hint=error.hint) from error

    def load(source: Source, piped: bytes | None) -> Loaded:
        picture = read_picture(source, piped)
        return picture, holes.of(picture, source)

    def open_model() -> Callable[[Loaded], Picture]:
        from genkit.runtime import RuntimeOptions
        from genkit.tasks.inpaint import Inpainter

        inpainter = Inpainter(found, RuntimeOptions(device, precision, threads))
        opened.append(inpainter)
        streams.note(f"{found.card.name} on {inpainter.runs_on}")
        return lambda loaded: inpainter(*loaded)

    work = Work(load, open_model, record, lambda: opened[0].precision)
    run_jobs(streams, jobs, work, Batch(quality, overwrite, json))


@dataclass(frozen=True)
class Holes:
    """What the options say of where the holes are."""

    mask: Path | None
    boxes: tuple[tuple[int, int, int, int], ...]
    color: tuple[int, int, int] | None
    invert: bool
    threshold: int
    dilate: int

    def of(self, picture: Picture, source: Source) -> Hole:
        """The holes of a picture, (H, W). Raises InputError if it cannot have them."""
        import numpy as np

        from genkit.tasks.inpaint import dilate, threshold

        hole = np.zeros(picture.size, bool)
        brightness = self._brightness(picture, source)
        if brightness is not None:
            if self.invert:
                brightness = 255 - brightness
            if brightness.shape != picture.size:
                (height, width), (rows, columns) = picture.size, brightness.shape
                raise InputError(
                    f"the picture has {width} x {height} pixels, its mask {columns} x {rows}"
                )
            hole |= threshold(brightness, self.threshold)
        height, width = picture.size
        for left, top, across, down in self.boxes:
            if left >= width or top >= height:
                raise InputError(
                    f"the box at {left},{top} is outside of its {width} x {height} pixels"
                )
            hole[top : top + down, left : left + across] = True
        if self.color is not None:
            hole |= (picture.pixels == self.color).all(-1)
        return dilate(hole, self.dilate) if self.dilate else hole

    def _brightness(self, picture: Picture, source: Source) -> Pixels | None:
        """The mask of a picture, (H, W): from a file, or what is transparent."""
        if self.mask is not None:
            return _read_mask(_mask_for(source, self.mask))
        if self.boxes or self.color is not None:
            return None
        if picture.alpha is None:
            raise InputError(
                "nothing says where its holes are: it has no transparency",
                hint="--mask FILE, --box X,Y,W,H or --color '#RRGGBB'",
            )
        return 255 - picture.alpha


@cache
def _read_mask(path: Path) -> Pixels:
    """The brightness of a mask, (H, W); of colours the brightest channel, black if transparent."""
    from genkit.images import composite, decode

    try:
        picture = decode(read_bytes(path))
    except InputError as error:
        text = error.message if error.message.startswith(str(path)) else f"{path} {error.message}"
        raise InputError(f"its mask {text}", hint=error.hint) from error
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = composite(pixels, picture.alpha, background=0)
    brightest: Pixels = pixels.max(-1)
    return brightest


def _mask_for(source: Source, mask: Path) -> Path:
    """The mask of a picture: the one for all, or that of the same stem in a folder of masks."""
    if not mask.is_dir():
        return mask
    place = mask / source.place
    for suffix in (source.place.suffix, *READABLE):
        path = place.with_suffix(suffix)
        if path.is_file():
            return path
    raise InputError(f"it has no mask: there is no {place.with_suffix('')} of any kind")


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
    }


def refuse_own_masks(jobs: Sequence[Job], mask: Path) -> None:
    """Raise UsageError where an image is its own mask, or a result would be among the masks."""
    for job in jobs:
        if job.source.path is not None and job.source.problem is None:
            try:
                own = _mask_for(job.source, mask)
            except (InputError, OSError, ValueError):
                continue  # told when it is read
            if is_same(own, job.source.path):
                raise UsageError(
                    f"{job.source} would be its own mask",
                    hint="masks lie in a folder of their own, and are called as their images are",
                )
        if job.target is not None and (
            is_same(job.target, mask) or is_same(job.target.parent, mask)
        ):
            raise UsageError(f"{job.target} would be among the masks", hint="name another place")
