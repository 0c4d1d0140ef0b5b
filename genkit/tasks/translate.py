"""Translation: texts in, texts out.

A text is cut into sentences, the sentences of all texts are translated together, and the
results are put where the sentences stood, with the white space that was between them. What
holds no letter (numbers, punctuation, emoji) is not translated but kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from genkit.decoding import BATCH_TOKENS, Decoder, Decoding, Search, Sentence
from genkit.errors import InputError, UsageError
from genkit.memory import TOO_LARGE, in_parts
from genkit.model import Model
from genkit.runtime import RuntimeOptions
from genkit.session import Closing
from genkit.text import Tokenizer, split_sentences

__all__ = ["Hypothesis", "Translation", "Translator"]

ROLE = "translate"


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
    combinations of its sentences' hypotheses, and no two are spelled alike. Token counts are of the best one and include
    end tokens. ``truncated`` says that a sentence reached its max length without an end.
    """

    hypotheses: tuple[Hypothesis, ...]
    sentences: int
    source_tokens: int
    target_tokens: int
    truncated: bool
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


class Translator(Closing):
    """A translation model, ready to use.

        translate = genkit.load("translate", "en-de")
        translate(["Good morning."])                # ["Guten Morgen."]
        translate.translate(["Good morning."])[0]   # with its score, counts, alternatives

    What a text becomes does not depend on the other texts of the call. Raises ModelError or
    RuntimeUnavailableError if the model cannot be opened.
    """

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        text = model.card.text
        if text is None or text.languages is None:
            raise TypeError(f"{model.card.name} is no translation model")
        self.model = model
        self._languages = text.languages
        self._language_tokens = text.language_tokens
        self._source = self._target = Tokenizer(model.file(text.tokenizer.source))
        if text.tokenizer.target != text.tokenizer.source:
            self._target = Tokenizer(model.file(text.tokenizer.target))
        self._decoder = Decoder(model, ROLE, options)
        # Leaves a translation room to be twice as long as its source.
        self._longest = text.max_positions // 2 - bool(text.language_tokens)

    @property
    def runs_on(self) -> str:
        """The device, precision and threads, and why this device: for people to read."""
        session = self._decoder.session
        return (
            f"{session.device} ({session.reason}), {session.precision}, "
            f"{self._decoder.threads} thread(s)"
        )

    @property
    def threads(self) -> int:
        """How many batches are worked on at a time."""
        return self._decoder.threads

    def __call__(
        self,
        texts: Sequence[str],
        *,
        beam_size: int = Decoding.beam_size,
        length_penalty: float = Decoding.length_penalty,
        early_stopping: bool = Decoding.early_stopping,
        min_length: int = Decoding.min_length,
        max_length: int | None = Decoding.max_length,
        no_repeat_ngram_size: int = Decoding.no_repeat_ngram_size,
        repetition_penalty: float = Decoding.repetition_penalty,
        prefix: str | Sequence[str] = "",
        to: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[str]:
        """The best translation of each text: ``translate`` for the settings of ``Decoding``.

        Raises InputError for a text that does not fit into memory.
        """
        decoding = Decoding(
            beam_size=beam_size,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            min_length=min_length,
            max_length=max_length,
            no_repeat_ngram_size=no_repeat_ngram_size,
            repetition_penalty=repetition_penalty,
        )
        results = self.translate(
            texts, decoding, prefix=prefix, to=to, scores=False, batch_tokens=batch_tokens
        )
        for result in results:
            if result.error is not None:
                raise InputError(result.error)
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
        """Translate texts, with all that is known about the results.

        The first sentence of a text begins with ``prefix``: one for all texts, or one each.
        ``to`` is the language of the output, for models that have several. A batch has at most
        ``batch_tokens`` source tokens, padding counted, or one sentence. A text that does not fit
        into memory has an error in place of a translation. Raises UsageError for settings that
        the model cannot follow.
        """
        settings = _Settings(decoding or Decoding(), prefix, to, scores, batch_tokens)
        return self._finish(self._begin(texts, settings))

    def stream(
        self,
        lists: Iterable[Sequence[str] | None],
        decoding: Decoding | None = None,
        *,
        prefix: str = "",
        to: str | None = None,
        scores: bool = True,
        batch_tokens: int = BATCH_TOKENS,
    ) -> Generator[list[Translation], None, None]:
        """Translate lists of texts, one after the other, as ``translate`` does.

        A list is begun before the one before it is done, so that no thread has to wait. None
        in place of a list says that there is none yet: what was begun is then finished first.
        """
        settings = _Settings(decoding or Decoding(), prefix, to, scores, batch_tokens)
        begun: deque[_Job] = deque()
        try:
            for texts in lists:
                if texts is not None:
                    begun.append(self._begin(texts, settings))
                while begun and (texts is None or len(begun) > 1):
                    yield self._finish(begun.popleft())
            while begun:
                yield self._finish(begun.popleft())
        finally:
            for job in begun:
                job.search.cancel()

    def _begin(self, texts: Sequence[str], settings: _Settings) -> _Job:
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings; for one text: [text]")
        start = self._language_token(settings.to)
        prefixes = self._prefixes(settings.prefix, texts)
        plans: list[list[str | Sentence]] = []
        for parts, forced in zip(self._parts(texts), prefixes, strict=True):
            plan: list[str | Sentence] = []
            for part in parts:
                if isinstance(part, str):
                    plan.append(part)
                else:
                    plan.append(Sentence((*start, *part), forced))
                    forced = ()
            plans.append(plan)
        decoding = settings.decoding
        if decoding.n_best > 1:  # different tokens can spell the same text
            decoding = replace(decoding, n_best=decoding.beam_size)
        search = self._decoder.search(
            (part for part in chain(*plans) if isinstance(part, Sentence)),
            decoding,
            scores=settings.scores,
            batch_tokens=settings.batch_tokens,
        )
        return _Job(texts, settings, plans, search, self._target)

    def _finish(self, job: _Job) -> list[Translation]:
        """What became of the texts of a job; of a part at a time where memory does not suffice."""
        try:
            return job.result()
        except MemoryError:
            pass  # what it took is given back at the end of the block
        prefix = job.settings.prefix
        prefixes = [prefix] * len(job.texts) if isinstance(prefix, str) else prefix

        def again(pairs: Sequence[tuple[str, str]]) -> list[Translation]:
            texts = [text for text, _ in pairs]
            prefixes = [prefix for _, prefix in pairs]
            return self._begin(texts, job.settings._replace(prefix=prefixes)).result()

        lost = Translation((Hypothesis("", 0.0),), 0, 0, 0, truncated=False, error=TOO_LARGE)
        return in_parts(again, list(zip(job.texts, prefixes, strict=True)), lost)

    def _prefixes(self, prefix: str | Sequence[str], texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens that each text's translation starts with."""
        prefixes = [prefix] * len(texts) if isinstance(prefix, str) else list(prefix)
        if len(prefixes) != len(texts):
            raise ValueError(f"{len(prefixes)} prefixes for {len(texts)} texts")
        ids = {text: tuple(self._target.encode_start(text.strip())) for text in set(prefixes)}
        return [ids[text] for text in prefixes]

    def _language_token(self, to: str | None) -> tuple[int, ...]:
        """What stands first in each source, to say which language to translate to."""
        tokens = self._language_tokens
        targets = tuple(tokens) or self._languages.target
        if to is None and len(tokens) < 2:
            return tuple(tokens.values())
        if to not in targets:
            problem = f"does not translate to {to}" if to else "translates to several languages"
            raise UsageError(
                f"{self.model.card.name} {problem}", hint=f"one of: {', '.join(targets)}"
            )
        return (tokens[to],) if tokens else ()

    def _parts(self, texts: Sequence[str]) -> Iterator[list[str | list[int]]]:
        """Each text as strings to keep and token ids to translate, in order."""
        language = self._languages.source[0]
        pieces = [split_sentences(text, language) for text in texts]
        encoded = self._encode(list(chain(*pieces)))
        for sentences in pieces:
            yield list(chain(*(next(encoded) for _ in sentences)))

    def _encode(self, pieces: Sequence[str]) -> Iterator[list[str | list[int]]]:
        cores = [piece.strip() for piece in pieces]
        rows = iter(self._source.encode([core for core in cores if _has_letter(core)]))
        for piece, core in zip(pieces, cores, strict=True):
            if not _has_letter(core):
                yield [piece]
                continue
            row = next(rows)
            shorter = [piece]
            if len(row) > self._longest:
                shorter = self._source.split(piece, self._longest)
            if len(shorter) > 1:
                yield list(chain(*self._encode(shorter)))
            else:
                before, _, after = piece.partition(core)
                yield [before, row, after]


class _Settings(NamedTuple):
    """The arguments of ``translate``."""

    decoding: Decoding
    prefix: str | Sequence[str]
    to: str | None
    scores: bool
    batch_tokens: int


class _Job(NamedTuple):
    """Texts whose sentences are being translated."""

    texts: Sequence[str]
    settings: _Settings
    plans: list[list[str | Sentence]]
    """Each text as strings to keep and sentences to translate."""
    search: Search
    tokenizer: Tokenizer

    def result(self) -> list[Translation]:
        found = self.search.result()
        rows = [row for result in found.values() for row in result.hypotheses]
        texts = iter(self.tokenizer.decode(rows))
        translated = {
            sentence: Translation(
                hypotheses=_distinct([Hypothesis(next(texts), score) for score in result.scores]),
                sentences=1,
                source_tokens=len(sentence.source),
                target_tokens=len(result.hypotheses[0]),
                truncated=not result.ended,
            )
            for sentence, result in found.items()
        }
        return [_join(plan, translated, self.settings.decoding.n_best) for plan in self.plans]


def _join(
    plan: Sequence[str | Sentence], translated: dict[Sentence, Translation], n_best: int
) -> Translation:
    """The translation of a text from those of its sentences."""
    sentences = [translated[part] for part in plan if isinstance(part, Sentence)]
    hypotheses = []
    count = n_best if n_best == 1 else 2 * n_best  # some can be spelled alike
    for score, texts in _best_sums([sentence.hypotheses for sentence in sentences], count):
        chosen = iter(texts)
        text = "".join(part if isinstance(part, str) else next(chosen) for part in plan)
        hypotheses.append(Hypothesis(text, score))
    return Translation(
        hypotheses=_distinct(hypotheses)[:n_best],
        sentences=len(sentences),
        source_tokens=sum(sentence.source_tokens for sentence in sentences),
        target_tokens=sum(sentence.target_tokens for sentence in sentences),
        truncated=any(sentence.truncated for sentence in sentences),
    )


def _distinct(hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The first of each text."""
    first: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        first.setdefault(hypothesis.text, hypothesis)
    return tuple(first.values())


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


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))
