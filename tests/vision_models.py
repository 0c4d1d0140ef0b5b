"""Small ViTs and Swins with weights that exercise everything: no bias is zero, no norm is one.

Weights come from a formula of their name, so that networks in other environments can have the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from genkit_export.architectures.swin import Swin, SwinConfig
from genkit_export.architectures.vit import ViT, ViTConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.classify import image_section
from genkit_export.export import inspect
from genkit_export.registry import ARCHITECTURES

LABELS = ("cat", "dog", "ship", "frog", "deer")


def vit_config(**overrides: object) -> ViTConfig:
    sizes: dict[str, object] = {
        "image_size": 32,
        "patch_size": 8,
        "num_classes": len(LABELS),
        "d_model": 48,
        "layers": 2,
        "num_heads": 3,
        "d_ff": 96,
    }
    return ViTConfig(**(sizes | overrides))  # type: ignore[arg-type]


def swin_config(**overrides: object) -> SwinConfig:
    sizes: dict[str, object] = {
        "image_size": 32,
        "patch_size": 2,
        "num_classes": len(LABELS),
        "embed_dim": 16,
        "depths": (2, 2),
        "num_heads": (2, 4),
        "window_size": 4,
    }
    return SwinConfig(**(sizes | overrides))  # type: ignore[arg-type]


def numbers(name: str, shape: Sequence[int]) -> Tensor:
    """Float32 numbers from -1 to 1 that look random, the same everywhere."""
    count = math.prod(shape)
    at = torch.arange(count, dtype=torch.float64) + zlib.crc32(name.encode()) % 9973
    return ((at * 12.9898).sin() * 4375.85).frac().view(*shape).float()


def weight(name: str, shape: Sequence[int]) -> Tensor:
    """What a parameter of this name and shape is set to, in any of the layouts."""
    x = numbers(name, shape)
    if "bias_table" in name or "pos" in name or "token" in name:
        return x
    if name.endswith("var") or (name.endswith("weight") and len(shape) == 1):
        return 1 + 0.3 * x
    return 0.3 * x if len(shape) == 1 else x * (3 / math.prod(shape[1:])) ** 0.5


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A state dict of tensors of these shapes."""
    return {name: weight(name, shape) for name, shape in shapes.items()}


def fill(network: torch.nn.Module) -> None:
    """Give every floating-point tensor of a state dict its weight."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(weight(name, tensor.shape))


def lively(config: ViTConfig | SwinConfig) -> ViT | Swin:
    """A network whose answers differ from picture to picture, in half precision."""
    network = ViT(config) if isinstance(config, ViTConfig) else Swin(config)
    fill(network)
    return network.half().float().eval()


def pictures(batch: int, height: int, width: int) -> Tensor:
    """Float pictures (batch, 3, height, width), normalised: noise on four coloured fields."""
    fields = numbers("fields", (batch, 3, 2, 2))
    colours = fields.repeat_interleave(-(-height // 2), 2).repeat_interleave(-(-width // 2), 3)
    return 2 * colours[:, :, :height, :width] + numbers("pictures", (batch, 3, height, width))


@cache
def mend_torchvision() -> object:
    """Let torchvision be imported beside a torch that it was not built for, and so timm, and
    transformers where torchvision is installed. Call it before any of them.

    Its compiled library does not load there, but two of its operators are described in Python when
    it is imported. Nothing here calls them: it is enough that they exist.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    try:
        for path in Path(spec.origin).parent.glob("_C*.so"):
            torch.ops.load_library(path)
    except OSError:
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return operators  # which exist as long as this object does
    return None


def published(model: Any, folder: Path) -> dict[str, Tensor]:
    """The state dict of a model of transformers under the names of its files, which differ from
    those of its classes.
    """
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def write_checkpoint(folder: Path, network: ViT | Swin, **image: object) -> Path:
    """A checkpoint in genkit's layout."""
    architecture = "vit" if isinstance(network, ViT) else "swin"
    card = {
        "task": "classify",
        "name": "tiny",
        "description": "A random classifier",
        "license": "CC0-1.0",
        "image": {**image_section(network.config, LABELS), **image},
        "origin": {"data": [], "figures": []},
    }
    path = folder / "checkpoint.safetensors"
    own.write(path, network, own.Description(architecture, asdict(network.config), card))
    return path


def read_published(path: Path, **settings: str) -> tuple[str, ViT | Swin]:
    """The layout of a published checkpoint, and the network that it is read as."""
    found = inspect(path, given=settings)
    architecture = ARCHITECTURES[found.architecture]
    network = architecture.network(architecture.config(**found.loaded.config))
    network.load_state_dict(found.loaded.weights)
    assert isinstance(network, ViT | Swin)
    return found.layout.name, network.eval()


def photo(path: Path, height: int, width: int) -> Path:
    """A JPEG of four coloured fields and noise."""
    pixels = 128 + 50 * pictures(1, height, width)[0].permute(1, 2, 0)
    Image.fromarray(pixels.clamp(0, 255).byte().numpy()).save(path, quality=95)
    return path
