"""Token ids in, token ids out: sentences batched, and searched for by a graph.

The graph holds the whole search (see the card of a translation model for its inputs); what is
left is to fill batches well and to keep all threads at work.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genkit.errors import UsageError
from genkit.model import Model
from genkit.runtime import RuntimeOptions, open_session
from genkit.runtime.devices import default_threads
from genkit.runtime.session import Closing, Workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BATCH_TOKENS", "Decoder", "Decoding", "Found", "Search", "Sentence"]

BATCH_TOKENS = 512
"""Measured on two cores: 512 is 12 % quicker than 2048, whose rows overflow the caches."""
# Setting -> the least that it can be.
LEAST = {
    "beam_size": 1,
    "min_length": 0,
    "max_length": 1,
    "no_repeat_ngram_size": 0,
    "n_best": 1,
}
# Setting -> the most that it can be.
MOST = {"beam_size": 1024, "no_repeat_ngram_size": 1 << 16}
BATCH_BEAMS = 16
"""Beams up to which a batch is as large as it is asked to be; with more it is the smaller."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How an output is searched for. Raises UsageError for values that make no sense.

    Lengths are those of a sentence, in output tokens with the end token and the prefix.
    """

    beam_size: int = 4
    """Hypotheses that are followed at a time; 1 is greedy search."""
    length_penalty: float = 0.6
    """A hypothesis scores its log probability / length ** length_penalty. Beam size and penalty
    are those of "Attention Is All You Need", section 6.1."""
    early_stopping: bool = False
    """Whether a sentence is done once it has ``beam_size`` complete hypotheses, as in CTranslate2
    and fairseq, or only when no other can become better than the worst of them."""
    min_length: int = 0
    max_length: int | None = None
    """None: three times the source and twenty more, after the prefix."""
    no_repeat_ngram_size: int = 0
    """No sequence of so many tokens comes twice in a sentence; 0 is off."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that were used before become less probable."""
    n_best: int = 1
    """How many hypotheses are returned."""

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name.replace('_', ' ')} must be at least {least}, is {value}")
        for name, most in MOST.items():
            value = getattr(self, name)
            if value > most:
                raise UsageError(f"{name.replace('_', ' ')} must be at most {most}, is {value}")
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
            raise UsageError(f"min length {self.min_length} is above max length {self.max_length}")


class Sentence(NamedTuple):
    """What goes in: the source's tokens with its end, and tokens that the output starts with."""

    source: tuple[int, ...]
    prefix: tuple[int, ...] = ()


class Found(NamedTuple):
    """What comes out: the best hypotheses, the best one first, each with its score.

    The tokens include the prefix and, unless the longest length came first, the end token.
    """

    hypotheses: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]
    ended: bool
    """Whether the best hypothesis has its end."""


