"""The encoder-decoder Transformer of "Attention Is All You Need" (Vaswani et al., 2017).

Section and equation numbers below are the paper's. Where later implementations differ from the
print, the difference is a field of :class:`TransformerConfig`, so that one class also is Marian's
Transformer (`MarianMTModel` of Hugging Face transformers, CTranslate2's `TransformerSpec`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
}


@dataclass(frozen=True)
class TransformerConfig:
    """Every choice that shapes a Transformer. The defaults are the paper's `base` (table 3)."""

    vocab_size: int
    d_model: int = 512
    encoder_layers: int = 6
    decoder_layers: int = 6
    num_heads: int = 8
    d_ff: int = 2048
    dropout: float = 0.1

    norm: Literal["pre", "post"] = "post"
    """LayerNorm(x + Sublayer(x)) as in section 3.1, or x + Sublayer(LayerNorm(x)) and one more
    norm at the end of each stack."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """The paper has ReLU; Marian's models use SiLU (which it calls swish)."""
    position_base: float = 10_000.0
    """Base of the wavelengths in section 3.5. Some texts print 1,000."""
    position_layout: Literal["interleaved", "split"] = "interleaved"
    """Sine and cosine in alternate columns as printed, or sines first and cosines after (Marian)."""
    scale_embedding: bool = True
    """Multiply embeddings by sqrt(d_model) (section 3.4)."""
    output_bias: bool = False
    """Add a learned bias to the logits (Marian's `final_logits_bias`)."""

    max_positions: int = 512
    eos_id: int = 0
    pad_id: int = -1
    """Padding, and the token that decoding starts from. Negative ids count from the end of the
    vocabulary. Its embedding is zero."""

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.d_model % self.num_heads or self.d_model % 2:
            raise ValueError(f"d_model {self.d_model} must be even and a multiple of num_heads")
        if self.pad_id < 0:
            object.__setattr__(self, "pad_id", self.vocab_size + self.pad_id)

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads


def base(vocab_size: int) -> TransformerConfig:
    """The paper's base model: N = 6, d_model 512, 8 heads, d_ff 2048."""
    return TransformerConfig(vocab_size)


MARIAN: dict[str, Any] = {
    "norm": "post",
    "activation": "silu",
    "position_layout": "split",
    "output_bias": True,
}
"""The choices of Marian's translation models (OPUS-MT)."""


def marian(vocab_size: int, **others: Any) -> TransformerConfig:
    """A Transformer as Marian builds it, of any size."""
    return TransformerConfig(vocab_size, **(MARIAN | others))


def sinusoids(
    length: int, d_model: int, position_base: float, layout: Literal["interleaved", "split"]
) -> Tensor:
    """Positional encodings of section 3.5, float32 (length, d_model)."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    exponent = torch.arange(0, d_model, 2, dtype=torch.float64) / d_model
    angle = position / position_base**exponent  # (length, d_model / 2)
    parts = (angle.sin(), angle.cos())
    table = torch.cat(parts, 1) if layout == "split" else torch.stack(parts, 2).flatten(1)
    return table.float()


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Equation 1: softmax(q kᵀ / sqrt(head_dim) + bias) v.

    q (batch, heads, target, head_dim), k and v (batch, heads, source, head_dim), bias
    broadcastable to (batch, heads, target, source): 0 where a position may be seen, -inf elsewhere.
    Written out because the backward pass of the fused form is several times slower on a CPU.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + bias.to(q.dtype)
    return scores.softmax(-1) @ v


class MultiHeadAttention(nn.Module):
    """Section 3.2.2: h heads of size d_model / h, concatenated and projected."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)

    def split(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, heads, length, head_dim)."""
        return x.reshape(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Let x (batch, target, d_model) look at memory (batch, source, d_model)."""
        q, k, v = self.query(x), self.key(memory), self.value(memory)
        heads = scaled_dot_product_attention(self.split(q), self.split(k), self.split(v), bias)
        merged: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return merged


