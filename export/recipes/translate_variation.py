"""How the pairs of the translation recipe are changed, each time they are seen."""

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from translate_corpus import Pair


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
