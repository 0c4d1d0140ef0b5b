"""``genkit sample``: noise in, pictures out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from genkit.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    PicturesOutputOption,
    PrecisionOption,
    QualityOption,
    QuietOption,
    ThreadsOption,
    VerboseOption,
    streams_of,
)
from genkit.errors import UsageError
from genkit.model import find
from genkit.provenance import made_by
from genkit.targets import is_folder, refuse_targets
from genkit.writing import is_stdout

if TYPE_CHECKING:
    from genkit.cli.shots import Shot
    from genkit.pixels import Pixels

__all__ = ["app"]

TASK, ROLE = "sample", "generate"
FPS = 20.0

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
def sample(
    ctx: typer.Context,
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
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=4294967295,
            metavar="N",
            help="Seed of the first picture; the next has N + 1.",
            show_default="0",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="A-B,C,...", help="The seeds themselves, one a picture.", show_default=False
        ),
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="0..1",
            help="Less is more typical and less varied.",
            show_default="the model's own, mostly 1",
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="[COLSxROWS]",
            help="One picture of all of them, beside each other; nearly square without a size.",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="seed|truncation",
            help="One picture with a row for each class and a column for each seed, or each of "
            "some truncations of one seed.",
            show_default=False,
        ),
    ] = None,
    interpolate: Annotated[
        str | None,
        typer.Option(
            metavar="SEED,SEED,...",
            help="The way from seed to seed, as an animation or as a folder of frames.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Frames from one seed to the next.", show_default="60"
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=100,
            metavar="N",
            help="Frames a second of an animation.",
            show_default=f"{FPS:g}",
        ),
    ] = None,
    latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="Take the noise from here, an array (n, ...), and not from seeds.",
            show_default=False,
        ),
    ] = None,
    save_latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="Write the noise of all pictures here, before truncation.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        int,
        typer.Option("--upscale", min=1, max=64, metavar="N", help="Every pixel as N x N of them."),
    ] = 1,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Show the pictures in the terminal, the first 64 or a grid."
        ),
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="png|jpeg|webp|tiff|gif",
            help="What to write; of animations png, webp or gif.",
            show_default="by the suffix; png to a folder or a pipe",
        ),
    ] = None,
    quality: QualityOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Pictures in a run of the graph.", show_default="16"),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
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
    streams = streams_of(ctx, quiet, verbose)
    found = find(TASK, model)
    latent = found.card.latent
    assert latent is not None, "a card for this task has the section"
    if list_classes:
        for index, name in enumerate(latent.classes):
            if json:
                streams.write_json({"index": index, "class": name})
            else:
                streams.write(f"{index}\t{name}\n")
        if not latent.classes:
            streams.tell(f"{found.card.name} has no classes")
        return
    _refuse_together(
        {"--grid": grid, "--sheet": sheet, "--interpolate": interpolate},
        {"--seed": seed, "--seeds": seeds, "--interpolate": interpolate, "--latents": latents},
        {"-n": count, "--seeds": seeds, "--interpolate": interpolate},
        {"--sheet": sheet, "--latents": latents},
        {"--latents": latents, "--save-latents": save_latents},
    )
    if interpolate is None and not (frames is None and fps is None):
        raise UsageError("--frames and --fps are for --interpolate")
    if save_latents is not None and is_stdout(str(save_latents)):
        raise UsageError("latents are written to a file, not to a pipe")

    from genkit.cli.gallery import Gallery, find_target
    from genkit.cli.latents import PlannedNoise, keep_or_write
    from genkit.cli.recorder import Recorder
    from genkit.cli.shots import Wishes, make_plan
    from genkit.grid import upscale
    from genkit.runtime import RuntimeOptions
    from genkit.tasks.sample import BATCH, Point, Sampler

    plan = make_plan(
        found.card,
        Wishes(
            count=count,
            alone=grid is None and _is_one_file(output, streams.stdout.isatty() or preview),
            classes=tuple(classes or ()),
            seed=seed,
            seeds=seeds,
            truncation=truncation,
            grid=grid,
            sheet=sheet,
            interpolate=interpolate,
            frames=frames,
            latents=latents,
        ),
    )
    target = find_target(output, kind, plan.layout, plan.count, streams=streams, shown=preview)
    if json and target.folder is None and target.file is None:
        raise UsageError("--json tells of files", hint="add -o FILE or -o DIR")
    files = [path for path in (target.file, save_latents) if path is not None]
    refuse_targets(files, [] if latents is None else [latents])
    if len(files) == 2:
        refuse_targets(files[:1], files[1:])
    opened: list[Sampler] = []
    size = BATCH if batch is None else batch
    gallery = Gallery(
        streams=streams,
        target=target,
        recorder=Recorder(
            model=made_by(found, ROLE, precision=precision, upscale=scale if scale > 1 else None),
            latent=latent,
            kind=target.kind,
            quality=quality,
            fps=FPS if fps is None else fps,
            precision=lambda: opened[0].precision,
        ),
        scale=scale,
        batch=size,
        overwrite=overwrite,
        json=json,
        shown=preview,
    )
    if save_latents is not None:
        noise = PlannedNoise(plan, latent.shape)
        gallery.counts.failed += not keep_or_write(streams, save_latents, noise, overwrite)

    def make(shots: Iterable[Shot]) -> Iterator[tuple[Shot, Pixels]]:
        waiting = iter(shots)
        first = next(waiting, None)
        if first is None:  # all is there already
            return
        if not opened:
            opened.append(Sampler(found, RuntimeOptions(device, precision, threads)))
            streams.note(f"{found.card.name} on {opened[0].runs_on}")
        begun: deque[Shot] = deque()

        def points() -> Iterator[Point]:
            for shot in chain([first], waiting):
                begun.append(shot)
                yield Point(shot.noise(), shot.label, shot.truncation)

        for pixels in opened[0].run(points(), size):
            yield begun.popleft(), upscale(pixels, scale)

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
