"""One step of greedy and of beam search, and what both share. `search_graph.py` puts them to use.

Width is counted with the start token: sequences (rows, width) hold `width - 1` target tokens, and
the step that reads them adds target token number `width`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto as T

from .onnx_builder import GraphBuilder, State, tensor, vector
from .transformer_graph import BLOCK, Memory, TransformerGraph

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
        offsets = _range(then, context)
        first = _range(then, starts)
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

    def start_caches(self, g: GraphBuilder, count: str) -> list[State]:
        """Empty keys and values for every decoder layer; `count` rows or beams, int64 (1,)."""
        config = self.net.config
        shape = g("Concat", count, vector(config.num_heads, 0, config.head_dim), axis=0)
        empty = g("Expand", np.float32(0), shape)
        axes = ("hypotheses", config.num_heads, None, config.head_dim)
        count_caches = 2 * config.decoder_layers
        return [State(T.FLOAT, axes, empty, per_beam=True) for _ in range(count_caches)]


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


class GreedyStep(SearchStep):
    """States: done, sequences, newest token (rows, 1), log probability (rows, 1), caches."""

    def beams(self, g: GraphBuilder) -> str:
        return g.constant(vector(1))

    def start(self, g: GraphBuilder, batch: str) -> list[State]:
        shape = g("Concat", batch, vector(1), axis=0)
        pad = g("Expand", np.int64(self.search.pad_id), shape)
        return [
            State(T.BOOL, ("rows", 1), g("Expand", np.bool_(False), shape)),
            State(T.INT64, ("rows", None), pad),
            State(T.INT64, ("rows", 1), pad),
            State(T.FLOAT, ("rows", 1), g("Expand", np.float32(0), shape)),
            *self.search.start_caches(g, batch),
        ]

    def run(
        self,
        g: GraphBuilder,
        states: Sequence[State],
        start: Sequence[str],
        row: Row,
        rows: str,
        enough: str,
    ) -> list[str]:
        search, net = self.search, self.search.net
        body = GraphBuilder(g)
        names = [body.name("carried") for _ in states]
        done, sequences, token, total, *past = names
        width = body("Shape", sequences, start=1)
        hidden, present = net.step(body, token, width, row.memory, past, None)
        logits = net.logits(body, hidden, search.suppress)  # (rows, 1, vocabulary)
        token, total = self._choose(body, logits, sequences, width, row, done, total)
        token = body("Where", done, np.int64(search.pad_id), token)
        ended = body("Equal", token, np.int64(search.eos_id))
        cut = body("GreaterOrEqual", width, row.max_length)
        done = body("Or", done, body("Or", ended, cut))
        sequences = body("Concat", sequences, token, axis=1)
        ends = [done, sequences, token, total, *present]
        return self.loop(g, body, states, names, ends, enough, start)

    def _choose(
        self,
        g: GraphBuilder,
        logits: str,
        sequences: str,
        width: str,
        row: Row,
        done: str,
        total: str,
    ) -> tuple[str, str]:
        """The next token and the log probability so far, both (rows, 1). Without scores, controls
        and prefix, which is most of the time, the branch is short.
        """
        plain = GraphBuilder(g)
        best = _argmax(plain, logits, self.search.net.vocabulary)
        unchanged = plain("Identity", total)

        full = GraphBuilder(g)
        flat = full("Squeeze", logits, vector(1))
        scores = self.search.control(full, flat, sequences, width)
        choice = _argmax(full, scores, self.search.net.vocabulary)
        forced, is_forced = self.search.forced(full, width, row)
        choice = full("Where", is_forced, forced, choice)
        gain = full("GatherElements", full("LogSoftmax", flat, axis=-1), choice, axis=1)
        silent = full("Or", full("Or", done, is_forced), full("Not", "return_scores"))
        gained = full("Add", total, full("Where", silent, np.float32(0), gain))

        def outputs(token: str, total: str) -> list[onnx.ValueInfoProto]:
            return [tensor(token, T.INT64, ("rows", 1)), tensor(total, T.FLOAT, ("rows", 1))]

        is_full = g("Or", "return_scores", self.search.is_special(g, width))
        next_token, new_total = g.many(
            "If", is_full, outputs=2,
            then_branch=full.graph([], outputs(choice, gained)),
            else_branch=plain.graph([], outputs(best, unchanged)),
        )  # fmt: skip
        return next_token, new_total

    def results(self, g: GraphBuilder, states: Sequence[str], row: Row) -> tuple[str, str]:
        _, sequences, _, total, *_ = states
        real = g("Not", g("Equal", sequences, np.int64(self.search.pad_id)))
        length = g("ReduceSum", g("Cast", real, to=T.INT64), vector(1), keepdims=1)
        score = g("Div", total, g("GatherElements", row.divisors, length, axis=1))
        return g("Unsqueeze", sequences, vector(1)), score

    def keep_beams(self, g: GraphBuilder, keep: str) -> str:
        return keep


@dataclass(frozen=True)
class Finish:
    """What finishing hypotheses needs of a step; candidates are (rows, 2 beams), best first."""

    candidate: str
    """Log probability."""
    beam: str
    next_token: str
    ended: str
    divisor: str
    """float32 (rows, 1)."""
    sequences: str
    """Before this step, int64 (rows * beams, width)."""
    beams: str
    offset: str
    """int64 (rows, 1): the number of a row's first beam."""


