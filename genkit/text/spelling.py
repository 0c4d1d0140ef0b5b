"""Spellings that models were not trained on, and those they were."""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

__all__ = [
    "Case",
    "calm",
    "capitalised",
    "case_of",
    "has_letter",
    "in_the_middle",
    "normalise",
    "sentence_case",
]

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_JOINERS = "\u200c\u200d"


def has_letter(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(map(str.isalpha, text))


# Characters


def normalise(text: str) -> str:
    """A text without invisible characters, ligatures and full-width letters.

    Joiners stay between letters of scripts that are written with them. What NFKC would take
    apart besides (fractions, raised digits, symbols) stays as well.
    """
    if text.isascii():
        return text
    return "".join(_characters(text))


def _characters(text: str) -> Iterator[str]:
    before = ""
    for char in text:
        if char in _JOINERS and "\u0590" <= before < "\u1100":
            yield char
        else:
            yield _normal(char)
            before = char


@lru_cache(maxsize=4096)
def _normal(char: str) -> str:
    if char < "\x80":
        return char
    if char.isspace() and char not in "\x85\u2028\u2029":
        return " "
    category = unicodedata.category(char)
    if category == "Cf" or "\ufe00" <= char <= "\ufe0f" or char in "\u034f\u115f\u1160\u3164":
        return ""
    kind = unicodedata.decomposition(char).partition(" ")[0]
    if kind in ("<wide>", "<narrow>", "<font>", "<noBreak>", "<initial>", "<medial>", "<final>"):
        return unicodedata.normalize("NFKC", char)
    if kind in ("<compat>", "<isolated>") and category in ("Lu", "Ll", "Lt", "Lo"):
        return unicodedata.normalize("NFKC", char)
    return char


# Capitals


class Case(enum.Enum):
    """How a sentence uses capitals."""

    USUAL = "usual"
    CAPITALS = "capitals"
    TITLE = "title"


_SMALL_WORDS = frozenset(
    "a an the and or nor but for of in on at by to from with as is it its into onto over per via vs "
    "le la les l' un une des du de d' et ou à au aux en dans sur pour par avec".split()
)
_NO_TITLES = frozenset({"de", "lb"})
"""Languages whose nouns have a capital anyway."""
_CAPITALS = re.compile(r"\b[A-ZÀ-ÖØ-Þ]{2,}(?:s)?\b")
_SHOUTED = frozenset(
    "ALL AND ANY ARE BE BUT CAN DO FOR GET GO HE HER HIM HIS HOW IF IS ME MY NO NOT NOW OF OFF ON "
    "ONE ONLY OR OUR OUT SHE SO THE THEM THEY TO TOO TWO UP VERY WAS WE WHY YES YOU YOUR "
    "NICHT KEIN KEINE ALLE UND ODER SEHR NUR NIE JA NEIN ICH DU ER SIE WIR IHR DER DIE DAS "
    "PAS NE NON OUI TOUT TOUS TRÈS JE TU IL ELLE NOUS VOUS LE LA LES".split()
)
_COMMON = frozenset({"AM", "PM", "TV", "OK"})
"""Short capitals that are translated like words."""


def case_of(text: str, language: str) -> Case:
    """How the words of a sentence begin and go on."""
    words = _WORD.findall(text)
    if len(words) < 1 or not words[0][0].isupper():
        return Case.USUAL
    # The German sharp s has hardly a capital.
    if all(word.replace("ß", "").isupper() for word in words) and len("".join(words)) > 1:
        return Case.CAPITALS
    if language in _NO_TITLES or len(words) < 2:
        return Case.USUAL
    longer = [word for word in words if word.lower() not in _SMALL_WORDS]
    if len(longer) < 2 or not all(word[0].isupper() for word in longer):
        return Case.USUAL
    small = sum(word[1:].islower() for word in longer)
    return Case.TITLE if 2 * small > len(longer) else Case.USUAL


_ENGLISH_I = re.compile(r"\bi(?=\b(?!\.\w))")


def sentence_case(text: str, language: str, *, first: bool) -> str:
    """A text in small letters, but for its first (if ``first``) and the English I.

    Words of a title that have a second capital (NASA, iPhone) keep theirs.
    """
    whole = text.upper() == text

    def small(match: re.Match[str]) -> str:
        word = match[0]
        return word if not whole and any(map(str.isupper, word[1:])) else word.lower()

    text = _WORD.sub(small, text)
    if language == "en":
        text = _ENGLISH_I.sub("I", text)
    return capitalised(text) if first else text


def capitalised(text: str) -> str:
    """The same with a capital where its first letter is."""
    match = _WORD.search(text)
    if match is None or not match[0][0].islower() or match[0][1:2].isupper():
        return text
    upper = match[0][0].upper()
    return text if len(upper) != 1 else text[: match.start()] + upper + text[match.start() + 1 :]


_FUNCTION_WORDS = frozenset(
    "und oder aber weil dass während wenn als der die das dem den des ein eine einem einen einer mit "
    "von zu zum zur im in an am auf aus bei für nach über unter vor durch um bis ist sind war hat "
    "haben wird er sie es wir ihr ich du jetzt dann auch nicht sehr so wie was wo gestern heute hier "
    "et ou mais car que qui parce quand le la les un une des du de à au aux dans sur pour par avec "
    "est sont il elle ils elles nous vous je maintenant puis aussi très "
    "and or but because that while when as the a an with of to in on at by for from is are was he "
    "she it we they you now then also not very so what where how "
    "y o pero el los las una con en por para es son".split()
)


def in_the_middle(source: str, translation: str) -> str:
    """The translation of a part of a sentence, without the capital and the stop of a whole one
    where the source has none.
    """
    if source[-1:].isalnum() and translation.endswith(".") and not translation.endswith(".."):
        translation = translation[:-1]
    match = _WORD.match(translation)
    if not match or not source[:1].islower() or match[0] != match[0].capitalize():
        return translation
    if match[0].lower() in _FUNCTION_WORDS:
        translation = match[0].lower() + translation[match.end() :]
    return translation


def calm(text: str, known: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    """The pieces of a text, and whether each is an acronym; shouted words are in small letters.

    ``known`` says whether a word in small letters is one of the language's.
    """
    end = 0
    before = ""
    for match in _CAPITALS.finditer(text):
        word = match[0]
        if word in _COMMON:
            continue
        before += text[end : match.start()]
        end = match.end()
        if word in _SHOUTED or (len(word) > 3 and word.isupper() and known(word.lower())):
            start = not has_letter(before)
            before += word.capitalize() if start else word.lower()
            continue
        if before:
            yield before, False
        yield word, True
        before = ""
    before += text[end:]
    if before:
        yield before, False
