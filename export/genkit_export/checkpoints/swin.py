"""Swin Transformers as Microsoft, Hugging Face transformers and torchvision store them.

Sources: Microsoft's `models/swin_transformer.py`, transformers' `models/swin/
convert_swin_timm_to_pytorch.py` (whose names its published files still have, whatever its classes
call them today) and torchvision's `models/swin_transformer.py`. timm's names, from 0.9 on, are our
own; before, they were Microsoft's.
"""

from collections.abc import Mapping

from torch import Tensor

from genkit_export.architectures.swin import SwinConfig
from genkit_export.checkpoints.names import Names, renamed

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


def from_microsoft(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of the authors' `SwinTransformer`. Raises KeyError for a name that it
    does not have.
    """
    return renamed(tensors, MICROSOFT)


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of a `SwinForImageClassification`. Raises KeyError for a name that it
    does not have.
    """
    return renamed(tensors, TRANSFORMERS)


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of torchvision's `SwinTransformer`. Raises KeyError for a name that
    it does not have.
    """
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
