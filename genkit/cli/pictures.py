"""What all commands do that turn images into images: read, run, write, keep, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import typer

from genkit.cli.inputs import (
    find_jobs,
    parse_kind,
    read_bytes,
    read_names,
    read_picture,
    read_source,
)
from genkit.cli.pipeline import AHEAD, THREADS, Finished, Steps, run_items
from genkit.cli.subject import working_on
from genkit.errors import ExitCode, InputError, UsageError
from genkit.files import PIPE, Source
from genkit.provenance import Record, differences, embed, hash_of, read_record
from genkit.streams import Streams
from genkit.targets import Job
from genkit.writing import atomic_file, is_there

if TYPE_CHECKING:
    from genkit.images import Picture

__all__ = [
    "AHEAD",
    "THREADS",
    "Batch",
    "Counts",
    "DifferentError",
    "Kept",
    "Saved",
    "Work",
    "find_jobs",
    "kept_or_refused",
    "parse_kind",
    "read_bytes",
    "read_names",
    "read_picture",
    "read_source",
    "run_jobs",
    "save_picture",
    "tell_kept",
    "write_result",
]

LOSSY = ("jpeg", "webp")

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Work(Generic[Loaded]):
    """What a command does with an image."""

    load: Callable[[Source, bytes | None], Loaded]
    """Called in a thread: decodes what was read."""
    open: Callable[[], Callable[[Loaded], Picture]]
    """Opens the model and returns what runs it; called once, if there is anything to do."""
    record: Callable[[Source], Record] | None = None
    """Called in a thread: what is to make a result (see genkit.provenance), the input aside."""
    precision: Callable[[], str] = lambda: "auto"
    """The precision that the opened model runs in."""


@dataclass(frozen=True)
class Batch:
    """How results are written and reported."""

    quality: int | None
    overwrite: bool
    json: bool
    strip: bool = False
    """Leave out the metadata."""


@dataclass(frozen=True)
class Saved:
    """A result that was written: where it was not written to a file, its bytes."""

    height: int
    width: int
    data: bytes | None
    made: Record | None
    """The record that is in it."""
    warnings: tuple[str, ...] = ()
    """What was found while it was read, and what it lost."""


@dataclass(frozen=True)
class Kept:
    """A result that was there already, as it is asked for or, without a record, perhaps."""

    made: Record | None


class DifferentError(InputError):
    """There is a result of the name, and something else made it."""


@dataclass(frozen=True)
class _Ready(Generic[Loaded]):
    """An image that can be run."""

    job: Job
    loaded: Loaded
    record: Record | None


def run_jobs(streams: Streams, jobs: Sequence[Job], work: Work[Loaded], batch: Batch) -> None:
    """Do the jobs, in order, and leave with the exit code for failure if one failed.

    A result that is there already is kept, unless it is to be overwritten; one that was made
    by something else is an error of its job. What goes wrong with an input or a result is
    reported, and the others are done.
    """
    run: Callable[[Loaded], Picture] | None = None

    def opened() -> Callable[[Loaded], Picture]:
        nonlocal run
        if run is None:
            run = work.open()
        return run

    def begin() -> None:
        if batch.overwrite or not all(job.target and is_there(job.target) for job in jobs):
            opened()

    def load(job: Job, piped: bytes | None) -> _Ready[Loaded] | Finished[Saved | Kept]:
        data = read_source(job.source, piped)
        record = None
        if work.record is not None:
            record = work.record(job.source) | {"input": hash_of(data), "format": job.kind}
            if batch.quality is not None and job.kind in LOSSY:
                record["quality"] = batch.quality
            if batch.strip:
                record["strip_metadata"] = True
        if job.target is not None and not batch.overwrite and is_there(job.target):
            return Finished(kept_or_refused(job.target, record))
        return _Ready(job, work.load(job.source, data), record)

    def run_one(ready: _Ready[Loaded]) -> Picture:
        run = opened()
        with working_on(ready.job):
            return run(ready.loaded)

    def save(job: Job, ready: _Ready[Loaded], picture: Picture) -> Saved | Kept:
        record = ready.record
        if record is not None:
            record |= {"precision": work.precision()}
        return save_picture(picture, job, batch.quality, record, strip=batch.strip)

    with streams.progress("pictures", len(jobs), unit="images") as advance:
        report = _Report(streams, batch.json, advance)
        run_items(
            jobs,
            Steps(
                load=load,
                run=lambda batch: [run_one(ready) for ready in batch],
                save=save,
                report=report.done,
                pipe=lambda job: streams.stdin.read() if job.source.path is None else None,
                begin=begin,
            ),
        )
    tell_kept(streams, report, batch.json)
    if report.failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def kept_or_refused(target: Path, asked: Record | None) -> Kept:
    """A result that is there. Raises DifferentError if its record says that it is another one."""
    try:
        found = read_record(target)
    except OSError:
        found = None
    if found is not None and asked is not None:
        found_otherwise = differences(asked, found)
        if found_otherwise:
            raise DifferentError(f"{target} was made otherwise: {', '.join(found_otherwise)}")
    return Kept(found)


def save_picture(
    picture: Picture,
    job: Job,
    quality: int | None = None,
    record: Record | None = None,
    *,
    strip: bool = False,
) -> Saved:
    """Encode a picture, with a record of what made it, and write it where the job says, if that
    is a file; ``strip`` leaves out its metadata. Raises InputError or OSError.
    """
    from genkit.images import encode, losses

    if strip:
        picture = picture.without_metadata()
    data = encode(picture, job.kind, quality)
    warnings = (*picture.notes, *losses(picture, job.kind))
    if record is not None:
        data = embed(data, record)
    if job.target is not None:
        write_result(job.target, data)
    written = None if job.target is not None else data
    return Saved(*picture.size, written, record, warnings)


def write_result(path: Path, data: bytes) -> None:
    """Write one result of many, and the folders above it. Raises InputError or OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_file(path) as file:
            file.write(data)
    except UsageError as error:  # its hint is for the one file that -o names
        raise InputError(error.message) from error