class FeedForward(nn.Module):
    """Section 3.3: two linear maps with an activation between, the same at every position."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.d_model, config.d_ff)
        self.contract = nn.Linear(config.d_ff, config.d_model)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        contracted: Tensor = self.contract(self.activation(self.expand(x)))
        return contracted


class Residual(nn.Module):
    """A residual connection around a sublayer, with dropout and normalisation (section 3.1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.pre = config.norm == "pre"

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            summed: Tensor = x + self.dropout(sublayer(self.norm(x)))
            return summed
        normed: Tensor = self.norm(x + self.dropout(sublayer(x)))
        return normed


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.self_residual = Residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_residual = Residual(config)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.self_residual(x, lambda y: self.self_attention(y, y, bias))
        x = self.feed_residual(x, self.feed_forward)
        return x


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's output, feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.self_residual = Residual(config)
        self.cross_attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.cross_residual = Residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_residual = Residual(config)

    def forward(self, x: Tensor, causal: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        x = self.self_residual(x, lambda y: self.self_attention(y, y, causal))
        x = self.cross_residual(x, lambda y: self.cross_attention(y, memory, bias))
        x = self.feed_residual(x, self.feed_forward)
        return x


class Transformer(nn.Module):
    """Source token ids to target logits. One embedding table serves both sides and the output
    projection (section 3.4).
    """

    positions: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model, config.pad_id)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        pre = config.norm == "pre"
        self.encoder_norm = nn.LayerNorm(config.d_model) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.d_model) if pre else nn.Identity()
        self.output_bias = (
            nn.Parameter(torch.zeros(config.vocab_size)) if config.output_bias else None
        )
        self.dropout = nn.Dropout(config.dropout)
        table = sinusoids(
            config.max_positions, config.d_model, config.position_base, config.position_layout
        )
        self.register_buffer("positions", table, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform matrices, each layer's scaled by 1 / sqrt(its depth), which lets deep
        post-norm stacks train (Zhang et al., 2019, "Improving Deep Transformer", section 4).
        """
        nn.init.normal_(self.embedding.weight, std=self.config.d_model**-0.5)
        with torch.no_grad():
            self.embedding.weight[self.config.pad_id].zero_()
        for stack in (self.encoder, self.decoder):
            for depth, layer in enumerate(stack, 1):
                for module in layer.modules():
                    if isinstance(module, nn.Linear):
                        nn.init.xavier_uniform_(module.weight, gain=depth**-0.5)
                        nn.init.zeros_(module.bias)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (batch, length) -> embeddings with positions (batch, length, d_model)."""
        x = self.embedding(ids)
        if self.config.scale_embedding:
            x = x * math.sqrt(self.config.d_model)
        embedded: Tensor = self.dropout(x + self.positions[: ids.shape[1]])
        return embedded

    def padding_bias(self, ids: Tensor) -> Tensor:
        """Additive attention bias (batch, 1, 1, length) that hides padding."""
        hidden = (ids == self.config.pad_id)[:, None, None, :]
        return torch.zeros(hidden.shape, device=ids.device).masked_fill(hidden, -torch.inf)

    def encode(self, ids: Tensor) -> Tensor:
        """Source ids (batch, source), padded with pad_id -> memory (batch, source, d_model)."""
        x, bias = self.embed(ids), self.padding_bias(ids)
        for layer in self.encoder:
            x = layer(x, bias)
        memory: Tensor = self.encoder_norm(x)
        return memory

    def decode(self, ids: Tensor, memory: Tensor, memory_bias: Tensor) -> Tensor:
        """Target ids so far (batch, target), the first one pad_id -> hidden states (batch, target,
        d_model); position i sees targets 0..i only.
        """
        length = ids.shape[1]
        x = self.embed(ids)
        causal = torch.full((length, length), -torch.inf, device=ids.device).triu(1)
        for layer in self.decoder:
            x = layer(x, causal, memory, memory_bias)
        hidden: Tensor = self.decoder_norm(x)
        return hidden

    def project(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> logits (..., vocab_size)."""
        return F.linear(hidden, self.embedding.weight, self.output_bias)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Teacher forcing: source (batch, source) and target (batch, target) ids -> logits (batch,
        target, vocab_size), logits[:, i] predicting the token after target[:, i].
        """
        return self.project(self.decode(target, self.encode(source), self.padding_bias(source)))
