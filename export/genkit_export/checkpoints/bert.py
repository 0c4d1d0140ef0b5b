"""BERT as Hugging Face transformers stores it (`BertForMaskedLM`).

Source: transformers' `models/bert/modeling_bert.py`. Only the names differ from ours.
"""

from collections.abc import Mapping

from torch import Tensor

from genkit_export.architectures.bert import Bert

NAMES = {
    "embeddings.words": "bert.embeddings.word_embeddings",
    "embeddings.positions": "bert.embeddings.position_embeddings",
    "embeddings.segments": "bert.embeddings.token_type_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
    "head.dense": "cls.predictions.transform.dense",
    "head.norm": "cls.predictions.transform.LayerNorm",
    "head": "cls.predictions",
}
"""Ours -> theirs, outside the layers."""
LAYER_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "feed_norm": "output.LayerNorm",
}
"""Ours -> theirs, inside a layer."""


def to_transformers(model: Bert) -> dict[str, Tensor]:
    """The state dict of the `BertForMaskedLM` that computes what `model` does."""
    out = {_name(name): value for name, value in model.state_dict().items()}
    out["cls.predictions.decoder.weight"] = out["bert.embeddings.word_embeddings.weight"]
    out["cls.predictions.decoder.bias"] = out["cls.predictions.bias"]
    return out


def transformers_config(model: Bert) -> Mapping[str, object]:
    """The arguments of the `BertConfig` of transformers that describes `model`."""
    c = model.config
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.d_model,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.num_heads,
        "intermediate_size": c.d_ff,
        "hidden_act": c.activation,
        "hidden_dropout_prob": c.dropout,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": c.max_positions,
        "type_vocab_size": c.segments,
        "layer_norm_eps": c.norm_eps,
        "pad_token_id": c.pad_id,
        "tie_word_embeddings": True,
    }


def _name(name: str) -> str:
    path, _, kind = name.rpartition(".")
    if not path.startswith("encoder."):
        return f"{NAMES[path]}.{kind}"
    _, index, inner = path.split(".", 2)
    return f"bert.encoder.layer.{index}.{LAYER_NAMES[inner]}.{kind}"
