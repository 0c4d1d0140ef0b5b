"""Parallel text for the translation recipe: read, split, vary, encode, batch."""

import gzip
import hashlib
import json
import random
import re
import unicodedata
from collections import Counter
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


PHRASES = Path(__file__).with_name("phrases.en-de.tsv")
"""Greetings, interjections, single words and buttons, which the collections hardly have."""


@dataclass(frozen=True)
class Corpus:
    """What `--data` holds, split into training and validation rows."""

    tatoeba: list[Pair]
    tatoeba_valid: list[Pair]
    multi30k: list[Pair]
    multi30k_valid: list[Pair]
    multi30k_test: list[Pair]
    software: list[Pair]
    """Messages of programs, and their manuals."""
    software_valid: list[Pair]
    handbooks: list[Pair]
    dictionary: list[Pair]
    """Words and phrases that the other tables use."""
    phrases: list[Pair]

    @classmethod
    def read(cls, data: Path) -> "Corpus":
        """Hold `HELD_OUT_PERCENT` of the English sentences of each table out; of Tatoeba's and the
        software's one row of each is kept to score. The software, the handbooks and the dictionary
        are left out where the folder does not have them.
        """
        tatoeba, tatoeba_valid = _split(read_pairs(data / "tatoeba.en-de.tsv.gz"))
        multi30k, _ = _split(read_pairs(data / "multi30k.train.en-de-fr.tsv.gz"))
        software, software_valid = _split(_optional(data / "software-and-manuals.en-de.tsv.gz"))
        handbooks, _ = _split(_optional(data / "handbooks.en-de.tsv.gz"))
        software, handbooks = filter_pairs(software), filter_pairs(handbooks)
        dictionary, _ = _split(_optional(data / "dictionary.en-de.tsv.gz"))
        return cls(
            tatoeba=tatoeba,
            tatoeba_valid=tatoeba_valid,
            multi30k=multi30k,
            multi30k_valid=read_pairs(data / "multi30k.val.en-de-fr.tsv.gz"),
            multi30k_test=read_pairs(data / "multi30k.test_2016_flickr.en-de-fr.tsv.gz"),
            software=software,
            software_valid=filter_pairs(software_valid),
            handbooks=handbooks,
            dictionary=known_words(dictionary, tatoeba + multi30k + software),
            phrases=read_phrases(PHRASES),
        )


def _optional(path: Path) -> list[Pair]:
    return read_pairs(path) if path.exists() else []


def _split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Rows to train with, and one row for each sentence that is held out."""
    held = {source.lower(): (source, target) for source, target in pairs if held_out(source)}
    return [pair for pair in pairs if not held_out(pair[0])], list(held.values())


def filter_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs that look like translations: both sides have words, one is not much longer than the
    other, and a sentence is not left in English.
    """

    def sound(source: str, target: str) -> bool:
        short, long = sorted((len(source), len(target)))
        letters = sum(map(str.isalpha, source)) + sum(map(str.isalpha, target))
        return (
            long <= 300
            and long <= 2.2 * short + 12
            and letters > 0.6 * (len(source) + len(target))
            and (source != target or " " not in source)
        )

    return [pair for pair in pairs if sound(*pair)]


_WORD = re.compile(r"[^\W\d_]+")


def known_words(entries: Sequence[Pair], pairs: Sequence[Pair], least: int = 5) -> list[Pair]:
    """Dictionary entries of at most four words, all of which the pairs use `least` times on their
    side; of an English entry the translation whose rarest word is used most.
    """
    used: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for pair in pairs:
        for count, text in zip(used, pair, strict=True):
            count.update(_WORD.findall(text))
            count.update({word.lower() for word in _WORD.findall(text) if word[0].isupper()})
    best: dict[str, tuple[int, str]] = {}
    for source, target in entries:
        words = _WORD.findall(source), _WORD.findall(target)
        if not all(0 < len(side) <= 4 for side in words) or re.search(r"[()/;|<>\[\]]", target):
            continue
        rarest = [min(count[w] for w in side) for count, side in zip(used, words, strict=True)]
        if min(rarest) >= least and rarest[1] > best.get(source, (0, ""))[0]:
            best[source] = (rarest[1], target)
    return [(source, target) for source, (_, target) in best.items()]


