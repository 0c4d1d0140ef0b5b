"""Where the pictures of ``genkit sample`` go: a folder, one file, a pipe, the terminal."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from genkit.channels import opaque, split
from genkit.cli.pictures import parse_kind
from genkit.cli.shots import Plan, Shot
from genkit.errors import UsageError
from genkit.files import KINDS, is_folder, kind_of
from genkit.grid import ANIMATIONS, encode_animation, grid, half_blocks, squarest, with_labels
from genkit.images import Picture, encode
from genkit.pixels import Pixels
from genkit.streams import Streams, atomic_file

__all__ = ["Gallery", "Target", "find_target"]

PIPE = "-"
THREADS = 4
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
    if output is None or output == PIPE:
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
    classes: tuple[str, ...]
    truncates: bool
    scale: int
    fps: float
    quality: int | None
    overwrite: bool
    json: bool
    shown: bool

    def fill(self, plan: Plan, make: Callable[[Iterable[Shot]], Made]) -> None:
        """Make the pictures of a plan and write them; ``make`` is given those that are missing.

        What is there already is kept, unless it is to be overwritten.
        """
        if self.target.folder is not None:
            kept = self._fill_folder(plan, self.target.folder, make)
        elif self.target.file is not None and self._is_kept(self.target.file):
            kept = 1
            for shot in plan.shots() if self.json else ():
                self._record(shot, self.target.file, kept=True)
        else:
            kept = 0
            self._fill_one(plan, make)
        if kept and not self.json:
            self.streams.tell(f"kept {kept} that were there already; --overwrite replaces them")

    # One file, a pipe, or nothing but the terminal

    def _fill_one(self, plan: Plan, make: Callable[[Iterable[Shot]], Made]) -> None:
        shots = plan.shots()
        if not self.target.is_written:
            if not self._draws:
                return
            if plan.layout != "grid":
                shots = islice(shots, MOST_SHOWN)
        with self.streams.progress("pictures", plan.count, unit="images") as advance:
            made = _counted(make(shots), advance)
            canvas, data = (self._lay_out if plan.layout == "grid" else self._line_up)(plan, made)
        if self.target.file is not None:
            _save(self.target.file, data)
            self.streams.note(f"{plan.count} picture(s) -> {self.target.file}")
        elif self.target.pipe:
            self.streams.write(data)
        self._show(canvas)
        for shot in plan.shots() if self.json else ():
            self._record(shot, self.target.file, grid=plan.layout == "grid")

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
            still = (opaque(pixels) for pixels in watched())
            data = encode_animation(still, self.target.kind, self.fps, self.quality)
        else:
            (last,) = deque(watched(), maxlen=1)
            data = self._encode(last) if self.target.is_written else b""
        return _contact_sheet(first), data

    # A folder

    def _fill_folder(self, plan: Plan, folder: Path, make: Callable[[Iterable[Shot]], Made]) -> int:
        kept = 0
        shown: list[Pixels] = []
        saving: deque[tuple[Shot, Path, Future[None]]] = deque()
        pool = ThreadPoolExecutor(THREADS, "pictures")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.streams.progress("pictures", plan.count, unit="images") as advance:

                def missing() -> Iterator[Shot]:
                    nonlocal kept
                    for shot in plan.shots():
                        path = self._path_of(shot, folder)
                        if self._is_kept(path):
                            kept += 1
                            advance(1)
                            self._record(shot, path, kept=True)
                        else:
                            yield shot

                def finish_down_to(count: int) -> None:
                    while len(saving) > count:
                        shot, path, future = saving.popleft()
                        future.result()
                        advance(1)
                        self.streams.note(f"{shot.stem} -> {path}")
                        self._record(shot, path)

                for shot, pixels in make(missing()):
                    if self._draws and len(shown) < MOST_SHOWN:
                        shown.append(pixels)
                    path = self._path_of(shot, folder)
                    saving.append((shot, path, pool.submit(self._save_picture, path, pixels)))
                    finish_down_to(AHEAD)
                finish_down_to(0)
        finally:
            pool.shutdown(cancel_futures=True)
        if shown:
            self._show(_contact_sheet(shown))
        return kept

    def _path_of(self, shot: Shot, folder: Path) -> Path:
        return folder / f"{shot.stem}{KINDS[self.target.kind]}"

    def _save_picture(self, path: Path, pixels: Pixels) -> None:
        _save(path, self._encode(pixels))

    # What both do

    def _is_kept(self, path: Path) -> bool:
        return path.is_file() and not self.overwrite

    def _encode(self, pixels: Pixels) -> bytes:
        return encode(Picture(*split(pixels)), self.target.kind, self.quality)

    @property
    def _draws(self) -> bool:
        """Whether pictures are drawn in the terminal too, or only there."""
        return (self.shown or not self.target.is_written) and can_show(self.streams)

    def _show(self, pixels: Pixels) -> None:
        if self._draws:
            truecolor = os.environ.get("COLORTERM") in ("truecolor", "24bit")
            columns = shutil.get_terminal_size().columns
            self.streams.write(half_blocks(opaque(pixels), columns, truecolor))

    def _record(
        self, shot: Shot, path: Path | None, *, grid: bool = False, kept: bool = False
    ) -> None:
        if self.json:
            row, column = shot.place if grid else (None, None)
            self.streams.write_json(
                {
                    "seed": shot.seed,
                    "class": None if shot.label is None else self.classes[shot.label],
                    "truncation": shot.truncation if self.truncates else None,
                    "file": None if path is None else str(path),
                    "row": row,
                    "column": column,
                    "kept": kept,
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


def _save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(data)
