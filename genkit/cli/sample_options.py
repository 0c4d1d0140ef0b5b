"""The options of ``genkit sample``, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from genkit.cli.options import JsonOption, OverwriteOption, QualityOption

__all__ = ["FPS", "SampleOutputOptions", "SeriesOptions"]

FPS = 20.0


@dataclass(frozen=True)
class SeriesOptions:
    """Which images are made of which noise."""

    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=4294967295,
            metavar="N",
            help="Seed of the first picture; the next has N + 1.",
            show_default="0",
        ),
    ] = None
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="A-B,C,...", help="The seeds themselves, one a picture.", show_default=False
        ),
    ] = None
    truncation: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="0..1",
            help="Less is more typical and less varied.",
            show_default="the model's own, mostly 1",
        ),
    ] = None
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="[COLSxROWS]",
            help="One picture of all of them, beside each other; nearly square without a size.",
            show_default=False,
        ),
    ] = None
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="seed|truncation",
            help="One picture with a row for each class and a column for each seed, or each of "
            "some truncations of one seed.",
            show_default=False,
        ),
    ] = None
    interpolate: Annotated[
        str | None,
        typer.Option(
            metavar="SEED,SEED,...",
            help="The way from seed to seed, as an animation or as a folder of frames.",
            show_default=False,
        ),
    ] = None
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Frames from one seed to the next.", show_default="60"
        ),
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=100,
            metavar="N",
            help="Frames a second of an animation.",
            show_default=f"{FPS:g}",
        ),
    ] = None
    latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="Take the noise from here, an array (n, ...), and not from seeds.",
            show_default=False,
        ),
    ] = None
    save_latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="Write the noise of all pictures here, before truncation.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class SampleOutputOptions:
    """How images are written and shown."""

    scale: Annotated[
        int,
        typer.Option("--upscale", min=1, max=64, metavar="N", help="Every pixel as N x N of them."),
    ] = 1
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Show the pictures in the terminal, the first 64 or a grid."
        ),
    ] = False
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="png|jpeg|webp|tiff|gif",
            help="What to write; of animations png, webp or gif.",
            show_default="by the suffix; png to a folder or a pipe",
        ),
    ] = None
    quality: QualityOption = None
    overwrite: OverwriteOption = False
    json: JsonOption = False
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Pictures in a run of the graph.", show_default="16"),
    ] = None
