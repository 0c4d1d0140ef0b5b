"""Vision Transformers of lucidrains/vit-pytorch, and of those who copied its code.

Sources: `vit_pytorch/vit.py` and `vit_pytorch/simple_vit.py` of versions 0.35.8 to 1.26.11; for those
before 1.4, which have `fn` in their names, also `models/vit.py` of
kentaroy47/vision-transformers-cifar10, whose `train_cifar10.py` says how pictures are prepared. Norms
around the patches, and the place of the last norm, are seen in the names.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genkit.errors import InputError
from genkit_export.architectures.vision import CHANNELS
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Tensors, Weights, count
from .names import Names, renamed
from .pictures import Preparation, multi_label, name_classes, prepare, refuse

KEYS = (
    "pos_embedding",
    "cls_token",
    "transformer.layers.*.0.to_qkv.weight",
    "transformer.layers.*.1.net.1.weight",
)
OLD_KEYS = (
    "pos_embedding",
    "cls_token",
    "transformer.layers.*.0.fn.to_qkv.weight",
    "transformer.layers.*.1.fn.net.0.weight",
)
SIMPLE_KEYS = (
    "to_patch_embedding.2.weight",
    "transformer.layers.*.0.to_qkv.weight",
    "transformer.layers.*.0.to_out.weight",
    "linear_head.weight",
)
UNLIKE = {
    "temperature": "attention for small data sets, as vit_small of kentaroy47",
    "to_patch_tokens": "shifted patches, as vit_small of kentaroy47",
    "reattn_weights": "mixed attention, as DeepViT",
    "register_tokens": "register tokens",
}
"""Parts of names that other networks of the same authors have."""
HEAD_WIDTH = 64
"""The default of `dim_head`."""
CIFAR = {
    10: Preparation(
        (32, 32),
        interpolation="bilinear",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
    ),
    100: Preparation(
        (32, 32),
        interpolation="bilinear",
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
    ),
}
"""What kentaroy47 does to pictures of 32 pixels, by the number of classes."""

POOLS = {"cls": "token", "mean": "all"}
"""Their names of what the classifier sees, where there is a class token, and ours."""
LAYER = "transformer.layers.#"
NEW: Names = {
    f"{LAYER}.0.norm": "blocks.#.norm1",
    f"{LAYER}.0.to_qkv": "blocks.#.attn.qkv",
    f"{LAYER}.0.to_out.0": "blocks.#.attn.proj",
    f"{LAYER}.1.net.0": "blocks.#.norm2",
    f"{LAYER}.1.net.1": "blocks.#.mlp.fc1",
    f"{LAYER}.1.net.4": "blocks.#.mlp.fc2",
}
OLD: Names = {
    f"{LAYER}.0.norm": "blocks.#.norm1",
    f"{LAYER}.0.fn.to_qkv": "blocks.#.attn.qkv",
    f"{LAYER}.0.fn.to_out.0": "blocks.#.attn.proj",
    f"{LAYER}.1.norm": "blocks.#.norm2",
    f"{LAYER}.1.fn.net.0": "blocks.#.mlp.fc1",
    f"{LAYER}.1.fn.net.3": "blocks.#.mlp.fc2",
}
SIMPLE: Names = {
    **NEW,
    f"{LAYER}.0.to_out": "blocks.#.attn.proj",
    f"{LAYER}.1.net.3": "blocks.#.mlp.fc2",
}
NORMED_PATCHES: Names = {
    "to_patch_embedding.1": "patch_embed.pixel_norm",
    "to_patch_embedding.2": "patch_embed.proj",
    "to_patch_embedding.3": "patch_embed.norm",
}
AROUND: Names = {
    "to_patch_embedding.1": "patch_embed.proj",
    "pos_embedding": "pos_embed",
    "transformer.norm": "norm",
    "mlp_head": "head",
    "mlp_head.0": "norm",
    "mlp_head.1": "head",
    "linear_head": "head",
}


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `ViT` of version 1.4 and later."""
    return _load(weights, checkpoint, settings, NEW)


