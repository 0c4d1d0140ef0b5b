"""The file of ``genkit sample --save-latents``: written, or found to hold the same noise."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from genkit.cli.shots import Plan
from genkit.noise import write_latents
from genkit.streams import Streams
from genkit.writing import is_there

__all__ = ["PlannedNoise", "keep_or_write"]


@dataclass(frozen=True)
class PlannedNoise:
    """The noise of all pictures of a plan, drawn when it is wanted."""

    plan: Plan
    shape: tuple[int, ...]

    def write(self, file: BinaryIO) -> None:
        """Write it as a .npy file."""
        drawn = (shot.noise() for shot in self.plan.shots())
        write_latents(file, drawn, self.plan.count, self.shape)

    def is_in(self, path: Path) -> bool:
        """Whether a file holds it, and nothing else."""
        with path.open("rb") as there:
            comparison = _Comparison(there)
            self.write(cast(BinaryIO, comparison))
            return comparison.same and not there.read(1)


def keep_or_write(streams: Streams, path: Path, noise: PlannedNoise, overwrite: bool) -> bool:
    """Write noise to a file that is not there or is to be replaced; returns whether the file holds
    it, and says so if not.
    """
    if overwrite or not is_there(path):
        with streams.output(path) as file:
            noise.write(file)
    elif noise.is_in(path):
        streams.tell(f"kept {path}, which was there already; --overwrite replaces it")
    else:
        streams.error(f"{path} holds other latents", "--overwrite replaces it")
        return False
    return True


class _Comparison(io.RawIOBase):
    """Compares what is written to it with what a file holds."""

    def __init__(self, there: BinaryIO) -> None:
        self._there = there
        self.same = True

    def write(self, data: Any) -> int:
        self.same = self.same and self._there.read(len(data)) == bytes(data)
        return len(data)
