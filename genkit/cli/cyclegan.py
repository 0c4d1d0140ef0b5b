"""``genkit cyclegan``: photographs in, photographs out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.groups import grouped
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
from genkit.errors import UsageError
from genkit.model import find
from genkit.provenance import made_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from genkit.images import Picture
    from genkit.tasks.cyclegan import PictureTranslator

__all__ = ["app"]

TASK = "cyclegan"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@grouped
def cyclegan(
    ctx: typer.Context,
    *,
    inputs: PicturesArgument = None,
    output: PicturesOutputOption = None,
    model: ModelOption = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="N|WxH|original",
            help="Size of the result: its longer side, or width and height.",
        ),
    ] = "original",
    tile: Annotated[
        int | None,
        typer.Option(
            min=64,
            metavar="N",
            help="Run large pictures in overlapping tiles of N pixels, which can differ in tone.",
            show_default="the whole picture, as long as memory suffices",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Write before and after side by side.")
    ] = False,
    listing: ListingOptions,
    written: ImageOutputOptions,
    runtime: RunOptions,
    messages: MessageOptions,
) -> None:
    """Turn photographs into photographs of another kind: summer into winter.

    \b
    genkit cyclegan valley.jpg -o winter.png
    genkit cyclegan --model winter2summer -r photos -o summer
    cat valley.jpg | genkit cyclegan - > winter.png

    A result has the size, the depth, the colour profile, the transparency and the metadata of
    its input, and a record of what made it; what its format cannot hold is told in a warning.
    It is in colour where the input is grey or CMYK, and of sixteen bits it has 256 levels, for
    the network makes eight.

    A result is kept if it is there already, so that a second run does what is missing; if
    another model, other options or another input made it, that is said, and it is not
    replaced. What goes wrong with an input or a result is reported, the others are done, and
    the exit code is 1.

    --json writes one object a line: input, output, width, height, kept (the result was there
    already), made (the record in the result), warnings (a list) and error. Whatever does not
    apply is null.
    """
    streams = messages.streams(ctx)
    wanted = parse_size(size)
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

    found = find(TASK, model)
    record = made_by(
        found,
        found.card.role,
        precision=runtime.precision,
        size=wanted,
        tile=tile,
        compare=compare or None,
    )
    opened: list[PictureTranslator] = []

    def open_model() -> Callable[[Picture], Picture]:
        from genkit.tasks.cyclegan import PictureTranslator, side_by_side

        translator = PictureTranslator(found, runtime.options())
        opened.append(translator)
        streams.note(f"{found.card.name} on {translator.runs_on}")

        def run(picture: Picture) -> Picture:
            result = translator(picture, size=wanted, tile=tile)
            return side_by_side(picture, result) if compare else result

        return run

    work = Work(read_picture, open_model, lambda _: dict(record), lambda: opened[0].precision)
    run_jobs(
        streams, jobs, work, Batch(written.quality, written.overwrite, written.json, written.strip)
    )


def parse_size(text: str) -> tuple[int, int] | int | None:
    """What --size says: height and width, the longer side, or None for ``original``."""
    if text == "original":
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if match is None:
        raise UsageError(f"unknown size {text!r}", hint="for example 1024, 640x480, or original")
    first, second = match.groups()
    return int(first) if second is None else (int(second), int(first))
