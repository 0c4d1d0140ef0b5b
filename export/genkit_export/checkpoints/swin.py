"""Swin Transformers as Microsoft, Hugging Face transformers and torchvision store them.

Sources: Microsoft's `models/swin_transformer.py` and `data/build.py`, transformers' `models/swin/
convert_swin_timm_to_pytorch.py` (whose names its published files still have, whatever its classes
call them today) and torchvision's `models/swin_transformer.py`. timm's names, from 0.9 on, are our
own; before, they were Microsoft's. How pictures are prepared is what timm's `_cfg`, transformers'
image processors, the transforms of torchvision's weights and Microsoft's `build_transform` say.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from genkit.errors import InputError
from genkit_export.architectures.swin import SwinConfig
from genkit_export.checkpoints.names import Names, renamed
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Tensors, Weights, count
from .pictures import (
    STRETCH,
    Preparation,
    crop_share,
    multi_label,
    name_classes,
    of_timm,
    of_transformers,
    patches,
    prepare,
    refuse,
)
from .vit import complete_biases, gelu

TIMM_KEYS = ("patch_embed.norm.weight", "layers.*.blocks.*.attn.qkv.weight", "head.fc.weight")
MICROSOFT_KEYS = ("patch_embed.norm.weight", "layers.*.blocks.*.attn.qkv.weight", "head.weight")
TRANSFORMERS_KEYS = (
    "swin.embeddings.patch_embeddings.projection.weight",
    "swin.encoder.layers.*.blocks.*.attention.self.query.weight",
    "classifier.weight",
)
TORCHVISION_KEYS = (
    "features.0.0.weight",
    "features.1.*.attn.qkv.weight",
    "features.2.reduction.weight",
    "head.weight",
)
UNLIKE = {
    "logit_scale": "the attention of Swin V2",
    "spatial_mlp": "layers of Swin-MLP",
    "absolute_pos_embed": "absolute positions",
    "position_embeddings": "absolute positions",
}
"""Parts of names that other Swin Transformers have."""
BUFFERS = ("relative_position_index", "attn_mask")
TABLE = "attn.relative_position_bias_table"
EDGES = {(96, 18): 246, (128, 18): 238}
"""torchvision's Swin-S and B: width and third depth -> what 224 pixels are cut out of."""
EDGE = 232
"""The same of Swin-T."""
STAGES = 4

