"""Beam search as the inner loop of `search_graph.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto as T

from .onnx_builder import GraphBuilder, State, tensor, vector
from .search_steps import NEVER, Row, SearchStep, indices, widen
from .transformer_graph import BLOCK


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
    finished scores (rows, beams), finished sequences (rows, beams, width), ancestry, caches.

    The caches hold what all beams ever computed, a step's beams side by side, and never move:
    which of it belongs to a beam is said by the ancestry, float32 (rows, beams, cached), an
    attention bias of 0 for a beam's own past and NEVER for other beams'. So a sentence's beams
    attend in one product, and choosing among them copies a few numbers in place of the caches.
    """

    def beams(self, g: GraphBuilder) -> str:
        return g("Reshape", "beam_size", vector(1))

    def start(self, g: GraphBuilder, batch: str) -> list[State]:
        beams = self.beams(g)
        shape = g("Concat", batch, beams, axis=0)
        hypotheses = g("Mul", batch, beams)
        pad = np.int64(self.search.pad_id)
        first = g("Equal", indices(g, beams), np.int64(0))
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
            State(
                T.FLOAT, ("rows", "beams", None),
                g("Expand", np.float32(0), g("Concat", shape, vector(0), axis=0)),
            ),
            *self.search.start_caches(g, batch),
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
        itself = g("Equal", g("Unsqueeze", indices(g, beams), vector(1)), indices(g, beams))
        itself = g("Where", itself, np.float32(0), NEVER)
        itself = g("Expand", itself, g("Concat", rows, beams, beams, axis=0))
        row_numbers = g("Unsqueeze", indices(g, rows), vector(1))
        offset = g("Mul", row_numbers, beams)  # (rows, 1), the number of a row's first beam
        blocks = net.vocabulary // BLOCK
        block_offset = g("Mul", offset, np.int64(blocks))

        body = GraphBuilder(g)
        names = [body.name("carried") for _ in states]
        done, sequences, token, score, best_scores, best_sequences, ancestry, *past = names
        width = body("Shape", sequences, start=1)
        ancestry = body("Concat", ancestry, itself, axis=2)
        bias = body("Unsqueeze", ancestry, vector(1))  # (rows, 1, beams, cached)
        hidden, caches = net.step(body, token, width, row.memory, past, bias)
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
        parent = body("GatherElements", beam, chosen, axis=1)
        divisor = body("Gather", row.divisors, width, axis=1)
        finish = Finish(candidate, beam, next_token, ended, divisor, sequences, beams, offset)
        best_scores, best_sequences = self._finish(body, finish, done, best_scores, best_sequences)

        # A row at its limit has only finished candidates, so none can be better than its worst.
        possible = body("Div", body("Gather", score, vector(0), axis=1), divisor)
        worst = body("Gather", best_scores, vector(-1), axis=1)
        possible = body("Sub", possible, search.modesty)
        done = body("Or", done, body("LessOrEqual", possible, worst))
        chosen = body("Unsqueeze", parent, vector(2))
        ancestry = body("GatherND", ancestry, chosen, batch_dims=1)
        parent = body("Reshape", body("Add", parent, offset), vector(-1))
        sequences = body(
            "Concat", body("Gather", sequences, parent), body("Reshape", token, vector(-1, 1)),
            axis=1,
        )  # fmt: skip
        ends = [done, sequences, token, score, best_scores, best_sequences, ancestry, *caches]
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
        return g("Reshape", g("Add", first, indices(g, beams)), vector(-1))


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