@dataclass
class Counts:
    """How many results were there already, and how many there are not."""

    kept: int = field(default=0, init=False)
    unknown: int = field(default=0, init=False)
    """Of those kept: without a record of what made them."""
    different: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)

    def keep(self, kept: Kept) -> None:
        """Count a result that was there."""
        self.kept += 1
        self.unknown += kept.made is None

    def fail(self, error: InputError) -> None:
        """Count one that is not there as it was asked for."""
        self.failed += 1
        self.different += isinstance(error, DifferentError)


def tell_kept(streams: Streams, counts: Counts, json: bool) -> None:
    """Say what was kept; where records of JSON tell it too, only what they cannot know."""
    if counts.kept and (counts.unknown or not json):
        unknown = (
            f", {counts.unknown} of them without a record of what made them"
            if counts.unknown
            else ""
        )
        streams.tell(
            f"kept {counts.kept} that were there already{unknown}; --overwrite replaces them"
        )
    if counts.different:
        streams.tell(f"kept {counts.different} that were made otherwise; --overwrite replaces them")


@dataclass
class _Report(Counts):
    """Says what became of each job."""

    streams: Streams
    json: bool
    advance: Callable[[float], None]

    def done(self, job: Job, outcome: Saved | Kept | InputError) -> None:
        """Say it of one job."""
        self.advance(1)
        if isinstance(outcome, InputError):
            self.fail(outcome)
            self.streams.report(outcome, str(job.source))
            self._record(job, error=outcome.message)
        elif isinstance(outcome, Kept):
            self.keep(outcome)
            self.streams.note(f"{job.target} is there already")
            self._record(job, made=outcome.made, kept=True)
        else:
            for warning in outcome.warnings:
                self.streams.warn(f"{job.source}: {warning}")
            if outcome.data is not None:
                self.streams.write(outcome.data)
            self.streams.note(f"{job.source} -> {job.target or 'standard output'}")
            self._record(job, outcome, made=outcome.made)

    def _record(
        self,
        job: Job,
        saved: Saved | None = None,
        *,
        made: Record | None = None,
        kept: bool = False,
        error: str | None = None,
    ) -> None:
        if self.json:
            self.streams.write_json(
                {
                    "input": str(job.source.path or PIPE),
                    "output": None if error is not None else str(job.target),
                    "width": saved.width if saved else None,
                    "height": saved.height if saved else None,
                    "kept": kept,
                    "made": made,
                    "warnings": list(saved.warnings) if saved else [],
                    "error": error,
                }
            )
            self.streams.flush()