def read_phrases(path: Path) -> list[Pair]:
    """The phrases of a tab-separated file as they stand, and with a full stop or an exclamation
    mark or, if they ask, a question mark.
    """
    pairs: list[Pair] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        source, target = line.split("\t")
        pairs.append((source, target))
        asks = re.match(r"(wh|how|and you|really|forgot)", source.lower())
        if source[-1].isalnum():
            pairs += [(source + mark, target + mark) for mark in ("?" if asks else ".!")]
    return pairs


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
    copy: float = 0.05
    """A name becomes, or the end gains, a string to be copied: smileys, other scripts, numbers."""
    join: float = 0.08
    """Two or more pairs become one."""
    strip: float = 0.05
    """The final punctuation mark is left off on both sides."""
    upper: float = 0.01
    """Both sides in capital letters."""
    lower: float = 0.02
    """The source in small letters, the target as it is."""
    title: float = 0.01
    """The Words Of The Source Like These, the target as it is."""
    stand_in: float = 0.15
    """Words that stand on both sides (names, numbers) become stand-ins: `@1`, `@2`, ..., which the
    text around the network puts in place of what is no language."""
    add_stand_in: float = 0.03
    """A stand-in is added at an end of both sides."""


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
    if source[-1:] in ".!?" and rng.random() < rate.join:
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
    if rng.random() < rate.stand_in:
        source, target = with_stand_ins(source, target, rng)
    if rng.random() < rate.add_stand_in:
        source, target = add_stand_in(source, target, rng)
    if rng.random() < rate.upper:
        source, target = source.upper(), target.upper()
    elif rng.random() < rate.lower:
        source = source.lower()
    elif rng.random() < rate.title:
        source = re.sub(r"\b[a-z]", lambda letter: letter[0].upper(), source)
    return source, target


_COPIED = re.compile(r"(?<![\w.,@'-])(?:[A-Z][\w-]*|\d[\d.,:]*\d|\d)(?![\w'-])")


def with_stand_ins(source: str, target: str, rng: random.Random) -> Pair:
    """Both sides with the words that stand once on each replaced by stand-ins."""
    shared = [
        word
        for word in dict.fromkeys(_COPIED.findall(source))
        if len(re.findall(rf"(?<![\w.,-]){re.escape(word)}(?![\w-])", source)) == 1
        and len(re.findall(rf"(?<![\w.,-]){re.escape(word)}(?![\w-])", target)) == 1
    ]
    # Mostly in the order in which the runtime numbers them, sometimes not.
    numbers = list(range(1, 10)) if rng.random() < 0.7 else rng.sample(range(1, 10), 9)
    for word, number in zip(shared, numbers, strict=False):
        pattern = rf"(?<![\w.,-]){re.escape(word)}(?![\w-])"
        source = re.sub(pattern, f"@{number}", source)
        target = re.sub(pattern, f"@{number}", target)
    return source, target


def add_stand_in(source: str, target: str, rng: random.Random) -> Pair:
    """Both sides with a stand-in before or after, as a list, a link or an emoji would stand."""
    number = rng.choice([n for n in range(1, 10) if f"@{n}" not in source])
    left, right = rng.choice((("", ""), ("", ""), ("(", ")"), ('"', '"'), ("- ", "")))
    mark = f"{left}@{number}{right}"
    kind = rng.random()
    if kind < 0.4:
        return f"{source} {mark}", f"{target} {mark}"
    if kind < 0.7:
        return f"{mark} {source}", f"{mark} {target}"
    if kind < 0.85 and source[-1:] == target[-1:] and source[-1:] in ".!?":
        return f"{source[:-1]}: {mark}{source[-1]}", f"{target[:-1]}: {mark}{target[-1]}"
    return f"{mark}: {source}", f"{mark}: {target}"


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
