"""Which documents ``genkit translate -r`` reads, and where each result goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genkit.documents.formats import Format, format_of
from genkit.errors import UsageError
from genkit.targets import is_folder

__all__ = ["DocumentJob", "plan_documents"]


@dataclass(frozen=True)
class DocumentJob:
    """A file, where its result goes (None: standard output), and what it is.

    ``place`` is its name below the folder that was named. Without a ``kind`` it is no document,
    and is copied.
    """

    source: Path
    place: Path
    target: Path | None
    kind: Format | None


def plan_documents(
    names: Sequence[str], output: Path | None, forced: Format | None
) -> list[DocumentJob]:
    """The jobs for files and folders, in order. Raises UsageError.

    A file that is named is of the ``forced`` format, or that of its suffix, or plain text. In a
    folder the suffix decides, and ``forced`` leaves files of other formats to be copied. What
    is hidden is left out, and so is the folder of the results.
    """
    if not names:
        raise UsageError("no files are named", hint="genkit translate -r FOLDER -o FOLDER")
    into_folder = len(names) > 1 or any(Path(name).is_dir() for name in names)
    if output is None and into_folder:
        raise UsageError("several files need a folder to go to", hint="add -o FOLDER")
    if into_folder and output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"several files cannot go into the file {output}")
    folder = output if output is not None and (into_folder or is_folder(str(output))) else None
    jobs = []
    for name in names:
        for source, place in _files(Path(name), folder):
            kind = format_of(source)
            if not Path(name).is_dir():
                kind = forced or kind or format_of("named.txt")
            elif forced is not None and kind is not forced:
                kind = None
            target = output if folder is None else folder / place
            jobs.append(DocumentJob(source, place, target, kind))
    return _distinct(jobs)


def _files(path: Path, output: Path | None) -> Iterator[tuple[Path, Path]]:
    """The files of a folder with their names below it; or the file itself."""
    if not path.is_dir():
        yield path, Path(path.name)
        return
    hidden = None if output is None else os.path.realpath(output)
    if os.path.realpath(path) == hidden:
        raise UsageError(f"{path} cannot be translated into itself", hint="name another folder")
    for place, folders, files in os.walk(path):
        below = Path(place)
        kept = (name for name in sorted(folders) if not name.startswith("."))
        folders[:] = [name for name in kept if os.path.realpath(below / name) != hidden]
        for file in sorted(files):
            # A pipe or a socket would be waited for.
            if not file.startswith(".") and (below / file).is_file():
                yield below / file, (below / file).relative_to(path)


def _distinct(jobs: Sequence[DocumentJob]) -> list[DocumentJob]:
    """The jobs, each once. Raises UsageError if two results would go to one file."""
    claimed: dict[str, DocumentJob] = {}
    kept = []
    for job in jobs:
        key = "" if job.target is None else os.path.normcase(os.path.realpath(job.target))
        other = claimed.setdefault(key, job)
        if other is job:
            kept.append(job)
        elif os.path.realpath(other.source) != os.path.realpath(job.source):
            raise UsageError(
                f"{other.source} and {job.source} would both be written to {job.target}",
                hint="name their common folder, or run them one after the other",
            )
    return kept
