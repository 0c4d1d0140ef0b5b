"""A Transformer's encoder and one decoder step, as ONNX nodes.

Written node by node instead of traced, because the choice of operators decides the speed of
decoding (measured on a CPU, Transformers of 256 dimensions): queries, keys and values in one
product; ONNX Attention with a key-value cache; the beams of a sentence as one query, so that the
encoder's keys and values are never repeated; Add and LayerNormalization as two nodes, since the
fused form is seven times slower.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor, nn

from .architectures.transformer import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    MultiHeadAttention,
    Residual,
    Transformer,
)
from .onnx_builder import MICROSOFT, GraphBuilder, vector

Array = NDArray[np.float32]

BLOCK = 128
"""The vocabulary is padded to a multiple of this, so that maxima are found block by block."""


def array(parameter: Tensor) -> Array:
    """A weight as float32."""
    values: Array = parameter.detach().float().numpy()
    return values


class Dense(Protocol):
    """How x @ weight.T + bias is written: the one thing that differs between precisions.

    `site` is the path of the (first) linear layer in the network; weight (outputs, inputs), bias
    (outputs,).
    """

    def __call__(self, g: GraphBuilder, x: str, weight: Array, bias: Array, site: str) -> str: ...


def dense_float32(g: GraphBuilder, x: str, weight: Array, bias: Array, site: str) -> str:
    """The full-precision product."""
    transposed = g("Transpose", g.weight(weight), perm=[1, 0])
    return g("Add", g("MatMul", x, transposed), g.weight(bias))


@dataclass(frozen=True)
class Memory:
    """What decoding needs of a source: keys and values (rows, heads, source, head_dim) of every
    decoder layer's cross-attention, and an int32 mask (rows, source), 1 where there is a token.
    """

    keys_values: Sequence[str]
    mask: str


@dataclass(frozen=True)
class Packing:
    """How tokens (tokens, ...) and padded rows (rows, source, ...) turn into each other."""

    places: str
    """int64 (tokens,): where each token stands in the flattened rows."""
    numbers: str
    """int32 (rows, source): which token stands in each place."""


class TransformerGraph:
    """Emits the parts of `model` into graph builders, with dense products written by `dense`."""

    def __init__(self, g: GraphBuilder, model: Transformer, dense: Dense) -> None:
        self.model, self.config, self.dense = model.eval(), model.config, dense
        config = self.config
        self.vocabulary = max(-(-config.vocab_size // BLOCK), 2) * BLOCK
        # Padded like the output's weight, it is the same array, and stored once.
        self.embedding = np.pad(
            array(model.embedding.weight), ((0, self.vocabulary - config.vocab_size), (0, 0))
        )
        scale = config.d_model**0.5 if config.scale_embedding else 1.0
        self.table = g("Mul", g.weight(self.embedding), np.float32(scale))
        self.positions = g.constant(model.positions.numpy())
        shift = np.zeros((1, self.config.d_model), np.float32)
        self.width_positions = g("Concat", shift, self.positions, axis=0)

    # Building blocks, each taking and giving (rows, length, d_model)

    def linear(self, g: GraphBuilder, x: str, layers: Sequence[nn.Linear], site: str) -> str:
        """One product for several linear layers of the same input, outputs side by side."""
        weight = np.concatenate([array(layer.weight) for layer in layers])
        bias = np.concatenate([array(layer.bias) for layer in layers])
        return self.dense(g, x, weight, bias, site)

    def norm(self, g: GraphBuilder, x: str, norm: nn.Module) -> str:
        if isinstance(norm, nn.Identity):
            return x
        assert isinstance(norm, nn.LayerNorm)
        weight, bias = g.weight(array(norm.weight)), g.weight(array(norm.bias))
        return g("LayerNormalization", x, weight, bias, epsilon=norm.eps)

    def residual(
        self, g: GraphBuilder, x: str, residual: Residual, sublayer: Callable[[str], str]
    ) -> str:
        if residual.pre:
            return g("Add", x, sublayer(self.norm(g, x, residual.norm)))
        return self.norm(g, g("Add", x, sublayer(x)), residual.norm)

    def feed_forward(self, g: GraphBuilder, x: str, layer: FeedForward, site: str) -> str:
        hidden = self.linear(g, x, [layer.expand], f"{site}.expand")
        match self.config.activation:
            case "silu":
                hidden = g("QuickGelu", hidden, domain=MICROSOFT, alpha=1.0)
            case "gelu":
                hidden = g("Gelu", hidden)
            case "relu":
                hidden = g("Relu", hidden)
        return self.linear(g, hidden, [layer.contract], f"{site}.contract")

    def attend(
        self, g: GraphBuilder, q: str, k: str, v: str, mask: str, layer: MultiHeadAttention
    ) -> str:
        """Attention of q (rows, target, d_model) to k and v, hidden where the mask is 0."""
        return g(
            "MultiHeadAttention", q, k, v, None, mask,
            domain=MICROSOFT, num_heads=layer.num_heads, mask_filter_value=-1e9,
        )  # fmt: skip

    # The two halves of the network

    def encoder(self, g: GraphBuilder, ids: str) -> Memory:
        """Source ids int64 (rows, source), padded with pad_id.

        Only attention sees rows of equal length; all else runs on the tokens that are there, one
        after the other, so that padding costs next to nothing.
        """
        there = g("Not", g("Equal", ids, np.int64(self.config.pad_id)))
        mask = g("Cast", there, to=TensorProto.INT32)
        places = g("Squeeze", g("NonZero", g("Reshape", there, vector(-1))), vector(0))
        packing = Packing(places, self._numbered(g, mask))
        x = g("Gather", self.table, g("Gather", g("Reshape", ids, vector(-1)), places))
        column = g("Mod", places, g("Shape", ids, start=1))
        x = g("Add", x, g("Gather", self.positions, column))  # (tokens, d_model)
        for i, layer in enumerate(self.model.encoder):
            assert isinstance(layer, EncoderLayer)
            x = self._encoder_layer(g, x, mask, packing, layer, f"encoder.{i}")
        x = self.norm(g, x, self.model.encoder_norm)
        return Memory(self._cross_keys_values(g, x, packing), mask)

    def _numbered(self, g: GraphBuilder, mask: str) -> str:
        """For every place of the mask (rows, source) the number of its token. Padding gets that of
        some other token, which attention does not look at.
        """
        flat = g("Reshape", mask, vector(-1))
        number = g("Max", g("Sub", g("CumSum", flat, np.int64(0)), np.int32(1)), np.int32(0))
        return g("Reshape", number, g("Shape", mask))

    def _encoder_layer(
        self,
        g: GraphBuilder,
        x: str,
        mask: str,
        packing: Packing,
        layer: EncoderLayer,
        site: str,
    ) -> str:
        def self_attention(y: str) -> str:
            a = layer.self_attention
            qkv = self.linear(g, y, [a.query, a.key, a.value], f"{site}.self_attention.query")
            qkv = g("Gather", qkv, packing.numbers)  # (rows, source, 3 d_model)
            q, k, v = g.many("Split", qkv, outputs=3, axis=2, num_outputs=3)
            heads = self.attend(g, q, k, v, mask, a)
            heads = g("Reshape", heads, vector(-1, self.config.d_model))
            heads = g("Gather", heads, packing.places)
            return self.linear(g, heads, [a.output], f"{site}.self_attention.output")

        x = self.residual(g, x, layer.self_residual, self_attention)
        return self.residual(
            g, x, layer.feed_residual,
            lambda y: self.feed_forward(g, y, layer.feed_forward, f"{site}.feed_forward"),
        )  # fmt: skip

    def _cross_keys_values(self, g: GraphBuilder, memory: str, packing: Packing) -> list[str]:
        """All decoder layers' cross-attention keys and values in one product."""
        layers: list[nn.Linear] = []
        for layer in self.model.decoder:
            assert isinstance(layer, DecoderLayer)
            layers += [layer.cross_attention.key, layer.cross_attention.value]
        heads, size = self.config.num_heads, self.config.head_dim
        joint = self.linear(g, memory, layers, "decoder.0.cross_attention.key")
        joint = g("Gather", joint, packing.numbers)  # (rows, source, layers * d_model)
        joint = g("Reshape", joint, vector(0, 0, len(layers), heads, size))
        joint = g("Transpose", joint, perm=[2, 0, 3, 1, 4])
        parts = g.many("Split", joint, outputs=len(layers), axis=0, num_outputs=len(layers))
        return [g("Squeeze", part, vector(0)) for part in parts]

    def step(
        self,
        g: GraphBuilder,
        tokens: str,
        width: str,
        memory: Memory,
        past: Sequence[str],
        ancestry: str | None,
    ) -> tuple[str, list[str]]:
        """Decode one position of every row.

        tokens int64 (rows, beams), the newest token; width int64 (1,): tokens so far, the newest one
        counted; past: keys and values (rows, heads, cached, head_dim) of every layer's
        self-attention; ancestry: bias float32 (rows, 1, beams, cached + beams) that hides other
        beams' past, or None when there is one beam. Returns hidden states (rows, beams, d_model)
        and the grown cache.
        """
        embedded = g("Gather", self.table, tokens)
        x = g("Add", embedded, g("Gather", self.width_positions, width))
        present: list[str] = []
        for i, layer in enumerate(self.model.decoder):
            assert isinstance(layer, DecoderLayer)
            x, keys, values = self._decoder_layer(
                g, x, layer, f"decoder.{i}",
                (past[2 * i], past[2 * i + 1]),
                (memory.keys_values[2 * i], memory.keys_values[2 * i + 1], memory.mask),
                ancestry,
            )  # fmt: skip
            present += [keys, values]
        return self.norm(g, x, self.model.decoder_norm), present

    def _decoder_layer(
        self,
        g: GraphBuilder,
        x: str,
        layer: DecoderLayer,
        site: str,
        past: tuple[str, str],
        memory: tuple[str, str, str],
        ancestry: str | None,
    ) -> tuple[str, str, str]:
        cache: list[str] = []

        def self_attention(y: str) -> str:
            a = layer.self_attention
            qkv = self.linear(g, y, [a.query, a.key, a.value], f"{site}.self_attention.query")
            q, k, v = g.many("Split", qkv, outputs=3, axis=2, num_outputs=3)
            heads, keys, values = g.many(
                "Attention", q, k, v, ancestry, *past, outputs=3,
                q_num_heads=a.num_heads, kv_num_heads=a.num_heads,
            )  # fmt: skip
            cache.extend((keys, values))
            return self.linear(g, heads, [a.output], f"{site}.self_attention.output")

        def cross_attention(y: str) -> str:
            a = layer.cross_attention
            q = self.linear(g, y, [a.query], f"{site}.cross_attention.query")
            heads = self.attend(g, q, *memory, a)
            return self.linear(g, heads, [a.output], f"{site}.cross_attention.output")

        x = self.residual(g, x, layer.self_residual, self_attention)
        x = self.residual(g, x, layer.cross_residual, cross_attention)
        x = self.residual(
            g, x, layer.feed_residual,
            lambda y: self.feed_forward(g, y, layer.feed_forward, f"{site}.feed_forward"),
        )  # fmt: skip
        return x, cache[0], cache[1]

    def logits(self, g: GraphBuilder, hidden: str, suppress: Sequence[int]) -> str:
        """Hidden states -> logits over the padded vocabulary, -inf for suppressed tokens."""
        bias = np.full(self.vocabulary, -np.inf, np.float32)
        own = self.model.output_bias
        bias[: self.config.vocab_size] = array(own) if own is not None else 0.0
        bias[list(suppress)] = -np.inf
        return self.dense(g, hidden, self.embedding, bias, "embedding")
