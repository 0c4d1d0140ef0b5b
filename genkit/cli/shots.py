"""What ``genkit sample`` is to make: which pictures, from which noise, and where each one goes.

A plan is made before the model runs. It says what there will be without making any of it: the
noise of a million pictures is drawn one by one, when its turn comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from genkit.card import Card, LatentSpec
from genkit.errors import InputError, UsageError
from genkit.grid import squarest
from genkit.noise import SEEDS, Noise, draw, read_latents, slerp
from genkit.tasks.sample import check_truncation, find_classes, label_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Plan", "Seeds", "Shot", "Wishes", "make_plan"]

COUNT = 16
FRAMES = 60
SHEET_COLUMNS = {"seed": 8, "truncation": 5}
UNSAFE = re.compile(r"[^\w.+-]+")
"""What is not to stand in the name of a file."""


@dataclass(frozen=True)
class Seeds:
    """Seeds, in their order, as the ranges that they were given in."""

    ranges: tuple[range, ...]

    @classmethod
    def parse(cls, text: str) -> Seeds:
        """What --seeds says: ``1-9``, ``3,5,8`` or both together."""
        ranges = []
        for part in text.split(","):
            match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
            first, last = (0, -1) if match is None else (int(match[1]), int(match[2] or match[1]))
            if first > last:
                raise UsageError(f"unknown seeds {text!r}", hint="for example 1-9 or 3,5,20-29")
            ranges.append(range(first, last + 1))
        return cls(tuple(ranges))

    @classmethod
    def following(cls, first: int | None, count: int) -> Seeds:
        """So many seeds from the first one on, which is 0 if there is none."""
        start = first or 0
        return cls((range(start, start + count),))

    def __post_init__(self) -> None:
        last = max(numbers[-1] for numbers in self.ranges)
        if last >= SEEDS:
            raise UsageError(f"there is no seed {last}", hint=f"seeds go up to {SEEDS - 1}")

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self.ranges)

    def repeated(self) -> int | None:
        """A seed that is named twice, if there is one."""
        ordered = sorted(self.ranges, key=lambda numbers: numbers[0])
        for before, after in pairwise(ordered):
            if after[0] in before:
                return after[0]
        return None


@dataclass(frozen=True)
class Shot:
    """A picture to make."""

    stem: str
    """Its name in a folder, the suffix aside."""
    noise: Callable[[], Noise]
    seed: int | None
    """None for what has none: a latent from a file, or what lies between two seeds."""
    label: int | None
    truncation: float
    place: tuple[int, int]
    """Row and column in a grid."""


@dataclass(frozen=True)
class Plan:
    """All pictures to make, which can be gone through more than once."""

    count: int
    shots: Callable[[], Iterator[Shot]]
    layout: str
    """``files``, each picture by itself; ``grid``; or ``frames``, one after the other."""
    columns: int = 0
    rows: int = 0
    row_names: tuple[str, ...] = ()
    column_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """What the options say; None is what was not said."""

    count: int | None = None
    alone: bool = False
    """Whether the pictures go where there is room for one."""
    classes: tuple[str, ...] = ()
    seed: int | None = None
    seeds: str | None = None
    truncation: float | None = None
    grid: str | None = None
    """Columns and rows, or ``auto``."""
    sheet: str | None = None
    interpolate: str | None = None
    frames: int | None = None
    latents: Path | None = None


def make_plan(card: Card, wishes: Wishes) -> Plan:
    """What the options come to for a model.

    Raises UsageError where they make no sense, or InputError for latents that are of no use.
    """
    latent = card.latent
    assert latent is not None, "a card for this task has the section"
    labels = find_classes(card.name, latent.classes, wishes.classes)
    if wishes.truncation is not None and latent.truncation == "none":
        raise UsageError(f"{card.name} has no truncation")
    own = latent.default_truncation
    truncation = own if wishes.truncation is None else wishes.truncation
    check_truncation(card.name, latent.truncation, truncation)
    if wishes.sheet is not None:
        columns = _sheet_columns(card.name, latent, wishes, truncation)
        return _plan_sheet(columns, wishes.sheet, latent, labels)
    if wishes.interpolate is not None:
        way = list(Seeds.parse(wishes.interpolate))
        if len(way) < 2:
            raise UsageError("an interpolation needs two seeds", hint="--interpolate 1,2")
        if len(wishes.classes) > 1:
            raise UsageError("an interpolation has one class")
        frames = FRAMES if wishes.frames is None else wishes.frames
        return _plan_interpolation(way, frames, latent, label_of(way[0], labels), truncation)
    size = None if wishes.grid in (None, "auto") else _parse_grid(wishes.grid)
    if wishes.latents is not None:
        latents = read_latents(wishes.latents, latent.shape)
        if wishes.count is not None and wishes.count > len(latents):
            raise UsageError(f"{wishes.latents} holds {len(latents)} latents, not {wishes.count}")
        latents = latents[: wishes.count]
        grid = None if wishes.grid is None else size or squarest(len(latents))
        return _plan_latents(latents, latent, labels, truncation, grid)
    if wishes.seeds is not None:
        seeds = Seeds.parse(wishes.seeds)
    else:
        count = wishes.count
        if count is None:
            count = size[0] * size[1] if size else 1 if wishes.alone else COUNT
        seeds = Seeds.following(wishes.seed, count)
    grid = None if wishes.grid is None else size or squarest(len(seeds))
    return _plan_seeds(seeds, latent, labels, truncation, grid)


def _parse_grid(text: str) -> tuple[int, int]:
    """What --grid says: columns and rows."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise UsageError(f"unknown grid {text!r}", hint="columns and rows: --grid 8x4")
    return int(match[1]), int(match[2])


