"""Parallel text for the translation recipe: read, split, chosen."""

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

Pair = tuple[str, str]
HELD_OUT_PERCENT = 1.0


def read_pairs(path: Path, column: int = 1) -> list[Pair]:
    """The first tab-separated column of a gzipped file, English, and another one."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return [(" ".join(row[0].split()), " ".join(row[column].split())) for row in rows]


def held_out(source: str) -> bool:
    """Whether a row belongs to the validation split. A hash of the lower-cased English decides, so
    that all translations of a sentence fall on the same side.
    """
    digest = hashlib.sha256(source.lower().encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_PERCENT / 100 * 2**32


Languages = tuple[str, str]
"""Source and target: English, and German or French."""


MARKS = {"fr": {"!": " !", "?": " ?"}}
"""How a language writes punctuation marks, where it differs from English."""


def other_than_english(languages: Languages) -> str:
    (other,) = set(languages) - {"en"}
    return other


def phrases_file(other: str) -> Path:
    """Greetings, interjections, single words and buttons, which the collections hardly have."""
    return Path(__file__).with_name(f"phrases.en-{other}.tsv")


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
    def read(cls, data: Path, languages: Languages) -> "Corpus":
        """Hold `HELD_OUT_PERCENT` of the English sentences of each table out; of Tatoeba's and the
        software's one row of each is kept to score. The software, the handbooks and the dictionary
        are left out where the folder does not have them for these languages.
        """
        other = other_than_english(languages)
        multi30k = data / "multi30k.{}.en-de-fr.tsv.gz"
        column = ("en", "de", "fr").index(other)
        tatoeba, tatoeba_valid = _split(read_pairs(data / f"tatoeba.en-{other}.tsv.gz"))
        captions, _ = _split(read_pairs(_named(multi30k, "train"), column))
        messages = _optional(data / f"software-and-manuals.en-{other}.tsv.gz")
        software, software_valid = map(filter_pairs, _split(messages))
        handbooks, _ = _split(_optional(data / f"handbooks.en-{other}.tsv.gz"))
        dictionary, _ = _split(_optional(data / f"dictionary.en-{other}.tsv.gz"))
        read = cls(
            tatoeba=tatoeba,
            tatoeba_valid=tatoeba_valid,
            multi30k=captions,
            multi30k_valid=read_pairs(_named(multi30k, "val"), column),
            multi30k_test=read_pairs(_named(multi30k, "test_2016_flickr"), column),
            software=software,
            software_valid=software_valid,
            handbooks=filter_pairs(handbooks),
            dictionary=known_words(dictionary, tatoeba + captions + software),
            phrases=read_phrases(other),
        )
        return read if languages[0] == "en" else read.turned()

    def turned(self) -> "Corpus":
        """The same with source and target exchanged."""
        tables = {field.name: getattr(self, field.name) for field in fields(self)}
        return Corpus(**{name: [(b, a) for a, b in pairs] for name, pairs in tables.items()})


def _named(pattern: Path, name: str) -> Path:
    return pattern.with_name(pattern.name.format(name))


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


def read_phrases(other: str) -> list[Pair]:
    """The phrases of English and another language as they stand, and with a full stop or an
    exclamation mark or, if they ask, a question mark.
    """
    pairs: list[Pair] = []
    marks = {mark: MARKS.get(other, {}).get(mark, mark) for mark in ".!?"}
    for line in phrases_file(other).read_text(encoding="utf-8").splitlines():
        source, target = line.split("\t")
        pairs.append((source, target))
        asks = re.match(r"(wh|how|and you|really|forgot)", source.lower())
        if source[-1].isalnum():
            pairs += [(source + mark, target + marks[mark]) for mark in ("?" if asks else ".!")]
    return pairs
