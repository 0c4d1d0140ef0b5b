"""Texts whose sentences are being translated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import NamedTuple

from genkit.card import Doubt
from genkit.decoding import Decoder, Decoding, Found, Search, Sentence
from genkit.tasks.doubt import is_doubtful
from genkit.tasks.translations import Hypothesis, Translation, distinct, join, with_lost
from genkit.text import Tokenizer
from genkit.text.faithful import has_own_numbers, preferred
from genkit.text.preparer import Preparer
from genkit.text.spans import Span
from genkit.text.units import Plan, Unit

__all__ = ["Job", "Network", "Settings", "set_prefix"]


class Settings(NamedTuple):
    """The arguments of ``translate``."""

    decoding: Decoding
    prefix: str | Sequence[str]
    to: str | None
    scores: bool
    batch_tokens: int
    protect: bool
    spans: Sequence[Sequence[tuple[int, int]]] | None
    patterns: Sequence[re.Pattern[str]]


class Network(NamedTuple):
    """What turns units into tokens, and these into translations."""

    preparer: Preparer
    source: Tokenizer
    target: Tokenizer
    decoder: Decoder
    longest: int
    start: tuple[int, ...]
    """What stands first in each source."""


class _Begun(NamedTuple):
    """Units that are searched for together, each with its sentence."""

    units: list[tuple[Unit, Sentence]]
    search: Search


class Job:
    """A call's texts. What a span did not come back in is translated again in another way."""

    def __init__(
        self,
        network: Network,
        texts: Sequence[str],
        plans: list[Plan],
        spans: list[list[Span]],
        settings: Settings,
        doubt: Doubt,
    ) -> None:
        self.texts = texts
        self.settings = settings
        self._network = network
        self._plans = plans
        self._spans = spans
        self._doubt = doubt
        self._replaced: dict[Unit, Plan] = {}
        self._done: dict[Unit, Translation] = {}
        self._begun = self._search([unit for plan in plans for unit in units_of(plan)])

    def cancel(self) -> None:
        """Begin nothing that has not begun yet."""
        for begun in self._begun:
            begun.search.cancel()

    def result(self) -> list[Translation]:
        """Wait for the translation of each text. Raises what running the graph raised."""
        while self._begun:
            refused: list[Unit] = []
            try:
                for units, search in self._begun:
                    refused += self._take(units, search.result())
            finally:
                self.cancel()
            for unit in refused:
                self._replaced[unit] = self._network.preparer.retry(unit)
            self._begun = self._search(
                [again for unit in refused for again in units_of(self._replaced[unit])]
            )
        return [
            with_lost(self._join(plan), spans) if spans else self._join(plan)
            for plan, spans in zip(self._plans, self._spans, strict=True)
        ]

    def _join(self, plan: Plan) -> Translation:
        return join(plan, self._of, self.settings.decoding.n_best)

    def _of(self, unit: Unit) -> Translation:
        if unit in self._replaced:
            return self._join(self._replaced[unit])
        return self._done[unit]

    # Units to tokens

    def _search(self, units: Iterable[Unit]) -> list[_Begun]:
        """Begin to translate units. Greedily, those of which all hypotheses are wanted are searched
        for apart, with scores that the others need not have.
        """
        plain: list[tuple[Unit, Sentence]] = []
        guarded: list[tuple[Unit, Sentence]] = []
        for unit, ids in self._encoded(list(units)):
            sentence = Sentence((*self._network.start, *ids), unit.prefix)
            (guarded if unit.wants_alternatives else plain).append((unit, sentence))
        begun = []
        decoding = self.settings.decoding
        every = replace(decoding, n_best=decoding.beam_size)
        groups = [(plain, decoding, self.settings.scores), (guarded, every, True)]
        if decoding.beam_size > 1 and (guarded or decoding.n_best > 1):
            # Beams have scores anyway, and of several hypotheses some can be spelled alike.
            groups = [(plain + guarded, every, True)]
        for chosen, settings, scores in groups:
            if chosen:
                search = self._network.decoder.search(
                    (sentence for _, sentence in chosen),
                    settings,
                    scores=scores,
                    batch_tokens=self.settings.batch_tokens,
                )
                begun.append(_Begun(chosen, search))
        return begun

    def _encoded(self, units: list[Unit]) -> Iterator[tuple[Unit, list[int]]]:
        network = self._network
        cut = partial(network.source.split, limit=network.longest)
        shorter: list[Unit] = []
        for unit, ids in zip(
            units, network.source.encode([unit.text for unit in units]), strict=True
        ):
            if len(ids) > network.longest:
                plan = network.preparer.shorter(unit, cut)
                if plan != [unit]:
                    set_prefix(plan, unit.prefix)
                    self._replaced[unit] = plan
                    shorter += units_of(plan)
                    continue
            yield unit, ids
        if shorter:
            yield from self._encoded(shorter)

    # Tokens to translations

    def _take(self, units: list[tuple[Unit, Sentence]], found: dict[Sentence, Found]) -> list[Unit]:
        """Keep what was found for each unit; those whose spans are not all there are returned."""
        # Of a plain sentence the best one is enough, unless more were asked for.
        most = {
            sentence: None if unit.wants_alternatives or self.settings.decoding.n_best > 1 else 1
            for unit, sentence in units
        }
        wanted = {s: result.hypotheses[: most[s]] for s, result in found.items()}
        texts = iter(self._network.target.decode(list(chain(*wanted.values()))))
        decoded = {sentence: [next(texts) for _ in rows] for sentence, rows in wanted.items()}
        between = {unit: decoded[sentence] for unit, sentence in units if unit.is_inner}
        refused = []
        means: dict[Unit, float] = {}
        for unit, sentence in units:
            if unit.is_inner:
                continue
            row = found[sentence]
            means[unit] = row.scores[0] * len(row.hypotheses[0]) ** (
                self.settings.decoding.length_penalty - 1
            )
            restore = partial(unit.restore, inner=between.__getitem__)
            restored = [restore(text) for text in decoded[sentence]]
            if unit.is_guarded and len(restored) > 1:
                restored = preferred(unit.words, restored)
            translation = self._translation(sentence, found[sentence], restored)
            if translation is not None:
                if unit.is_guarded and not has_own_numbers(unit.words, translation.text):
                    translation = replace(translation, doubtful=True)
                self._done[unit] = translation
            elif not unit.is_rival:
                refused.append(unit)
        for unit in means:
            rival = unit.rival
            if (
                rival in means
                and rival in self._done
                and (unit not in self._done or means[rival] > means[unit])
            ):
                self._done[unit] = self._done[rival]
        return [unit for unit in refused if unit not in self._done]

    def _translation(
        self, sentence: Sentence, found: Found, texts: list[str | None]
    ) -> Translation | None:
        """None if none of the hypotheses has all of its spans."""
        settings = self.settings
        scored = settings.scores or settings.decoding.n_best > 1
        kept = []
        best = -1
        for i, (text, score) in enumerate(zip(texts, found.scores, strict=False)):
            if text is None:
                continue
            best = i if best < 0 else best
            kept.append(Hypothesis(text, score if scored else 0.0))
        if not kept:
            return None
        tokens = found.hypotheses[best]
        exponent = settings.decoding.length_penalty - 1
        mean = found.scores[best] * len(tokens) ** exponent if settings.scores else None
        return Translation(
            hypotheses=distinct(kept),
            sentences=1,
            source_tokens=len(sentence.source),
            target_tokens=len(tokens),
            truncated=not found.ended,
            doubtful=is_doubtful(self._doubt, mean, sentence.source, tokens),
        )


def units_of(plan: Plan) -> Iterator[Unit]:
    """The units of a plan, their rivals, and those between their marks."""
    for part in plan:
        if isinstance(part, Unit):
            yield part
            if part.rival is not None:
                yield part.rival
            for pair in part.inner:
                if pair.unit is not None:
                    yield pair.unit


def set_prefix(plan: Plan, prefix: tuple[int, ...]) -> None:
    """Let the first translation of a plan begin with tokens."""
    for part in plan:
        if isinstance(part, Unit):
            part.prefix = prefix
            if part.rival is not None:
                part.rival.prefix = prefix
            return