class BeamStep(SearchStep):
    """States: done, sequences, newest tokens (rows, beams), log probabilities (rows, beams),
    finished scores (rows, beams), finished sequences (rows, beams, width), caches.
    """

    def beams(self, g: GraphBuilder) -> str:
        return g("Reshape", "beam_size", vector(1))

    def start(self, g: GraphBuilder, batch: str) -> list[State]:
        beams = self.beams(g)
        shape = g("Concat", batch, beams, axis=0)
        hypotheses = g("Mul", batch, beams)
        pad = np.int64(self.search.pad_id)
        first = g("Equal", _range(g, beams), np.int64(0))
        never = g("Expand", NEVER, shape)
        one = vector(1)
        return [
            State(
                T.BOOL, ("rows", 1), g("Expand", np.bool_(False), g("Concat", batch, one, axis=0)),
            ),
            State(
                T.INT64, ("hypotheses", None),
                g("Expand", pad, g("Concat", hypotheses, one, axis=0)), per_beam=True,
            ),
            State(T.INT64, ("rows", "beams"), g("Expand", pad, shape)),
            # Only the first beam has started, or all would hold the same hypothesis.
            State(T.FLOAT, ("rows", "beams"), g("Where", first, np.float32(0), never)),
            State(T.FLOAT, ("rows", "beams"), never),
            State(
                T.INT64, ("rows", "beams", None),
                g("Expand", pad, g("Concat", shape, one, axis=0)),
            ),
            *self.search.start_caches(g, hypotheses),
        ]  # fmt: skip

    def run(
        self,
        g: GraphBuilder,
        states: Sequence[State],
        start: Sequence[str],
        row: Row,
        rows: str,
        enough: str,
    ) -> list[str]:
        search, net = self.search, self.search.net
        beams = self.beams(g)
        twice = g("Mul", beams, vector(2))
        shape = g("Concat", rows, beams, vector(net.config.d_model), axis=0)
        row_numbers = g("Unsqueeze", _range(g, rows), vector(1))
        offset = g("Mul", row_numbers, beams)  # (rows, 1), the number of a row's first beam
        blocks = net.vocabulary // BLOCK
        block_offset = g("Mul", offset, np.int64(blocks))

        body = GraphBuilder(g)
        names = [body.name("carried") for _ in states]
        done, sequences, token, score, best_scores, best_sequences, *past = names
        width = body("Shape", sequences, start=1)
        hidden, present = net.step(body, token, width, row.memory, past, shape)
        logits = net.logits(body, hidden, search.suppress)
        log_probs = self._log_probs(body, logits, sequences, width, row)

        candidate, flat = _top(body, log_probs, score, twice, block_offset, blocks)
        beam = body("Div", flat, np.int64(net.vocabulary))
        next_token = body("Mod", flat, np.int64(net.vocabulary))
        ended = body(
            "Or", body("Equal", next_token, np.int64(search.eos_id)),
            body("GreaterOrEqual", width, row.max_length),
        )  # fmt: skip

        running = body("Where", ended, NEVER, candidate)
        score, chosen = body.many("TopK", running, beams, outputs=2, axis=-1)
        token = body("GatherElements", next_token, chosen, axis=1)
        parent = body("Add", body("GatherElements", beam, chosen, axis=1), offset)
        parent = body("Reshape", parent, vector(-1))
        divisor = body("Gather", row.divisors, width, axis=1)
        finish = Finish(candidate, beam, next_token, ended, divisor, sequences, beams, offset)
        best_scores, best_sequences = self._finish(body, finish, done, best_scores, best_sequences)

        # A row at its limit has only finished candidates, so none can be better than its worst.
        possible = body("Div", body("Gather", score, vector(0), axis=1), divisor)
        worst = body("Gather", best_scores, vector(-1), axis=1)
        possible = body("Sub", possible, search.modesty)
        done = body("Or", done, body("LessOrEqual", possible, worst))
        sequences = body(
            "Concat", body("Gather", sequences, parent), body("Reshape", token, vector(-1, 1)),
            axis=1,
        )  # fmt: skip
        caches = [body("Gather", cache, parent) for cache in present]
        ends = [done, sequences, token, score, best_scores, best_sequences, *caches]
        return self.loop(g, body, states, names, ends, enough, start)

    def _log_probs(self, g: GraphBuilder, logits: str, sequences: str, width: str, row: Row) -> str:
        """Log probabilities (rows, beams, vocabulary), controlled and forced where asked."""
        vocabulary = self.search.net.vocabulary
        plain = GraphBuilder(g)
        simple = plain("LogSoftmax", logits, axis=-1)
        special = GraphBuilder(g)
        scores = special("LogSoftmax", logits, axis=-1)
        flat = special("Reshape", scores, vector(-1, vocabulary))
        flat = self.search.control(special, flat, sequences, width)
        scores = special("Reshape", flat, special("Shape", scores))
        forced, is_forced = self.search.forced(special, width, row)  # (rows, 1)
        only = special("Equal", special("Unsqueeze", forced, vector(2)), np.arange(vocabulary))
        only = special("Where", only, np.float32(0), NEVER)
        scores = special("Where", special("Unsqueeze", is_forced, vector(2)), only, scores)
        axes = ("rows", "beams", vocabulary)
        return g(
            "If", self.search.is_special(g, width),
            then_branch=special.graph([], [tensor(scores, T.FLOAT, axes)]),
            else_branch=plain.graph([], [tensor(simple, T.FLOAT, axes)]),
        )  # fmt: skip

    def _finish(
        self, g: GraphBuilder, step: Finish, done: str, best_scores: str, best_sequences: str
    ) -> tuple[str, str]:
        """The finished hypotheses after this step. Only candidates as good as the running beams may
        finish; most steps have none, so the work stands in a branch.
        """

        def front(b: GraphBuilder, x: str) -> str:
            return b("Slice", x, vector(0), step.beams, vector(1))

        then = GraphBuilder(g)
        finishing = then("And", front(then, step.ended), then("Not", done))
        scores = then("Div", front(then, step.candidate), step.divisor)
        scores = then("Where", finishing, scores, NEVER)
        origin = then("Add", front(then, step.beam), step.offset)
        last = then("Unsqueeze", front(then, step.next_token), vector(2))
        new = then("Concat", then("Gather", step.sequences, origin), last, axis=2)
        old = widen(then, best_sequences, new, self.search.pad_id)
        both = then("Concat", old, new, axis=1)  # (rows, 2 beams, width)
        flat = then("Concat", vector(-1), then("Shape", new, start=2), axis=0)
        flat = then("Reshape", both, flat)
        scores = then("Concat", best_scores, scores, axis=1)
        scores, rank = then.many("TopK", scores, step.beams, outputs=2, axis=-1)
        best = then("Gather", flat, then("Add", rank, then("Mul", step.offset, np.int64(2))))
        otherwise = GraphBuilder(g)
        same = [otherwise("Identity", best_scores), otherwise("Identity", best_sequences)]

        def outputs(scores: str, sequences: str) -> list[onnx.ValueInfoProto]:
            return [
                tensor(scores, T.FLOAT, ("rows", "beams")),
                tensor(sequences, T.INT64, ("rows", "beams", None)),
            ]

        new_scores, new_sequences = g.many(
            "If", g("ReduceMax", step.ended, keepdims=0), outputs=2,
            then_branch=then.graph([], outputs(scores, best)),
            else_branch=otherwise.graph([], outputs(*same)),
        )  # fmt: skip
        return new_scores, new_sequences

    def results(self, g: GraphBuilder, states: Sequence[str], row: Row) -> tuple[str, str]:
        return states[5], states[4]

    def keep_beams(self, g: GraphBuilder, keep: str) -> str:
        beams = self.beams(g)
        first = g("Unsqueeze", g("Mul", keep, beams), vector(1))
        return g("Reshape", g("Add", first, _range(g, beams)), vector(-1))


