"""Greedy search as the inner loop of `search_graph.py`."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto as T

from .onnx_builder import GraphBuilder, State, tensor, vector
from .search_steps import Row, SearchStep
from .transformer_graph import BLOCK


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
