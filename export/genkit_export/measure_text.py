"""Measures what the card of a translation model says of it: what it copies, and how long and how
sure its sentences are.

    python -m genkit_export.measure_text FOLDER [--sentences FILE]

An export measures the stand-ins; FILE has a sentence a line, from validation data, and is what the
rest is measured with. The card in FOLDER is completed.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import genkit
from genkit.card import CARD
from genkit.card_json import parse_card
from genkit.decoding import Decoding
from genkit.tasks.translate import Translator
from genkit.text.stand_ins import FAMILIES

__all__ = ["complete", "doubtful", "longest", "stand_ins"]

CARRIERS: Mapping[str, Sequence[str]] = {
    "en": (
        "I saw {0} yesterday.", "Where is {0}?", "Please open {0} now.", "{0} is very good.",
        "He works with {0} every day.", "The man and {0} are in the park.", "Do you know {0}?",
        "She gave me {0} for my birthday.", "I saw {0} and {1} yesterday.",
        "Open {0} with {1} now.", "{0} is better than {1}.", "The man gave {0} to {1}.",
    ),
    "de": (
        "Ich habe {0} gestern gesehen.", "Wo ist {0}?", "Bitte öffnen Sie {0} jetzt.",
        "{0} ist sehr gut.", "Er arbeitet jeden Tag mit {0}.", "Der Mann und {0} sind im Park.",
        "Kennst du {0}?", "Sie gab mir {0} zum Geburtstag.",
        "Ich habe {0} und {1} gestern gesehen.", "Öffne jetzt {0} mit {1}.",
        "{0} ist besser als {1}.", "Der Mann gab {1} {0}.",
    ),
    "fr": (
        "J'ai vu {0} hier.", "Où est {0} ?", "Ouvrez {0} maintenant.", "{0} est très bon.",
        "Il travaille avec {0} tous les jours.", "L'homme et {0} sont dans le parc.",
        "Connais-tu {0} ?", "Elle m'a donné {0} pour mon anniversaire.",
        "J'ai vu {0} et {1} hier.", "Ouvrez {0} avec {1}.", "{0} est meilleur que {1}.",
        "L'homme a donné {0} à {1}.",
    ),
}  # fmt: skip
"""Sentences with a place for one stand-in or for two."""
AND = {"en": " and ", "de": " und ", "fr": " et "}
ENOUGH = 0.7
"""A family of which less is copied is no use."""
LIMITS = (40, 48, 64, 96)
TOLERANCE = 1.0
"""Points of chrF that a longer limit may cost: what is cut loses what it has to do with the rest."""
MOST_JOINED = 6


def stand_ins(translator: Translator, language: str, to: str | None) -> dict[str, float] | None:
    """The share of each family that comes back once, best first; None for a language without
    carriers.
    """
    if language not in CARRIERS:
        return None
    shares = {}
    for family, names in FAMILIES.items():
        cases = [
            (carrier, (names[(i + shift) % len(names)], names[(i + shift + 4) % len(names)]))
            for shift in (0, 3, 6)
            for i, carrier in enumerate(CARRIERS[language])
        ]
        if not _copied(translator, cases[:4], to):  # it does not look as if it would
            continue
        share = _copied(translator, cases, to) / len(cases)
        if share >= ENOUGH:
            shares[family] = round(share, 3)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _copied(
    translator: Translator, cases: Sequence[tuple[str, tuple[str, str]]], to: str | None
) -> int:
    texts = [carrier.format(*names) for carrier, names in cases]
    found = translator(texts, beam_size=1, protect=False, to=to)
    return sum(
        all(text.count(name) == (f"{{{i}}}" in carrier) for i, name in enumerate(names))
        for (carrier, names), text in zip(cases, found, strict=True)
    )


def longest(translator: Translator, sentences: Sequence[str], language: str, to: str | None) -> int:
    """The most tokens of a sentence that is translated in one piece: the largest limit that is
    hardly worse than the best one for joined sentences.

    What they are compared with are the translations of the sentences alone, joined.
    """
    conjunction = AND.get(language, ", ")
    alone = [text.rstrip(".!?") for text in translator(sentences, to=to)]
    groups = [
        range(begin, begin + count)
        for count in range(1, MOST_JOINED + 1)
        for begin in range(0, len(sentences) - count + 1, MOST_JOINED)
    ]
    sources = [
        conjunction.join(_open(sentences[i], first=i == group[0]) for i in group)
        for group in groups
    ]
    expected = [" ".join(alone[i] for i in group) for group in groups]
    before = translator.longest
    scores = {}
    for limit in LIMITS:
        if limit > before.room:
            break
        translator.longest = before._replace(limit=limit)
        found = translator(sources, to=to)
        scores[limit] = float(np.mean([chrf(a, b) for a, b in zip(found, expected, strict=True)]))
    translator.longest = before
    return max(limit for limit in scores if scores[limit] >= max(scores.values()) - TOLERANCE)


def _open(sentence: str, *, first: bool) -> str:
    sentence = sentence.rstrip(".!?")
    return sentence if first else sentence[:1].lower() + sentence[1:]


def chrf(found: str, expected: str, order: int = 6, beta: float = 2.0) -> float:
    """Character n-gram F-score of two texts, 0 to 100 (Popović 2015)."""
    found, expected = "".join(found.split()), "".join(expected.split())
    scores = []
    for n in range(1, order + 1):
        a, b = (
            Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (found, expected)
        )
        same = (a & b).total()
        if not a or not b:
            continue
        precision, recall = same / a.total(), same / b.total()
        total = beta**2 * precision + recall
        scores.append((1 + beta**2) * precision * recall / total if total else 0.0)
    return 100 * sum(scores) / len(scores) if scores else 0.0


def doubtful(translator: Translator, sentences: Sequence[str], to: str | None) -> dict[str, Any]:
    """Where a translation is marked: beyond all but four in a hundred of the sentences in mean log
    probability, and beyond all but one in two hundred, and half as much again, in length.

    Nonsense begins where the least sure of good sentences are, so a few of these are marked too.
    """
    settings = Decoding()
    results = translator.translate(sentences, settings, to=to)
    results = [result for result in results if result.sentences == 1]
    exponent = settings.length_penalty - 1
    means = [result.score * result.target_tokens**exponent for result in results]
    ratios = [result.target_tokens / result.source_tokens for result in results]
    least, most = np.quantile(ratios, (0.005, 0.995))
    return {
        "log_probability": round(float(np.quantile(means, 0.04)), 3),
        "length_ratio": [round(float(least) / 1.5, 3), round(float(most) * 1.5, 3)],
    }


def complete(
    folder: Path, sentences: Sequence[str] = (), report: Callable[[str], None] = lambda _: None
) -> None:
    """Write what was measured into the card of a model folder."""
    path = folder / CARD
    card = json.loads(path.read_text(encoding="utf-8"))
    translator = genkit.load("translate", str(folder), device="cpu")
    text = card["text"]
    language = text["languages"]["source"][0]
    to = next(iter(text["languages"]["target"])) if text.get("language_tokens") else None
    shares = stand_ins(translator, language, to)
    if shares is not None:
        text["stand_ins"] = shares
        rows = ", ".join(f"{family} {share:.0%}" for family, share in shares.items())
        report(f"stand-ins that are copied: {rows or 'none'}")
    if sentences:
        text["longest"] = longest(translator, sentences, language, to)
        text["doubtful"] = doubtful(translator, sentences, to)
        report(f"longest {text['longest']} tokens; doubtful {text['doubtful']}")
    parse_card(card)
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=Path)
    arguments = parser.parse_args()
    sentences: Sequence[str] = ()
    if arguments.sentences is not None:
        sentences = arguments.sentences.read_text(encoding="utf-8").split("\n")
        sentences = [sentence for sentence in sentences if sentence.strip()]
    complete(arguments.folder, sentences, print)


if __name__ == "__main__":
    main()
