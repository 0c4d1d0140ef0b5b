"""Vision Transformers as Hugging Face transformers and torchvision store them.

Sources: transformers' `models/vit/convert_vit_timm_to_pytorch.py` (whose names its published files
still have, whatever its classes call them today) and torchvision's `models/vision_transformer.py`.
timm's names are our own.
"""

from collections.abc import Mapping

from torch import Tensor

from genkit_export.architectures.vit import ViTConfig
from genkit_export.checkpoints.names import Names, renamed

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


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of a `ViTForImageClassification`. Raises KeyError for a name that it
    does not have.
    """
    return renamed(tensors, TRANSFORMERS)


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from that of torchvision's `VisionTransformer`. Raises KeyError for a name that
    it does not have.
    """
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
