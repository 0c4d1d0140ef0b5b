"""English lines for the masked-language-model recipe: read, split, tokenise, batch, mask."""

import gzip
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor

from translate_corpus import held_out

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)
CONTINUES = "##"
ENDS = ".!?"


def read_lines(data: Path) -> tuple[list[str], list[str]]:
    """Training and validation lines of `english.txt.gz`. The hash that decides is that of the
    translation recipe, so that no sentence is held out in one and learned in the other.
    """
    with gzip.open(data / "english.txt.gz", "rt", encoding="utf-8") as lines:
        texts = [" ".join(line.split()) for line in lines]
    valid = [text for text in texts if text and held_out(text)]
    random.Random(0).shuffle(valid)  # the file has its sources one after the other
    return [text for text in texts if text and not held_out(text)], valid


def train_vocabulary(
    texts: Sequence[str], size: int, alphabet: int, *, lowercase: bool
) -> Tokenizer:
    """A WordPiece vocabulary of at most `size` entries, special tokens first, as BERT has it.
    Characters beyond the `alphabet` most frequent are unknown.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL[UNK]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        limit_alphabet=alphabet,
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.decoder = decoders.WordPiece(CONTINUES)
    return tokenizer


@dataclass(frozen=True)
class Rows:
    """Tokenised lines, end to end, without special tokens: 10 million tokens are 20 MB."""

    ids: NDArray[np.uint16]
    ends: NDArray[np.int64]
    """Where each line ends."""

    @classmethod
    def encode(cls, tokenizer: Tokenizer, texts: Sequence[str]) -> "Rows":
        parts, lengths = [np.zeros(0, np.uint16)], []
        for begin in range(0, len(texts), 10_000):
            some = list(texts[begin : begin + 10_000])
            encodings = tokenizer.encode_batch_fast(some, add_special_tokens=False)
            rows = [encoding.ids for encoding in encodings]
            lengths += map(len, rows)
            parts.append(np.array([i for row in rows for i in row], np.uint16))
        return cls(np.concatenate(parts), np.cumsum(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> list[int]:
        begin = int(self.ends[i - 1]) if i else 0
        row: list[int] = self.ids[begin : self.ends[i]].tolist()
        return row


@dataclass(frozen=True)
class Variation:
    """How often a row is changed, each time it is seen. The lines are single, whole sentences;
    people also fill paragraphs and half sentences.
    """

    join: float = 0.1
    """Several lines become one row."""
    most: int = 8
    """Lines that are joined at most."""
    strip: float = 0.1
    """The final punctuation mark is left off."""


def epoch_of(
    rows: Rows, rate: Variation, longest: int, ends: frozenset[int], rng: random.Random
) -> list[list[int]]:
    """Every line once, in random order, varied, at most `longest` tokens of it, between `[CLS]` and
    `[SEP]`. `ends` are the tokens that may be stripped.
    """
    order = list(range(len(rows)))
    rng.shuffle(order)
    waiting = iter(order)
    out = []
    for i in waiting:
        row = rows[i]
        if rng.random() < rate.join:
            for _ in range(rng.randint(1, rate.most - 1)):
                row += rows[j] if (j := next(waiting, None)) is not None else []
        if len(row) > 1 and row[-1] in ends and rng.random() < rate.strip:
            row = row[:-1]
        if row:
            out.append([CLS, *row[:longest], SEP])
    return out


def batches(rows: Sequence[list[int]], tokens: int, rng: random.Random) -> Iterator[Tensor]:
    """Shuffled batches of ids (batch, length) of like length, at most `tokens` each."""
    order = sorted(rows, key=lambda row: (len(row), rng.random()))
    groups: list[list[list[int]]] = [[]]
    for row in order:
        if groups[-1] and len(row) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    for group in groups:
        if group:
            yield pad(group)


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Ragged rows -> int64 (batch, longest)."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def continuations(tokenizer: Tokenizer) -> Tensor:
    """Whether each token goes on with a word, bool (vocabulary,)."""
    count = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(i) for i in range(count)]
    return torch.tensor([token.startswith(CONTINUES) and len(token) > 2 for token in tokens])


@dataclass(frozen=True)
class Masking:
    """Which tokens are to be predicted, and what is put in their place (Devlin et al., 3.1)."""

    rate: float = 0.15
    whole_words: bool = False
    """Choose words instead of pieces, and all pieces of a word together."""
    mask: float = 0.8
    """Share of the chosen that become `[MASK]`; the rest stay, but for the next."""
    replace: float = 0.1
    """Share that become another token."""


def mask(
    ids: Tensor,
    masking: Masking,
    continues: Tensor,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw new masks for ids (batch, length): the ids with them, and positions (masks, 2) of the
    tokens to predict. `continues` is bool (vocabulary,). Special tokens are never chosen.
    """
    draws = torch.rand(ids.shape, generator=generator)
    if masking.whole_words:
        word = (~continues[ids]).long().cumsum(1) - 1  # [CLS] begins the first
        draws = draws.gather(1, word)
    chosen = (draws < masking.rate) & (ids >= len(SPECIAL))
    fate = torch.rand(ids.shape, generator=generator)
    others = torch.randint(len(SPECIAL), len(continues), ids.shape, generator=generator)
    masked = torch.where(chosen & (fate < masking.mask), MASK, ids)
    replaced = chosen & (fate >= masking.mask) & (fate < masking.mask + masking.replace)
    return torch.where(replaced, others, masked), chosen.nonzero()