class Search:
    """A search that was begun; batches are worked off in the order of submission."""

    def __init__(self, batches: list[tuple[list[Sentence], Future[list[Found]]]]) -> None:
        self._batches = batches

    def result(self) -> dict[Sentence, Found]:
        """Wait for what was found for each sentence. Raises what running the graph raised:
        MemoryError if a sentence does not fit into memory.
        """
        try:
            return {
                sentence: found
                for batch, future in self._batches
                for sentence, found in zip(batch, future.result(), strict=True)
            }
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Begin nothing that has not begun yet."""
        for _, future in self._batches:
            future.cancel()


class Decoder(Closing):
    """A sequence-to-sequence graph, ready to run. Raises what ``open_session`` raises."""

    def __init__(self, model: Model, role: str, options: RuntimeOptions) -> None:
        text = model.card.text
        if text is None or text.eos_id is None:
            raise TypeError(f"{model.card.name} is no model for sequences of tokens")
        self._pad_id, self._eos_id = text.pad_id, text.eos_id
        self._positions = text.max_positions
        # Batches side by side, each on a thread of its own, are quicker than one after the
        # other on all threads, and no thread ever spins. They share this session.
        self.session = open_session(model, role, options, threads=1)
        on_cpu = self.session.device == "cpu"
        self.threads = (options.threads or default_threads()) if on_cpu else 1
        self._pool = Workers(self.threads)

    def search(
        self,
        sentences: Iterable[Sentence],
        decoding: Decoding,
        *,
        scores: bool = True,
        batch_tokens: int = BATCH_TOKENS,
    ) -> Search:
        """Begin to search for the output of each sentence; one that comes twice is done once.

        A batch has at most ``batch_tokens`` source tokens, padding counted, or one sentence; with
        more than 16 beams as many fewer, for memory grows with their product. Scores are 0 where neither the search nor the caller needs them. Raises UsageError for
        settings that the model cannot follow.
        """
        unique = list(dict.fromkeys(sentences))
        self._check(unique, decoding, batch_tokens)
        tokens = max(batch_tokens * BATCH_BEAMS // max(decoding.beam_size, BATCH_BEAMS), 1)
        return Search(
            [
                (batch, self._pool.submit(self._run, batch, decoding, scores))
                for batch in make_batches(unique, tokens, self.threads)
            ]
        )

    def _check(self, sentences: Iterable[Sentence], decoding: Decoding, batch_tokens: int) -> None:
        limit = decoding.max_length or self._positions
        if limit > self._positions:
            raise UsageError(
                f"max length {limit} is more than the {self._positions} positions of the model"
            )
        longest = max((len(sentence.prefix) for sentence in sentences), default=0)
        if longest >= limit:
            raise UsageError(f"the prefix has {longest} tokens, the max length is {limit}")
        if batch_tokens < 1:
            raise UsageError(f"batch tokens must be at least 1, is {batch_tokens}")

    def _run(self, batch: Sequence[Sentence], decoding: Decoding, scores: bool) -> list[Found]:
        """Run a batch: in parts where memory does not suffice.

        Raises MemoryError if one sentence is too much.
        """
        try:
            return self._run_at_once(batch, decoding, scores)
        except MemoryError:
            if len(batch) == 1:
                raise
        half = len(batch) // 2
        first = self._run(batch[:half], decoding, scores)
        return first + self._run(batch[half:], decoding, scores)

    def _run_at_once(
        self, batch: Sequence[Sentence], decoding: Decoding, scores: bool
    ) -> list[Found]:
        feeds: dict[str, NDArray[Any]] = {
            "input_ids": self._pad([sentence.source for sentence in batch]),  # (batch, source)
            "prefix_ids": self._pad([sentence.prefix for sentence in batch]),  # (batch, prefix)
            "beam_size": np.array(decoding.beam_size, np.int64),
            "length_penalty": np.array(decoding.length_penalty, np.float32),
            "early_stopping": np.array(decoding.early_stopping, np.bool_),
            "min_length": np.array(decoding.min_length, np.int64),
            "max_length": np.array([self._max_length(s, decoding) for s in batch], np.int64),
            "repetition_penalty": np.array(decoding.repetition_penalty, np.float32),
            "no_repeat_ngram_size": np.array(decoding.no_repeat_ngram_size, np.int64),
            "return_scores": np.array(scores or decoding.n_best > 1, np.bool_),
        }
        tokens, totals = self.session.run(feeds, ["tokens", "scores"])
        best = slice(decoding.n_best)
        return [
            self._found(rows, row_scores)
            for rows, row_scores in zip(
                tokens[:, best].tolist(),  # (batch, n_best, target)
                totals[:, best].tolist(),  # (batch, n_best)
                strict=True,
            )
        ]

    def _found(self, rows: Sequence[list[int]], scores: Sequence[float]) -> Found:
        """Take the padding off the hypotheses of a sentence."""
        hypotheses = []
        for row in rows:
            length = row.index(self._eos_id) + 1 if self._eos_id in row else len(row)
            hypotheses.append(tuple(row[:length]))
        return Found(tuple(hypotheses), tuple(scores), ended=self._eos_id in rows[0])

    def _pad(self, rows: Sequence[tuple[int, ...]]) -> NDArray[np.int64]:
        padded = np.full((len(rows), max(map(len, rows))), self._pad_id, np.int64)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded

    def _max_length(self, sentence: Sentence, decoding: Decoding) -> int:
        """From the sentence alone, so that nothing depends on the rest of the batch."""
        if decoding.max_length is not None:
            return decoding.max_length
        length = max(3 * len(sentence.source) + 20, decoding.min_length) + len(sentence.prefix)
        return min(length, self._positions)


def make_batches(sentences: Iterable[Sentence], tokens: int, workers: int) -> list[list[Sentence]]:
    """Batches of like length, longest first, with at most ``tokens`` source tokens each.

    Padding counts. A few sentences are shared out among the workers.
    """
    queue = sorted(sentences, key=lambda sentence: len(sentence.source), reverse=True)
    if queue and workers > 1:
        share = math.ceil(sum(len(sentence.source) for sentence in queue) / workers)
        tokens = min(tokens, share + len(queue[0].source) - 1)
    batches: list[list[Sentence]] = []
    for sentence in queue:
        if batches and len(batches[-1][0].source) * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(sentence)
        else:
            batches.append([sentence])
    return batches
