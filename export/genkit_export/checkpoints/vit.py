"""Vision Transformers as timm, Hugging Face transformers and torchvision store them.

Sources: timm's `models/vision_transformer.py`, transformers' `models/vit/
convert_vit_timm_to_pytorch.py` (whose names its published files still have, whatever its classes
call them today) and torchvision's `models/vision_transformer.py`. timm's names are our own. How
pictures are prepared is what timm's `_cfg`, transformers' image processors and the transforms of
torchvision's weights say.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genkit.errors import InputError
from genkit_export.architectures.vision import IMAGENET_MEAN, IMAGENET_STD
from genkit_export.architectures.vit import ViTConfig
from genkit_export.checkpoints.names import Names, renamed
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Weights, count, pattern, shown
from .pictures import (
    HALF,
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

TIMM_KEYS = ("pos_embed", "patch_embed.proj.weight", "blocks.*.attn.qkv.weight", "head.weight")
TRANSFORMERS_KEYS = (
    "vit.embeddings.position_embeddings",
    "vit.embeddings.patch_embeddings.projection.weight",
    "vit.encoder.layer.*.attention.attention.query.weight",
    "classifier.weight",
)
TORCHVISION_KEYS = (
    "class_token",
    "conv_proj.weight",
    "encoder.pos_embedding",
    "encoder.layers.encoder_layer_*.self_attention.in_proj_weight",
)
UNLIKE = {
    "dist_token": "a distillation token",
    "reg_token": "register tokens",
    "register_tokens": "register tokens",
    "norm_pre": "a norm before its blocks",
    "fc_norm": "a norm after pooling",
    "attn_pool": "pooling by attention",
    "pre_logits": "a layer before its classifier",
    "ls1": "scaled layers",
    "gamma_1": "scaled layers",
    "q_norm": "norms of queries and keys",
    "q_bias": "attention without biases of the keys",
    "relative_position_bias_table": "relative positions",
    "backbone": "convolutions before its patches",
}
"""Parts of names that other Vision Transformers have."""
POOLS = {"token": "token", "avg": "patches"}
"""What timm calls the ways to pool, and what we do."""
POOLER = "vit.pooler."
"""In transformers' files; the classifier does not see it."""
SIXTEEN = (1280, 1408, 1664)
"""Widths of ViT-H, g and G, which have 16 heads; of others, heads are 64 wide."""

TRANSFORMERS: Names = {
    "vit.embeddings.cls_token": "cls_token",
    "vit.embeddings.position_embeddings": "pos_embed",
    "vit.embeddings.patch_embeddings.projection": "patch_embed.proj",
    "vit.encoder.layer.#.layernorm_before": "blocks.#.norm1",
    "vit.encoder.layer.#.attention.attention.query": "blocks.#.attn.qkv/0",
    "vit.encoder.layer.#.attention.attention.key": "blocks.#.attn.qkv/1",
    "vit.encoder.layer.#.attention.attention.value": "blocks.#.attn.qkv/2",
    "vit.encoder.layer.#.attention.output.dense": "blocks.#.attn.proj",
    "vit.encoder.layer.#.layernorm_after": "blocks.#.norm2",
    "vit.encoder.layer.#.intermediate.dense": "blocks.#.mlp.fc1",
    "vit.encoder.layer.#.output.dense": "blocks.#.mlp.fc2",
    "vit.layernorm": "norm",
    "classifier": "head",
}
TORCHVISION: Names = {
    "class_token": "cls_token",
    "encoder.pos_embedding": "pos_embed",
    "conv_proj": "patch_embed.proj",
    "encoder.layers.encoder_layer_#.ln_1": "blocks.#.norm1",
    "encoder.layers.encoder_layer_#.self_attention.in_proj": "blocks.#.attn.qkv",
    "encoder.layers.encoder_layer_#.self_attention.out_proj": "blocks.#.attn.proj",
    "encoder.layers.encoder_layer_#.ln_2": "blocks.#.norm2",
    "encoder.layers.encoder_layer_#.mlp.0": "blocks.#.mlp.fc1",
    "encoder.layers.encoder_layer_#.mlp.3": "blocks.#.mlp.fc2",
    "encoder.layers.encoder_layer_#.mlp.linear_1": "blocks.#.mlp.fc1",
    "encoder.layers.encoder_layer_#.mlp.linear_2": "blocks.#.mlp.fc2",
    "encoder.ln": "norm",
    "heads.head": "head",
}
"""Files from before version 0.12 have `linear_1` and `linear_2`."""


