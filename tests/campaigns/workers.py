"""Very many inputs, each tried in a process that may hang, die or take too much memory, and the
figures of how they ended.

Inputs are made by a seed and their number, so every finding can be made again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

ACCEPTED, REFUSED = "accepted", "clean refusals"
TRACEBACK, HANG, MEMORY, DEAD = "tracebacks", "hangs", "over memory", "dead processes"
FAULTS = (TRACEBACK, HANG, MEMORY, DEAD)
ROOM = 1 << 30
"""Bytes of address space that a process may take besides what it begins with."""


class TooMuchMemoryError(Exception):
    """An input took more memory than it may."""


@dataclass
class Figures:
    """How inputs ended."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str, str]] = field(default_factory=list)
    """Number of the input, kind of fault, and a text."""
    slowest: tuple[float, int] = (0.0, -1)
    """Seconds, and the number of the input."""

    def add(self, number: int, kind: str, text: str, seconds: float) -> None:
        self.counts[kind] += 1
        self.slowest = max(self.slowest, (seconds, number))
        if kind in FAULTS:
            self.findings.append((number, kind, text))

    def line(self) -> str:
        """All figures."""
        kinds = (ACCEPTED, REFUSED, *FAULTS)
        counts = ", ".join(f"{kind}: {self.counts[kind]}" for kind in kinds)
        seconds, number = self.slowest
        return f"inputs: {self.counts.total()}, {counts}; slowest: {seconds:.2f} s (input {number})"


def generator(seed: int, number: int) -> random.Random:
    """What an input is made by."""
    return random.Random(f"{seed}:{number}")


def run(
    attempt: Callable[[int], bool],
    *,
    seconds: float,
    inputs: int | None = None,
    first: int = 0,
    patience: float = 20.0,
    report: Callable[[str], None] = print,
) -> Figures:
    """Tries inputs from the first on until the seconds are over, or so many of them. `attempt`
    returns whether the input was accepted, False for a clean refusal, and raises for all else.
    An input that takes longer than `patience` seconds hangs.
    """
    figures, number, end = Figures(), first, time.monotonic() + seconds
    last = None if inputs is None else first + inputs
    told = time.monotonic()
    while time.monotonic() < end and (last is None or number < last):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(attempt, number, theirs, ours), daemon=True
        )
        process.start()
        theirs.close()
        try:
            while time.monotonic() < end and (last is None or number < last):
                begun = time.monotonic()
                if not ours.poll(patience):
                    figures.add(number, HANG, f"longer than {patience} s", patience)
                    break
                kind, text, took = ours.recv()
                figures.add(number, kind, text, took)
                number += 1
                if kind in FAULTS:
                    report(f"input {number - 1}: {kind}: {text}")
                if begun - told > 60:
                    told = begun
                    report(figures.line())
            else:
                number -= 1  # which is the last one; it is no finding
        except EOFError:
            process.join()
            figures.add(number, DEAD, f"exit status {process.exitcode}", 0)
            report(f"input {number}: {DEAD}: exit status {process.exitcode}")
        finally:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            ours.close()
        number += 1
    return figures


def main(
    attempt_of: Callable[[int, Path], Callable[[int], bool]], doc: str, default_minutes: float = 60
) -> int:
    """The command line of a campaign. `attempt_of` gets the seed and a folder to work in."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=default_minutes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--inputs", type=int, help="stop after so many")
    parser.add_argument("--folder", type=Path, required=True, help="to work in; made anew")
    args = parser.parse_args()
    try:
        args.folder.mkdir(parents=True)
    except FileExistsError:  # another campaign may be at work in it
        parser.error(f"{args.folder} is there already")
    figures = run(
        attempt_of(args.seed, args.folder),
        seconds=60 * args.minutes,
        inputs=args.inputs,
        first=args.first,
        report=lambda text: print(text, flush=True),
    )
    print(f"seed {args.seed}: {figures.line()}")
    return 1 if figures.findings else 0


def _work(
    attempt: Callable[[int], bool], first: int, answers: Connection, other: Connection
) -> None:
    """Tries inputs until it is killed."""
    other.close()
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    number = first
    while True:
        begun = time.monotonic()
        try:
            kind, text = (ACCEPTED if attempt(number) else REFUSED), ""
        except (TooMuchMemoryError, MemoryError) as error:
            kind, text = MEMORY, str(error)
        except Exception:
            kind, text = TRACEBACK, traceback.format_exc()
        answers.send((kind, text, time.monotonic() - begun))
        number += 1
