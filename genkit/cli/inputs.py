"""What the commands for images read: names, lists of names, folders, files, standard input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from genkit.errors import InputError, UsageError
from genkit.files import KINDS, PIPE, SUFFIXES, LeftOut, Source, find_sources, split_list
from genkit.streams import Streams
from genkit.targets import Job, plan, refuse_targets
from genkit.text import read_chunks
from genkit.writing import is_stdout

if TYPE_CHECKING:
    from genkit.images import Picture

__all__ = [
    "find_jobs",
    "parse_kind",
    "read_bytes",
    "read_names",
    "read_picture",
    "read_source",
    "tell_left_out",
]


def find_jobs(
    streams: Streams,
    names: Sequence[str] | None,
    *,
    files_from: str | None,
    null: bool,
    recursive: bool,
    output: str | None,
    kind: str | None,
    json: bool,
    exclude: Sequence[Path] = (),
) -> list[Job]:
    """What the arguments and options of a command come to. Raises UsageError or InputError.

    Results, and the files and folders of ``exclude``, are no inputs where a folder has them.
    """
    named, listed = read_names(streams, names, files_from=files_from, null=null)
    kind = parse_kind(kind)
    if output is not None and not is_stdout(output):
        exclude = [*exclude, Path(output)]
    left_out = LeftOut()
    sources = find_sources(named, listed, recursive=recursive, exclude=exclude, left_out=left_out)
    jobs = plan(sources, output, kind)
    if files_from is not None and files_from != PIPE:
        refuse_targets([job.target for job in jobs if job.target], [Path(files_from)])
    if any(job.target is None for job in jobs):
        if json:
            raise UsageError("standard output cannot hold both a picture and JSON", hint="add -o")
        if streams.stdout.isatty():
            raise UsageError("a terminal cannot show a picture", hint="add -o FILE, or a pipe")
    tell_left_out(streams, left_out)
    return jobs


def tell_left_out(streams: Streams, left_out: LeftOut) -> None:
    """Say how many files of folders are not read, if there are any."""
    if left_out.kinds:
        streams.tell(str(left_out))


def read_names(
    streams: Streams, names: Sequence[str] | None, *, files_from: str | None, null: bool
) -> tuple[list[str], Iterator[str]]:
    """The names that are arguments, and those of ``--files-from``, which are read when they are
    asked for. Raises UsageError or InputError.
    """
    named = list(names or ())
    if null and files_from is None:
        raise UsageError("-0 says how --files-from is read, which is not given")
    if PIPE in named and files_from == PIPE:
        raise UsageError("standard input cannot hold both a picture and the list of files")
    if PIPE in named and streams.stdin.isatty():
        raise UsageError("standard input is a terminal, not a picture", hint="name a file")
    if files_from is None:
        return named, iter(())
    if files_from == PIPE:
        return named, split_list(read_chunks(streams.stdin), null)
    try:
        file = Path(files_from).open("rb", buffering=0)  # noqa: SIM115 - closed by _chunks_of
    except OSError as error:
        raise InputError(f"{files_from}: {error.strerror}") from error
    return named, split_list(_chunks_of(file), null)


def _chunks_of(file: BinaryIO) -> Iterator[bytes]:
    with file:
        yield from read_chunks(file)


def read_source(source: Source, piped: bytes | None = None) -> bytes:
    """The bytes of a source, which are ``piped`` for standard input. Raises InputError."""
    if source.problem is not None:
        raise source.problem
    if piped is not None:
        return piped
    assert source.path is not None
    return _read(source.path)


def read_picture(source: Source, piped: bytes | None = None) -> Picture:
    """Decode a picture, of bytes that were read or of its file. Raises InputError."""
    from genkit.images import decode

    return decode(read_source(source, piped))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    except ValueError as error:  # a list that was made for -0 and is read by lines
        raise InputError("its name has a NUL byte", hint="-0 parts the names at them") from error


def read_bytes(path: Path) -> bytes:
    """The contents of a file. Raises InputError, which names it."""
    try:
        return _read(path)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error


def parse_kind(name: str | None) -> str | None:
    """What ``--format`` names: a format, or a suffix of it."""
    if name is None:
        return None
    kind = SUFFIXES.get(f".{name.lower()}", name.lower())
    if kind not in KINDS:
        raise UsageError(f"unknown format {name!r}", hint=f"one of: {', '.join(KINDS)}")
    return kind
