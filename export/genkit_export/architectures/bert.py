"""The bidirectional encoder of "BERT" (Devlin et al., 2019) with its masked-language-model head.

The parts that it shares with the Transformer of 2017 come from `transformer.py`. As in the
authors' code, normalisation follows each sublayer, GELU is the exact one, positions are learned,
and the head's last product uses the word embeddings.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformer import ACTIVATIONS, MultiHeadAttention


@dataclass(frozen=True)
class BertConfig:
    """Every choice that shapes a BERT. The defaults are the paper's base model, uncased."""

    vocab_size: int = 30_522
    d_model: int = 768
    layers: int = 12
    num_heads: int = 12
    d_ff: int = 3072
    dropout: float = 0.1
    activation: Literal["gelu", "relu", "silu"] = "gelu"
    max_positions: int = 512
    segments: int = 2
    """Kinds of text in a row: the first sentence of a pair, the second. 0: they are not told apart,
    as in DistilBERT (Sanh et al., 2019)."""
    norm_eps: float = 1e-12
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.d_model % self.num_heads:
            raise ValueError(f"d_model {self.d_model} must be a multiple of num_heads")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}")


class Embeddings(nn.Module):
    """The sum of word, position and segment embeddings, normalised (figure 2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.d_model, config.pad_id)
        self.positions = nn.Embedding(config.max_positions, config.d_model)
        self.segments = nn.Embedding(config.segments, config.d_model) if config.segments else None
        self.norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, segments: Tensor) -> Tensor:
        """Token and segment ids (batch, length) -> (batch, length, d_model)."""
        position = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(position)
        if self.segments is not None:
            x = x + self.segments(segments)
        embedded: Tensor = self.dropout(self.norm(x))
        return embedded


class Layer(nn.Module):
    """Self-attention and feed-forward, each with a residual connection and a norm after it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.attention_norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.expand = nn.Linear(config.d_model, config.d_ff)
        self.contract = nn.Linear(config.d_ff, config.d_model)
        self.feed_norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor, positions: Tensor | None = None) -> Tensor:
        """Hidden states (batch, length, d_model) -> the same; or those at positions (n, 2) alone,
        a row and a column each, (n, d_model): attention is all that mixes positions.
        """
        attended = self.dropout(self.attention(x, x, bias))
        if positions is not None:
            x, attended = (states[positions[:, 0], positions[:, 1]] for states in (x, attended))
        x = self.attention_norm(x + attended)
        x = self.feed_norm(x + self.dropout(self.contract(self.activation(self.expand(x)))))
        return x


class Head(nn.Module):
    """What comes between the encoder and the product with the word embeddings, and the bias of
    that product.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, hidden: Tensor) -> Tensor:
        transformed: Tensor = self.norm(self.activation(self.dense(hidden)))
        return transformed


class Bert(nn.Module):
    """Token ids with masks in them to logits of what the masks hide."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.head = Head(config)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with a deviation of 0.02 and biases of zero, as in the authors' code."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.embeddings.words.weight[self.config.pad_id].zero_()

    def padding_bias(self, ids: Tensor) -> Tensor:
        """Additive attention bias (batch, 1, 1, length) that hides padding."""
        hidden = (ids == self.config.pad_id)[:, None, None, :]
        return torch.zeros(hidden.shape, device=ids.device).masked_fill(hidden, -torch.inf)

    def encode(
        self, ids: Tensor, segments: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """Ids (batch, length), padded with pad_id -> hidden states (batch, length, d_model), or
        those at positions (n, 2) alone, (n, d_model). Without `segments` (batch, length) everything
        is of the first kind.
        """
        x: Tensor = self.embeddings(ids, torch.zeros_like(ids) if segments is None else segments)
        bias = self.padding_bias(ids)
        for layer in self.encoder[:-1]:
            x = layer(x, bias)
        x = self.encoder[-1](x, bias, positions)
        return x

    def project(self, transformed: Tensor) -> Tensor:
        """What the head made of hidden states (..., d_model) -> logits (..., vocab_size)."""
        return F.linear(transformed, self.embeddings.words.weight, self.head.bias)

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Logits (batch, length, vocab_size) of every position."""
        return self.project(self.head(self.encode(ids, segments)))

    def at(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits (masks, vocab_size) at positions (masks, 2), a row and a column each."""
        return self.project(self.head(self.encode(ids, positions=positions)))
