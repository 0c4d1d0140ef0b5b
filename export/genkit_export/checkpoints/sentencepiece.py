"""SentencePiece models as tokenisers of Hugging Face's `tokenizers`.

Source: google/sentencepiece, `src/sentencepiece_model.proto` and `src/unigram_model.cc`. A model is
a protocol buffer; the few fields that are needed are read here. Marian numbers pieces by a
vocabulary of its own, which source and target share.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from genkit.errors import InputError

NORMAL, USER_DEFINED, BYTE = 1, 4, 6
UNIGRAM = 1
PENALTY = 10.0
"""By how much an unknown character is less likely than any piece."""
SPECIAL = re.compile(r"<\w+>|>>.+<<")
"""Tokens that are no text: padding, languages."""
HIDDEN = "\0"
"""Stands before tokens that no text can have: special ones, and those of the other language."""


@dataclass(frozen=True)
class SentencePiece:
    """A model of the kind `unigram`."""

    pieces: Mapping[str, float]
    """Pieces that a text may be cut into, with their log probabilities."""
    charsmap: bytes
    """Normalisation, compiled."""
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool


def read_sentencepiece(path: Path) -> SentencePiece:
    """Read a `.spm` or `.model` file. Raises InputError for other files, and for other kinds."""
    try:
        data = path.read_bytes()
        pieces, settings, kind = {}, {}, UNIGRAM
        for number, value in _fields(data):
            if number == 1:  # a piece, its score and type
                parts = dict(_fields(value))
                (score,) = struct.unpack("<f", parts.get(2, bytes(4)))
                if parts.get(3, NORMAL) in (NORMAL, USER_DEFINED):
                    pieces[parts[1].decode()] = score
                elif parts.get(3) == BYTE:
                    raise InputError(f"{path} spells in bytes, which genkit cannot convert")
            elif number == 2:  # how it was trained
                kind = dict(_fields(value)).get(3, UNIGRAM)
            elif number == 3:  # how text is normalised
                settings = dict(_fields(value))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, struct.error) as error:
        raise InputError(f"{path} is no SentencePiece model, or is damaged") from error
    if not pieces:
        raise InputError(f"{path} is no SentencePiece model")
    if kind != UNIGRAM:
        raise InputError(f"{path} is a SentencePiece model of another kind than unigram")
    return SentencePiece(
        pieces, settings.get(2, b""), bool(settings.get(3, 1)), bool(settings.get(4, 1))
    )


def to_tokenizer(model: SentencePiece, ids: Mapping[str, int], end: str, unknown: str) -> Tokenizer:
    """A tokeniser that cuts as the model does and numbers as `ids` says, and ends texts with `end`.

    A token of `ids` that is no piece of the model is decoded, but never found in a text; unless it
    consists of characters that the model does not know, for which Marian looks among all tokens.
    """
    known = set("".join(model.pieces))
    rare = min(model.pieces.values()) - PENALTY
    names = [f"{HIDDEN}{i}" for i in range(max(ids.values()) + 1)]
    scores = [0.0] * len(names)
    special = []
    for token, i in ids.items():
        if token in (end, unknown) or SPECIAL.fullmatch(token):
            names[i] = HIDDEN + token
            special.append(names[i])
        elif token in model.pieces:
            names[i], scores[i] = token, model.pieces[token]
        elif known.isdisjoint(token):
            names[i], scores[i] = token, rare
        else:
            names[i] = HIDDEN + token
    tokenizer = Tokenizer(models.Unigram(list(zip(names, scores, strict=True)), ids[unknown]))
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    prepend = "always" if model.add_dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend, split=False)
    end = HIDDEN + end
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(HIDDEN, ""), decoders.Replace("▁", " "), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of the fields of a message. Raises ValueError or IndexError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + size > len(data):
            raise ValueError("cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no number")
