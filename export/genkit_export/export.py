"""From a checkpoint to a model folder, start to end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import InputError, UsageError
from genkit.model import user_models
from genkit.naming import check_name, name_like
from genkit.registry import TASKS

from . import measure_text
from .checkpoints.genkit import Description
from .checkpoints.layout import Layout, Loaded, MissingTensorError, Setting, Settings, Tensors
from .colours import refuse_others
from .folder import keep_only, write_card
from .new_folder import new_folder
from .read import Checkpoint, read
from .recognise import choose_prefix, recognise
from .registry import ARCHITECTURES, LAYOUTS, Architecture
from .sound import check_numbers

COUNTERS = ".num_batches_tracked"
"""Of batch norms: not in files from before PyTorch 0.4.1, and of no use here."""
MEASURES: Mapping[str, Callable[[Path, Callable[[str], None]], None]] = {
    "translate": lambda folder, report: measure_text.complete(folder, report=report)
}
"""Task -> what completes the card of a folder that is ready to run."""
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True)
class Found:
    """What a checkpoint was found to be."""

    checkpoint: Checkpoint
    layout: Layout
    architecture: str
    task: str
    settings: tuple[Setting, ...]
    notes: tuple[str, ...]
    """What a person should know besides, a line each."""
    loaded: Loaded
    parameters: int


def inspect(
    path: Path,
    *,
    name: str | None = None,
    arch: str | None = None,
    given: Mapping[str, str] | None = None,
) -> Found:
    """What a checkpoint is, its tensors checked against the architecture's. Raises InputError for
    one that cannot be used, UsageError for settings that its layout does not have, or for what no
    model can be called.
    """
    if name is not None:
        check_name(name)
    checkpoint = read(path)
    fit = recognise(checkpoint, LAYOUTS, arch)
    layout, settings = fit.layout, Settings(given)
    prefix = choose_prefix(fit, settings, checkpoint.tensors)
    weights = Tensors(
        (key.removeprefix(prefix), tensor)
        for key, tensor in checkpoint.tensors.items()
        if key.startswith(prefix)
    )
    try:
        loaded = layout.load(weights, checkpoint, settings)
    except MissingTensorError as error:
        raise InputError(f"{path} looks like {layout.name}, but has no {error.args[0]}") from error
    except (IndexError, ValueError) as error:  # a tensor of too few dimensions, an odd setting
        raise InputError(f"{path} looks like {layout.name}, but does not fit: {error}") from error
    if not layout.header:
        loaded = replace(loaded, card=_card(layout, path, loaded, settings))
    architecture = loaded.architecture or layout.architecture
    if architecture not in ARCHITECTURES:
        raise InputError(f"{path} has the unknown architecture {architecture!r}")
    _check_card(loaded, name, path)
    refuse_others(dict(loaded.config), path)
    check_numbers(loaded.weights, weights, path)
    rows = tuple(settings.list())
    with torch.device("meta"):
        network = _build(ARCHITECTURES[architecture], path, loaded)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Found(
        checkpoint,
        layout,
        architecture,
        loaded.card["task"],
        rows,
        tuple(settings.notes),
        loaded,
        parameters,
    )


def export(
    path: Path,
    out: Path | None,
    *,
    name: str | None,
    overwrite: bool,
    report: Callable[[str], None],
    arch: str | None = None,
    given: Mapping[str, str] | None = None,
    precision: str = "auto",
) -> Path:
    """See `genkit_export.export_checkpoint`."""
    found = inspect(path, name=name, arch=arch, given=given)
    loaded, checkpoint = found.loaded, found.checkpoint
    report(
        f"{path.name}: {found.architecture}, {found.parameters / 1e6:.1f} M parameters"
        + ("" if found.layout.header else f", of the layout {found.layout.name}")
    )
    for setting in found.settings:
        if setting.source == "assumed":
            report(f"{path.name}: assumed {setting.name}; to override: {setting.flag}")
    for note in found.notes:
        report(f"{path.name}: {note}")

    architecture = ARCHITECTURES[found.architecture]
    network = _build(architecture, path, loaded)
    network.load_state_dict(
        {name: tensor.to(torch.float32) for name, tensor in loaded.weights.items()}, strict=False
    )
    fields = {**loaded.card, "architecture": found.architecture}
    if architecture.image is not None and "pad" in fields.get("image", {}):
        # A checkpoint of genkit's own says how it was padded when it was trained.
        pad = architecture.image(network.config)["pad"]
        fields["image"] = {**fields["image"], "pad": pad}
    if name:
        fields["name"] = name
    fields["origin"] = {
        **loaded.card.get("origin", {}),
        "sha256": checkpoint.sha256,
        "layout": found.layout.name,
    }
    description = Description(
        found.architecture, loaded.config, fields, _ranges(loaded, precision, path)
    )
    out = out or user_models() / fields["task"] / fields["name"]
    with new_folder(out, overwrite) as folder:
        exported = architecture.export(network.eval(), description, folder, report)
        if precision == "int8":
            exported = keep_only("int8", exported, folder)
        for file, content in loaded.files.items():
            (folder / file).write_bytes(content)
        write_card(folder, fields, exported, loaded.files)
        if fields["task"] in MEASURES:
            MEASURES[fields["task"]](folder, report)
    return out


def _card(layout: Layout, path: Path, loaded: Loaded, settings: Settings) -> dict[str, Any]:
    """What the card of a published checkpoint says."""
    name = path.resolve().name if path.is_dir() else path.stem
    return {
        "task": layout.task,
        "name": name_like(name, layout.name),
        "description": layout.title,
        "license": settings.assume("license", UNKNOWN_LICENSE),
        "tags": [],
        "origin": {"data": [], "figures": []},
        **loaded.card,
    }


def _check_card(loaded: Loaded, name: str | None, path: Path) -> None:
    """Raises InputError for a checkpoint whose own card cannot be that of a model."""
    task, called = loaded.card.get("task"), name or str(loaded.card.get("name"))
    if task not in TASKS:
        raise InputError(f"{path} has the unknown task {task!r}")
    try:
        check_name(called)
    except UsageError as error:
        raise InputError(f"{path}: {error.message}", hint="--name calls it otherwise") from error


def _build(architecture: Architecture, path: Path, loaded: Loaded) -> nn.Module:
    """The network, without its weights, which were seen to fit. Raises InputError."""
    problem = f"{path}: its configuration does not fit"
    try:
        config = architecture.config(**loaded.config)
    except (TypeError, ValueError, ZeroDivisionError) as error:  # TypeError: an unknown field
        raise InputError(f"{problem}: {error}") from error
    try:
        network = architecture.network(config)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{problem}: {error}") from error
    expected, found = _shapes(network.state_dict()), _shapes(loaded.weights)
    wrong = sorted(
        name for name in expected.keys() | found if expected.get(name) != found.get(name)
    )
    if wrong:
        raise InputError(
            f"{path}: missing, left over or of another shape: {', '.join(wrong[:8])}"
            + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        )
    return network


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in state.items() if not name.endswith(COUNTERS)}


def _ranges(loaded: Loaded, precision: str, path: Path) -> Mapping[str, tuple[float, float]]:
    """What eight-bit graphs are made with: without it there are none. Raises UsageError if they
    were asked for.
    """
    if precision == "int8" and not loaded.ranges:
        raise UsageError(
            f"{path} has no ranges of activations, without which there is no int8 graph",
            hint="the recipes in export/recipes/ measure them",
        )
    return {} if precision == "fp32" else loaded.ranges
