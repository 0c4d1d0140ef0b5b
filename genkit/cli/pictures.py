"""What all commands do that turn pictures into pictures: find, read, run, write, report.

Pictures are decoded and encoded by threads while the network runs, which so never waits for
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar

import typer

from genkit.errors import ExitCode, InputError, UsageError
from genkit.files import KINDS, PIPE, SUFFIXES, Job, Source, find_sources, plan, split_list
from genkit.streams import Streams, atomic_file
from genkit.text import read_chunks

if TYPE_CHECKING:
    from genkit.images import Picture

__all__ = [
    "AHEAD",
    "THREADS",
    "Batch",
    "Work",
    "find_jobs",
    "parse_kind",
    "read_bytes",
    "read_names",
    "read_picture",
    "run_jobs",
    "save_picture",
]

THREADS = 4
AHEAD = THREADS + 2
"""How many pictures wait for the network, decoded, and behind it, to be encoded."""

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Work(Generic[Loaded]):
    """What a command does with a picture."""

    load: Callable[[Source, bytes | None], Loaded]
    """Called in a thread: reads and decodes. The bytes are those of standard input."""
    open: Callable[[], Callable[[Loaded], Picture]]
    """Opens the model and returns what runs it; called once, if there is anything to do."""


@dataclass(frozen=True)
class Batch:
    """How results are written and reported."""

    quality: int | None
    overwrite: bool
    json: bool
    strip: bool = False
    """Leave out the metadata."""


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
) -> list[Job]:
    """What the arguments and options of a command come to. Raises UsageError or InputError."""
    named, listed = read_names(streams, names, files_from=files_from, null=null)
    named += listed
    kind = parse_kind(kind)
    exclude = None if output in (None, "-") else Path(str(output))
    jobs = plan(find_sources(named, recursive=recursive, exclude=exclude), output, kind)
    if any(job.target is None for job in jobs):
        if json:
            raise UsageError("standard output cannot hold both a picture and JSON", hint="add -o")
        if streams.stdout.isatty():
            raise UsageError("a terminal cannot show a picture", hint="add -o FILE, or a pipe")
    return jobs


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


def run_jobs(streams: Streams, jobs: Sequence[Job], work: Work[Loaded], batch: Batch) -> None:
    """Do the jobs, in order, and leave with the exit code for failure if one failed.

    A result that is there already is kept, unless it is to be overwritten. An input that
    cannot be used is reported and the others are done.
    """
    todo: list[Job] = []
    kept: list[Job] = []
    for job in jobs:
        there = job.target is not None and job.target.is_file() and not batch.overwrite
        (kept if there else todo).append(job)
    report = _Report(streams, batch.json)
    for job in kept:
        report.kept(job)
    if todo:
        _run(streams, todo, work, batch, report)
    if kept and not batch.json:
        streams.tell(f"kept {len(kept)} that were there already; --overwrite replaces them")
    if report.failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _run(
    streams: Streams, jobs: Sequence[Job], work: Work[Loaded], batch: Batch, report: _Report
) -> None:
    loading: deque[tuple[Job, Future[Loaded]]] = deque()
    saving: deque[tuple[Job, Future[Saved]]] = deque()
    waiting = iter(jobs)
    pool = ThreadPoolExecutor(THREADS, "pictures")

    def load_more() -> None:
        while len(loading) < AHEAD and (job := next(waiting, None)) is not None:
            # Read here: a thread that waits for a pipe could not be interrupted.
            piped = streams.stdin.read() if job.source.path is None else None
            loading.append((job, pool.submit(work.load, job.source, piped)))

    try:
        with streams.progress("pictures", len(jobs), unit="images") as advance:

            def finish_down_to(count: int) -> None:
                while len(saving) > count:
                    report.done(*saving.popleft())
                    advance(1)

            load_more()
            run = work.open()
            while loading:
                job, future = loading.popleft()
                load_more()
                saving.append((job, _after(future, run, job, batch, pool)))
                finish_down_to(AHEAD)
            finish_down_to(0)
    finally:
        pool.shutdown(cancel_futures=True)


def _after(
    loaded: Future[Loaded],
    run: Callable[[Loaded], Picture],
    job: Job,
    batch: Batch,
    pool: ThreadPoolExecutor,
) -> Future[Saved]:
    """Run a picture as soon as it is decoded and have the result saved; errors wait with it."""
    try:
        return pool.submit(
            save_picture, run(loaded.result()), job, batch.quality, strip=batch.strip
        )
    except InputError as error:
        failed: Future[Saved] = Future()
        failed.set_exception(error)
        return failed


@dataclass(frozen=True)
class Saved:
    """A result that was encoded: where it was not written to a file, its bytes."""

    height: int
    width: int
    data: bytes | None
    warnings: tuple[str, ...] = ()
    """What was found while it was read, and what it lost."""


def save_picture(
    picture: Picture, job: Job, quality: int | None = None, *, strip: bool = False
) -> Saved:
    """Encode a picture and write it where the job says, if that is a file; ``strip`` leaves out
    its metadata. Raises InputError.
    """
    from genkit.images import encode, losses

    if strip:
        picture = picture.without_metadata()
    data = encode(picture, job.kind, quality)
    warnings = (*picture.notes, *losses(picture, job.kind))
    if job.target is not None:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(job.target) as file:
            file.write(data)
    return Saved(*picture.size, None if job.target is not None else data, warnings)


@dataclass
class _Report:
    """Says what became of each job."""

    streams: Streams
    json: bool
    failed: int = 0

    def kept(self, job: Job) -> None:
        self.streams.note(f"{job.target} is there already")
        self._record(job, kept=True)

    def done(self, job: Job, future: Future[Saved]) -> None:
        try:
            saved = future.result()
        except InputError as error:
            self.failed += 1
            self.streams.report(error, str(job.source))
            self._record(job, error=error.message)
            return
        for warning in saved.warnings:
            self.streams.warn(f"{job.source}: {warning}")
        if saved.data is not None:
            self.streams.write(saved.data)
        self.streams.note(f"{job.source} -> {job.target or 'standard output'}")
        self._record(job, saved)

    def _record(
        self, job: Job, saved: Saved | None = None, *, kept: bool = False, error: str | None = None
    ) -> None:
        if self.json:
            self.streams.write_json(
                {
                    "input": str(job.source.path or "-"),
                    "output": None if error is not None else str(job.target),
                    "width": saved.width if saved else None,
                    "height": saved.height if saved else None,
                    "kept": kept,
                    "warnings": list(saved.warnings) if saved else [],
                    "error": error,
                }
            )
            self.streams.flush()


def read_picture(source: Source, piped: bytes | None = None) -> Picture:
    """Read and decode a picture. Raises InputError."""
    from genkit.images import decode

    try:
        if source.path is not None:
            piped = _read(source.path)
        assert piped is not None
        return decode(piped)
    except MemoryError as error:
        raise InputError("does not fit into memory") from error


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