MICROSOFT: Names = {
    "patch_embed.proj": "patch_embed.proj",
    "patch_embed.norm": "patch_embed.norm",
    "layers.#.blocks.#.attn_mask": None,
    "layers.#.blocks.#.norm1": "layers.#.blocks.#.norm1",
    "layers.#.blocks.#.attn.relative_position_bias_table": (
        "layers.#.blocks.#.attn.relative_position_bias_table"
    ),
    "layers.#.blocks.#.attn.relative_position_index": None,
    "layers.#.blocks.#.attn.qkv": "layers.#.blocks.#.attn.qkv",
    "layers.#.blocks.#.attn.proj": "layers.#.blocks.#.attn.proj",
    "layers.#.blocks.#.norm2": "layers.#.blocks.#.norm2",
    "layers.#.blocks.#.mlp.fc1": "layers.#.blocks.#.mlp.fc1",
    "layers.#.blocks.#.mlp.fc2": "layers.#.blocks.#.mlp.fc2",
    "layers.#.downsample.norm": "layers.#+1.downsample.norm",
    "layers.#.downsample.reduction": "layers.#+1.downsample.reduction",
    "norm": "norm",
    "head": "head.fc",
}
TRANSFORMERS: Names = {
    "swin.embeddings.patch_embeddings.projection": "patch_embed.proj",
    "swin.embeddings.norm": "patch_embed.norm",
    "swin.encoder.layers.#.blocks.#.layernorm_before": "layers.#.blocks.#.norm1",
    "swin.encoder.layers.#.blocks.#.attention.self.relative_position_bias_table": (
        "layers.#.blocks.#.attn.relative_position_bias_table"
    ),
    "swin.encoder.layers.#.blocks.#.attention.self.relative_position_index": None,
    "swin.encoder.layers.#.blocks.#.attention.self.query": "layers.#.blocks.#.attn.qkv/0",
    "swin.encoder.layers.#.blocks.#.attention.self.key": "layers.#.blocks.#.attn.qkv/1",
    "swin.encoder.layers.#.blocks.#.attention.self.value": "layers.#.blocks.#.attn.qkv/2",
    "swin.encoder.layers.#.blocks.#.attention.output.dense": "layers.#.blocks.#.attn.proj",
    "swin.encoder.layers.#.blocks.#.layernorm_after": "layers.#.blocks.#.norm2",
    "swin.encoder.layers.#.blocks.#.intermediate.dense": "layers.#.blocks.#.mlp.fc1",
    "swin.encoder.layers.#.blocks.#.output.dense": "layers.#.blocks.#.mlp.fc2",
    "swin.encoder.layers.#.downsample.norm": "layers.#+1.downsample.norm",
    "swin.encoder.layers.#.downsample.reduction": "layers.#+1.downsample.reduction",
    "swin.layernorm": "norm",
    "classifier": "head.fc",
}
_TORCHVISION_BLOCK: Names = {
    "norm1": "norm1",
    "attn.relative_position_bias_table": "attn.relative_position_bias_table",
    "attn.relative_position_index": None,
    "attn.qkv": "attn.qkv",
    "attn.proj": "attn.proj",
    "norm2": "norm2",
    "mlp.0": "mlp.fc1",
    "mlp.3": "mlp.fc2",
}
TORCHVISION: Names = {
    "features.0.0": "patch_embed.proj",
    "features.0.2": "patch_embed.norm",
    **{
        f"features.{2 * stage + 1}.#.{theirs}": ours and f"layers.{stage}.blocks.#.{ours}"
        for stage in range(STAGES)
        for theirs, ours in _TORCHVISION_BLOCK.items()
    },
    **{
        f"features.{2 * stage}.{part}": f"layers.{stage}.downsample.{part}"
        for stage in range(1, STAGES)
        for part in ("norm", "reduction")
    },
    "norm": "norm",
    "head": "head.fc",
}


