"""Turns trained PyTorch checkpoints into model folders. Needs the extra `export`."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import genkit  # noqa: F401  # turns ONNX Runtime's telemetry off, before anything imports it

# A request to the hub then tells its own version and Python's, and nothing else that is installed.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

__all__ = ["export_checkpoint", "inspect_checkpoint"]


def export_checkpoint(
    checkpoint: Path,
    out: Path | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
    arch: str | None = None,
    settings: Mapping[str, str] | None = None,
    precision: str = "auto",
) -> Path:
    """Write the model folder of a checkpoint to `out` and return `out`; by default that is a folder
    among the user's own models, where `genkit` finds it by its name.

    `checkpoint` is a file or a folder of any layout that genkit knows; `arch` forces one, and
    `settings` go before what was read or assumed. `precision` is "auto" for all graphs that the
    checkpoint has data for, "fp32" or "int8" for that one alone.
    `report` is told what was found and measured. Raises InputError for a file that cannot be used,
    UsageError if `out` is not empty, ModelError if a graph does not compute what PyTorch does.
    """
    from .export import export  # imports torch

    return export(
        checkpoint,
        out,
        name=name,
        overwrite=overwrite,
        report=report,
        arch=arch,
        given=settings,
        precision=precision,
    )


def inspect_checkpoint(
    checkpoint: Path,
    *,
    name: str | None = None,
    arch: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a checkpoint is, as values that JSON has: layout, architecture, task, number of
    parameters, every setting with its value, where it is from and what overrides it, and what a
    person should know besides (`notes`).

    Raises InputError for a file that cannot be used, UsageError for settings that it does not have.
    """
    from .export import inspect  # imports torch

    found = inspect(checkpoint, name=name, arch=arch, given=settings)
    return {
        "path": str(checkpoint),
        "layout": found.layout.name,
        "title": found.layout.title,
        "architecture": found.architecture,
        "task": found.task,
        "parameters": found.parameters,
        "sha256": found.checkpoint.sha256,
        "settings": [
            {"name": one.name, "value": one.value, "source": one.source, "flag": one.flag}
            for one in found.settings
        ],
        "notes": list(found.notes),
    }
