"""Tokens and batches for the translation recipe."""

import json
import random
from collections.abc import Iterator, Sequence

import torch
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor

from translate_corpus import Pair

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def train_vocabulary(texts: Sequence[str], size: int, alphabet: int) -> Tokenizer:
    """A joint byte-pair vocabulary of `size` entries with byte fallback, in Marian's order: `</s>`
    first, `<pad>` last. Characters beyond the `alphabet` most frequent become UTF-8 bytes, so that
    nothing is ever unknown.
    """
    normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace("▁", prepend_scheme="always"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,  # <pad> comes last
        special_tokens=[EOS, UNK, *BYTES],
        limit_alphabet=alphabet,
        show_progress=False,
    )
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizer
    learner.pre_tokenizer = pre_tokenizer
    learner.train_from_iterator(texts, trainer)

    # The trainer marks every reserved token special; bytes must decode, so the model is rebuilt.
    learned = json.loads(learner.to_str())["model"]
    tokenizer = Tokenizer(
        models.BPE(
            {**learned["vocab"], PAD: size - 1},
            [tuple(merge) for merge in learned["merges"]],
            unk_token=UNK,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens([EOS, UNK, PAD])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def encode(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
    """Token ids of both sides, each ending with `</s>`."""
    sources = tokenizer.encode_batch([source for source, _ in pairs])
    targets = tokenizer.encode_batch([target for _, target in pairs])
    return [(s.ids, t.ids) for s, t in zip(sources, targets, strict=True)]


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Ragged rows -> int64 (batch, longest)."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])


def batches(
    rows: Sequence[tuple[list[int], list[int]]], tokens: int, pad_id: int, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches of similar length, at most `tokens` padded target tokens each."""
    order = sorted(rows, key=lambda row: (len(row[1]), len(row[0]), rng.random()))
    groups: list[list[tuple[list[int], list[int]]]] = [[]]
    width = 0
    for row in order:
        width = max(width, len(row[0]), len(row[1]))
        if groups[-1] and width * (len(groups[-1]) + 1) > tokens:
            groups.append([])
            width = max(len(row[0]), len(row[1]))
        groups[-1].append(row)
    rng.shuffle(groups)
    for group in groups:
        yield pad([row[0] for row in group], pad_id), pad([row[1] for row in group], pad_id)