def load_timm(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `SwinTransformer` of timm, from 0.9 on."""
    ours = Tensors((name, t) for name, t in weights.items() if not name.endswith(BUFFERS))
    size = last_window(ours)
    usual = Preparation((size, size), crop_pct=0.9 if size < 384 else 1.0)
    eps = settings.assume("norm_eps", 1e-5)
    found = of_timm(checkpoint, ours["patch_embed.proj.weight"].shape[1])
    return load(ours, checkpoint, settings, eps, usual, found)


def load_microsoft(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `SwinTransformer` of the authors, or of timm before 0.9. The masks of shifted windows tell
    the size of the pictures, if there are any.
    """
    ours = from_microsoft(weights)
    size, found = last_window(ours), {}
    if (mask := weights.get("layers.0.blocks.1.attn_mask")) is not None:
        windows, tokens = mask.shape[:2]
        size = math.isqrt(windows * tokens) * patch_size(ours)
        found = {"size": (size, size)}
    if size < 384:
        usual = Preparation((size, size), crop_pct=crop_share(size, 256 * size // 224))
    else:  # the configurations of this size say TEST.CROP: False
        usual = Preparation((size, size), STRETCH)
    eps = settings.assume("norm_eps", 1e-5)
    return load(ours, checkpoint, settings, eps, usual, found)


def load_transformers(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `SwinForImageClassification`."""
    ours = from_transformers(weights)
    size = checkpoint.config.get("image_size", last_window(ours))
    if type(size) is not int:
        raise InputError(f"{checkpoint.path}: image_size must be a whole number, not {size}")
    usual, found = of_transformers(checkpoint, Preparation((size, size), STRETCH))
    eps = settings.get("layer_norm_eps", checkpoint.config, 1e-5)
    gelu(checkpoint, settings)
    return load(ours, checkpoint, settings, eps, usual, found)


def load_torchvision(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `SwinTransformer` of torchvision."""
    ours = from_torchvision(weights)
    size = last_window(ours)
    kind = (ours["patch_embed.proj.weight"].shape[0], count(ours, f"layers.2.blocks.*.{TABLE}"))
    edge = EDGES.get(kind, EDGE) * size // 224
    usual = Preparation((size, size), crop_pct=crop_share(size, edge))
    eps = settings.assume("norm_eps", 1e-5)
    return load(ours, checkpoint, settings, eps, usual, {})


def load(
    weights: Weights,
    checkpoint: Checkpoint,
    settings: Settings,
    eps: float,
    usual: Preparation,
    found: Mapping[str, Any],
) -> Loaded:
    """What the layouts have in common, once the names are ours. Raises InputError for variants of
    the network that genkit does not have.
    """
    refuse(weights, UNLIKE, checkpoint)
    width, patch, channels = patches(weights, checkpoint)
    complete_biases(weights, "layers.*.blocks.*.attn.qkv.weight")
    windows = {window(tensor) for name, tensor in weights.items() if name.endswith(TABLE)}
    if len(windows) > 1:
        raise InputError(
            f"{checkpoint.path} has windows of several sizes, which genkit does not have"
        )
    preparation = prepare(settings, usual, found, channels)
    stages = range(count(weights, f"layers.*.blocks.0.{TABLE}"))
    classes = settings.read("num_classes", weights["head.fc.weight"].shape[0])
    config: dict[str, Any] = {
        "image_size": preparation.size[0],
        "patch_size": settings.read("patch_size", patch),
        "num_classes": classes,
        "embed_dim": settings.read("embed_dim", width),
        "depths": settings.read(
            "depths", tuple(count(weights, f"layers.{i}.blocks.*.{TABLE}") for i in stages)
        ),
        "num_heads": settings.read(
            "num_heads", tuple(weights[f"layers.{i}.blocks.0.{TABLE}"].shape[1] for i in stages)
        ),
        "window_size": settings.read("window_size", *windows),
        "mlp_ratio": settings.read(
            "mlp_ratio", weights["layers.0.blocks.0.mlp.fc1.weight"].shape[0] / width
        ),
        "norm_eps": eps,
        "multi_label": multi_label(checkpoint, settings, classes),
        "channels": settings.read("channels", channels),
        "mean": preparation.mean,
        "std": preparation.std,
    }
    labels = name_classes(checkpoint, settings, classes)
    return Loaded(config, weights, {"image": preparation.section(labels)})


def window(table: Tensor) -> int:
    """The window whose distances have the rows of a table of biases. Raises ValueError."""
    side = math.isqrt(table.shape[0])
    if side**2 != table.shape[0] or side % 2 == 0:
        raise ValueError(f"{table.shape[0]} biases are not those of a window")
    return (side + 1) // 2


def patch_size(weights: Weights) -> int:
    """Side of a patch."""
    return weights["patch_embed.proj.weight"].shape[2]


def last_window(weights: Weights) -> int:
    """The size of pictures of which one window sees all in the last stage, as it does in every
    published network.
    """
    table = weights.get(f"layers.0.blocks.0.{TABLE}")
    if table is None:  # of a variant, which will be refused
        return 224
    merged = 2 ** (count(weights, f"layers.*.blocks.0.{TABLE}") - 1)
    return patch_size(weights) * window(table) * int(merged)


def from_microsoft(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of the authors' `SwinTransformer`."""
    return renamed(tensors, MICROSOFT)


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of a `SwinForImageClassification`."""
    return renamed(tensors, TRANSFORMERS)


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of torchvision's `SwinTransformer`."""
    return renamed(tensors, TORCHVISION)


def transformers_config(config: SwinConfig) -> Mapping[str, object]:
    """The arguments of the `SwinConfig` of transformers for a network of these sizes. Raises
    ValueError for choices that it does not have.
    """
    if config.stem != "patch":
        raise ValueError("transformers' Swin has plain patches")
    return {
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_labels": config.num_classes,
        "embed_dim": config.embed_dim,
        "depths": list(config.depths),
        "num_heads": list(config.num_heads),
        "window_size": config.window_size,
        "mlp_ratio": config.mlp_ratio,
        "layer_norm_eps": config.norm_eps,
    }