def widen(g: GraphBuilder, results: str, tokens: str, pad_id: int) -> str:
    """Pad results (batch, beams, width) to the width of tokens (rows, beams, wider)."""
    missing = g("Sub", g("Shape", tokens, start=2), g("Shape", results, start=2))
    shape = g("Concat", g("Shape", results, end=2), missing, axis=0)
    return g("Concat", results, g("Expand", np.int64(pad_id), shape), axis=2)


def _range(g: GraphBuilder, count: str) -> str:
    """0, 1, ... for a count int64 (1,)."""
    return g("Range", np.int64(0), g("Squeeze", count), np.int64(1))


def _argmax(g: GraphBuilder, scores: str, vocabulary: int) -> str:
    """The index (rows, 1) of the largest of scores (rows, vocabulary): the best block first, since
    a maximum over rows of blocks is vectorised and ArgMax is not.
    """
    blocks = g("Reshape", scores, vector(-1, vocabulary // BLOCK, BLOCK))
    best = g("ReduceMax", blocks, vector(2), keepdims=0)
    block = g("ArgMax", best, axis=1, keepdims=1)
    row = g("GatherND", blocks, block, batch_dims=1)
    inside = g("ArgMax", row, axis=1, keepdims=1)
    return g("Add", g("Mul", block, np.int64(BLOCK)), inside)


def _top(
    g: GraphBuilder, log_probs: str, score: str, count: str, block_offset: str, blocks: int
) -> tuple[str, str]:
    """The `count` best continuations of each row: log_probs (rows, beams, vocabulary) plus score
    (rows, beams) -> totals (rows, count) and positions in the row's flattened beams.

    The best n of all lie in the n blocks with the best maxima, so only those are searched.
    """
    block_best = g("Reshape", log_probs, vector(0, 0, blocks, BLOCK))
    block_best = g("ReduceMax", block_best, vector(3), keepdims=0)
    block_best = g("Add", block_best, g("Unsqueeze", score, vector(2)))
    block_best = g("Reshape", block_best, vector(0, -1))
    _, block = g.many("TopK", block_best, count, outputs=2, axis=-1)  # (rows, count)
    place = g("Add", block, block_offset)
    inside = g("Gather", g("Reshape", log_probs, vector(-1, BLOCK)), place)
    base = g("GatherElements", score, g("Div", block, np.int64(blocks)), axis=1)
    total = g("Reshape", g("Add", inside, g("Unsqueeze", base, vector(2))), vector(0, -1))
    best, index = g.many("TopK", total, count, outputs=2, axis=-1)
    block = g("GatherElements", block, g("Div", index, np.int64(BLOCK)), axis=1)
    flat = g("Add", g("Mul", block, np.int64(BLOCK)), g("Mod", index, np.int64(BLOCK)))
    return best, flat
