"""Marian's translation models as Hugging Face transformers stores them (`MarianMTModel`).

Source: transformers' `models/marian/modeling_marian.py`. A Marian network is a Transformer with
`architectures.transformer.marian` choices; only the names differ.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genkit.errors import InputError
from genkit_export.architectures.transformer import MARIAN, Transformer
from genkit_export.read import Checkpoint, read_json

from .added_tokens import added, check_kind
from .bert import activation, heads
from .layout import Loaded, Settings, Weights, count
from .sentencepiece import read_sentencepiece, to_tokenizer

KEYS = (
    "model.shared.weight",
    "model.encoder.layers.*.self_attn.q_proj.weight",
    "model.decoder.layers.*.encoder_attn.q_proj.weight",
    "final_logits_bias",
)
UNLIKE = ("layernorm_embedding", "encoder.layer_norm.", "decoder.layer_norm.")
"""In the names of BART and its relatives, which else have Marian's."""
FIXED = {
    "normalize_before": False,
    "normalize_embedding": False,
    "static_position_embeddings": True,
    "share_encoder_decoder_embeddings": True,
}
"""What all Marian models of the architecture have in their configuration."""
SOURCE, TARGET = "tokenizer.json", "tokenizer.target.json"
LANGUAGE_TOKEN = re.compile(">>(.+)<<")
NAMES = re.compile(r"opus-mt(?:-tc-\w+)?-([a-zA-Z_]+)-([a-zA-Z_]+)")
"""Of OPUS-MT's folders: the languages."""

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


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A Marian Transformer with the tokenisers that lie beside it."""
    given = checkpoint.config
    _check(weights, given, checkpoint)
    shared = weights["model.shared.weight"]
    layer = "model.encoder.layers.0."
    num_heads = settings.get("encoder_attention_heads", given, heads(shared))
    if given.get("decoder_attention_heads", num_heads) != num_heads:
        raise InputError(f"{checkpoint.path}: encoder and decoder differ in their heads")
    activations = {"swish": "silu"}
    name = settings.get("activation_function", given, "swish")
    config: dict[str, Any] = MARIAN | {
        "vocab_size": settings.read("vocab_size", shared.shape[0]),
        "d_model": settings.read("d_model", shared.shape[1]),
        "encoder_layers": settings.read(
            "encoder_layers", count(weights, "model.encoder.layers.*.fc1.bias")
        ),
        "decoder_layers": settings.read(
            "decoder_layers", count(weights, "model.decoder.layers.*.fc1.bias")
        ),
        "num_heads": num_heads,
        "d_ff": settings.read("d_ff", weights[f"{layer}fc1.weight"].shape[0]),
        "activation": activation(activations.get(name, name), checkpoint),
        "scale_embedding": settings.get("scale_embedding", given, True),
        "max_positions": settings.get("max_position_embeddings", given, 512),
        "eos_id": settings.get("eos_token_id", given, 0),
        "pad_id": settings.get("pad_token_id", given, shared.shape[0] - 1),
    }
    if given.get("decoder_start_token_id", config["pad_id"]) != config["pad_id"]:
        raise InputError(f"{checkpoint.path} starts decoding from another token than padding")
    text, files = _text(checkpoint.path.parent, config, settings)
    return Loaded(config, _to_ours(weights), {"text": text}, files)


def _check(weights: Weights, config: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raises InputError for networks that only share some names with Marian's."""
    if found := [name for name in weights if any(part in name for part in UNLIKE)]:
        raise InputError(
            f"{checkpoint.path} is a BART or one of its relatives, which genkit does not have: "
            f"Marian has no {found[0]}"
        )
    for name, value in FIXED.items():
        if config.get(name, value) != value:
            raise InputError(
                f"{checkpoint.path}: genkit does not have Marian with {name}={not value}"
            )
    shared = weights["model.shared.weight"]
    for name in ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head"):
        tensor = weights.get(f"{name}.weight", shared)
        if tensor.shape != shared.shape or not torch.equal(tensor, shared):
            raise InputError(f"{checkpoint.path}: its {name} differs from model.shared")


def _to_ours(weights: Weights) -> Weights:
    """The tensors under our names; what has no name of ours keeps its own."""
    inside = {theirs: name for name, theirs in RENAMES.items()}
    copies = ("embed_tokens.weight", "embed_positions.weight", "lm_head.weight")
    out = {}
    for name, tensor in weights.items():
        if name.endswith(copies):
            continue
        match name.split("."):
            case ["model", "shared", "weight"]:
                name = "embedding.weight"
            case ["final_logits_bias"]:
                name, tensor = "output_bias", tensor.flatten()
            case ["model", stack, "layers", index, *path, kind] if ".".join(path) in inside:
                name = f"{stack}.{index}.{inside['.'.join(path)]}.{kind}"
        out[name] = tensor
    return out


def _text(
    folder: Path, config: Mapping[str, Any], settings: Settings
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The card's section, and the tokenisers. Raises InputError if they are not all there."""
    about = (
        read_json(folder / name) if (folder / (name := "tokenizer_config.json")).exists() else {}
    )
    check_kind(folder, about, {}, ("MarianTokenizer",))
    if about.get("separate_vocabs"):
        raise InputError(
            f"the tokeniser of {folder} has separate_vocabs, which genkit does not have"
        )
    ids: Mapping[str, int] = read_json(folder / "vocab.json")
    end = next((token for token, i in ids.items() if i == config["eos_id"]), None)
    size = config["vocab_size"]
    fits = all(type(i) is int and 0 <= i < size for i in ids.values())
    if not fits or end is None or "<unk>" not in ids:
        raise InputError(f"{folder / 'vocab.json'} is the vocabulary of another model")
    if strange := [token for token in added(folder, about) if token not in ids]:
        raise InputError(
            f"the tokeniser of {folder} has the added token {strange[0]!r}, which genkit does not have "
            "of Marian"
        )
    files = {}
    for spm, name in (("source.spm", SOURCE), ("target.spm", TARGET)):
        tokenizer = to_tokenizer(read_sentencepiece(folder / spm), ids, end, "<unk>")
        files[name] = tokenizer.to_str(pretty=True).encode()
    tokens = {found[1]: i for token, i in ids.items() if (found := LANGUAGE_TOKEN.fullmatch(token))}
    named = NAMES.search(folder.resolve().name)
    known = {side: about.get(f"{side}_lang") for side in ("source", "target")}
    if named:
        known = {side: known[side] or named[i] for i, side in enumerate(known, 1)}
    languages = {
        side: [settings.get(f"{side}_lang", {f"{side}_lang": code}, "und")]
        for side, code in known.items()
    }
    if tokens:
        languages["target"] = sorted(tokens)
    text = {
        "tokenizer": {"source": SOURCE, "target": TARGET},
        "languages": languages,
        "decoder_start_id": config["pad_id"],
        "eos_id": config["eos_id"],
        "pad_id": config["pad_id"],
        "suppress_ids": [config["pad_id"]],
        "language_tokens": tokens,
        "max_positions": config["max_positions"],
    }
    return text, files


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
