"""``genkit sample``: noise in, pictures out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from genkit.cli.groups import grouped
from genkit.cli.options import (
    MessageOptions,
    ModelOption,
    PicturesOutputOption,
    RunOptions,
)
from genkit.cli.sample_options import FPS, SampleOutputOptions, SeriesOptions
from genkit.errors import UsageError
from genkit.model import find
from genkit.provenance import made_by
from genkit.targets import is_folder, refuse_targets
from genkit.writing import is_stdout

if TYPE_CHECKING:
    from genkit.cli.shots import Shot
    from genkit.pixels import Pixels

__all__ = ["app"]

TASK = "sample"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class SampleCommand(TyperCommand):
    """A command whose ``--grid`` may stand without a value, which Typer has no option for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_with_grid_sizes(args)))


def _with_grid_sizes(arguments: Sequence[str]) -> Iterator[str]:
    for argument, following in pairwise([*arguments, "-"]):
        # There are no arguments but options: what follows and is none is the size.
        bare = argument == "--grid" and following.startswith("-")
        yield "--grid=auto" if bare else argument


@app.command(cls=SampleCommand)
@grouped
def sample(
    ctx: typer.Context,
    *,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            metavar="N",
            help="Pictures to make; the columns of a --sheet.",
            show_default="16, or what --grid holds; 1 for a file or a pipe without --grid; "
            "columns: 8 seeds or 5 truncations",
        ),
    ] = None,
    output: PicturesOutputOption = None,
    model: ModelOption = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME|INDEX",
            help="Pictures of this class. Repeatable: they are then taken in turn.",
            show_default="all classes",
        ),
    ] = None,
    list_classes: Annotated[
        bool, typer.Option("--list-classes", help="List the model's classes and leave.")
    ] = False,
    series: SeriesOptions,
    written: SampleOutputOptions,
    runtime: RunOptions,
    messages: MessageOptions,
) -> None:
    """Make pictures from noise.

    \b
    genkit sample --class cat -o cat.png
    genkit sample -n 64 --grid -o grid.png
    genkit sample -n 1000 --seed 7 --truncation 0.5 -o pictures
    genkit sample --sheet truncation --seed 3 --upscale 2 -o sheet.png
    genkit sample --interpolate 1,5,9,1 --class ship -o ships.webp

    Picture i of --seed S has seed S + i, and a seed always gives the same picture: however
    many are made, in whatever order and batch. Without --class the classes are taken in turn,
    and so are several of them: the seed divided by their number leaves a remainder, which
    chooses. An interpolation has one class, by default that of its first seed; it is a loop
    if it ends where it began.

    In a folder each picture is a file, whose name has the seed and the class. A file has a
    record of what made it. It is kept if it is there already; if another model or other
    options made it, that is said, it is not replaced, and the exit code is 1. Without -o the
    pictures go to a pipe as a PNG, or are shown in the terminal.

    --json writes one object a picture: seed, class, truncation, file, row and column (in a
    grid), kept (it was there already), made (the record in the file) and error. Whatever does
    not apply, or is not known of a file that has no record, is null.
    """
    streams = messages.streams(ctx)
    found = find(TASK, model)
    latent = found.card.latent
    assert latent is not None, "a card for this task has the section"
    if list_classes:
        for index, name in enumerate(latent.classes):
            if written.json:
                streams.write_json({"index": index, "class": name})
            else:
                streams.write(f"{index}\t{name}\n")
        if not latent.classes:
            streams.tell(f"{found.card.name} has no classes")
        return
    _refuse_together(
        {"--grid": series.grid, "--sheet": series.sheet, "--interpolate": series.interpolate},
        {
            "--seed": series.seed,
            "--seeds": series.seeds,
            "--interpolate": series.interpolate,
            "--latents": series.latents,
        },
        {"-n": count, "--seeds": series.seeds, "--interpolate": series.interpolate},
        {"--sheet": series.sheet, "--latents": series.latents},
        {"--latents": series.latents, "--save-latents": series.save_latents},
    )
    if series.interpolate is None and not (series.frames is None and series.fps is None):
        raise UsageError("--frames and --fps are for --interpolate")
    if series.save_latents is not None and is_stdout(str(series.save_latents)):
        raise UsageError("latents are written to a file, not to a pipe")

    from genkit.cli.gallery import Gallery, find_target
    from genkit.cli.latents import PlannedNoise, keep_or_write
    from genkit.cli.recorder import Recorder
    from genkit.cli.shots import Wishes, make_plan
    from genkit.grid import upscale
    from genkit.tasks.sample import BATCH, Point, Sampler

    plan = make_plan(
        found.card,
        Wishes(
            count=count,
            alone=series.grid is None
            and _is_one_file(output, streams.stdout.isatty() or written.preview),
            classes=tuple(classes or ()),
            seed=series.seed,
            seeds=series.seeds,
            truncation=series.truncation,
            grid=series.grid,
            sheet=series.sheet,
            interpolate=series.interpolate,
            frames=series.frames,
            latents=series.latents,
        ),
    )
    target = find_target(
        output, written.kind, plan.layout, plan.count, streams=streams, shown=written.preview
    )
    if written.json and target.folder is None and target.file is None:
        raise UsageError("--json tells of files", hint="add -o FILE or -o DIR")
    files = [path for path in (target.file, series.save_latents) if path is not None]
    refuse_targets(files, [] if series.latents is None else [series.latents])
    if len(files) == 2:
        refuse_targets(files[:1], files[1:])
    opened: list[Sampler] = []
    size = BATCH if written.batch is None else written.batch
    gallery = Gallery(
        streams=streams,
        target=target,
        recorder=Recorder(
            model=made_by(
                found,
                found.card.role,
                precision=runtime.precision,
                upscale=written.scale if written.scale > 1 else None,
            ),
            latent=latent,
            kind=target.kind,
            quality=written.quality,
            fps=FPS if series.fps is None else series.fps,
            precision=lambda: opened[0].precision,
        ),
        scale=written.scale,
        batch=size,
        overwrite=written.overwrite,
        json=written.json,
        shown=written.preview,
    )
    if series.save_latents is not None:
        noise = PlannedNoise(plan, latent.shape)
        gallery.counts.failed += not keep_or_write(
            streams, series.save_latents, noise, written.overwrite
        )

    def make(shots: Iterable[Shot]) -> Iterator[tuple[Shot, Pixels]]:
        waiting = iter(shots)
        first = next(waiting, None)
        if first is None:  # all is there already
            return
        if not opened:
            opened.append(Sampler(found, runtime.options()))
            streams.note(f"{found.card.name} on {opened[0].runs_on}")
        begun: deque[Shot] = deque()

        def points() -> Iterator[Point]:
            for shot in chain([first], waiting):
                begun.append(shot)
                yield Point(shot.noise(), shot.label, shot.truncation)

        for pixels in opened[0].run(points(), size):
            yield begun.popleft(), upscale(pixels, written.scale)

    gallery.fill(plan, make)


def _refuse_together(*groups: dict[str, object]) -> None:
    """Raise UsageError if two options of a group were given."""
    for group in groups:
        given = [name for name, value in group.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} do not go together")


def _is_one_file(output: str | None, is_shown: bool) -> bool:
    """Whether ``-o`` leaves room for one picture: it is a file or a pipe."""
    if output is None:
        return not is_shown
    return is_stdout(output) or not is_folder(output)
