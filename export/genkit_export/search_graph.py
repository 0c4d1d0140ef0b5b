"""Greedy and beam search as ONNX loops around the decoder step: one graph from ids to ids.

Both searches are two nested loops. The inner one takes steps; it stops when an eighth of its rows
have ended. The outer one then writes its rows' results to the output, drops the ended rows from
every cache, and goes on with the rest, so that short sentences do not wait for long ones. What a
row gets never depends on the other rows.

The searches are those of Hugging Face `generate`; `search.py` has them in plain PyTorch.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto as T

from .architectures.transformer import Transformer
from .onnx_builder import GraphBuilder, Signature, State, tensor, vector
from .search_beam import BeamStep
from .search_greedy import GreedyStep
from .search_steps import Row, Search, SearchStep, widen
from .transformer_graph import Dense, Memory, TransformerGraph, dense_float32

INPUTS: Signature = {
    "input_ids": (
        T.INT64, ("batch", "source"),
        "source tokens, each row ending with eos_id, padded with pad_id",
    ),
    "prefix_ids": (
        T.INT64, ("batch", "prefix"),
        "forced first target tokens, padded with pad_id; the width may be 0",
    ),
    "beam_size": (T.INT64, (), "hypotheses kept for each row; 1 is greedy search"),
    "length_penalty": (
        T.FLOAT, (), "exponent of the length by which a hypothesis' log probability is divided",
    ),
    "early_stopping": (
        T.BOOL, (),
        "whether a row is done once beam_size hypotheses have ended, not when none can be better",
    ),
    "min_length": (T.INT64, (), "no end token before this many target tokens"),
    "max_length": (
        T.INT64, ("batch",), "most target tokens of each row, prefix and end token counted",
    ),
    "repetition_penalty": (T.FLOAT, (), "weakens tokens that were already used; 1 is off"),
    "no_repeat_ngram_size": (T.INT64, (), "no run of this many tokens occurs twice; 0 is off"),
    "return_scores": (
        T.BOOL, (), "whether greedy search computes its scores; beam search always does",
    ),
}  # fmt: skip
OUTPUTS: Signature = {
    "tokens": (
        T.INT64, ("batch", "beam_size", "target"),
        ("best hypothesis first; no start token; eos_id at the end unless cut at max_length; "
        "padded with pad_id"),
    ),
    "scores": (
        T.FLOAT, ("batch", "beam_size"),
        "log probability / length ** length_penalty; the end token counts, forced tokens do not",
    ),
}  # fmt: skip

SMALL = 4
"""Below this many rows, dropping some costs more than it saves."""
SHARE = 8
"""One in so many rows must have ended before rows are dropped."""


def build(
    model: Transformer, suppress: Sequence[int] = (), dense: Dense = dense_float32
) -> onnx.ModelProto:
    """The whole search as one model. The padding token is suppressed always, others on request."""
    g = GraphBuilder()
    net = TransformerGraph(g, model, dense)
    suppress = sorted({model.config.pad_id, *suppress})
    search = Search.prepare(g, net, suppress)
    memory = net.encoder(g, "input_ids")
    tokens, scores = g.many(
        "If", g("Equal", "beam_size", np.int64(1)), outputs=2,
        then_branch=_outer_loop(g, GreedyStep(search), memory),
        else_branch=_outer_loop(g, BeamStep(search), memory),
    )  # fmt: skip
    g.rename({tokens: "tokens", scores: "scores"})
    return g.model(
        [tensor(name, kind, shape) for name, (kind, shape, _) in INPUTS.items()],
        [tensor(name, kind, shape) for name, (kind, shape, _) in OUTPUTS.items()],
    )


def _outer_loop(root: GraphBuilder, step: SearchStep, memory: Memory) -> onnx.GraphProto:
    """One whole search as a branch of an If, with the outputs tokens and scores."""
    g = GraphBuilder(root)
    search = step.search
    batch = g("Shape", "input_ids", end=1)

    # What belongs to a row besides the inner loop's states, and goes when the row goes.
    pad_column = g("Expand", np.int64(search.pad_id), g("Concat", batch, vector(1), axis=0))
    shared = [
        State(T.INT64, ("rows",), g("Range", np.int64(0), g("Squeeze", batch), np.int64(1))),
        State(T.INT64, ("rows", 1), g("Unsqueeze", "max_length", vector(1))),
        State(T.INT64, ("rows", None), g("Concat", "prefix_ids", pad_column, axis=1)),
        State(T.FLOAT, ("rows", None), search.divisors(g)),
        State(T.INT32, ("rows", "source"), memory.mask),
        *(State(T.FLOAT, ("rows", None, "source", None), kv) for kv in memory.keys_values),
    ]
    states = step.start(g, batch)
    beams = step.beams(g)
    shape = g("Concat", batch, beams, axis=0)
    results = [
        State(
            T.INT64, ("batch", "beams", None),
            g("Expand", np.int64(search.pad_id), g("Concat", shape, vector(1), axis=0)),
        ),
        State(T.FLOAT, ("batch", "beams"), g("Expand", np.float32(0), shape)),
    ]  # fmt: skip

    body = GraphBuilder(root)
    shared_in, states_in, results_in = (
        [body.name("carried") for _ in group] for group in (shared, states, results)
    )
    index, max_length, prefix, divisors, mask, *keys_values = shared_in
    row = Row(max_length, prefix, divisors, Memory(keys_values, mask))
    rows = body("Shape", index)
    some = body("Max", body("Div", rows, vector(SHARE)), vector(1))
    enough = body("Where", body("Less", rows, vector(SMALL)), rows, some)
    enough = body("Squeeze", enough)

    ended = step.run(body, states, states_in, row, rows, enough)
    tokens, scores = step.results(body, ended, row)
    wide = widen(body, results_in[0], tokens, search.pad_id)
    results_out = [
        body("ScatterND", wide, body("Unsqueeze", index, vector(1)), tokens),
        body("ScatterND", results_in[1], body("Unsqueeze", index, vector(1)), scores),
    ]
    live = body("Not", body("Squeeze", ended[0], vector(1)))
    keep = body("Squeeze", body("NonZero", live), vector(0))
    keep_beams = step.keep_beams(body, keep)
    shared_out = [body("Gather", name, keep, axis=0) for name in shared_in]
    states_out = [
        body("Gather", name, keep_beams if state.per_beam else keep, axis=0)
        for name, state in zip(ended, states, strict=True)
    ]
    go = body("Squeeze", body("Greater", body("Shape", keep), vector(0)))

    final = g.loop(
        body,
        [*shared, *states, *results],
        [*shared_in, *states_in, *results_in],
        [*shared_out, *states_out, *results_out],
        go,
    )
    tokens, scores = final[-2:]
    tokens = g("Slice", tokens, vector(1), vector(np.iinfo(np.int64).max), vector(2))
    return g.graph(
        [],
        [
            tensor(tokens, T.INT64, ("batch", "beams", "target")),
            tensor(scores, T.FLOAT, ("batch", "beams")),
        ],
    )
