"""What became of a text, put together from what became of its sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genkit.text.spans import Span
from genkit.text.units import Plan, Unit

__all__ = ["Hypothesis", "Translation", "distinct", "join", "with_lost"]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation, of a sentence or of a text.

    ``score`` is log probability / length ** length_penalty, summed over the sentences of a
    text: nearer to 0 is better. It is 0 where scores were not asked for.
    """

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Translation:
    """What became of a text.

    ``hypotheses`` has the best first. Those of a text of several sentences are the best
    combinations of its sentences' hypotheses, and no two are spelled alike. Token counts are of
    the best one and include end tokens. ``truncated`` says that a sentence reached its max length without an end,
    ``doubtful`` that one is far from what the model's validation shows. ``lost`` has what was
    to come back as it is and did not.
    """

    hypotheses: tuple[Hypothesis, ...]
    sentences: int
    source_tokens: int
    target_tokens: int
    truncated: bool
    doubtful: bool = False
    lost: tuple[str, ...] = ()
    error: str | None = None
    """Why there is no translation; its text is then empty."""

    @property
    def text(self) -> str:
        """The best translation."""
        return self.hypotheses[0].text

    @property
    def score(self) -> float:
        """The score of the best translation."""
        return self.hypotheses[0].score


def join(plan: Plan, translation_of: Callable[[Unit], Translation], n_best: int) -> Translation:
    """The translation of a text from those of its units."""
    sentences = [translation_of(part) for part in plan if isinstance(part, Unit)]
    hypotheses = []
    count = n_best if n_best == 1 else 2 * n_best  # some can be spelled alike
    for score, texts in _best_sums([sentence.hypotheses for sentence in sentences], count):
        chosen = iter(texts)
        text = "".join(part if isinstance(part, str) else next(chosen) for part in plan)
        hypotheses.append(Hypothesis(text, score))
    return Translation(
        hypotheses=distinct(hypotheses)[:n_best],
        sentences=sum(sentence.sentences for sentence in sentences),
        source_tokens=sum(sentence.source_tokens for sentence in sentences),
        target_tokens=sum(sentence.target_tokens for sentence in sentences),
        truncated=any(sentence.truncated for sentence in sentences),
        doubtful=any(sentence.doubtful for sentence in sentences),
    )


def distinct(hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The first of each text."""
    first: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        first.setdefault(hypothesis.text, hypothesis)
    return tuple(first.values())


def with_lost(translation: Translation, spans: Sequence[Span]) -> Translation:
    """The same, with those of the spans that are not in its text."""
    lost = []
    for text, count in Counter(span.text for span in spans).items():
        lost += [text] * (count - translation.text.count(text))
    return replace(translation, lost=tuple(lost)) if lost else translation


def _best_sums(
    choices: Sequence[Sequence[Hypothesis]], count: int
) -> list[tuple[float, list[str]]]:
    """The ``count`` best ways to take one hypothesis of each sentence, by the sum of scores."""
    # Each way links to the shorter way that it continues: a text can have 10,000 sentences.
    best: list[tuple[float, Any]] = [(0.0, None)]
    for hypotheses in choices:
        longer = [(total + h.score, (way, h.text)) for total, way in best for h in hypotheses]
        best = sorted(longer, key=lambda way: way[0], reverse=True)[:count]
    result = []
    for total, way in best:
        texts = []
        while way is not None:
            way, text = way
            texts.append(text)
        result.append((total, texts[::-1]))
    return result