def load_timm(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `VisionTransformer` of timm; networks of DeiT's and MAE's authors have its names too."""
    size = image_size(weights, checkpoint)
    usual = Preparation((size, size), crop_pct=0.9 if size < 384 else 1.0, mean=HALF, std=HALF)
    config: dict[str, Any] = {
        "num_heads": settings.assume("num_heads", heads(weights)),
        "norm_eps": settings.assume("norm_eps", 1e-6),
    }
    if "cls_token" in weights:
        config["pooling"] = _pooling(checkpoint, settings)
    found = of_timm(checkpoint, weights["patch_embed.proj.weight"].shape[1])
    if "mean" not in found and not settings.is_given("mean"):
        settings.notes.append(
            "DeiT and MAE have the same names: theirs are --set mean="
            f"{shown(IMAGENET_MEAN)} --set std={shown(IMAGENET_STD)}"
        )
    return load(weights, checkpoint, settings, config, usual, found)


def _pooling(checkpoint: Checkpoint, settings: Settings) -> str:
    """What the classifier of a network with a class token sees, by timm's names. Raises InputError
    for what genkit does not have.
    """
    pool = settings.get("global_pool", checkpoint.config, "token")
    if pool not in POOLS:
        raise InputError(f"{checkpoint.path} pools by {pool!r}: genkit has {' and '.join(POOLS)}")
    return POOLS[pool]


def load_transformers(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `ViTForImageClassification`."""
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(POOLER)}
    ours = from_transformers(kept)
    size = image_size(ours, checkpoint)
    usual, found = of_transformers(
        checkpoint, Preparation((size, size), STRETCH, "bilinear", mean=HALF, std=HALF)
    )
    config = {
        "num_heads": settings.get("num_attention_heads", checkpoint.config, heads(ours)),
        "norm_eps": settings.get("layer_norm_eps", checkpoint.config, 1e-12),
        "position_antialias": False,
    }
    gelu(checkpoint, settings)
    return load(ours, checkpoint, settings, config, usual, found)


def load_torchvision(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A `VisionTransformer` of torchvision. Its weights of other sizes than 224, of SWAG, come with
    a transform of their own.
    """
    ours = from_torchvision(weights)
    size = image_size(ours, checkpoint)
    usual = Preparation((size, size))
    if size == 224:
        large = ours["patch_embed.proj.weight"].shape[::2] == (1024, 16)
        edge = 242 if large else 256
        usual = Preparation((size, size), interpolation="bilinear", crop_pct=crop_share(size, edge))
    config = {
        "num_heads": settings.assume("num_heads", heads(ours)),
        "norm_eps": settings.assume("norm_eps", 1e-6),
    }
    return load(ours, checkpoint, settings, config, usual, {})


def load(
    weights: Weights,
    checkpoint: Checkpoint,
    settings: Settings,
    config: Mapping[str, Any],
    usual: Preparation,
    found: Mapping[str, Any],
) -> Loaded:
    """What the layouts have in common, once the names are ours. Raises InputError for variants of
    the network that genkit does not have.
    """
    refuse(weights, UNLIKE, checkpoint)
    width, patch, channels = patches(weights, checkpoint)
    complete_biases(weights, "blocks.*.attn.qkv.weight")
    preparation = prepare(settings, usual, found, channels)
    classes = settings.read("num_classes", weights["head.weight"].shape[0])
    whole: dict[str, Any] = {
        "image_size": settings.read("image_size", image_size(weights, checkpoint)),
        "patch_size": settings.read("patch_size", patch),
        "num_classes": classes,
        "d_model": settings.read("d_model", width),
        "layers": settings.read("layers", count(weights, "blocks.*.attn.qkv.weight")),
        "d_ff": settings.read("d_ff", weights["blocks.0.mlp.fc1.weight"].shape[0]),
        "pooling": config.get("pooling")
        or settings.read("pooling", "token" if "cls_token" in weights else "mean"),
        "multi_label": multi_label(checkpoint, settings, classes),
        "channels": settings.read("channels", channels),
        "mean": preparation.mean,
        "std": preparation.std,
        **config,
    }
    labels = name_classes(checkpoint, settings, classes)
    return Loaded(whole, weights, {"image": preparation.section(labels)})


def complete_biases(weights: Weights, key: str) -> None:
    """Give a network that was made with qkv_bias=False biases of zero, which compute the same."""
    for name in [name for name in weights if re.fullmatch(pattern(key), name)]:
        bias = f"{name.removesuffix('weight')}bias"
        if bias not in weights:
            weights[bias] = torch.zeros(len(weights[name]))


def image_size(weights: Weights, checkpoint: Checkpoint) -> int:
    """Side of the pictures that the positions were learned for. Raises InputError if they are no
    square, or leave the class token out.
    """
    positions = weights["pos_embed"].shape[1] - ("cls_token" in weights)
    grid = math.isqrt(max(positions, 0))
    if grid**2 != positions or not grid:
        refuse(weights, UNLIKE, checkpoint)  # registers and the like have positions too
        raise InputError(
            f"{checkpoint.path} has positions for {positions} patches, which are no square"
        )
    return grid * weights["patch_embed.proj.weight"].shape[2]


def heads(weights: Weights) -> int:
    """What is usual for the width."""
    width = weights["patch_embed.proj.weight"].shape[0]
    return 16 if width in SIXTEEN else max(width // 64, 1)


def gelu(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raises InputError for a configuration of transformers with another activation."""
    name = settings.get("hidden_act", checkpoint.config, "gelu")
    if name != "gelu":
        raise InputError(
            f"{checkpoint.path} has the activation {name!r}, which genkit does not have"
        )


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of a `ViTForImageClassification`."""
    return renamed(tensors, TRANSFORMERS)


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of torchvision's `VisionTransformer`."""
    return renamed(
        {name.replace("in_proj_", "in_proj."): tensor for name, tensor in tensors.items()},
        TORCHVISION,
    )


def transformers_config(config: ViTConfig) -> Mapping[str, object]:
    """The arguments of the `ViTConfig` of transformers for a network of these sizes. Raises
    ValueError for choices that it does not have.
    """
    if (config.stem, config.pooling) != ("patch", "token"):
        raise ValueError("transformers' ViT has plain patches and a class token")
    return {
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_labels": config.num_classes,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.d_ff,
        "layer_norm_eps": config.norm_eps,
    }
