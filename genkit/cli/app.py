"""The ``genkit`` command: its subcommands, and the one place where errors become exit codes."""

from __future__ import annotations

import difflib
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genkit import __version__
from genkit.cli.options import require_subcommand
from genkit.cli.subject import subject
from genkit.errors import ExitCode, GenkitError, GenkitWarning, UsageError
from genkit.library_output import own_process
from genkit.registry import commands
from genkit.streams import Streams, printable

__all__ = ["app", "main"]


UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write raises, and little else does."""


class LazyCommands(TyperGroup):
    """The subcommands of the registry, each imported when it is run and not before: all of them at
    once would add a sixth to the time of every start.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = commands().get(cmd_name)
        if found is None:
            return None
        command = typer.main.get_command(import_module(found.command).app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, known = args[0], commands()
        if name not in known and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(known)}"
            raise UsageError(f"no such command: {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, found.help) for name, found in commands().items()])


# Help is plain text: Rich would double the time that it takes to appear (115 ms, not 55).
app = typer.Typer(
    cls=LazyCommands,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"genkit {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def genkit(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Generative inference from the shell: trained PyTorch models, run by ONNX Runtime.

    Data goes to standard output, messages to standard error. The exit code is 0 when all
    went well, 1 when some inputs failed, 2 for a usage error, 3 when a model or the runtime
    is missing, 130 when interrupted.
    """
    require_subcommand(ctx)


def main(args: Sequence[str] | None = None, streams: Streams | None = None) -> int:
    """Run the command line and return its exit code.

    ``args`` are those of the process by default, and so are the streams. A bug is not caught:
    it leaves with Python's traceback and code 1.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    streams = Streams.of_process() if streams is None else streams
    with own_process(), warnings.catch_warnings():
        warnings.simplefilter("always", GenkitWarning)
        warnings.showwarning = partial(_show_warning, streams, set())
        try:
            code = _run(arguments, streams)
            streams.flush()
        except BrokenPipeError:  # the reader has had enough (`genkit ... | head -1`)
            streams.discard()
            return ExitCode.OK
        except OSError as error:  # a full disk, a folder that may not be written
            if error.errno is None:  # not of the system
                raise
            _show_origin(streams)
            # A file has its name in its errors; standard output has none.
            name = error.filename or ("standard output" if error.errno in UNWRITTEN else None)
            reason = error.strerror or str(error)
            streams.error(f"{name}: {reason}" if name else reason)
            streams.discard()
            return ExitCode.INPUT_FAILED
        except MemoryError:
            _show_origin(streams)
            streams.error("there is not enough memory for this")
            streams.discard()
            return ExitCode.INPUT_FAILED
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED
    return code


def _run(arguments: list[str], streams: Streams) -> int:
    command = typer.main.get_command(app)
    if "_GENKIT_COMPLETE" in os.environ:  # the shell asks what could follow
        command.main(arguments, prog_name="genkit")
    try:
        with command.make_context("genkit", arguments, obj=streams) as context:
            command.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.TyperException as error:  # Typer did not understand the arguments
        where = getattr(error, "ctx", None)
        hint = f"{where.command_path} --help" if where else None
        if hint and _may_be_text(error, where):
            hint += "; an argument that begins with a dash comes after --"
        streams.error(" ".join(error.format_message().split()).rstrip("."), hint)
        return ExitCode.USAGE
    except GenkitError as error:
        _show_origin(streams)
        streams.report(error)
        return error.exit_code
    return ExitCode.OK


def _may_be_text(error: typer.TyperException, context: Any) -> bool:
    """Whether an option that is not there, and is like none that is, may be meant as text."""
    return (
        type(error).__name__ == "NoSuchOption"
        and not getattr(error, "possibilities", None)
        and any(param.param_type_name == "argument" for param in context.command.params)
    )


def _show_origin(streams: Streams) -> None:
    """Show where the error that is being handled came from, if that was asked for."""
    if streams.verbosity >= 2 or os.environ.get("GENKIT_DEBUG"):
        print(printable(traceback.format_exc(), lines=True), end="", file=streams.stderr)


def _show_warning(
    streams: Streams,
    said: set[str],
    message: Warning | str,
    category: type[Warning],
    *_: object,
    **__: object,
) -> None:
    """Say a warning of ours, once of each item; one of a library is for those who look for a
    bug.
    """
    if issubclass(category, GenkitWarning):
        item = subject.get()
        text = f"{item}: {message}" if item else str(message)
        if text not in said:
            said.add(text)
            streams.warn(text)
    elif streams.verbosity >= 2:
        streams.warn(f"{category.__name__}: {message}")
