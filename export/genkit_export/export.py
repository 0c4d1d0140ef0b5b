"""From a checkpoint to a model folder, start to end."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genkit.errors import InputError
from genkit.model import user_models

from .checkpoints import genkit as own
from .folder import new_folder, write_card
from .read import Checkpoint, read
from .registry import ARCHITECTURES, Architecture

LAYOUT = "genkit"


def export(
    path: Path,
    out: Path | None,
    *,
    name: str | None,
    overwrite: bool,
    report: Callable[[str], None],
) -> Path:
    """See `genkit_export.export_checkpoint`."""
    checkpoint = read(path)
    description = own.describe(checkpoint)
    if description is None:
        raise InputError(
            f"{path} is of no layout that genkit knows",
            hint="a genkit checkpoint describes itself in its header; others cannot be read yet",
        )
    architecture = ARCHITECTURES.get(description.architecture)
    if architecture is None:
        raise InputError(f"{path} has the unknown architecture {description.architecture!r}")
    network = _build(architecture, checkpoint, description)
    count = sum(parameter.numel() for parameter in network.parameters())
    report(f"{path.name}: {description.architecture}, {count / 1e6:.1f} M parameters")

    fields: dict[str, Any] = {**description.card, "architecture": description.architecture}
    if name:
        fields["name"] = name
    fields["origin"] = {
        **description.card.get("origin", {}),
        "sha256": checkpoint.sha256,
        "layout": LAYOUT,
    }
    out = out or user_models() / fields["task"] / fields["name"]
    with new_folder(out, overwrite) as folder:
        exported = architecture.export(network, description, folder, report)
        for file in _companions(fields):
            if not (path.parent / file).is_file():
                raise InputError(f"{path} needs {file} beside it")
            shutil.copyfile(path.parent / file, folder / file)
        write_card(folder, fields, exported)
    return out


def _build(
    architecture: Architecture, checkpoint: Checkpoint, description: own.Description
) -> nn.Module:
    """The network with the checkpoint's weights, in float32."""
    try:
        network = architecture.network(architecture.config(**description.config))
    except (TypeError, ValueError) as error:
        raise InputError(f"{checkpoint.path}: its configuration does not fit: {error}") from error
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    wrong = sorted(
        name for name in expected.keys() | found if expected.get(name) != found.get(name)
    )
    if wrong:
        raise InputError(
            f"{checkpoint.path}: missing, left over or of another shape: {', '.join(wrong[:8])}"
            + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        )
    network.load_state_dict({name: t.to(torch.float32) for name, t in checkpoint.tensors.items()})
    return network.eval()


def _companions(fields: dict[str, Any]) -> list[str]:
    """Files that lie beside the checkpoint and belong to the model."""
    tokenizer = fields.get("text", {}).get("tokenizer", {})
    return sorted(set(tokenizer.values()))
