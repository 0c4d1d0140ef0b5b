"""Translation: texts in, texts out, through one graph that searches by itself.

A text is cut into sentences; the sentences of all texts are sorted by length and batched, and
what comes back is put together again with the white space that stood between them. What holds
no letter (numbers, punctuation, emoji) is not translated but kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genkit.errors import UsageError
from genkit.model import Model
from genkit.runtime import RuntimeOptions, Session, open_session
from genkit.text import Tokenizer, split_sentences

__all__ = ["BATCH_TOKENS", "Decoding", "Hypothesis", "Translation", "Translator"]

ROLE = "translate"
BATCH_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How translations are searched for. Raises UsageError for values that make no sense.

    Lengths are those of a sentence, in target tokens with the end token and the prefix.
    """

    beam_size: int = 4
    """Hypotheses that are followed at a time; 1 is greedy search."""
    length_penalty: float = 1.0
    """A hypothesis scores its log probability / length ** length_penalty."""
    min_length: int = 0
    max_length: int | None = None
    """None: three times the source and twenty more."""
    no_repeat_ngram_size: int = 0
    """No sequence of so many tokens comes twice in a sentence; 0 is off."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that were used before become less probable."""
    n_best: int = 1
    """How many hypotheses are returned of each text."""

    def __post_init__(self) -> None:
        for name, least in {
            "beam_size": 1,
            "min_length": 0,
            "max_length": 1,
            "no_repeat_ngram_size": 0,
            "n_best": 1,
        }.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{_words(name)} must be at least {least}, is {value}")
        if not self.repetition_penalty > 0:
            raise UsageError(f"repetition penalty must be above 0, is {self.repetition_penalty}")
        if not math.isfinite(self.length_penalty):
            raise UsageError(f"length penalty must be a number, is {self.length_penalty}")
        if self.n_best > self.beam_size:
            raise UsageError(
                f"{self.n_best} best of a beam of {self.beam_size} cannot be had",
                hint=f"raise the beam size to {self.n_best} or more",
            )
        if self.max_length is not None and self.min_length > self.max_length:
            raise UsageError(
                f"min length {self.min_length} is above max length {self.max_length}"
            )


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation of a text.

    ``score`` is the sum over the text's sentences of log probability / length **
    length_penalty; it is 0 where scores were not asked for, and nearer to 0 is better.
    """

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Translation:
    """What became of a text.

    ``hypotheses`` has the best first. Those of a text of several sentences are the best
    combinations of its sentences' hypotheses. Token counts are of the best one and include
    end tokens. ``truncated`` says that a sentence reached its max length without an end.
    """

    hypotheses: tuple[Hypothesis, ...]
    sentences: int
    source_tokens: int
    target_tokens: int
    truncated: bool

    @property
    def text(self) -> str:
        return self.hypotheses[0].text

    @property
    def score(self) -> float:
        return self.hypotheses[0].score


class _Unit(NamedTuple):
    """A sentence as the graph takes it."""

    source: tuple[int, ...]
    prefix: tuple[int, ...]


class _Output(NamedTuple):
    """A sentence as the graph gave it."""

    hypotheses: tuple[Hypothesis, ...]
    target_tokens: int
    truncated: bool


class Translator:
    """A translation model, ready to use.

        translate = genkit.load("translate", "en-de")
        translate(["Good morning."])                # ["Guten Morgen."]
        translate.translate(["Good morning."])[0]   # with scores, alternatives, counts

    Raises ModelError or RuntimeUnavailableError if the model cannot be opened. What a text
    becomes does not depend on the other texts of the call. Not to be shared between threads.
    """

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        text = model.card.text
        assert text is not None and text.languages is not None and text.eos_id is not None
        self.model = model
        self._options, self._text = options, text
        self._eos_id = text.eos_id
        self._language = text.languages.source[0]
        self._targets = text.languages.target
        self._tokenizer = Tokenizer(model.file(text.tokenizer.source))
        same = text.tokenizer.target == text.tokenizer.source
        self._target_tokenizer = (
            self._tokenizer if same else Tokenizer(model.file(text.tokenizer.target))
        )
        # Leaves a translation room to be twice as long as its source.
        self._longest = text.max_positions // 2 - bool(text.language_tokens)
        self.session = open_session(model, ROLE, options)
        # Batches side by side on a thread each are quicker than one after the other on all.
        self._workers = self.session.threads if self.session.device == "cpu" else 1

    def __call__(
        self,
        texts: Sequence[str],
        *,
        beam_size: int = Decoding.beam_size,
        length_penalty: float = Decoding.length_penalty,
        min_length: int = Decoding.min_length,
        max_length: int | None = Decoding.max_length,
        no_repeat_ngram_size: int = Decoding.no_repeat_ngram_size,
        repetition_penalty: float = Decoding.repetition_penalty,
        prefix: str | Sequence[str] = "",
        to: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[str]:
        """The best translation of each text. The settings are those of ``Decoding``."""
        decoding = Decoding(
            beam_size=beam_size,
            length_penalty=length_penalty,
            min_length=min_length,
            max_length=max_length,
            no_repeat_ngram_size=no_repeat_ngram_size,
            repetition_penalty=repetition_penalty,
        )
        results = self.translate(
            texts, decoding, prefix=prefix, to=to, scores=False, batch_tokens=batch_tokens
        )
        return [result.text for result in results]

    def translate(
        self,
        texts: Sequence[str],
        decoding: Decoding | None = None,
        *,
        prefix: str | Sequence[str] = "",
        to: str | None = None,
        scores: bool = True,
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[Translation]:
        """Translate texts, with everything that is known about the results.

        The translation of a text starts with ``prefix``: one for all texts, or one each. ``to``
        is the language of the output, for models that have several. A batch has at most
        ``batch_tokens`` source tokens, padding counted, or a single sentence.

        Raises UsageError for settings that the model cannot follow.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings; for one text: [text]")
        decoding = decoding or Decoding()
        prefixes = self._prefixes(prefix, len(texts))
        self._check(decoding, prefixes, batch_tokens)
        start = self._language_token(to)

        # The parts of a text are strings, which are kept, and units, which are translated.
        plans: list[list[str | _Unit]] = []
        for parts, forced in zip(self._parts(texts), prefixes, strict=True):
            plan: list[str | _Unit] = []
            for part in parts:
                if isinstance(part, str):
                    plan.append(part)
                else:
                    plan.append(_Unit((*start, *part), forced))
                    forced = ()  # belongs to the first sentence
            plans.append(plan)
        # A sentence that comes twice is translated once.
        units = list(dict.fromkeys(part for part in chain(*plans) if isinstance(part, _Unit)))
        batches = _batches(units, batch_tokens, self._workers)
        outputs = dict(self._run(batches, decoding, scores))
        return [_join(plan, outputs, decoding.n_best) for plan in plans]

    # Before the graph

    def _prefixes(self, prefix: str | Sequence[str], count: int) -> list[tuple[int, ...]]:
        prefixes = [prefix] * count if isinstance(prefix, str) else list(prefix)
        if len(prefixes) != count:
            raise ValueError(f"{len(prefixes)} prefixes for {count} texts")
        encode = self._target_tokenizer.encode_start
        ids = {text: tuple(encode(text.strip())) if text else () for text in set(prefixes)}
        return [ids[text] for text in prefixes]

    def _check(
        self, decoding: Decoding, prefixes: Iterable[tuple[int, ...]], batch_tokens: int
    ) -> None:
        positions = self._text.max_positions
        limit = decoding.max_length or positions
        if limit > positions:
            raise UsageError(
                f"max length {limit} is more than the {positions} positions of the model"
            )
        longest = max(map(len, prefixes), default=0)
        if longest >= limit:
            raise UsageError(f"the prefix has {longest} tokens, the max length is {limit}")
        if batch_tokens < 1:
            raise UsageError(f"batch tokens must be at least 1, is {batch_tokens}")

    def _language_token(self, to: str | None) -> tuple[int, ...]:
        tokens = self._text.language_tokens
        if to is None and len(tokens) < 2:
            return tuple(tokens.values())
        if to not in (tokens or self._targets):
            raise UsageError(
                f"{self.model.card.name} does not translate to {to}"
                if to
                else f"{self.model.card.name} translates to several languages",
                hint=f"one of: {', '.join(tokens or self._targets)}",
            )
        return (tokens[to],) if to in tokens else ()

    def _parts(self, texts: Sequence[str]) -> Iterator[list[str | list[int]]]:
        """Each text as strings to keep and token ids to translate, in order."""
        sentences = [split_sentences(text, self._language) for text in texts]
        encoded = self._encode(list(chain(*sentences)))
        for pieces in sentences:
            yield list(chain(*(next(encoded) for _ in pieces)))

    def _encode(self, pieces: Sequence[str]) -> Iterator[list[str | list[int]]]:
        cores = [piece.strip() for piece in pieces]
        rows = iter(self._tokenizer.encode([core for core in cores if _has_letter(core)]))
        for piece, core in zip(pieces, cores, strict=True):
            if not _has_letter(core):
                yield [piece]
                continue
            row = next(rows)
            shorter = [piece]
            if len(row) > self._longest:
                shorter = self._tokenizer.split(piece, self._longest)
            if len(shorter) > 1:
                yield list(chain(*self._encode(shorter)))
            else:
                before, _, after = piece.partition(core)
                yield [before, row, after]

    # The graph

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="translate")

    @cached_property
    def _single(self) -> Session:
        """The session that all workers share: it runs each call on the thread that calls."""
        return open_session(self.model, ROLE, self._options, threads=1)

    def _run(
        self, batches: Sequence[Sequence[_Unit]], decoding: Decoding, scores: bool
    ) -> Iterator[tuple[_Unit, _Output]]:
        if self._workers == 1 or len(batches) == 1:
            for batch in batches:
                yield from zip(batch, self._decode(self.session, batch, decoding, scores))
            return
        session = self._single
        futures = [
            self._pool.submit(self._decode, session, batch, decoding, scores) for batch in batches
        ]
        try:
            for batch, future in zip(batches, futures, strict=True):
                yield from zip(batch, future.result(), strict=True)
        finally:  # after Ctrl-C, nothing that has not begun is begun
            for future in futures:
                future.cancel()

    def _decode(
        self, session: Session, batch: Sequence[_Unit], decoding: Decoding, scores: bool
    ) -> list[_Output]:
        """Run a batch through the graph."""
        tokens, totals = session.run(self._feeds(batch, decoding, scores), ["tokens", "scores"])
        rows: list[list[int]] = []  # (batch * n_best) rows, without padding
        for row in tokens[:, : decoding.n_best].reshape(-1, tokens.shape[-1]).tolist():
            ended = self._eos_id in row
            rows.append(row[: row.index(self._eos_id) + 1] if ended else row)
        texts = self._target_tokenizer.decode(rows)
        outputs = []
        for i, row_scores in enumerate(totals[:, : decoding.n_best].tolist()):
            at = i * decoding.n_best
            best = rows[at]
            hypotheses = zip(texts[at : at + decoding.n_best], row_scores, strict=True)
            outputs.append(
                _Output(
                    tuple(Hypothesis(text, score) for text, score in hypotheses),
                    len(best),
                    best[-1:] != [self._eos_id],
                )
            )
        return outputs

    def _feeds(
        self, batch: Sequence[_Unit], decoding: Decoding, scores: bool
    ) -> dict[str, NDArray[Any]]:
        """The inputs of the graph, as the card documents them."""
        return {
            "input_ids": self._pad([unit.source for unit in batch]),  # (batch, source)
            "prefix_ids": self._pad([unit.prefix for unit in batch]),  # (batch, prefix)
            "beam_size": np.array(decoding.beam_size, np.int64),
            "length_penalty": np.array(decoding.length_penalty, np.float32),
            "min_length": np.array(decoding.min_length, np.int64),
            "max_length": np.array([self._max_length(unit, decoding) for unit in batch], np.int64),
            "repetition_penalty": np.array(decoding.repetition_penalty, np.float32),
            "no_repeat_ngram_size": np.array(decoding.no_repeat_ngram_size, np.int64),
            "return_scores": np.array(scores or decoding.n_best > 1, np.bool_),
        }

    def _pad(self, rows: Sequence[tuple[int, ...]]) -> NDArray[np.int64]:
        padded = np.full((len(rows), max(map(len, rows))), self._text.pad_id, np.int64)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded

    def _max_length(self, unit: _Unit, decoding: Decoding) -> int:
        """From the sentence alone, so that nothing depends on the rest of the batch."""
        if decoding.max_length is not None:
            return decoding.max_length
        length = max(3 * len(unit.source) + 20, decoding.min_length) + len(unit.prefix)
        return min(length, self._text.max_positions)


