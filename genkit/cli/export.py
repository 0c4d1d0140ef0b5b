"""``genkit export``: a trained checkpoint goes in, a model folder comes out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from genkit.cli.groups import grouped
from genkit.cli.options import JsonOption, MessageOptions
from genkit.errors import ModelNotFoundError, RuntimeUnavailableError, UsageError
from genkit.model import user_models
from genkit.naming import check_name, name_like
from genkit.streams import flush_c

__all__ = ["app"]

# What the extra `export` installs.
NEEDED = ("torch", "onnx", "onnxscript", "safetensors", "huggingface_hub")
HUB = "hf:"
PRECISIONS = ("auto", "fp32", "int8")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@grouped
def export(
    ctx: typer.Context,
    *,
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="FILE|DIR|hf:OWNER/NAME[@REVISION]",
            help="A trained checkpoint: a file, a folder, or a model of the Hugging Face hub.",
            show_default=False,
        ),
    ],
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
            show_default="as the checkpoint says, or as its file is called",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder that is not empty.")
    ] = False,
    inspect: Annotated[
        bool, typer.Option("--inspect", help="Say what the checkpoint is, and write nothing else.")
    ] = False,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="LAYOUT",
            help="Take the checkpoint for one of this layout or architecture.",
            show_default="what its tensors are called like",
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Override what was read or assumed (see --inspect). May be repeated.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="auto|fp32|int8",
            help="Graphs to write. 'auto': all that the checkpoint has data for.",
        ),
    ] = "auto",
    json: JsonOption = False,
    messages: MessageOptions,
) -> None:
    """Turn a trained checkpoint into a model folder, and prove that it computes the same.

    \b
    genkit export weights/translate/en-de/checkpoint.safetensors -o my-model
    genkit translate --model ./my-model "Good morning."
    genkit export --inspect latest_net_G.pth
    genkit export hf:Helsinki-NLP/opus-mt-en-de

    What kind of checkpoint it is, is told by the names of its tensors. Nothing in it is ever
    executed. The graphs are compared with PyTorch before the folder is written. Prints the
    folder. Needs PyTorch: pip install 'genkit-onnx[export]'.
    """
    streams = messages.streams(ctx)
    settings = dict(_setting(text) for text in given or ())
    if precision not in PRECISIONS:
        raise UsageError(
            f"no such precision: {precision!r}", hint=f"one of: {', '.join(PRECISIONS)}"
        )
    if name is not None:
        check_name(name)
    if not inspect:
        _refuse_without_a_place(output)
    record: dict[str, Any] = {}
    folder = None
    try:
        from genkit_export import export_checkpoint, inspect_checkpoint

        # PyTorch's exporter prints to stdout, where only data belongs.
        with contextlib.redirect_stdout(streams.stderr), _descriptor_to_stderr():
            path = Path(checkpoint)
            if checkpoint.startswith(HUB):
                from genkit_export.hub import fetch, parse

                repository = parse(checkpoint)
                name = name or name_like(repository.name.rpartition("/")[2], "model")
                path = fetch(repository)
            if inspect or json:
                record = inspect_checkpoint(path, name=name, arch=arch, settings=settings)
            if not inspect:
                folder = export_checkpoint(
                    path,
                    output,
                    name=name,
                    overwrite=overwrite,
                    report=streams.tell,
                    arch=arch,
                    settings=settings,
                    precision=precision,
                )
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        raise RuntimeUnavailableError(
            f"export needs {missing}, which is not installed",
            hint="pip install 'genkit-onnx[export]'",
        ) from error
    if json:
        streams.write_json({**record, "folder": None if folder is None else str(folder)})
    elif inspect:
        streams.write("".join(f"{line}\n" for line in _lines(record)))
    else:
        streams.write(f"{folder}\n")


def _refuse_without_a_place(output: Path | None) -> None:
    """Raise UsageError, before the work, where the model folder could not be made."""
    try:
        place = user_models() if output is None else output.absolute().parent
    except ModelNotFoundError as error:
        raise UsageError(error.message, hint="-o DIR") from error
    try:
        above = next(folder for folder in (place, *place.parents) if os.path.lexists(folder))
        probe = above / f".genkit-{os.urandom(6).hex()}.part"
        probe.mkdir()  # there are more reasons than permissions
        probe.rmdir()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "-o DIR" if output is None else None
        raise UsageError(f"no model can be written to {place}: {reason}", hint=hint) from error


@contextlib.contextmanager
def _descriptor_to_stderr() -> Iterator[None]:
    """Send what C++ code prints to descriptor 1, past Python's streams, to descriptor 2."""
    try:
        saved = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    try:
        with contextlib.suppress(OSError):
            flush_c()
            os.dup2(2, 1)
        yield
    finally:
        flush_c()
        os.dup2(saved, 1)
        os.close(saved)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--set takes NAME=VALUE, not {text!r}")
    return name.replace("-", "_"), value


def _lines(record: dict[str, Any]) -> Iterator[str]:
    """What a checkpoint is, as a table."""
    yield f"layout        {record['layout']}: {record['title']}"
    yield f"architecture  {record['architecture']}"
    yield f"task          {record['task']}"
    yield f"parameters    {record['parameters']:,}"
    rows = [
        (one["name"], str(one["flag"]).partition("=")[2], one["source"], one["flag"])
        for one in record["settings"]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for note in record.get("notes", ()):
        yield f"note: {note}"
