"""BERT as one ONNX graph from ids with masks to what the masks hide.

As in `transformer_graph.py`, only attention sees padded rows; all else runs on the tokens that are
there. What follows the last attention, the product with the vocabulary above all, runs on the masks
alone. A row's results do not depend on the other rows.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto as T
from torch import nn

from .architectures.bert import Bert, Layer
from .onnx_builder import MICROSOFT, GraphBuilder, Signature, tensor, vector
from .transformer_graph import Dense, array, dense_float32

INPUTS: Signature = {
    "input_ids": (T.INT64, ("batch", "length"), "tokens of one text a row, padded with pad_id"),
    "positions": (
        T.INT64, ("masks", 2), "row and column of every token to predict, masked in input_ids",
    ),
    "targets": (
        T.INT64, ("masks", "targets"),
        "tokens whose probability is wanted at each mask; the width may be 0",
    ),
    "top": (T.INT64, (), "how many of the likeliest tokens to return, if there are so many"),
}  # fmt: skip
OUTPUTS: Signature = {
    "tokens": (
        T.INT64, ("masks", "top"), "the likeliest at each mask, best first; none of suppress_ids",
    ),
    "scores": (T.FLOAT, ("masks", "top"), "their log probabilities"),
    "target_scores": (T.FLOAT, ("masks", "targets"), "log probabilities of the targets"),
    "log_probabilities": (T.FLOAT, ("masks", "vocabulary"), "of every token at each mask"),
}  # fmt: skip

VOCABULARY = "embeddings.words"
"""Site of the product with the vocabulary."""


def build(
    model: Bert, suppress: Sequence[int] = (), dense: Dense = dense_float32
) -> onnx.ModelProto:
    """The graph of `model` for texts of one segment; `suppress` are never among the likeliest."""
    g = GraphBuilder()
    net = FillGraph(g, model, dense)
    hidden = net.encoder("input_ids", "positions")
    scores = g("LogSoftmax", net.logits(hidden), axis=-1)
    forbidden = np.zeros(model.config.vocab_size, np.float32)
    forbidden[list(suppress)] = -np.inf
    allowed = g("Add", scores, forbidden) if suppress else scores
    possible = np.int64(model.config.vocab_size - len(set(suppress)))
    count = g("Unsqueeze", g("Min", "top", possible), vector(0))
    best, tokens = g.many("TopK", allowed, count, outputs=2, axis=-1)
    chosen = g("GatherElements", scores, "targets", axis=1)
    found = {
        "tokens": tokens,
        "scores": best,
        "target_scores": chosen,
        "log_probabilities": scores,
    }
    for name, value in found.items():
        g("Identity", value)
        g.rename({g.nodes[-1].output[0]: name})
    return g.model(_values(INPUTS), _values(OUTPUTS, {"vocabulary": model.config.vocab_size}))


class FillGraph:
    """Emits the parts of `model` into `g`, with dense products written by `dense`."""

    def __init__(self, g: GraphBuilder, model: Bert, dense: Dense) -> None:
        self.g, self.model, self.dense = g, model.eval(), dense

    def linear(self, x: str, layers: Sequence[nn.Linear], site: str) -> str:
        """One product for several linear layers of the same input, outputs side by side."""
        weight = np.concatenate([array(layer.weight) for layer in layers])
        bias = np.concatenate([array(layer.bias) for layer in layers])
        return self.dense(self.g, x, weight, bias, site)

    def norm(self, x: str, norm: nn.LayerNorm) -> str:
        weight, bias = self.g.weight(array(norm.weight)), self.g.weight(array(norm.bias))
        return self.g("LayerNormalization", x, weight, bias, epsilon=norm.eps)

    def activation(self, x: str) -> str:
        match self.model.config.activation:
            case "gelu":
                return self.g("Gelu", x)
            case "silu":
                return self.g("QuickGelu", x, domain=MICROSOFT, alpha=1.0)
            case "relu":
                return self.g("Relu", x)

    def encoder(self, ids: str, positions: str) -> str:
        """Ids int64 (rows, length) -> hidden states (masks, d_model) at positions (masks, 2)."""
        g, config = self.g, self.model.config
        there = g("Not", g("Equal", ids, np.int64(config.pad_id)))
        mask = g("Cast", there, to=T.INT32)
        flat = g("Reshape", mask, vector(-1))
        places = g("Squeeze", g("NonZero", flat), vector(0))
        # Which token stands in each place. Padding gets some other one, which nobody looks at.
        number = g("Max", g("Sub", g("CumSum", flat, np.int64(0)), np.int32(1)), np.int32(0))
        numbers = g("Reshape", number, g("Shape", mask))

        embeddings = self.model.embeddings
        words = g("Gather", g("Reshape", ids, vector(-1)), places)
        x = g("Gather", g.weight(array(embeddings.words.weight)), words)
        column = g("Mod", places, g("Shape", ids, start=1))
        table = g.weight(array(embeddings.positions.weight))
        if embeddings.segments is not None:  # one table, made when a session opens
            table = g("Add", table, g.weight(array(embeddings.segments.weight[0])))
        x = g("Add", x, g("Gather", table, column))
        x = self.norm(x, embeddings.norm)  # (tokens, d_model)
        *body, last = self.model.encoder
        for i, layer in enumerate(body):
            x = self._layer(x, mask, places, numbers, layer, f"encoder.{i}")
        masked = g("GatherND", numbers, positions)
        places = g("Gather", places, masked)
        return self._layer(x, mask, places, numbers, last, f"encoder.{len(body)}", masked)

    def _layer(
        self,
        x: str,
        mask: str,
        places: str,
        numbers: str,
        layer: nn.Module,
        site: str,
        kept: str | None = None,
    ) -> str:
        """Hidden states (tokens, d_model) -> the same of all tokens, or of those `kept`; `places`
        are the places of these.
        """
        assert isinstance(layer, Layer)
        g, a = self.g, layer.attention
        qkv = self.linear(x, [a.query, a.key, a.value], f"{site}.attention.query")
        qkv = g("Gather", qkv, numbers)  # (rows, length, 3 d_model)
        q, k, v = g.many("Split", qkv, outputs=3, axis=2, num_outputs=3)
        heads = g(
            "MultiHeadAttention", q, k, v, None, mask,
            domain=MICROSOFT, num_heads=a.num_heads, mask_filter_value=-1e9,
        )  # fmt: skip
        heads = g("Reshape", heads, vector(-1, self.model.config.d_model))
        heads = g("Gather", heads, places)
        x = x if kept is None else g("Gather", x, kept)
        attended = self.linear(heads, [a.output], f"{site}.attention.output")
        x = self.norm(g("Add", x, attended), layer.attention_norm)
        inner = self.activation(self.linear(x, [layer.expand], f"{site}.expand"))
        contracted = self.linear(inner, [layer.contract], f"{site}.contract")
        return self.norm(g("Add", x, contracted), layer.feed_norm)

    def logits(self, hidden: str) -> str:
        """Hidden states (masks, d_model) -> logits (masks, vocab_size)."""
        head = self.model.head
        x = self.activation(self.linear(hidden, [head.dense], "head.dense"))
        x = self.norm(x, head.norm)
        words = array(self.model.embeddings.words.weight)
        return self.dense(self.g, x, words, array(head.bias), VOCABULARY)


def _values(signature: Signature, sizes: dict[str, int] | None = None) -> list[onnx.ValueInfoProto]:
    known = sizes or {}
    return [
        tensor(
            name, kind, [known.get(axis, axis) if isinstance(axis, str) else axis for axis in shape]
        )
        for name, (kind, shape, _) in signature.items()
    ]
