"""The tokenisers of masked language models, as Hugging Face folders hold them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from genkit.errors import InputError
from genkit_export.read import Checkpoint, read_json

from .added_tokens import about, add_tokens, check_kind, content
from .layout import Settings

FILE = "tokenizer.json"
WORD_PIECE = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
BYTE_LEVEL = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
"""The special tokens of a folder that does not name them, by what transformers calls their roles."""
WORD_PIECE_CLASSES = (
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
)
BYTE_LEVEL_CLASSES = (
    "RobertaTokenizer",
    "RobertaTokenizerFast",
    "LongformerTokenizer",
    "LongformerTokenizerFast",
)
"""Which are made of a vocabulary as it is done here."""


def masked_text(
    checkpoint: Checkpoint, config: Mapping[str, Any], settings: Settings, mask: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The card's section, and the tokeniser's file. `mask` is the mask of a model whose folder does
    not name it. Raises InputError if the folder has no tokeniser, or one of another model.
    """
    folder = checkpoint.path.parent
    told = about(folder)
    tokenizer = _tokenizer(folder, told, checkpoint.config, settings)
    add_tokens(tokenizer, folder, told)
    mask = settings.get("mask_token", {"mask_token": content(told.get("mask_token"))}, mask)
    mask_id, size = tokenizer.token_to_id(mask), tokenizer.get_vocab_size()
    if mask_id is None:
        raise InputError(f"the tokeniser of {folder} has no {mask!r}", hint="--set mask_token=...")
    if size > config["vocab_size"]:
        raise InputError(
            f"the tokeniser of {folder} has {size} tokens, the model {config['vocab_size']}"
        )
    special = tokenizer.get_added_tokens_decoder()
    # Rows of a table that was made larger than its vocabulary stand for nothing.
    empty = [i for i in range(config["vocab_size"]) if tokenizer.id_to_token(i) is None]
    if empty:
        settings.notes.append(
            f"the tokeniser has {size} tokens, the model {config['vocab_size']} rows: those without "
            "a token are never chosen"
        )
    text = {
        "tokenizer": {"source": FILE},
        "pad_id": config["pad_id"],
        "mask_id": mask_id,
        "suppress_ids": sorted(
            {config["pad_id"], *empty, *(i for i, t in special.items() if t.special)}
        ),
        "max_positions": config["max_positions"],
    }
    return text, {FILE: tokenizer.to_str(pretty=True).encode()}


def _tokenizer(
    folder: Path, told: Mapping[str, Any], config: Mapping[str, Any], settings: Settings
) -> Tokenizer:
    if (folder / FILE).exists():
        check_kind(folder, told, config, None)
        try:
            return Tokenizer.from_file(str(folder / FILE))
        except Exception as error:  # the library has no exception of its own
            raise InputError(f"{folder / FILE} is no tokeniser: {error}") from error
    if (folder / "vocab.txt").exists():
        check_kind(folder, told, config, WORD_PIECE_CLASSES)
        return _word_piece(folder / "vocab.txt", told, settings)
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        check_kind(folder, told, config, BYTE_LEVEL_CLASSES)
        return _byte_level(folder, told, settings)
    raise InputError(
        f"{folder} has no tokeniser", hint=f"{FILE}, vocab.txt, or vocab.json and merges.txt"
    )


def _named(told: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, str]:
    """The special tokens by their roles, as the folder calls them or as it is usual."""
    return {role: str(content(told.get(role)) or usual) for role, usual in roles.items()}


def _word_piece(path: Path, about: Mapping[str, Any], settings: Settings) -> Tokenizer:
    """BERT's: transformers' `BertTokenizer`."""
    names = _named(about, WORD_PIECE)
    lines = path.read_text(encoding="utf-8").split("\n")
    vocabulary = {token: i for i, token in enumerate(lines) if token or i < len(lines) - 1}
    if missing := [token for token in names.values() if token not in vocabulary]:
        raise InputError(f"{path} has no {', '.join(missing)}")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk_token"]))
    lower = settings.get("do_lower_case", about, True)
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lower,
        strip_accents=about.get("strip_accents"),
        handle_chinese_chars=about.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        (names["sep_token"], vocabulary[names["sep_token"]]),
        (names["cls_token"], vocabulary[names["cls_token"]]),
    )
    tokenizer.decoder = decoders.WordPiece("##")
    tokenizer.add_special_tokens(list(names.values()))
    return tokenizer


def _byte_level(folder: Path, about: Mapping[str, Any], settings: Settings) -> Tokenizer:
    """RoBERTa's: transformers' `RobertaTokenizer`."""
    names = _named(about, BYTE_LEVEL)
    prefix_space = settings.get("add_prefix_space", about, False)
    vocabulary = read_json(folder / "vocab.json")
    if missing := [token for token in names.values() if token not in vocabulary]:
        raise InputError(f"{folder / 'vocab.json'} has no {', '.join(missing)}")
    tokenizer = Tokenizer(
        models.BPE.from_file(*(str(folder / n) for n in ("vocab.json", "merges.txt")))
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.post_processor = processors.RobertaProcessing(
        (names["sep_token"], vocabulary[names["sep_token"]]),
        (names["cls_token"], vocabulary[names["cls_token"]]),
        trim_offsets=True,
        add_prefix_space=prefix_space,
    )
    tokenizer.decoder = decoders.ByteLevel()
    *others, mask = names.values()
    tokenizer.add_special_tokens([*others, AddedToken(mask, lstrip=True, special=True)])
    return tokenizer
