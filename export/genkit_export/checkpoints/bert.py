"""BERT as Hugging Face transformers stores it (`BertForMaskedLM`).

Source: transformers' `models/bert/modeling_bert.py`. Only the names differ from ours. Files that
were converted from TensorFlow call the parts of a norm gamma and beta.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genkit.errors import InputError
from genkit_export.architectures.bert import Bert
from genkit_export.architectures.transformer import ACTIVATIONS
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Tensors, Weights, count
from .masked_text import masked_text

KEYS = (
    "bert.embeddings.word_embeddings.weight",
    "bert.encoder.layer.*.attention.self.query.weight",
    "cls.predictions.transform.dense.weight",
)
LAYERS = "bert.encoder.layer."
UNUSED = ("bert.pooler.", "cls.seq_relationship.")
"""What comes after the encoder for other tasks."""
BUFFERS = ("position_ids", "token_type_ids")

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


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A BERT with its masked-language-model head."""
    given = checkpoint.config
    words = weights["bert.embeddings.word_embeddings.weight"]
    positions = weights["bert.embeddings.position_embeddings.weight"]
    config: dict[str, Any] = {
        "vocab_size": settings.read("vocab_size", words.shape[0]),
        "d_model": settings.read("d_model", words.shape[1]),
        "layers": settings.read("layers", count(weights, f"{LAYERS}*.intermediate.dense.bias")),
        "num_heads": settings.get("num_attention_heads", given, heads(words)),
        "d_ff": settings.read("d_ff", weights[f"{LAYERS}0.intermediate.dense.weight"].shape[0]),
        "activation": activation(settings.get("hidden_act", given, "gelu"), checkpoint),
        "max_positions": settings.read("max_positions", positions.shape[0]),
        "segments": settings.read(
            "segments", weights["bert.embeddings.token_type_embeddings.weight"].shape[0]
        ),
        "norm_eps": settings.get("layer_norm_eps", given, 1e-12),
        "pad_id": settings.get("pad_token_id", given, 0),
    }
    ours = to_ours(
        tied(weights, "cls.predictions.decoder", "cls.predictions", words, checkpoint),
        NAMES,
        LAYERS,
        LAYER_NAMES,
    )
    text, files = masked_text(checkpoint, config, settings, "[MASK]")
    return Loaded(config, ours, {"text": text}, files)


def to_ours(
    weights: Weights, names: Mapping[str, str], layers: str, layer_names: Mapping[str, str]
) -> Weights:
    """The tensors under our names; what has no name of ours keeps its own.

    `names` and `layer_names` are ours -> theirs; `layers` stands before the number of a layer.
    """
    outside = {theirs: name for name, theirs in names.items()}
    inside = {theirs: name for name, theirs in layer_names.items()}
    kinds = {"gamma": "weight", "beta": "bias"}
    out = Tensors()
    for name, tensor in weights.items():
        path, _, kind = name.rpartition(".")
        if name.startswith(UNUSED) or kind in BUFFERS:
            continue
        kind = kinds.get(kind, kind)
        index, _, inner = path.removeprefix(layers).partition(".")
        if path in outside:
            name = f"{outside[path]}.{kind}"
        elif path.startswith(layers) and inner in inside:
            name = f"encoder.{index}.{inside[inner]}.{kind}"
        out[name] = tensor
    return out


def tied(
    weights: Weights, decoder: str, head: str, words: Tensor, checkpoint: Checkpoint
) -> Weights:
    """Without the last product, whose weights are the word embeddings and whose bias is the head's.
    Raises InputError for a network in which they are not.
    """
    weights = Tensors(weights)
    last, bias = weights.pop(f"{decoder}.weight", words), weights.pop(f"{decoder}.bias", None)
    if last.shape != words.shape or not torch.equal(last, words):
        raise InputError(
            f"{checkpoint.path} has output embeddings of its own, which genkit does not have"
        )
    if bias is not None:
        weights.setdefault(f"{head}.bias", bias)
    return weights


def heads(words: Tensor) -> int:
    """What is usual: heads of 64."""
    return max(words.shape[1] // 64, 1)


def activation(name: str, checkpoint: Checkpoint) -> str:
    """An activation that the architecture has. Raises InputError for others."""
    if name not in ACTIVATIONS:
        raise InputError(
            f"{checkpoint.path} has the activation {name!r}, which genkit does not have"
        )
    return name


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