def load_old(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `ViT` from before version 1.4, or a copy of one."""
    return _load(weights, checkpoint, settings, OLD)


def load_simple(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `SimpleViT` of version 1.5 and later. Its positions are computed and not in the file, which
    therefore does not tell the size of its pictures.
    """
    channels = _channels(weights["to_patch_embedding.2.weight"].shape[1], settings)
    patch = math.isqrt(weights["to_patch_embedding.2.weight"].shape[1] // max(channels, 1))
    size = settings.assume("image_size", 256)
    width = weights["to_patch_embedding.2.weight"].shape[0]
    if not patch or size % patch or width % 4:
        raise ValueError(f"image_size {size} must be a multiple of its patches of {patch}")
    positions = sines(size // patch, width)
    return _load({**weights, "pos_embedding": positions}, checkpoint, settings, SIMPLE)


def _load(weights: Weights, checkpoint: Checkpoint, settings: Settings, layers: Names) -> Loaded:
    """What the spellings have in common. Raises InputError for networks that genkit does not
    have.
    """
    refuse(weights, UNLIKE, checkpoint)
    weights = Tensors(weights)
    # `pool="mean"` leaves an empty class token behind; older files do not tell.
    pool = "mean"
    token = weights.get("cls_token", torch.empty(0))
    if not token.numel():
        weights.pop("cls_token", None)
    else:
        pool = settings.assume("pool", "cls")
        if pool not in POOLS:
            raise ValueError(f"pool must be {' or '.join(POOLS)}, not {pool!r}")
    normed = "to_patch_embedding.3.weight" in weights
    names = {**AROUND, **(NORMED_PATCHES if normed else {}), **layers}
    ours = renamed(weights, names)
    width, patch, channels = _patches(ours, checkpoint, settings)
    _flatten(ours, "pos_embed")
    _flatten(ours, "cls_token")
    _turn_patches(ours, patch, channels, normed)
    size = patch * _grid(ours, checkpoint)
    depth = count(ours, "blocks.*.attn.qkv.weight")
    inner = ours["blocks.0.attn.qkv.weight"].shape[0] // 3
    for i in range(depth):
        _complete(ours, f"blocks.{i}.attn", width, inner)
    classes = settings.read("num_classes", ours["head.weight"].shape[0])
    usual = CIFAR.get(classes) if size == 32 else None
    preparation = prepare(
        settings, usual or Preparation((size, size), mean=(0.0,) * 3, std=(1.0,) * 3), {}, channels
    )
    config: dict[str, Any] = {
        "image_size": size if layers is SIMPLE else settings.read("image_size", size),
        "patch_size": settings.read("patch_size", patch),
        "num_classes": classes,
        "d_model": settings.read("d_model", width),
        "layers": settings.read("layers", depth),
        "d_attention": settings.read("d_attention", inner),
        "num_heads": settings.assume("num_heads", max(inner // HEAD_WIDTH, 1)),
        "d_ff": settings.read("d_ff", ours["blocks.0.mlp.fc1.weight"].shape[0]),
        "norm_eps": settings.assume("norm_eps", 1e-5),
        "pooling": POOLS[pool] if "cls_token" in ours else settings.read("pooling", "mean"),
        "multi_label": multi_label(checkpoint, settings, classes),
        "channels": channels,
        "stem": "normed" if normed else "patch",
        "mean": preparation.mean,
        "std": preparation.std,
    }
    labels = name_classes(checkpoint, settings, classes)
    return Loaded(config, ours, {"image": preparation.section(labels)})


def sines(grid: int, width: int) -> Tensor:
    """Positions of a square grid of patches (grid ** 2, width): `posemb_sincos_2d`."""
    quarter = width // 4
    omega = 1 / 10000 ** (torch.arange(quarter) / (quarter - 1))
    angles = torch.arange(grid)[:, None] * omega
    rows = angles.repeat_interleave(grid, 0)
    columns = angles.repeat(grid, 1)
    return torch.cat([columns.sin(), columns.cos(), rows.sin(), rows.cos()], 1)


def _patches(ours: Weights, checkpoint: Checkpoint, settings: Settings) -> tuple[int, int, int]:
    """The width of a network, the side of its patches, and the channels of its pictures. Raises
    InputError if they are no squares.
    """
    width, numbers = ours["patch_embed.proj.weight"].shape
    channels = _channels(numbers, settings)
    patch = math.isqrt(numbers // max(channels, 1))
    if channels * patch**2 != numbers or not numbers:
        raise InputError(
            f"{checkpoint.path} sees patches of {numbers} numbers, which are no squares of "
            f"{channels} channels"
        )
    return width, patch, channels


def _channels(numbers: int, settings: Settings) -> int:
    """The channels of patches of so many numbers, if they are squares: three or two are certain,
    and one could also be four, in patches of half the side.
    """
    fits = [c for c in (CHANNELS, 1, 2, 4) if c * math.isqrt(numbers // c) ** 2 == numbers]
    tell = settings.assume if 4 in fits else settings.read
    return tell("channels", (fits or [CHANNELS])[0])


def _flatten(ours: Weights, name: str) -> None:
    """In newer files class token and positions have no batch of one in front."""
    if name in ours and ours[name].dim() == 2:
        ours[name] = ours[name].reshape(1, -1, ours[name].shape[-1])


def _turn_patches(ours: Weights, patch: int, channels: int, normed: bool) -> None:
    """Theirs are rows, columns, channels; ours channels, rows, columns."""

    def turned(tensor: Tensor) -> Tensor:
        pixels = tensor.reshape(-1, patch, patch, channels)
        return pixels.permute(0, 3, 1, 2)

    projected = turned(ours["patch_embed.proj.weight"])
    if normed:
        projected = projected.flatten(1)[..., None, None]
        for name in ("patch_embed.pixel_norm.weight", "patch_embed.pixel_norm.bias"):
            ours[name] = turned(ours[name]).flatten()
    ours["patch_embed.proj.weight"] = projected.contiguous()


def _complete(ours: Weights, attention: str, width: int, inner: int) -> None:
    """Theirs has no biases of queries, keys and values; one head that is as wide as the network is
    not mapped afterwards; SimpleViT's map has no bias.
    """
    ours[f"{attention}.qkv.bias"] = torch.zeros(3 * inner)
    if f"{attention}.proj.weight" not in ours and inner == width:
        ours[f"{attention}.proj.weight"] = torch.eye(width)
    ours.setdefault(f"{attention}.proj.bias", torch.zeros(width))


def _grid(ours: Mapping[str, Tensor], checkpoint: Checkpoint) -> int:
    """Rows of patches that there are positions for. Raises InputError if they are no square."""
    positions = ours["pos_embed"].shape[1] - ("cls_token" in ours)
    grid = math.isqrt(max(positions, 0))
    if grid**2 != positions or not grid:
        raise InputError(
            f"{checkpoint.path} has positions for {positions} patches, which are no square"
        )
    return grid
