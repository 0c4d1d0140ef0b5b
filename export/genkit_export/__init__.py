"""Turns trained PyTorch checkpoints into model folders. Needs the extra `export`."""

from collections.abc import Callable
from pathlib import Path

__all__ = ["export_checkpoint"]


def export_checkpoint(
    checkpoint: Path,
    out: Path | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the model folder of a checkpoint to `out` and return `out`; by default that is a folder
    among the user's own models, where `genkit` finds it by its name.

    `report` is told what was found and measured. Raises InputError for a file that cannot be used,
    UsageError if `out` is not empty, ModelError if a graph does not compute what PyTorch does.
    """
    from .export import export  # imports torch

    return export(checkpoint, out, name=name, overwrite=overwrite, report=report)
