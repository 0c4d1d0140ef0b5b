"""Which pictures to read, and where each result goes: decided before anything is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genkit.errors import UsageError

__all__ = [
    "KINDS",
    "READABLE",
    "SUFFIXES",
    "Job",
    "Source",
    "find_sources",
    "is_folder",
    "kind_of",
    "plan",
    "split_list",
    "stream_sources",
]

PIPE = "-"
KINDS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
"""What can be written, and the suffix of a new file of that kind."""
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
READABLE = (*SUFFIXES, ".gif")
"""The files of a folder that are taken for pictures. A file that is named may be called anything."""


@dataclass(frozen=True)
class Source:
    """A picture to read."""

    path: Path | None
    """None is standard input."""
    place: Path
    """Where its result goes below an output folder, the suffix aside."""

    def __str__(self) -> str:
        return "standard input" if self.path is None else str(self.path)


@dataclass(frozen=True)
class Job:
    """A picture to read, and where and as what to write its result."""

    source: Source
    target: Path | None
    """None is standard output."""
    kind: str


def find_sources(
    names: Sequence[str], *, recursive: bool = False, exclude: Path | None = None
) -> list[Source]:
    """The pictures that were named: files, folders, or ``-`` for standard input.

    Folders are searched by suffix, their subfolders only if ``recursive``, and never the
    folder ``exclude``, which is where results go. Raises UsageError if there are none.
    """
    sources = list(_sources(names, recursive, exclude))
    if not sources:
        raise UsageError("no pictures are named", hint="name files or folders, or - for a pipe")
    if sum(source.path is None for source in sources) > 1:
        raise UsageError("standard input holds one picture, but - is named twice")
    return sources


def split_list(chunks: Iterable[bytes], null: bool) -> Iterator[str]:
    """The names in a list of files, each as soon as it is there whole: one a line, or separated
    by NUL bytes.
    """
    end = b"\0" if null else b"\n"
    begun = b""
    for chunk in chunks:
        *names, begun = (begun + chunk).split(end)
        yield from _decoded(names, null)
    yield from _decoded([begun], null)


def stream_sources(names: Iterable[str], *, recursive: bool = False) -> Iterator[Source]:
    """The pictures of a list of files and folders, each as soon as it is named.

    A folder without pictures is taken for a picture: an input that will fail, and no reason to
    end a run in its middle.
    """
    for name in names:
        path = Path(name)
        try:
            folder = path.is_dir()
        except OSError:  # a line that is too long for a name
            folder = False
        found = _pictures(path, recursive, None) if folder else iter(())
        first = next(found, None)
        yield first or Source(path, Path(path.name))
        yield from found


def plan(sources: Sequence[Source], output: str | None, kind: str | None) -> list[Job]:
    """Where the result of each source goes.

    ``output`` is a folder, the file for a single picture, or ``-`` or None for standard output.
    ``kind`` is the format wanted; by default the suffix of the file decides or, in a folder,
    that of the source. Raises UsageError where that makes no sense, or where two results
    would go to one file.
    """
    if output in (None, PIPE):
        if len(sources) > 1:
            raise UsageError(f"{len(sources)} pictures need a folder to go to", hint="add -o DIR")
        return [Job(sources[0], None, kind or "png")]
    assert output is not None
    path = Path(output)
    if len(sources) > 1 or is_folder(output):
        if path.exists() and not path.is_dir():
            raise UsageError(f"{len(sources)} pictures cannot go into the file {path}")
        if len(sources) > 1 and path.suffix.lower() in SUFFIXES and not path.exists():
            raise UsageError(
                f"{len(sources)} pictures cannot go into the file {path}", hint="name a folder"
            )
        jobs = [_in_folder(source, path, kind) for source in sources]
    else:
        jobs = [Job(sources[0], path, kind or kind_of(path))]
    _refuse_shared_targets(jobs)
    return jobs


def _decoded(names: Iterable[bytes], null: bool) -> Iterator[str]:
    for name in names:
        if not null:
            name = name.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)


def _sources(names: Iterable[str], recursive: bool, exclude: Path | None) -> Iterator[Source]:
    for name in names:
        path = Path(name)
        if name == PIPE:
            yield Source(None, Path("stdin"))
        elif path.is_dir():
            found = list(_pictures(path, recursive, exclude))
            if not found:
                hint = None if recursive else "-r looks into its subfolders too"
                raise UsageError(f"{path} holds no pictures", hint=hint)
            yield from found
        else:
            yield Source(path, Path(path.name))


def _pictures(folder: Path, recursive: bool, exclude: Path | None) -> Iterator[Source]:
    hidden = os.path.realpath(exclude) if exclude is not None else None
    for place, folders, files in os.walk(folder):
        below = Path(place)
        kept = (f for f in sorted(folders) if not f.startswith("."))
        folders[:] = [f for f in kept if recursive and os.path.realpath(below / f) != hidden]
        for file in sorted(files):
            path = below / file
            if path.suffix.lower() in READABLE and not file.startswith("."):
                yield Source(path, path.relative_to(folder))


def is_folder(output: str) -> bool:
    """Whether ``-o`` means a folder: it is one, ends with a slash, or is new and has no suffix."""
    path = Path(output)
    separators = (os.sep, os.altsep or os.sep)
    return path.is_dir() or output.endswith(separators) or (not path.exists() and not path.suffix)


def kind_of(path: Path) -> str:
    """The format that a suffix stands for; png without one. Raises UsageError for others."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None and path.suffix:
        raise UsageError(
            f"{path}: cannot write pictures of this kind",
            hint=f"--format {'|'.join(KINDS)}, or one of: {', '.join(SUFFIXES)}",
        )
    return kind or "png"


def _in_folder(source: Source, folder: Path, kind: str | None) -> Job:
    suffix = source.place.suffix
    own = SUFFIXES.get(suffix.lower())
    kind = kind or own or "png"
    place = source.place if kind == own else source.place.with_suffix(KINDS[kind])
    return Job(source, folder / place, kind)


def _refuse_shared_targets(jobs: Iterable[Job]) -> None:
    claimed: dict[str, Source] = {}
    for job in jobs:
        key = os.path.normcase(os.path.realpath(str(job.target)))
        if key in claimed:
            raise UsageError(
                f"{claimed[key]} and {job.source} would both be written to {job.target}",
                hint="name their common folder with -r, or run them one after the other",
            )
        claimed[key] = job.source
