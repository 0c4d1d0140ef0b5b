"""RoBERTa as Hugging Face transformers stores it (`RobertaForMaskedLM`); CamemBERT and XLM-RoBERTa.

Source: transformers' `models/roberta/modeling_roberta.py`. Positions begin after that of padding:
the first rows of the table are never used, and are left out. There is one kind of segment.
"""

from typing import Any

from genkit_export.read import Checkpoint

from .bert import LAYER_NAMES, activation, heads, tied, to_ours
from .layout import Loaded, Settings, Weights, count
from .masked_text import masked_text

KEYS = (
    "roberta.embeddings.word_embeddings.weight",
    "roberta.encoder.layer.*.attention.self.query.weight",
    "lm_head.dense.weight",
)
LAYERS = "roberta.encoder.layer."
NAMES = {
    "embeddings.words": "roberta.embeddings.word_embeddings",
    "embeddings.positions": "roberta.embeddings.position_embeddings",
    "embeddings.segments": "roberta.embeddings.token_type_embeddings",
    "embeddings.norm": "roberta.embeddings.LayerNorm",
    "head.dense": "lm_head.dense",
    "head.norm": "lm_head.layer_norm",
    "head": "lm_head",
}
"""Ours -> theirs, outside the layers."""


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A RoBERTa with its masked-language-model head."""
    given = checkpoint.config
    words = weights["roberta.embeddings.word_embeddings.weight"]
    pad_id = settings.get("pad_token_id", given, 1)
    positions = weights["roberta.embeddings.position_embeddings.weight"][pad_id + 1 :]
    config: dict[str, Any] = {
        "vocab_size": settings.read("vocab_size", words.shape[0]),
        "d_model": settings.read("d_model", words.shape[1]),
        "layers": settings.read("layers", count(weights, f"{LAYERS}*.intermediate.dense.bias")),
        "num_heads": settings.get("num_attention_heads", given, heads(words)),
        "d_ff": settings.read("d_ff", weights[f"{LAYERS}0.intermediate.dense.weight"].shape[0]),
        "activation": activation(settings.get("hidden_act", given, "gelu"), checkpoint),
        "max_positions": settings.read("max_positions", positions.shape[0]),
        "segments": settings.read(
            "segments", weights["roberta.embeddings.token_type_embeddings.weight"].shape[0]
        ),
        "norm_eps": settings.get("layer_norm_eps", given, 1e-5),
        "pad_id": pad_id,
    }
    ours = to_ours(
        tied(weights, "lm_head.decoder", "lm_head", words, checkpoint), NAMES, LAYERS, LAYER_NAMES
    )
    ours["embeddings.positions.weight"] = positions
    text, files = masked_text(checkpoint, config, settings, "<mask>")
    return Loaded(config, ours, {"text": text}, files)