def _batches(units: Iterable[_Unit], tokens: int, workers: int) -> list[list[_Unit]]:
    """Units in batches of like length, longest first, at most ``tokens`` source tokens each.

    Few units are shared out among the workers.
    """
    queue = sorted(units, key=lambda unit: len(unit.source), reverse=True)
    if queue and workers > 1:
        share = -(-sum(len(unit.source) for unit in queue) // workers)
        tokens = min(tokens, share + len(queue[0].source) - 1)
    batches: list[list[_Unit]] = []
    for unit in queue:
        if batches and len(batches[-1][0].source) * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(unit)
        else:
            batches.append([unit])
    return batches


def _join(
    plan: Sequence[str | _Unit], outputs: dict[_Unit, _Output], n_best: int
) -> Translation:
    """The translation of a text from those of its sentences."""
    units = [part for part in plan if isinstance(part, _Unit)]
    results = [outputs[unit] for unit in units]
    hypotheses = []
    for score, choice in _best_sums([result.hypotheses for result in results], n_best):
        chosen = iter(choice)
        text = "".join(part if isinstance(part, str) else next(chosen) for part in plan)
        hypotheses.append(Hypothesis(text, score))
    return Translation(
        hypotheses=tuple(hypotheses),
        sentences=len(units),
        source_tokens=sum(len(unit.source) for unit in units),
        target_tokens=sum(result.target_tokens for result in results),
        truncated=any(result.truncated for result in results),
    )


def _best_sums(
    choices: Sequence[Sequence[Hypothesis]], count: int
) -> list[tuple[float, list[str]]]:
    """The ``count`` best ways to take one hypothesis of each sentence, by the sum of scores."""
    # A way is linked to the shorter way that it continues: a line can have 10,000 sentences.
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


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _words(name: str) -> str:
    return name.replace("_", " ")
