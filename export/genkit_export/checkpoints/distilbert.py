"""DistilBERT as Hugging Face transformers stores it (`DistilBertForMaskedLM`).

Source: transformers' `models/distilbert/modeling_distilbert.py`. It is BERT without segments.
"""

from typing import Any

from genkit_export.read import Checkpoint

from .bert import activation, heads, tied, to_ours
from .layout import Loaded, Settings, Weights, count
from .masked_text import masked_text

KEYS = (
    "distilbert.embeddings.word_embeddings.weight",
    "distilbert.transformer.layer.*.attention.q_lin.weight",
    "vocab_transform.weight",
)
LAYERS = "distilbert.transformer.layer."
NAMES = {
    "embeddings.words": "distilbert.embeddings.word_embeddings",
    "embeddings.positions": "distilbert.embeddings.position_embeddings",
    "embeddings.norm": "distilbert.embeddings.LayerNorm",
    "head.dense": "vocab_transform",
    "head.norm": "vocab_layer_norm",
    "head": "head",
}
"""Ours -> theirs, outside the layers."""
LAYER_NAMES = {
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "expand": "ffn.lin1",
    "contract": "ffn.lin2",
    "feed_norm": "output_layer_norm",
}
"""Ours -> theirs, inside a layer."""


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A DistilBERT with its masked-language-model head."""
    given = checkpoint.config
    words = weights["distilbert.embeddings.word_embeddings.weight"]
    positions = weights["distilbert.embeddings.position_embeddings.weight"]
    config: dict[str, Any] = {
        "vocab_size": settings.read("vocab_size", words.shape[0]),
        "d_model": settings.read("d_model", words.shape[1]),
        "layers": settings.read("layers", count(weights, f"{LAYERS}*.ffn.lin1.bias")),
        "num_heads": settings.get("n_heads", given, heads(words)),
        "d_ff": settings.read("d_ff", weights[f"{LAYERS}0.ffn.lin1.weight"].shape[0]),
        "activation": activation(settings.get("activation", given, "gelu"), checkpoint),
        "max_positions": settings.read("max_positions", positions.shape[0]),
        "segments": 0,
        "norm_eps": settings.assume("norm_eps", 1e-12),
        "pad_id": settings.get("pad_token_id", given, 0),
    }
    ours = to_ours(
        tied(weights, "vocab_projector", "head", words, checkpoint), NAMES, LAYERS, LAYER_NAMES
    )
    text, files = masked_text(checkpoint, config, settings, "[MASK]")
    return Loaded(config, ours, {"text": text}, files)
