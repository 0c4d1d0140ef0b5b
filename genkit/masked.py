"""Asking a masked language model what stands at places of a row of tokens.

Questions about the same row are answered by one pass over it; rows of like length are run
together. An answer does not depend on what else is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from genkit.model import Model
from genkit.runtime import RuntimeOptions, open_session
from genkit.runtime.devices import default_threads
from genkit.runtime.session import Closing, Workers

__all__ = ["Beams", "Found", "MaskedModel", "Query"]

BATCH_TOKENS = 1024
BATCH_MASKS = 128
"""Most places that meet the vocabulary at a time: 128 of 30,000 tokens are 15 MB."""
CHUNK = 4096
"""Questions that are sorted and answered together, of as many as there are."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is the token at ``column`` of ``row``, and how likely are the ``targets`` there?"""

    row: tuple[int, ...]
    column: int
    targets: tuple[int, ...] = ()


class Found(NamedTuple):
    """The likeliest tokens, best first; log probabilities of them and of the targets."""

    tokens: list[int]
    scores: list[float]
    target_scores: list[float]


class MaskedModel(Closing):
    """A graph that fills masks, ready to run. Raises what ``open_session`` raises."""

    def __init__(self, model: Model, role: str, options: RuntimeOptions) -> None:
        text = model.card.text
        if text is None or text.mask_id is None:
            raise TypeError(f"{model.card.name} is no masked language model")
        self.mask_id = text.mask_id
        self.max_positions = text.max_positions
        self._pad_id = text.pad_id
        # As for translation: batches side by side, each on a thread of its own.
        self.session = open_session(model, role, options, threads=1)
        on_cpu = self.session.device == "cpu"
        self.threads = (options.threads or default_threads()) if on_cpu else 1
        self._pool = Workers(self.threads)

    def ask(self, queries: Iterable[Query], top: int = 1) -> Iterator[Found]:
        """The answers to queries, in order, each with the ``top`` likeliest tokens.

        Raises MemoryError if a query does not fit into memory.
        """
        waiting = iter(queries)
        while chunk := list(islice(waiting, CHUNK)):
            answers: dict[int, Found] = {}
            batches = _batches(chunk)
            results = self._pool.map(lambda batch: self._run(chunk, batch, top), batches)
            for batch, found in zip(batches, results, strict=True):
                answers.update(zip(batch, found, strict=True))
            yield from (answers[i] for i in range(len(chunk)))

    def _run(self, queries: Sequence[Query], batch: Sequence[int], top: int) -> list[Found]:
        """Answer the queries with the numbers of ``batch``: in parts where memory does not suffice.

        Raises MemoryError if one query is too much.
        """
        try:
            return self._answer(queries, batch, top)
        except MemoryError:
            if len(batch) == 1:
                raise
        half = len(batch) // 2
        return self._run(queries, batch[:half], top) + self._run(queries, batch[half:], top)

    def _answer(self, queries: Sequence[Query], batch: Sequence[int], top: int) -> list[Found]:
        import numpy as np

        chosen = [queries[i] for i in batch]
        rows = list(dict.fromkeys(query.row for query in chosen))
        number = {row: i for i, row in enumerate(rows)}
        width = max(map(len, rows))
        wide = max(len(query.targets) for query in chosen)
        feeds = {
            "input_ids": [(*row, *[self._pad_id] * (width - len(row))) for row in rows],
            "positions": [(number[query.row], query.column) for query in chosen],
            "targets": [(*q.targets, *[0] * (wide - len(q.targets))) for q in chosen],
            "top": top,
        }
        tokens, scores, target_scores = self.session.run(
            {
                name: np.array(values, np.int64).reshape(len(chosen), wide)
                if name == "targets"
                else np.array(values, np.int64)
                for name, values in feeds.items()
            },
            ["tokens", "scores", "target_scores"],
        )
        answers = zip(tokens.tolist(), scores.tolist(), target_scores.tolist(), strict=True)
        return [
            Found(best, own, found[: len(query.targets)])
            for query, (best, own, found) in zip(chosen, answers, strict=True)
        ]


@dataclass
class Beams:
    """The best ways to fill all masks of a row together that are being followed, best first."""

    row: tuple[int, ...]
    columns: tuple[int, ...]
    states: list[tuple[float, dict[int, int]]] = field(default_factory=lambda: [(0.0, {})])
    """Log probability and column -> token."""

    @property
    def open(self) -> list[int]:
        """Columns that are still masked, in all states the same."""
        return [column for column in self.columns if column not in self.states[0][1]]

    def queries(self) -> Iterator[Query]:
        for _, tokens in self.states:
            row = tuple(tokens.get(i, token) for i, token in enumerate(self.row))
            for column in self.open:
                yield Query(row, column)

    def extend(self, found: Sequence[Found], width: int) -> None:
        """Fill the mask that the best state is most certain of, in every state."""
        free = self.open
        chosen = max(range(len(free)), key=lambda i: found[i].scores[0])
        states = [
            (total + score, tokens | {free[chosen]: token})
            for i, (total, tokens) in enumerate(self.states)
            for token, score in zip(*found[i * len(free) + chosen][:2], strict=True)
        ]
        self.states = sorted(states, key=lambda state: -state[0])[:width]


def _batches(queries: Sequence[Query]) -> list[list[int]]:
    """The numbers of the queries, those of a row side by side, rows of like length together."""
    order = sorted(range(len(queries)), key=lambda i: (len(queries[i].row), queries[i].row))
    batches: list[list[int]] = []
    rows = 0
    for i in order:
        row = queries[i].row
        new = not batches or queries[batches[-1][-1]].row != row
        full = not batches or len(batches[-1]) == BATCH_MASKS
        if full or (new and (rows + 1) * len(row) > BATCH_TOKENS):
            batches.append([])
            rows = 0
            new = True
        batches[-1].append(i)
        rows += new
    return batches
