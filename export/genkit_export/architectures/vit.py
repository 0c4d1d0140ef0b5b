"""The Vision Transformer of "An Image is Worth 16x16 Words" (Dosovitskiy et al., 2021).

The state dict is the one of timm's `VisionTransformer`. Pictures are float tensors
(batch, 3, height, width), normalised by the mean and deviation of the config.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vision import DropPath, Mlp, PatchEmbed, Stem, check_stem, drop_rates, initialize, split_heads

Pooling = Literal["token", "mean", "patches", "all"]
POOLINGS = ("token", "mean", "patches", "all")


@dataclass(frozen=True)
class ViTConfig:
    """Every choice that shapes a Vision Transformer. The defaults are the paper's ViT-B/16."""

    image_size: int = 224
    """Side of the square that the positions were learned for."""
    patch_size: int = 16
    num_classes: int = 1000
    d_model: int = 768
    layers: int = 12
    num_heads: int = 12
    d_attention: int = 0
    """Width of the queries, of the keys and of the values; 0 is d_model, as in the paper."""
    d_ff: int = 3072
    norm_eps: float = 1e-6
    pooling: Pooling = "token"
    """What the classifier sees: the class token, or the mean of the patches (then there is no class
    token). With a class token also the mean of the `patches`, or of `all` tokens."""
    multi_label: bool = False
    """Whether each class is told by itself: a sigmoid instead of softmax."""
    channels: int = 3
    """Of the pictures, see `colours.py`."""
    stem: Stem = "patch"
    """How pictures become patches, see `vision.PatchEmbed`."""
    stem_channels: tuple[int, ...] = ()
    dropout: float = 0.0
    drop_path: float = 0.0
    """The chance that the last layer is left out while training; those before less."""
    position_antialias: bool = True
    """Whether positions are resized as by timm; transformers does it without antialiasing."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Of red, green and blue, from 0 to 1. Google's networks know pictures from -1 to 1."""

    def __post_init__(self) -> None:
        for name in ("stem_channels", "mean", "std"):  # lists, where they come from a file
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.attention_width % self.num_heads:
            name = "d_attention" if self.d_attention else "d_model"
            raise ValueError(f"{name} {self.attention_width} must be a multiple of num_heads")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} must be a multiple of patch_size")
        if self.pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {self.pooling!r}")
        check_stem(self.stem, self.stem_channels, self.patch_size)

    @property
    def attention_width(self) -> int:
        """Width of all heads together."""
        return self.d_attention or self.d_model

    @property
    def prefix(self) -> int:
        """Tokens before those of the patches."""
        return int(self.pooling != "mean")


def tiny(**others: Any) -> ViTConfig:
    """ViT-Ti/16 of "Training data-efficient image transformers" (Touvron et al. 2021), table 1."""
    return ViTConfig(**({"d_model": 192, "num_heads": 3, "d_ff": 768} | others))


def small(**others: Any) -> ViTConfig:
    """ViT-S/16, of the same table."""
    return ViTConfig(**({"d_model": 384, "num_heads": 6, "d_ff": 1536} | others))


def base(**others: Any) -> ViTConfig:
    """ViT-B/16 (table 1 of the paper)."""
    return ViTConfig(**others)


class Attention(nn.Module):
    """Self-attention of all tokens with one another.

    Written out, for it trains faster on a CPU, and for what it looks at is asked for.
    """

    def __init__(self, d_model: int, num_heads: int, d_attention: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(d_model, 3 * d_attention)
        self.proj = nn.Linear(d_attention, d_model)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, n, d_model) -> the same, and who looked at whom: (batch, heads, n, n)."""
        q, k, v = (split_heads(part, self.num_heads) for part in self.qkv(x).chunk(3, 2))
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2)), weights


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and added to what came in."""

    def __init__(self, config: ViTConfig, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model, config.norm_eps)
        self.attn = Attention(config.d_model, config.num_heads, config.attention_width)
        self.norm2 = nn.LayerNorm(config.d_model, config.norm_eps)
        self.mlp = Mlp(config.d_model, config.d_ff, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (batch, n, d_model), and the attention (batch, heads, n, n) that they paid."""
        seen, weights = self.attn(self.norm1(x))
        x = x + self.drop_path(self.dropout(seen))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x, weights


class ViT(nn.Module):
    """Pictures (batch, 3, height, width) to logits (batch, num_classes).

    Sides must be multiples of the patch size; at another size than the config's the positions are
    resized.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.d_model
        grid = config.image_size // config.patch_size
        self.patch_embed = PatchEmbed(
            config.stem,
            config.patch_size,
            width,
            config.stem_channels,
            norm_eps=config.norm_eps,
            colours=config.channels,
        )
        if config.prefix:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, grid**2 + config.prefix, width))
        self.dropout = nn.Dropout(config.dropout)
        rates = drop_rates(config.drop_path, config.layers)
        self.blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, config.norm_eps)
        self.head = nn.Linear(width, config.num_classes)
        initialize(self)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def positions(self, rows: int, columns: int) -> Tensor:
        """The learned positions for a grid of patches: (1, tokens, d_model)."""
        grid = self.config.image_size // self.config.patch_size
        if (rows, columns) == (grid, grid):
            return self.pos_embed
        prefix = self.pos_embed[:, : self.config.prefix]
        patches = self.pos_embed[:, self.config.prefix :]
        square = patches.reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(
            square, (rows, columns), mode="bicubic", antialias=self.config.position_antialias
        )
        return torch.cat([prefix, resized.flatten(2).transpose(1, 2)], 1)

    def embed(self, x: Tensor) -> Tensor:
        """Pictures to tokens (batch, n, d_model), the class token first."""
        patches = self.patch_embed(x)
        rows, columns = patches.shape[2:]
        tokens = patches.flatten(2).transpose(1, 2)
        if self.config.prefix:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        embedded: Tensor = self.dropout(tokens + self.positions(rows, columns))
        return embedded

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x)
        for block in self.blocks:
            tokens, _ = block(tokens)
        tokens = self.norm(tokens)
        match self.config.pooling:
            case "token":
                pooled = tokens[:, 0]
            case "patches":
                pooled = tokens[:, 1:].mean(1)
            case _:
                pooled = tokens.mean(1)
        logits: Tensor = self.head(pooled)
        return logits

    def rollout(self, x: Tensor) -> Tensor:
        """Where the class token looks: (batch, rows, columns) over the patches, the sum 1.

        "Quantifying Attention Flow in Transformers" (Abnar and Zuidema 2020), section 3: heads are
        averaged, half of each layer's attention is the residual connection, and layers are
        multiplied. Of the product only the row of the class token is formed, from the last layer
        to the first.
        """
        rows, columns = (side // self.config.patch_size for side in x.shape[2:])
        tokens = self.embed(x)
        seen: list[Tensor] = []
        for block in self.blocks:
            tokens, weights = block(tokens)
            seen.append(weights.mean(1))
        flow = torch.eye(1, tokens.shape[1]).to(tokens).expand(len(tokens), 1, -1)
        for weights in reversed(seen):
            flow = (flow + flow @ weights) / 2
        flow = flow[:, 0, 1:]
        return (flow / flow.sum(1, keepdim=True)).view(-1, rows, columns)
