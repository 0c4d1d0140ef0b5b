"""Where the pictures of ``genkit sample`` go: a folder, one file, a pipe, the terminal."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import typer

from genkit.alpha import opaque, split
from genkit.cli.pictures import (
    Counts,
    Kept,
    kept_or_refused,
    parse_kind,
    tell_kept,
    write_result,
)
from genkit.cli.pipeline import Finished, Steps, as_input_error, run_items
from genkit.cli.recorder import Recorder
from genkit.cli.shots import Plan, Shot
from genkit.errors import ExitCode, InputError, UsageError
from genkit.files import KINDS
from genkit.grid import ANIMATIONS, encode_animation, grid, half_blocks, squarest, with_labels
from genkit.images import Picture, encode
from genkit.pixels import Pixels
from genkit.provenance import Record, embed
from genkit.streams import Streams
from genkit.targets import is_folder, kind_of
from genkit.writing import atomic_file, is_stdout, is_there

__all__ = ["Gallery", "Target", "find_target"]

AHEAD = 64
"""How many pictures may wait to be encoded and written."""
GAP = 2
"""Pixels between pictures that are not enlarged."""
MOST_SHOWN = 64
"""Pictures in a preview."""

Made = Iterator[tuple[Shot, Pixels]]


@dataclass(frozen=True)
class Target:
    """Where pictures go."""

    kind: str
    """png, jpeg, webp or tiff; of animations png, webp or gif."""
    folder: Path | None = None
    file: Path | None = None
    pipe: bool = False

    @property
    def is_written(self) -> bool:
        """Whether there is a file or a pipe; else the pictures are shown, and no more."""
        return self.folder is not None or self.file is not None or self.pipe


def find_target(
    output: str | None, kind: str | None, layout: str, count: int, *, streams: Streams, shown: bool
) -> Target:
    """What ``-o`` and ``--format`` come to for a plan of some layout.

    Raises UsageError where that makes no sense. Without ``-o`` pictures go to standard output,
    unless they are ``shown`` or it is a terminal that can show them.
    """
    wanted = _parse_animation(kind) if layout == "frames" else parse_kind(kind)
    if output is None and (shown or can_show(streams)):
        return Target(wanted or "png")
    several = layout == "files" and count > 1
    if output is None or is_stdout(output):
        if streams.stdout.isatty():
            raise UsageError("a terminal cannot show a picture", hint="add -o FILE, or a pipe")
        if several:
            raise UsageError(
                f"a pipe takes one picture, not {count}", hint="--grid makes one of them"
            )
        return Target(wanted or "png", pipe=True)
    path = Path(output)
    if is_folder(output):
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is not a folder")
        if layout == "grid":
            raise UsageError(f"all are one picture, and {path} is a folder", hint="name a file")
        if layout == "frames" and wanted == "gif":
            raise UsageError("frames in a folder are not written as GIF", hint="--format png")
        return Target(wanted or "png", folder=path)
    if several:
        raise UsageError(
            f"{count} pictures cannot go into the file {path}",
            hint="--grid makes one of them; or name a folder",
        )
    if wanted is None:
        wanted = _animation_of(path) if layout == "frames" else kind_of(path)
    return Target(wanted, file=path)


def can_show(streams: Streams) -> bool:
    """Whether standard output is a terminal that shows colours."""
    return streams.stdout.isatty() and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True)
class Gallery:
    """Writes what is made, shows it, and tells about it."""

    streams: Streams
    target: Target
    recorder: Recorder
    scale: int
    batch: int
    overwrite: bool
    json: bool
    shown: bool
    counts: Counts = field(default_factory=Counts, init=False)

    def fill(self, plan: Plan, make: Callable[[Iterable[Shot]], Made]) -> None:
        """Make the pictures of a plan and write them; ``make`` is given those that are missing.

        What is there already is kept, unless it is to be overwritten; if something else made
        it, that is an error. Leaves with the exit code for failure if there was one.
        """
        if self.target.folder is not None:
            self._fill_folder(plan, self.target.folder, make)
        else:
            self._fill_one(plan, make)
        tell_kept(self.streams, self.counts, self.json)
        if self.counts.failed:
            raise typer.Exit(ExitCode.INPUT_FAILED)

    # One file, a pipe, or nothing but the terminal

    def _fill_one(self, plan: Plan, make: Callable[[Iterable[Shot]], Made]) -> None:
        outcome: Kept | Record | InputError
        try:
            outcome = self._make_one(plan, make)
        except UsageError:
            raise
        except Exception as error:
            outcome = as_input_error(error)
            self.counts.fail(outcome)
            self.streams.report(outcome)
        if isinstance(outcome, Kept):
            self.counts.keep(outcome)
        for shot in plan.shots() if self.json else ():
            self._record(shot, self.target.file, outcome, grid=plan.layout == "grid")

    def _make_one(self, plan: Plan, make: Callable[[Iterable[Shot]], Made]) -> Kept | Record:
        record = self.recorder.of_plan(plan) if self.target.is_written else {}
        if self.target.file is not None and not self.overwrite and is_there(self.target.file):
            return kept_or_refused(self.target.file, record)
        shots = plan.shots()
        if not self.target.is_written:
            if not self._draws:
                return record
            if plan.layout != "grid":
                shots = islice(shots, MOST_SHOWN)
        with self.streams.progress("pictures", plan.count, unit="images") as advance:
            made = _counted(make(shots), advance)
            canvas, data = (self._lay_out if plan.layout == "grid" else self._line_up)(plan, made)
        if self.target.is_written:
            record = self.recorder.completed(record)
            data = embed(data, record)
        if self.target.file is not None:
            self.target.file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.target.file) as file:
                file.write(data)
            self.streams.note(f"{plan.count} picture(s) -> {self.target.file}")
        elif self.target.pipe:
            self.streams.write(data)
        self._show(canvas)
        return record

    def _lay_out(self, plan: Plan, made: Made) -> tuple[Pixels, bytes]:
        """All pictures in a grid: what is shown of it, and the file."""
        placed = ((shot.place, pixels) for shot, pixels in made)
        canvas = grid(placed, plan.columns, plan.rows, GAP * self.scale)
        if not self.target.is_written:
            return canvas, b""
        if not plan.row_names:
            return canvas, self._encode(canvas)
        return canvas, self._encode(
            with_labels(opaque(canvas), plan.row_names, plan.column_names, self.scale)
        )

    def _line_up(self, plan: Plan, made: Made) -> tuple[Pixels, bytes]:
        """One picture, or one after the other: the first few of them, and the file."""
        first: list[Pixels] = []

        def watched() -> Iterator[Pixels]:
            for _, pixels in made:
                if len(first) < MOST_SHOWN:
                    first.append(pixels)
                yield pixels

        if plan.layout == "frames" and self.target.is_written:
            fps, quality = self.recorder.fps, self.recorder.quality
            still = (opaque(pixels) for pixels in watched())
            data = encode_animation(still, self.target.kind, fps, quality)
        else:
            (last,) = deque(watched(), maxlen=1)
            data = self._encode(last) if self.target.is_written else b""
        return _contact_sheet(first), data

    # A folder

    def _fill_folder(
        self, plan: Plan, folder: Path, make: Callable[[Iterable[Shot]], Made]
    ) -> None:
        shown: list[Pixels] = []
        folder.mkdir(parents=True, exist_ok=True)

        def path_of(shot: Shot) -> Path:
            return folder / f"{shot.stem}{KINDS[self.target.kind]}"

        def load(shot: Shot, _: bytes | None) -> tuple[Shot, Record] | Finished[Kept | Record]:
            record, path = self.recorder.of_shot(shot), path_of(shot)
            if is_there(path) and not self.overwrite:
                return Finished(kept_or_refused(path, record))
            return shot, record

        def run(batch: Sequence[tuple[Shot, Record]]) -> list[Pixels]:
            made = [pixels for _, pixels in make(shot for shot, _ in batch)]
            if self._draws:
                shown.extend(made[: MOST_SHOWN - len(shown)])
            return made

        def save(shot: Shot, loaded: tuple[Shot, Record], pixels: Pixels) -> Kept | Record:
            record = self.recorder.completed(loaded[1])
            write_result(path_of(shot), embed(self._encode(pixels), record))
            return record

        def report(shot: Shot, outcome: Kept | Record | InputError) -> None:
            advance(1)
            if isinstance(outcome, InputError):
                self.counts.fail(outcome)
                self.streams.report(outcome, shot.stem)
            elif isinstance(outcome, Kept):
                self.counts.keep(outcome)
            else:
                self.streams.note(f"{shot.stem} -> {path_of(shot)}")
            self._record(shot, path_of(shot), outcome)

        with self.streams.progress("pictures", plan.count, unit="images") as advance:
            steps = Steps(load=load, run=run, save=save, report=report)
            run_items(plan.shots(), steps, size=self.batch, behind=AHEAD)
        if shown:
            self._show(_contact_sheet(shown))

    # What both do

    def _encode(self, pixels: Pixels) -> bytes:
        return encode(Picture(*split(pixels)), self.target.kind, self.recorder.quality)

    @property
    def _draws(self) -> bool:
        """Whether pictures are drawn in the terminal too, or only there."""
        return (self.shown or not self.target.is_written) and can_show(self.streams)

    def _show(self, pixels: Pixels) -> None:
        if self._draws:
            truecolor = os.environ.get("COLORTERM") in ("truecolor", "24bit")
            columns = shutil.get_terminal_size().columns
            self.streams.write(half_blocks(opaque(pixels), columns, truecolor).encode())

    def _record(
        self,
        shot: Shot,
        path: Path | None,
        outcome: Kept | Record | InputError,
        *,
        grid: bool = False,
    ) -> None:
        if not self.json:
            return
        error = outcome.message if isinstance(outcome, InputError) else None
        kept = isinstance(outcome, Kept)
        made = outcome.made if isinstance(outcome, Kept) else None if error else outcome
        # Of a file that nothing tells of it is not known what it shows.
        known = not kept or made is not None
        row, column = shot.place if grid else (None, None)
        self.streams.write_json(
            {
                "seed": shot.seed if known else None,
                "class": self.recorder.class_of(shot) if known else None,
                "truncation": self.recorder.truncation_of(shot) if known else None,
                "file": None if path is None or error is not None else str(path),
                "row": row,
                "column": column,
                "kept": kept,
                "made": made,
                "error": error,
            }
        )
        self.streams.flush()


def _parse_animation(name: str | None) -> str | None:
    """What ``--format`` names, of what can be animated."""
    if name is None:
        return None
    kind = ANIMATIONS.get(f".{name.lower()}")
    if kind is None:
        known = ", ".join(dict.fromkeys(ANIMATIONS.values()))
        raise UsageError(f"{name!r} cannot be animated", hint=f"one of: {known}")
    return kind


def _animation_of(path: Path) -> str:
    kind = ANIMATIONS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path}: cannot write animations of this kind", hint=f"one of: {', '.join(ANIMATIONS)}"
        )
    return kind


def _contact_sheet(pictures: list[Pixels]) -> Pixels:
    columns, rows = squarest(len(pictures))
    placed = ((divmod(i, columns), pixels) for i, pixels in enumerate(pictures))
    return grid(placed, columns, rows, GAP)


def _counted(made: Made, advance: Callable[[float], None]) -> Made:
    for pair in made:
        yield pair
        advance(1)
