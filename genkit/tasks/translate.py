"""Translation: texts in, texts out.

A text is cut into sentences, the sentences of all texts are translated together, and the
results are put where the sentences stood, with the white space that was between them. What
holds no letter (numbers, punctuation, emoji) is not translated but kept, and so are spans that
are no language, and what stands around a sentence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple

from genkit.card import Doubt
from genkit.decoding import BATCH_TOKENS, Decoder, Decoding
from genkit.errors import InputError, UsageError
from genkit.memory import TOO_LARGE, in_parts
from genkit.model import Model
from genkit.runtime import RuntimeOptions
from genkit.runtime.session import Closing
from genkit.tasks.translate_job import Job, Network, Settings, set_prefix
from genkit.tasks.translations import Hypothesis, Translation
from genkit.text import Tokenizer
from genkit.text.preparer import Preparer
from genkit.text.spans import Span, compile_patterns, find_spans, is_plain
from genkit.text.units import Plan

__all__ = ["Hypothesis", "Translation", "Translator"]

OTHER_SCRIPTS = frozenset(
    "ab am ar as be bg bn bo ce cu cv dv dz el fa gu he hi hy ja ka kk km kn ko ky lo mk ml mn mr my "
    "ne or os pa ps ru sa sd si sr ta te tg th ti tt ug uk ur yi zh mul".split()
)
"""ISO 639 codes of languages that are not (or not always) written in Latin letters."""
LONGEST = 64
"""Tokens: sentences of a model that does not say how long it can do are cut there."""


class Longest(NamedTuple):
    """The most source tokens of a sentence that is translated in one piece."""

    limit: int
    """What is done well."""
    room: int
    """What can be done at all."""


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
        self._decoder = Decoder(model, model.card.role, options)
        # Leaves a translation room to be twice as long as its source.
        room = text.max_positions // 2 - bool(text.language_tokens)
        self.longest = Longest(min(text.longest or LONGEST, room), room)
        self._preparer = Preparer(self._languages.source[0], self._is_known, text.stand_ins)
        self._latin = self._languages.source[0] not in OTHER_SCRIPTS
        self._doubt = text.doubtful or Doubt()

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
        protect: bool = True,
        spans: Sequence[Sequence[tuple[int, int]]] | None = None,
        patterns: Sequence[str] = (),
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
            texts,
            decoding,
            prefix=prefix,
            to=to,
            scores=False,
            batch_tokens=batch_tokens,
            protect=protect,
            spans=spans,
            patterns=patterns,
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
        protect: bool = True,
        spans: Sequence[Sequence[tuple[int, int]]] | None = None,
        patterns: Sequence[str] = (),
    ) -> list[Translation]:
        """Translate texts, with all that is known about the results.

        The first sentence of a text begins with ``prefix``: one for all texts, or one each.
        ``to`` is the language of the output, for models that have several. A batch has at most
        ``batch_tokens`` source tokens, padding counted, or one sentence.

        With ``protect``, spans that are no language (placeholders, URLs, tags, numbers, ...) come
        back character by character. ``spans`` has further ones, ranges of characters of each
        text, and ``patterns`` regular expressions of what else is to come back so. A text that
        does not fit into memory has an error in place of a translation. Raises UsageError for
        settings that the model cannot follow.
        """
        if spans is not None and len(spans) != len(texts):
            raise ValueError(f"{len(spans)} lists of spans for {len(texts)} texts")
        settings = Settings(
            decoding or Decoding(),
            prefix,
            to,
            scores,
            batch_tokens,
            protect,
            spans,
            compile_patterns(tuple(patterns)),
        )
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
        protect: bool = True,
        patterns: Sequence[str] = (),
    ) -> Generator[list[Translation], None, None]:
        """Translate lists of texts, one after the other, as ``translate`` does.

        A list is begun before the one before it is done, so that no thread has to wait. None
        in place of a list says that there is none yet: what was begun is then finished first.
        """
        settings = Settings(
            decoding or Decoding(),
            prefix,
            to,
            scores,
            batch_tokens,
            protect,
            None,
            compile_patterns(tuple(patterns)),
        )
        begun: deque[Job] = deque()
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
                job.cancel()

    def _begin(self, texts: Sequence[str], settings: Settings) -> Job:
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings; for one text: [text]")
        start = self._language_token(settings.to)
        prefixes = self._prefixes(settings.prefix, texts)
        plans: list[Plan] = []
        spans = [self._spans(text, i, settings) for i, text in enumerate(texts)]
        for text, inner, prefix in zip(texts, spans, prefixes, strict=True):
            plan = self._preparer.plan(text, inner, acronyms=settings.protect)
            if prefix:
                set_prefix(plan, prefix)
            plans.append(plan)
        network = Network(
            self._preparer, self._source, self._target, self._decoder, self.longest.limit, start
        )
        return Job(network, texts, plans, spans, settings, self._doubt)

    def _finish(self, job: Job) -> list[Translation]:
        """What became of the texts of a job; of a part at a time where memory does not suffice."""
        try:
            return job.result()
        except MemoryError:
            pass  # what it took is given back at the end of the block
        settings = job.settings
        prefix = settings.prefix
        prefixes = [prefix] * len(job.texts) if isinstance(prefix, str) else prefix
        ranges = settings.spans if settings.spans is not None else [()] * len(job.texts)

        def again(items: Sequence[tuple[str, str, Sequence[tuple[int, int]]]]) -> list[Translation]:
            prefix, spans = [item[1] for item in items], [item[2] for item in items]
            part = settings._replace(prefix=prefix, spans=spans)
            return self._begin([item[0] for item in items], part).result()

        lost = Translation((Hypothesis("", 0.0),), 0, 0, 0, truncated=False, error=TOO_LARGE)
        return in_parts(again, list(zip(job.texts, prefixes, ranges, strict=True)), lost)

    def _spans(self, text: str, index: int, settings: Settings) -> list[Span]:
        given = settings.spans[index] if settings.spans is not None else ()
        if not given and not settings.patterns and (not settings.protect or is_plain(text)):
            return []
        return find_spans(text, given, settings.patterns, kinds=settings.protect, latin=self._latin)

    def _is_known(self, word: str) -> bool:
        """Whether a word was common enough in the training data to be one token."""
        return len(self._source.encode_start(word)) == 1

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
