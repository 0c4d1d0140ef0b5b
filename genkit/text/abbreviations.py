"""Where a stop ends no sentence, and where it ends one after all, by language.

sentencex knows many abbreviations; these tables correct what it was seen to get wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = ["PLAIN", "Rules", "rules"]

# A capital alone, after a name, another initial, or nothing.
_INITIAL = re.compile(
    r"(?:\A|[\s(\"“«-])(?:[A-ZÀ-Þ][\w’'-]*\s|[A-ZÀ-Þ]\.[\s-]?)?(?!I\.)[A-ZÀ-Þ]\.\Z"
)
_LOWER_BEFORE = re.compile(r"[a-zß-ÿ]\s[A-Z]\.\Z")
_LONGEST = 40


@dataclass(frozen=True)
class Rules:
    """What a language adds."""

    titles: frozenset[str] = frozenset()
    """Last words (small, without the stop) after which a sentence always goes on."""
    numbered: frozenset[str] = frozenset()
    """Those after which it goes on where a digit follows."""
    ordinals: frozenset[str] = frozenset()
    """Words after which a number with a stop is an ordinal."""
    starters: str = ""
    """Words that, with a capital after an abbreviation, begin a sentence."""

    @cached_property
    def _starts(self) -> re.Pattern[str]:
        return re.compile(rf"(?:{self.starters})\b")

    @cached_property
    def _ends(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![^\s(\"'“«])((?:\w+\.)+)\s+(?=(?:{self.starters})\b)")

    def goes_on(self, text: str, cut: int) -> bool:
        """Whether the sentence before a cut goes on after it."""
        head = text[max(0, cut - _LONGEST) : cut].rstrip()
        if not head.endswith("."):
            return False
        if text[cut : cut + 1] == "-" and not text[cut + 1 : cut + 2].isspace():
            return True
        before, _, last = head.rpartition(" ")
        word = last.lstrip("(\"'“„«[").removesuffix(".").lower()
        if word in self.titles:
            return True
        if word in self.numbered:
            return text[cut : cut + 1].isdigit()
        if word.isdigit():
            return before.rpartition(" ")[2].lower() in self.ordinals and len(word) < 4
        if len(word) == 1 or "." in word:
            initial = _INITIAL.search(head) and not _LOWER_BEFORE.search(head)
            return bool(initial) and not self._starts.match(text, cut)
        return False

    def ends(self, text: str) -> Iterator[int]:
        """Further ends: an abbreviation, and then what begins a sentence."""
        for match in self._ends.finditer(text):
            word = match[1].removesuffix(".")
            if (len(word) > 1 or word.islower()) and word.lower() not in self.titles:
                yield match.end()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLAIN = Rules()
_LANGUAGES = {
    "en": Rules(
        titles=_words(
            "mr mrs ms dr prof rev hon gen col capt lt sgt cpl gov sen rep pres supt mt vs cf viz "
            "approx ca e.g i.e messrs mx"
        ),
        numbered=_words(
            "no nos fig figs vol vols ch chap sec p pp art eq ed nr ver pt jan feb mar apr jun jul "
            "aug sep sept oct nov dec"
        ),
        starters="He|She|It|We|They|You|The|This|That|These|Those|There|Then|But|And|So|His|Her|"
        "Their|Its|My|Our|Your|What|When|Where|Why|How|Is|Are|Do|Does|Did|Please",
    ),
    "de": Rules(
        titles=_words(
            "dr prof hr hrn fr frl dipl dipl.-ing st bzw ca evtl ggf inkl exkl sog vgl z.b d.h "
            "u.a z.t i.d.r s.o d z tel geb gest"
        ),
        numbered=_words("s nr abb tab bd kap abs str art h jg"),
        ordinals=_words(
            "der die das dem den des am im vom zum zur beim bis seit ab jeder jede jedes jeden ein "
            "eine einen einem einer sein seine seinem seinen ihr ihre ihrem ihren mein meine unser "
            "dieser diese diesem und oder"
        ),
        starters="Er|Sie|Es|Wir|Ich|Ihr|Du|Der|Die|Das|Dann|Dort|Hier|Aber|Und|Ein|Eine|Diese|"
        "Dieser|Dieses|Was|Wann|Wo|Warum|Wie|Ist|Sind|Bitte",
    ),
    "fr": Rules(
        titles=_words(
            "m mm mme mmes mlle mlles dr pr me mgr st ste av bd boul cf env p.ex c.-à-d réf"
        ),
        numbered=_words("n no p pp art chap fig vol t éd"),
        starters="Il|Elle|Ils|Elles|On|Nous|Vous|Je|Le|La|Les|Un|Une|Ce|Cette|Ces|Mais|Et|Puis|"
        "Alors|Son|Sa|Ses|Que|Quand|Où|Pourquoi|Comment|Est",
    ),
}


def rules(language: str) -> Rules:
    """Those of an ISO 639 code; ``PLAIN`` for a language that has none."""
    return _LANGUAGES.get(language, PLAIN)
