"""genkit's own layout: a half-precision safetensors file that describes itself.

The metadata key `genkit` holds JSON with `format`, `architecture` (a row of the registry),
`config` (the fields of that architecture's dataclass), `card` (what the model's card says besides
what the export finds out) and, for eight-bit graphs, `ranges` (see `quantize.py`).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from genkit.errors import InputError
from genkit.writing import atomic_file
from genkit_export.quantize import Ranges
from genkit_export.read import Checkpoint, header, read

from .layout import Loaded, Settings, Weights

FORMAT = 1
KEY = "genkit"


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of itself."""

    architecture: str
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    ranges: Ranges = field(default_factory=dict)
    format: int = FORMAT


def write(path: Path, network: nn.Module, description: Description) -> None:
    """Write a network's weights in half precision."""
    tensors = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
    }
    data = save(tensors, {KEY: json.dumps(asdict(description), sort_keys=True)})
    with atomic_file(path) as file:
        file.write(data)


def load_weights(path: Path, network: nn.Module) -> None:
    """Give a network of the same shape the weights of a checkpoint, to train on."""
    network.load_state_dict({name: tensor.float() for name, tensor in read(path).tensors.items()})


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A checkpoint of genkit's own, with the tokenisers that lie beside it. Raises InputError if one
    is missing.
    """
    description = describe(checkpoint)
    assert description is not None  # it was recognised by that
    config = {name: settings.read(name, value) for name, value in description.config.items()}
    card = dict(description.card)
    files = {}
    for file in sorted(set(card.get("text", {}).get("tokenizer", {}).values())):
        beside = checkpoint.path.parent / file
        if not beside.is_file():
            raise InputError(f"{checkpoint.path} needs {file} beside it")
        files[file] = beside.read_bytes()
    return Loaded(config, weights, card, files, description.ranges, description.architecture)


def describe(checkpoint: Checkpoint) -> Description | None:
    """What the checkpoint says of itself, or None if it is of another layout. Raises InputError if
    the description cannot be used.
    """
    fields = header(checkpoint, KEY)
    if fields is None:
        return None
    try:
        description = Description(**fields)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"{checkpoint.path}: its {KEY!r} header is incomplete: {error}") from error
    if description.format > FORMAT:
        raise InputError(
            f"{checkpoint.path} has format {description.format}, newer than this genkit reads",
            hint="pip install --upgrade genkit-onnx",
        )
    ranges = _ranges(description.ranges, checkpoint)
    return Description(description.architecture, description.config, description.card, ranges)


def _ranges(found: object, checkpoint: Checkpoint) -> Ranges:
    """The ranges of a header. Raises InputError for what are none."""
    ranges: dict[str, tuple[float, float]] = {}
    for site, pair in found.items() if isinstance(found, dict) else ():
        match pair:
            case [int() | float() as low, int() | float() as high] if (
                math.isfinite(low) and math.isfinite(high) and low <= 0 <= high
            ):
                ranges[site] = (low, high)
            case _:
                raise InputError(
                    f"{checkpoint.path}: its {KEY!r} header has the range {pair} for {site}"
                )
    return ranges
