"""What greedy and beam search share as ONNX nodes; `search_graph.py` puts the searches to use.

Width is counted with the start token: sequences (rows, width) hold `width - 1` target tokens, and
the step that reads them adds target token number `width`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto as T

from .onnx_builder import GraphBuilder, State, tensor, vector
from .transformer_graph import Memory, TransformerGraph

NEVER = np.float32(-1e9)
"""The score of a beam that has not started or a hypothesis that has not finished."""
MINUS_INFINITY = np.float32(-np.inf)


@dataclass(frozen=True)
class Row:
    """What each row of a search brings: its limit (rows, 1), its forced prefix (rows, width), what
    divides the log probability of a hypothesis of each length (rows, longest + 1), and the encoded
    source.
    """

    max_length: str
    prefix: str
    divisors: str
    memory: Memory


@dataclass(frozen=True)
class Search:
    """Facts that hold for a whole run of the graph."""

    net: TransformerGraph
    suppress: Sequence[int]
    special_steps: str
    """int64 scalar: up to this target token there is a prefix or a minimal length to heed."""
    controlled: str
    """bool scalar: whether a repetition control is on, at every step."""
    longest: str
    """int64 scalar: the largest limit of all rows."""
    modesty: str
    """float32 scalar: what running beams are marked down by. With early stopping more than any real
    score, and less than that of a place that no hypothesis has taken."""

    @property
    def pad_id(self) -> int:
        return self.net.config.pad_id

    @property
    def eos_id(self) -> int:
        return self.net.config.eos_id

    @classmethod
    def prepare(cls, g: GraphBuilder, net: TransformerGraph, suppress: Sequence[int]) -> "Search":
        width = g("Squeeze", g("Shape", "prefix_ids", start=1))
        special_steps = g("Max", width, g("Sub", "min_length", np.int64(1)))
        penalised = g("Not", g("Equal", "repetition_penalty", np.float32(1)))
        ngrams = g("Greater", "no_repeat_ngram_size", np.int64(0))
        longest = g("ReduceMax", "max_length", keepdims=0)
        modesty = g("Where", "early_stopping", -NEVER / 2, np.float32(0))
        return cls(net, suppress, special_steps, g("Or", penalised, ngrams), longest, modesty)

    def divisors(self, g: GraphBuilder) -> str:
        """Free tokens ** length_penalty for every length of every row, float32 (batch, longest +
        1). Forced tokens have no log probability, so they do not count.
        """
        forced = g("Not", g("Equal", "prefix_ids", np.int64(self.pad_id)))
        prefix = g("ReduceSum", g("Cast", forced, to=T.INT64), vector(1), keepdims=1)
        lengths = g("Range", np.int64(0), g("Add", self.longest, np.int64(1)), np.int64(1))
        free = g("Max", g("Sub", lengths, prefix), np.int64(1))
        return g("Pow", g("Cast", free, to=T.FLOAT), "length_penalty")

    def is_special(self, g: GraphBuilder, width: str) -> str:
        return g("Or", self.controlled, g("LessOrEqual", width, self.special_steps))

    def forced(self, g: GraphBuilder, width: str, row: Row) -> tuple[str, str]:
        """The forced token of each row (rows, 1), and whether there is one."""
        # The prefix has a column of padding at its end, for the steps after it.
        last = g("Sub", g("Shape", row.prefix, start=1), vector(1))
        column = g("Min", g("Sub", width, vector(1)), last)
        token = g("Gather", row.prefix, column, axis=1)
        return token, g("Not", g("Equal", token, np.int64(self.pad_id)))

    def control(self, g: GraphBuilder, scores: str, sequences: str, width: str) -> str:
        """Scores (n, vocabulary) after repetition controls and the minimal length, for sequences
        (n, width).
        """
        used = g("GatherElements", scores, sequences, axis=1)
        weaker = g(
            "Where", g("Less", used, np.float32(0)),
            g("Mul", used, "repetition_penalty"), g("Div", used, "repetition_penalty"),
        )  # fmt: skip
        scores = g("ScatterElements", scores, sequences, weaker, axis=1)
        scores = self._forbid_ngrams(g, scores, sequences, width)
        token = np.arange(self.net.vocabulary)[None]
        early = g("Less", width, "min_length")
        return g("Where", g("And", early, token == self.eos_id), MINUS_INFINITY, scores)

    def _forbid_ngrams(self, g: GraphBuilder, scores: str, sequences: str, width: str) -> str:
        """-inf for each token that would repeat a run of `no_repeat_ngram_size` tokens."""
        then = GraphBuilder(g)
        size, one = then("Unsqueeze", "no_repeat_ngram_size", vector(0)), vector(1)
        context = then("Sub", size, one)
        starts = then("Max", then("Sub", width, context), vector(0))
        offsets = indices(then, context)
        first = indices(then, starts)
        window = then("Add", then("Unsqueeze", first, one), then("Unsqueeze", offsets, vector(0)))
        runs = then("Gather", sequences, window, axis=1)  # (n, starts, context)
        recent = then("Max", then("Add", then("Sub", width, context), offsets), vector(0))
        suffix = then("Unsqueeze", then("Gather", sequences, recent, axis=1), one)
        differs = then("Cast", then("Not", then("Equal", runs, suffix)), to=T.INT64)
        repeats = then("Equal", then("ReduceSum", differs, vector(2), keepdims=0), np.int64(0))
        following = then("Gather", sequences, then("Add", first, context), axis=1)
        ban = then("Where", repeats, MINUS_INFINITY, np.float32(np.inf))
        banned = then("ScatterElements", scores, following, ban, axis=1, reduction="min")
        otherwise = GraphBuilder(g)
        same = otherwise("Identity", scores)
        shape = ("n", "vocabulary")
        return g(
            "If", g("Greater", "no_repeat_ngram_size", np.int64(0)),
            then_branch=then.graph([], [tensor(banned, T.FLOAT, shape)]),
            else_branch=otherwise.graph([], [tensor(same, T.FLOAT, shape)]),
        )  # fmt: skip

    def start_caches(self, g: GraphBuilder, batch: str) -> list[State]:
        """Empty keys and values for every decoder layer."""
        config = self.net.config
        shape = g("Concat", batch, vector(config.num_heads, 0, config.head_dim), axis=0)
        empty = g("Expand", np.float32(0), shape)
        axes = ("rows", config.num_heads, None, config.head_dim)
        return [State(T.FLOAT, axes, empty) for _ in range(2 * config.decoder_layers)]


class SearchStep(ABC):
    """The inner loop of a search. The first state is `done`, bool (rows, 1); the second holds the
    sequences so far, int64 (rows * beams, width).
    """

    def __init__(self, search: Search) -> None:
        self.search = search

    @abstractmethod
    def beams(self, g: GraphBuilder) -> str:
        """Beams a row, int64 (1,)."""

    @abstractmethod
    def start(self, g: GraphBuilder, batch: str) -> list[State]:
        """The states before the first step, for int64 (1,) rows."""

    @abstractmethod
    def run(
        self,
        g: GraphBuilder,
        states: Sequence[State],
        start: Sequence[str],
        row: Row,
        rows: str,
        enough: str,
    ) -> list[str]:
        """Add the inner loop to `g`, beginning with the values `start`, ending when `enough` rows
        are done; returns the states at its end.
        """

    @abstractmethod
    def results(self, g: GraphBuilder, states: Sequence[str], row: Row) -> tuple[str, str]:
        """Tokens (rows, beams, width) and scores (rows, beams)."""

    @abstractmethod
    def keep_beams(self, g: GraphBuilder, keep: str) -> str:
        """Indices of the beams of the rows `keep`."""

    def loop(
        self,
        g: GraphBuilder,
        body: GraphBuilder,
        states: Sequence[State],
        names: Sequence[str],
        ends: Sequence[str],
        enough: str,
        start: Sequence[str],
    ) -> list[str]:
        """Add the loop once its body is written."""
        count = body("ReduceSum", body("Cast", ends[0], to=T.INT64), keepdims=0)
        go = body("Less", count, enough)
        width = g("Squeeze", g("Shape", start[1], start=1))
        rounds = g("Add", g("Sub", self.search.longest, width), np.int64(1))
        return g.loop(body, states, names, ends, go, rounds=rounds, start=start)


def widen(g: GraphBuilder, results: str, tokens: str, pad_id: int) -> str:
    """Pad results (batch, beams, width) to the width of tokens (rows, beams, wider)."""
    missing = g("Sub", g("Shape", tokens, start=2), g("Shape", results, start=2))
    shape = g("Concat", g("Shape", results, end=2), missing, axis=0)
    return g("Concat", results, g("Expand", np.int64(pad_id), shape), axis=2)


def indices(g: GraphBuilder, count: str) -> str:
    """0, 1, ... for a count int64 (1,)."""
    return g("Range", np.int64(0), g("Squeeze", count), np.int64(1))
