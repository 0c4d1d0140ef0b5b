"""Parallel text for the translation recipe: read, split, vary, encode, batch."""

import gzip
import hashlib
import json
import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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

Pair = tuple[str, str]

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


HELD_OUT_PERCENT = 1.0


def read_pairs(path: Path) -> list[Pair]:
    """The first two tab-separated columns of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return [(" ".join(row[0].split()), " ".join(row[1].split())) for row in rows]


def held_out(source: str) -> bool:
    """Whether a row belongs to the validation split. A hash of the lower-cased English decides, so
    that all translations of a sentence fall on the same side.
    """
    digest = hashlib.sha256(source.lower().encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_PERCENT / 100 * 2**32


@dataclass(frozen=True)
class Corpus:
    """What `--data` holds: Tatoeba and Multi30k, each split into training and validation rows."""

    tatoeba: list[Pair]
    tatoeba_valid: list[Pair]
    multi30k: list[Pair]
    multi30k_valid: list[Pair]
    multi30k_test: list[Pair]

    @classmethod
    def read(cls, data: Path) -> "Corpus":
        """Hold `HELD_OUT_PERCENT` of Tatoeba's English sentences out; one row of each is kept to
        score.
        """
        tatoeba = read_pairs(data / "tatoeba.en-de.tsv.gz")
        held = {source.lower(): (source, target) for source, target in tatoeba}
        return cls(
            tatoeba=[pair for pair in tatoeba if not held_out(pair[0])],
            tatoeba_valid=[pair for pair in held.values() if held_out(pair[0])],
            multi30k=[
                pair
                for pair in read_pairs(data / "multi30k.train.en-de-fr.tsv.gz")
                if not held_out(pair[0])
            ],
            multi30k_valid=read_pairs(data / "multi30k.val.en-de-fr.tsv.gz"),
            multi30k_test=read_pairs(data / "multi30k.test_2016_flickr.en-de-fr.tsv.gz"),
        )


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


@dataclass(frozen=True)
class Variation:
    """How often a training pair is changed, each time it is seen. Tatoeba is full of people called
    Tom in full sentences; users write other names, smileys, numbers and half sentences.
    """

    rename: float = 0.35
    """A name that stands on both sides becomes another name."""
    copy: float = 0.1
    """A name becomes, or the end gains, a string to be copied: smileys, other scripts, numbers."""
    join: float = 0.08
    """Two or more pairs become one."""
    strip: float = 0.05
    """The final punctuation mark is left off on both sides."""
    upper: float = 0.01
    """Both sides in capital letters."""
    lower: float = 0.02
    """The source in small letters, the target as it is."""


NAMES = """Anna Ben Clara David Emma Felix Greta Hannah Isaac Julia Karl Laura Max Nina Oliver Paula
Robert Sarah Theo Ursula Victor Wendy Xavier Yusuf Zoe Maria John Peter Linda Michael Susan James
Aisha Ahmed Chen Mei Hiroshi Yuki Ivan Olga Carlos Lucia Pierre Amélie Björn Åsa Łukasz Zofia Şule
Müller Schmidt Smith Jones Garcia Nguyen Kim Patel Rossi Silva Kowalski Andersson O'Brien
Paris London Berlin Madrid Lima Oslo Chicago Toronto Sydney Hamburg""".split()

_NAME = re.compile(r"\b(Tom|Mary|John|Boston|Bill|Ken|Jack|Jim|Mike|Jane|Alice|Bob|Nancy|Lucy)\b")
_RANGES = (
    (0x1F300, 0x1F64F), (0x1F680, 0x1F6C5), (0x2600, 0x26FF), (0x4E00, 0x9FA5), (0x3041, 0x30F6),
    (0x0410, 0x044F), (0x0391, 0x03C9), (0x0621, 0x064A), (0x05D0, 0x05EA), (0x0905, 0x0939),
    (0xAC00, 0xD7A3), (0x00C0, 0x017E), (0x2190, 0x21FF),
)  # fmt: skip


def copyable(rng: random.Random) -> str:
    """A string that a translation should keep as it is."""
    kind = rng.random()
    if kind < 0.3:
        low, high = rng.choice(_RANGES[:3])
        return chr(rng.randint(low, high)) * rng.choice((1, 1, 1, 2, 3))
    if kind < 0.65:
        low, high = rng.choice(_RANGES)
        text = "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))
        return unicodedata.normalize("NFC", text)
    if kind < 0.8:
        return str(rng.randint(0, 10 ** rng.randint(1, 6)))
    letters = "abcdefghijklmnopqrstuvwxyz" + ("ABCDEFGHIJKLMNOPQRSTUVWXYZ" * rng.randint(0, 1))
    word = "".join(rng.choice(letters) for _ in range(rng.randint(3, 14)))
    if kind < 0.92:
        return word.capitalize()
    return rng.choice(("www.{}.com", "{}@web.de", "#{}")).format(word)


def vary(pair: Pair, others: Sequence[Pair], rate: Variation, rng: random.Random) -> Pair:
    """One training pair, changed at random."""
    source, target = pair
    if rng.random() < rate.join:
        for other in rng.choices(others, k=rng.choice((1, 1, 1, 2, 3, 5))):
            source, target = f"{source} {other[0]}", f"{target} {other[1]}"
    shared = [n for n in set(_NAME.findall(source)) if re.search(rf"\b{n}\b", target)]
    for name in shared:
        if source.count(name) == target.count(name) and rng.random() < rate.rename:
            new = copyable(rng) if rng.random() < rate.copy else rng.choice(NAMES)
            source, target = source.replace(name, new), target.replace(name, new)
    if rng.random() < rate.copy:
        extra = copyable(rng)
        if rng.random() < 0.7:
            source, target = f"{source} {extra}", f"{target} {extra}"
        else:
            source, target = f"{extra} {source}", f"{extra} {target}"
    elif rng.random() < rate.strip and source[-1:] == target[-1:] and source[-1:] in ".!?":
        source, target = source[:-1], target[:-1]
    if rng.random() < rate.upper:
        source, target = source.upper(), target.upper()
    elif rng.random() < rate.lower:
        source = source.lower()
    return source, target


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
