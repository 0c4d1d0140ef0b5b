"""The options that several commands share, each written once, and the groups of them.

@app.command()
@grouped
def translate(
    ctx: typer.Context,
    *,
    model: ModelOption = None,
    runtime: RunOptions,
    messages: MessageOptions,
) -> None:
    streams = messages.streams(ctx)
    options = runtime.options()
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genkit.errors import ExitCode, UsageError
from genkit.runtime.engines import AUTO, ENGINES, spellings
from genkit.streams import Streams

if TYPE_CHECKING:
    from genkit.runtime import RuntimeOptions

__all__ = [
    "DeviceOption",
    "FilesFromOption",
    "FormatOption",
    "ImageOutputOptions",
    "InputOption",
    "JsonOption",
    "ListingOptions",
    "MessageOptions",
    "ModelOption",
    "NullOption",
    "OutputOption",
    "OverwriteOption",
    "PicturesArgument",
    "PicturesOutputOption",
    "PrecisionOption",
    "QualityOption",
    "QuietOption",
    "RecursiveOption",
    "RunOptions",
    "StripOption",
    "ThreadsOption",
    "VerboseOption",
    "require_subcommand",
    "streams_of",
    "text_option",
]

_taken = [ENGINES[kind].auto for kind in AUTO if ENGINES[kind].auto]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="A model's name, or the path of its folder.",
        show_default="the task's default",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="|".join(spellings("{}[:N]")),
        envvar="GENKIT_DEVICE",
        help=f"Where to run. 'auto' takes {', and '.join(_taken)}; the other names insist.",
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="auto|fp32|fp16|bf16|int8",
        envvar="GENKIT_PRECISION",
        help="Which of the model's graphs to run. 'fp32' is the reference.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        envvar="GENKIT_THREADS",
        help="Threads on the CPU.",
        show_default="all that the process may use",
    ),
]
InputOption = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="FILE|-",
        allow_dash=True,
        help="Read lines from here instead of standard input.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        allow_dash=True,
        help="Write here instead of standard output. The file appears whole, at the end.",
        show_default=False,
    ),
]
QuietOption = Annotated[
    int,
    typer.Option("--quiet", "-q", count=True, help="Errors only.", show_default=False),
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Say what is done; twice: show where an error came from.",
        show_default=False,
    ),
]

# For commands that take pictures.

PicturesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUT]...",
        help="Pictures, folders of pictures, or - for a picture from standard input.",
        show_default=False,
    ),
]
PicturesOutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR|-",
        help="Write here instead of standard output. A new name without a suffix is a folder.",
        show_default=False,
    ),
]
RecursiveOption = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take the pictures of subfolders too.")
]
FilesFromOption = Annotated[
    str | None,
    typer.Option(
        "--files-from",
        metavar="LIST|-",
        help="Read more names of inputs from here, one a line.",
        show_default=False,
    ),
]
NullOption = Annotated[
    bool, typer.Option("-0", help="The names of --files-from end with NUL bytes (find -print0).")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that are there already.")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="png|jpeg|webp|tiff",
        help="What to write.",
        show_default="by the suffix, or as the input; png to a pipe",
    ),
]
QualityOption = Annotated[
    int | None,
    typer.Option(
        "--quality",
        min=1,
        max=100,
        metavar="1..100",
        help="Quality of JPEG and WebP.",
        show_default="95 and 90",
    ),
]
StripOption = Annotated[
    bool,
    typer.Option(
        "--strip-metadata",
        help="Leave out EXIF, resolution, texts, XMP and IPTC. Results have those of their inputs "
        "otherwise, upright and without thumbnails and notes of the camera's maker.",
    ),
]


@dataclass(frozen=True)
class RunOptions:
    """Where and how a graph is run."""

    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    threads: ThreadsOption = None

    def options(self) -> RuntimeOptions:
        """For the runtime. Raises UsageError."""
        from genkit.runtime import RuntimeOptions

        return RuntimeOptions(self.device, self.precision, self.threads)


@dataclass(frozen=True)
class MessageOptions:
    """How much is said."""

    quiet: QuietOption = 0
    verbose: VerboseOption = 0

    def streams(self, ctx: typer.Context) -> Streams:
        """The streams that the command was started with, set to say as much."""
        return streams_of(ctx, self.quiet, self.verbose)


@dataclass(frozen=True)
class ListingOptions:
    """Which images are meant, besides those that are named."""

    recursive: RecursiveOption = False
    files_from: FilesFromOption = None
    null: NullOption = False


@dataclass(frozen=True)
class ImageOutputOptions:
    """How result images are written."""

    kind: FormatOption = None
    quality: QualityOption = None
    strip: StripOption = False
    overwrite: OverwriteOption = False
    json: JsonOption = False


def text_option(ctx: typer.Context, param: Any, value: str | None) -> str | None:
    """The callback of an option whose value is text: the bytes of the system, read as UTF-8 in
    every locale, as lines are. Raises UsageError for what is none.
    """
    if value is None or value.isascii():
        return value
    data = os.fsencode(value)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        where = f"byte 0x{data[error.start]:02x} at position {error.start + 1}"
        raise UsageError(f"{param.opts[0]} is not UTF-8: {where}") from error


def streams_of(ctx: typer.Context, quiet: int = 0, verbose: int = 0) -> Streams:
    """The streams that the command was started with, set to say as much as was asked for."""
    streams = ctx.find_object(Streams)
    assert streams is not None, "genkit.cli.app.main() passes them"
    streams.verbosity = verbose - quiet
    return streams


def require_subcommand(ctx: typer.Context) -> None:
    """Show the help of a command that was called without a subcommand, and leave."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)
