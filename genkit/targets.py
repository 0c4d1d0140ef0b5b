"""Where results go: decided before anything is done, and never over an input."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genkit.errors import InputError, UsageError
from genkit.files import IMAGES, KINDS, SUFFIXES, Source, kind_inside
from genkit.writing import is_stdout

__all__ = ["Job", "is_folder", "kind_of", "plan", "refuse_targets"]


@dataclass(frozen=True)
class Job:
    """An image to read, and where and as what to write its result."""

    source: Source
    target: Path | None
    """None is standard output."""
    kind: str

    def __str__(self) -> str:
        return str(self.source)


def plan(sources: Sequence[Source], output: str | None, kind: str | None) -> list[Job]:
    """Where the result of each source goes.

    ``output`` is a folder, the file for a single image, or ``-`` or None for standard output.
    ``kind`` is the format wanted; by default the suffix of the file decides or, in a folder,
    what the source holds. Results that would have one name get longer ones, of more of the
    name and the place of their sources; an image that is named twice is done once. Raises
    UsageError where that makes no sense, or where a result would replace an input.
    """
    if output is None or is_stdout(output):
        if len(sources) > 1:
            raise UsageError(f"{len(sources)} pictures need a folder to go to", hint="add -o DIR")
        return [Job(sources[0], None, kind or "png")]
    path = Path(output)
    if len(sources) > 1 or is_folder(output):
        if _is_there(path) and not _is_dir(path):
            raise UsageError(f"{len(sources)} pictures cannot go into the file {path}")
        if len(sources) > 1 and path.suffix.lower() in SUFFIXES and not _is_there(path):
            raise UsageError(
                f"{len(sources)} pictures cannot go into the file {path}", hint="name a folder"
            )
        jobs = _parted([_in_folder(source, path, kind) for source in sources], path)
    else:
        jobs = [Job(sources[0], path, kind or kind_of(path))]
    targets = [job.target for job in jobs if job.target is not None]
    refuse_targets(targets, (source.path for source in sources if source.path is not None))
    return jobs


def refuse_targets(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise UsageError if a result would replace a file that is read: by its name, or by a link."""
    read: dict[object, Path] = {}
    for path in inputs:
        for key in _keys(path):
            read.setdefault(key, path)
    for target in targets:
        for key in _keys(target):
            if key in read:
                also = "" if str(read[key]) == str(target) else f", which is {target}"
                raise UsageError(
                    f"a result would replace its input {read[key]}{also}",
                    hint="name another place for results",
                )


def is_folder(output: str) -> bool:
    """Whether ``-o`` means a folder: it is one, ends with a slash, or is new and has no suffix."""
    path = Path(output)
    separators = (os.sep, os.altsep or os.sep)
    return _is_dir(path) or output.endswith(separators) or not (_is_there(path) or path.suffix)


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
    suffix = source.place.suffix.lower()
    kind = kind or _kind_held(source)
    if SUFFIXES.get(suffix) == kind:
        return Job(source, folder / source.place, kind)
    if suffix in IMAGES:
        return Job(source, folder / source.place.with_suffix(KINDS[kind]), kind)
    return Job(source, folder / _named_in_full(source.place, kind), kind)


def _kind_held(source: Source) -> str:
    """The kind of a source, by what it holds or else by its suffix; png if that is not written."""
    held = None
    if source.path is not None and source.problem is None:
        try:
            held = kind_inside(source.path)
        except (OSError, ValueError):
            held = None  # told when it is read
    held = held or SUFFIXES.get(source.place.suffix.lower())
    return held if held in KINDS else "png"


def _named_in_full(place: Path, kind: str) -> Path:
    """A name that keeps the suffix of the source: ``a.gif.png``."""
    return place.with_name(place.name + KINDS[kind]) if place.name else Path("image" + KINDS[kind])


def _parted(jobs: Sequence[Job], folder: Path) -> list[Job]:
    """The jobs, each with a target of its own, and each source once."""
    once = list({(_key(job.source.path), _key(job.target)): job for job in reversed(jobs)}.values())
    parted = once[::-1]
    # First more of the name, then folders of the source: one, two, ... as far as it has any.
    most = max((len(job.source.path.parts) for job in parted if job.source.path), default=0)
    for parents in range(most + 1):
        clashes = _clashes(parted)
        if not clashes:
            break
        for places in clashes:
            for i in places:
                parted[i] = _with_more_of_its_name(parted[i], folder, parents)
    for places in _clashes(parted):
        for i in places[1:]:
            problem = InputError(f"{parted[places[0]].source} is written to {parted[i].target}")
            parted[i] = replace(parted[i], source=replace(parted[i].source, problem=problem))
    return parted


def _clashes(jobs: Sequence[Job]) -> list[list[int]]:
    """The jobs that would write one file, those aside that keep the whole name of their source."""
    claimed = defaultdict(list)
    for i, job in enumerate(jobs):
        if job.source.problem is None:
            claimed[_key(job.target)].append(i)
    clashes = [places for places in claimed.values() if len(places) > 1]
    for places in clashes:
        own = [i for i in places if _name(jobs[i].target) == jobs[i].source.place.name]
        if len(own) == 1:
            places.remove(own[0])
    return clashes


def _with_more_of_its_name(job: Job, folder: Path, parents: int) -> Job:
    place = job.source.place
    if place.name != _name(job.target) and SUFFIXES.get(place.suffix.lower()) != job.kind:
        place = _named_in_full(place, job.kind)
    if job.source.path is not None and parents:
        above = job.source.path.parts[: -len(job.source.place.parts)]
        above = tuple(part for part in above if part not in ("..", job.source.path.anchor))
        place = Path(*above[-parents:], place)
    return replace(job, target=folder / place)


def _name(path: Path | None) -> str:
    return "" if path is None else path.name


def _key(path: Path | None) -> str:
    try:
        return os.path.normcase(os.path.realpath(path or os.curdir))
    except ValueError:  # a NUL, in Python before 3.13
        return str(path)


def _keys(path: Path) -> list[object]:
    """What tells a plain file: where it really is and, for hard links, its number."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return [_key(path)]
    if not stat.S_ISREG(status.st_mode):
        return []
    return [_key(path), (status.st_dev, status.st_ino)] if status.st_ino else [_key(path)]


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # told when it is written
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
