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

from .layout import Settings

FILE = "tokenizer.json"
WORD_PIECE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BYTE_LEVEL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def masked_text(
    checkpoint: Checkpoint, config: Mapping[str, Any], settings: Settings, mask: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The card's section, and the tokeniser's file. `mask` is the mask of a model whose folder does
    not name it. Raises InputError if the folder has no tokeniser, or one of another model.
    """
    folder = checkpoint.path.parent
    about = (
        read_json(folder / name) if (folder / (name := "tokenizer_config.json")).exists() else {}
    )
    tokenizer = _tokenizer(folder, about, settings)
    mask = settings.get("mask_token", {"mask_token": _content(about.get("mask_token"))}, mask)
    mask_id, size = tokenizer.token_to_id(mask), tokenizer.get_vocab_size()
    if mask_id is None:
        raise InputError(f"the tokeniser of {folder} has no {mask!r}", hint="--set mask_token=...")
    if size > config["vocab_size"]:
        raise InputError(
            f"the tokeniser of {folder} has {size} tokens, the model {config['vocab_size']}"
        )
    special = tokenizer.get_added_tokens_decoder()
    text = {
        "tokenizer": {"source": FILE},
        "pad_id": config["pad_id"],
        "mask_id": mask_id,
        "suppress_ids": sorted({config["pad_id"], *(i for i, t in special.items() if t.special)}),
        "max_positions": config["max_positions"],
    }
    return text, {FILE: tokenizer.to_str(pretty=True).encode()}


def _tokenizer(folder: Path, about: Mapping[str, Any], settings: Settings) -> Tokenizer:
    if (folder / FILE).exists():
        try:
            return Tokenizer.from_file(str(folder / FILE))
        except Exception as error:  # the library has no exception of its own
            raise InputError(f"{folder / FILE} is no tokeniser: {error}") from error
    if (folder / "vocab.txt").exists():
        return _word_piece(folder / "vocab.txt", about, settings)
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return _byte_level(folder)
    raise InputError(
        f"{folder} has no tokeniser", hint=f"{FILE}, vocab.txt, or vocab.json and merges.txt"
    )


def _word_piece(path: Path, about: Mapping[str, Any], settings: Settings) -> Tokenizer:
    """BERT's: transformers' `BertTokenizer`."""
    lines = path.read_text(encoding="utf-8").split("\n")
    vocabulary = {token: i for i, token in enumerate(lines) if token or i < len(lines) - 1}
    if missing := [token for token in WORD_PIECE if token not in vocabulary]:
        raise InputError(f"{path} has no {', '.join(missing)}")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    lower = settings.get("do_lower_case", about, True)
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lower,
        strip_accents=about.get("strip_accents"),
        handle_chinese_chars=about.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.decoder = decoders.WordPiece("##")
    tokenizer.add_special_tokens(list(WORD_PIECE))
    return tokenizer


def _byte_level(folder: Path) -> Tokenizer:
    """RoBERTa's: transformers' `RobertaTokenizer`."""
    vocabulary = read_json(folder / "vocab.json")
    if missing := [token for token in BYTE_LEVEL if token not in vocabulary]:
        raise InputError(f"{folder / 'vocab.json'} has no {', '.join(missing)}")
    tokenizer = Tokenizer(
        models.BPE.from_file(*(str(folder / n) for n in ("vocab.json", "merges.txt")))
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocabulary["</s>"]),
        ("<s>", vocabulary["<s>"]),
        trim_offsets=True,
        add_prefix_space=False,
    )
    tokenizer.decoder = decoders.ByteLevel()
    *others, mask = BYTE_LEVEL
    tokenizer.add_special_tokens([*others, AddedToken(mask, lstrip=True, special=True)])
    return tokenizer


def _content(token: object) -> object:
    """A special token: a string, or an object with its properties."""
    return token.get("content") if isinstance(token, dict) else token
