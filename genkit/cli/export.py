"""``genkit export``: a trained checkpoint goes in, a model folder comes out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from genkit.cli.options import QuietOption, VerboseOption, streams_of
from genkit.errors import RuntimeUnavailableError

__all__ = ["app"]

# What the extra `export` installs.
NEEDED = ("torch", "onnx", "onnxscript", "safetensors")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def export(
    ctx: typer.Context,
    checkpoint: Annotated[Path, typer.Argument(help="A trained checkpoint.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The model folder to write.",
            show_default="among your own models, under its task and name",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What to call the model.",
            show_default="as the checkpoint says",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder that is not empty.")
    ] = False,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """Turn a trained checkpoint into a model folder, and prove that it computes the same.

    \b
    genkit export weights/translate/en-de/checkpoint.safetensors -o my-model
    genkit translate --model ./my-model "Good morning."

    The graphs are compared with PyTorch before the folder is written. Prints the folder.
    Needs PyTorch: pip install 'genkit-onnx[export]'.
    """
    streams = streams_of(ctx, quiet, verbose)
    try:
        from genkit_export import export_checkpoint

        # PyTorch's exporter prints to stdout, where only data belongs.
        with contextlib.redirect_stdout(streams.stderr):
            folder = export_checkpoint(
                checkpoint, output, name=name, overwrite=overwrite, report=streams.tell
            )
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        raise RuntimeUnavailableError(
            f"export needs {missing}, which is not installed",
            hint="pip install 'genkit-onnx[export]'",
        ) from error
    streams.write(f"{folder}\n")