def _sheet_columns(
    name: str, latent: LatentSpec, wishes: Wishes, truncation: float
) -> list[tuple[int, float]]:
    """The seed and the truncation of each column of a sheet; `truncation` is that of one by seed."""
    if wishes.sheet not in SHEET_COLUMNS:
        known = ", ".join(SHEET_COLUMNS)
        raise UsageError(f"unknown sheet {wishes.sheet!r}", hint=f"one of: {known}")
    if not latent.classes:
        raise UsageError(f"{name} has no classes, which are the rows of a sheet", hint="--grid")
    count = SHEET_COLUMNS[wishes.sheet] if wishes.count is None else wishes.count
    if wishes.sheet == "seed":
        chosen = Seeds.parse(wishes.seeds) if wishes.seeds else Seeds.following(wishes.seed, count)
        return [(seed, truncation) for seed in chosen]
    if latent.truncation == "none":
        raise UsageError(f"{name} has no truncation", hint="--sheet seed")
    if wishes.seeds is not None:
        raise UsageError("a sheet by truncation has one seed", hint="--seed N")
    if wishes.truncation is not None:
        raise UsageError("a sheet by truncation has many", hint="leave out --truncation")
    return [(wishes.seed or 0, (i + 1) / count) for i in range(count)]


def _plan_seeds(
    seeds: Seeds,
    latent: LatentSpec,
    labels: Sequence[int],
    truncation: float,
    grid: tuple[int, int] | None,
) -> Plan:
    """A picture a seed, in columns and rows of a grid or each for itself."""
    repeated = seeds.repeated()
    if repeated is not None:
        raise UsageError(f"seed {repeated} is named twice")

    def shots() -> Iterator[Shot]:
        for index, seed in enumerate(seeds):
            label = label_of(seed, labels)
            stem = _stem("seed", seed, latent, label)
            place = _place(index, grid)
            yield Shot(stem, partial(draw, seed, latent), seed, label, truncation, place)

    return _in_grid(len(seeds), shots, grid)


def _plan_latents(
    latents: NDArray[np.floating],
    latent: LatentSpec,
    labels: Sequence[int],
    truncation: float,
    grid: tuple[int, int] | None,
) -> Plan:
    """A picture a latent; the classes are taken in turn."""

    def shots() -> Iterator[Shot]:
        for index in range(len(latents)):
            label = label_of(index, labels)
            stem = _stem("latent", index, latent, label)
            read = partial(_row, latents, index)
            yield Shot(stem, read, None, label, truncation, _place(index, grid))

    return _in_grid(len(latents), shots, grid)


def _plan_sheet(
    columns: Sequence[tuple[int, float]], by: str, latent: LatentSpec, labels: Sequence[int]
) -> Plan:
    """A row a class; each column has a seed and a truncation, one of which names it (``by``)."""

    # Column by column, for a batch has one truncation.
    def shots() -> Iterator[Shot]:
        for column, (seed, truncation) in enumerate(columns):
            for row, label in enumerate(labels):
                stem = _stem("seed", seed, latent, label)
                drawn = partial(draw, seed, latent)
                yield Shot(stem, drawn, seed, label, truncation, (row, column))

    return Plan(
        count=len(columns) * len(labels),
        shots=shots,
        layout="grid",
        columns=len(columns),
        rows=len(labels),
        row_names=tuple(latent.classes[label].split(",")[0] for label in labels),
        column_names=tuple(
            str(seed) if by == "seed" else f"{truncation:.2g}" for seed, truncation in columns
        ),
    )


def _plan_interpolation(
    seeds: Sequence[int], frames: int, latent: LatentSpec, label: int | None, truncation: float
) -> Plan:
    """The way from seed to seed, ``frames`` frames from each to the next, and the last one.

    A way that ends where it began is a loop, whose last frame is left out: it would be seen
    twice.
    """
    legs = list(pairwise(seeds))
    closed = seeds[0] == seeds[-1]
    count = len(legs) * frames + (not closed)

    def shots() -> Iterator[Shot]:
        for index in range(count):
            leg, step = divmod(index, frames)
            stem = _stem("frame", index, latent, label)
            if step == 0:
                seed = seeds[leg]
                yield Shot(stem, partial(draw, seed, latent), seed, label, truncation, (0, 0))
            else:
                between = partial(_between, *legs[leg], step / frames, latent)
                yield Shot(stem, between, None, label, truncation, (0, 0))

    return Plan(count, shots, "frames")


def _in_grid(count: int, shots: Callable[[], Iterator[Shot]], grid: tuple[int, int] | None) -> Plan:
    if grid is None:
        return Plan(count, shots, "files")
    columns, rows = grid
    if columns * rows < count:
        raise UsageError(
            f"{count} pictures do not fit into a grid of {columns} x {rows}",
            hint=f"-n {columns * rows}, or a larger grid",
        )
    return Plan(count, shots, "grid", columns, rows)


def _place(index: int, grid: tuple[int, int] | None) -> tuple[int, int]:
    return (0, 0) if grid is None else divmod(index, grid[0])


def _stem(what: str, number: int, latent: LatentSpec, label: int | None) -> str:
    stem = f"{what}{number:05}"
    if label is None:
        return stem
    name = UNSAFE.sub("_", latent.classes[label].split(",")[0]).strip("_.")
    return f"{stem}-{name or label}"


def _between(first: int, last: int, t: float, latent: LatentSpec) -> Noise:
    return slerp(draw(first, latent), draw(last, latent), t)


def _row(latents: NDArray[np.floating], index: int) -> Noise:
    """A latent of a file. Raises InputError for one that is no point in space."""
    latent: Noise = latents[index].astype("float32")
    if not (abs(latent) < float("inf")).all():
        raise InputError(f"latent {index} has numbers that are not finite")
    return latent
