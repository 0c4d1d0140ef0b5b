"""Marian's translation models as Hugging Face transformers stores them (`MarianMTModel`).

Source: transformers' `models/marian/modeling_marian.py`. A Marian network is a Transformer with
`architectures.transformer.marian` choices; only the names differ.
"""

from collections.abc import Mapping

from torch import Tensor

from genkit_export.architectures.transformer import Transformer

RENAMES = {
    "self_attention.query": "self_attn.q_proj",
    "self_attention.key": "self_attn.k_proj",
    "self_attention.value": "self_attn.v_proj",
    "self_attention.output": "self_attn.out_proj",
    "self_residual.norm": "self_attn_layer_norm",
    "cross_attention.query": "encoder_attn.q_proj",
    "cross_attention.key": "encoder_attn.k_proj",
    "cross_attention.value": "encoder_attn.v_proj",
    "cross_attention.output": "encoder_attn.out_proj",
    "cross_residual.norm": "encoder_attn_layer_norm",
    "feed_forward.expand": "fc1",
    "feed_forward.contract": "fc2",
    "feed_residual.norm": "final_layer_norm",
}
"""Ours -> Marian's, inside a layer."""


def to_marian(model: Transformer) -> dict[str, Tensor]:
    """The state dict of the `MarianMTModel` that computes what `model` does."""
    state = model.state_dict()
    out = {_marian_name(name): value for name, value in state.items() if "." in name}
    out["model.encoder.embed_tokens.weight"] = out["model.shared.weight"]
    out["model.decoder.embed_tokens.weight"] = out["model.shared.weight"]
    out["lm_head.weight"] = out["model.shared.weight"]
    for side in ("encoder", "decoder"):
        out[f"model.{side}.embed_positions.weight"] = model.positions
    out["final_logits_bias"] = state["output_bias"][None]
    return out


def marian_config(model: Transformer) -> Mapping[str, object]:
    """The arguments of the `MarianConfig` that describes `model`. Raises ValueError for choices
    that Marian does not have.
    """
    c = model.config
    if (c.norm, c.position_layout, c.output_bias, c.position_base) != ("post", "split", True, 1e4):
        raise ValueError("Marian has post-norm, split sinusoids of base 10,000 and an output bias")
    return {
        "vocab_size": c.vocab_size,
        "d_model": c.d_model,
        "encoder_layers": c.encoder_layers,
        "decoder_layers": c.decoder_layers,
        "encoder_attention_heads": c.num_heads,
        "decoder_attention_heads": c.num_heads,
        "encoder_ffn_dim": c.d_ff,
        "decoder_ffn_dim": c.d_ff,
        "activation_function": c.activation,
        "scale_embedding": c.scale_embedding,
        "max_position_embeddings": c.max_positions,
        "eos_token_id": c.eos_id,
        "pad_token_id": c.pad_id,
        "decoder_start_token_id": c.pad_id,
        "forced_eos_token_id": None,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        "dropout": 0.0,
    }


def _marian_name(name: str) -> str:
    if name == "embedding.weight":
        return "model.shared.weight"
    stack, index, *path, kind = name.split(".")
    return f"model.{stack}.layers.{index}.{RENAMES['.'.join(path)]}.{kind}"
