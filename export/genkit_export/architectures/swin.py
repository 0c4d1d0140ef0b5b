"""The network of "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (Liu et
al., 2021).

The state dict is the one of timm's `SwinTransformer`. Pictures are float tensors
(batch, 3, height, width) of any size, normalised by the mean and deviation of the config; the cost
is linear in their size.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vision import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    DropPath,
    Mlp,
    PatchEmbed,
    Stem,
    check_stem,
    drop_rates,
    initialize,
    split_heads,
)

HIDDEN = -100.0
"""What the authors add to the scores of tokens that only the shift brought together."""


@dataclass(frozen=True)
class SwinConfig:
    """Every choice that shapes a Swin Transformer. The defaults are the paper's Swin-T."""

    image_size: int = 224
    """Side of the square that it was trained on; it takes any size."""
    patch_size: int = 4
    num_classes: int = 1000
    embed_dim: int = 96
    """Channels of the first stage; each stage has twice as many as the one before."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-5
    stem: Stem = "patch"
    """How pictures become patches, see `vision.PatchEmbed`."""
    stem_channels: tuple[int, ...] = ()
    dropout: float = 0.0
    drop_path: float = 0.0
    """The chance that the last layer is left out while training; those before less."""
    multi_label: bool = False
    """Whether each class is told by itself: a sigmoid instead of softmax."""
    channels: int = 3
    """Of the pictures, see `colours.py`."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """Of red, green and blue, from 0 to 1."""

    def __post_init__(self) -> None:
        for name in ("depths", "num_heads", "stem_channels", "mean", "std"):  # lists, from a file
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.depths) != len(self.num_heads):
            raise ValueError(f"{len(self.depths)} depths, but {len(self.num_heads)} num_heads")
        if any(width % heads for width, heads in zip(self.widths, self.num_heads, strict=True)):
            raise ValueError(f"widths {self.widths} must be multiples of num_heads")
        check_stem(self.stem, self.stem_channels, self.patch_size)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the stages."""
        return tuple(self.embed_dim * 2**i for i in range(len(self.depths)))


def tiny(**others: Any) -> SwinConfig:
    """Swin-T (section 3.3)."""
    return SwinConfig(**others)


def small(**others: Any) -> SwinConfig:
    """Swin-S."""
    return SwinConfig(**({"depths": (2, 2, 18, 2)} | others))


def base(**others: Any) -> SwinConfig:
    """Swin-B."""
    sizes: dict[str, Any] = {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)}
    return SwinConfig(**(sizes | others))


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learned bias for each distance (equation 4)."""

    relative_position_index: Tensor

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window - 1) ** 2, num_heads)
        )
        index = relative_position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Windows (batch * windows, tokens, width) and a mask (windows, 1, tokens, tokens) that is
        added to the scores -> windows.
        """
        q, k, v = (split_heads(part, self.num_heads) for part in self.qkv(x).chunk(3, 2))
        scores = q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is None:
            scores = scores + bias
        else:
            grouped = scores.view(-1, *mask.shape[:1], *scores.shape[1:])
            scores = (grouped + (bias + mask)).flatten(0, 1)
        y: Tensor = self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return y


class Block(nn.Module):
    """Attention inside windows and feed-forward, each after a norm and added to what came in."""

    def __init__(
        self, config: SwinConfig, width: int, num_heads: int, shifted: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.window = config.window_size
        self.shift = config.window_size // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(width, config.norm_eps)
        self.attn = WindowAttention(width, num_heads, config.window_size)
        self.norm2 = nn.LayerNorm(width, config.norm_eps)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, rows, columns, width) -> the same."""
        x = x + self.drop_path(self.dropout(self.attend(self.norm1(x))))
        y: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return y

    def attend(self, x: Tensor) -> Tensor:
        """Pad to whole windows, shift, let each window attend to itself, and undo it.

        As in the authors' code, padding is seen like any other token. Nothing is shifted along a
        side that one window spans.
        """
        rows, columns = x.shape[1:3]
        window = self.window
        shift = tuple(self.shift if side > window else 0 for side in (rows, columns))
        missing = (-rows % window, -columns % window)
        if any(missing):
            x = F.pad(x, (0, 0, 0, missing[1], 0, missing[0]))
        height, width = x.shape[1:3]
        mask = None
        if any(shift):
            x = x.roll((-shift[0], -shift[1]), (1, 2))
            mask = shift_mask(height, width, window, shift).to(x)
        x = from_windows(self.attn(to_windows(x, window), mask), height, width, window)
        if any(shift):
            x = x.roll(shift, (1, 2))
        return x[:, :rows, :columns] if any(missing) else x


class PatchMerging(nn.Module):
    """Two by two neighbours become one: (batch, h, w, c) -> (batch, h / 2, w / 2, 2 c), rounded up."""

    def __init__(self, width: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width, norm_eps)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        if height % 2 or width % 2:
            x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        # Upper left, lower left, upper right, lower right.
        x = _split(x, 2).permute(0, 1, 3, 4, 2, 5).flatten(3)
        y: Tensor = self.reduction(self.norm(x))
        return y


class Stage(nn.Module):
    """Blocks of one width, every other one shifted, after a merging of patches."""

    def __init__(self, config: SwinConfig, index: int, rates: list[float]) -> None:
        super().__init__()
        width, heads = config.widths[index], config.num_heads[index]
        self.downsample = PatchMerging(width // 2, config.norm_eps) if index else nn.Identity()
        self.blocks = nn.Sequential(
            *(Block(config, width, heads, bool(i % 2), rate) for i, rate in enumerate(rates))
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


class Head(nn.Module):
    """The classifier, where timm keeps it."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x)
        return logits


class Swin(nn.Module):
    """Pictures (batch, 3, height, width) to logits (batch, num_classes)."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(
            config.stem,
            config.patch_size,
            config.embed_dim,
            config.stem_channels,
            normed=True,
            norm_eps=config.norm_eps,
            colours=config.channels,
        )
        self.dropout = nn.Dropout(config.dropout)
        rates = drop_rates(config.drop_path, sum(config.depths))
        stages = []
        for index, depth in enumerate(config.depths):
            stages.append(Stage(config, index, rates[:depth]))
            rates = rates[depth:]
        self.layers = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(config.widths[-1], config.norm_eps)
        self.head = Head(config.widths[-1], config.num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        missing = [-side % self.config.patch_size for side in x.shape[2:]]
        if any(missing):
            x = F.pad(x, (0, missing[1], 0, missing[0]))
        x = self.dropout(self.patch_embed(x).permute(0, 2, 3, 1))
        logits: Tensor = self.head(self.norm(self.layers(x)).mean((1, 2)))
        return logits


def to_windows(x: Tensor, window: int) -> Tensor:
    """(batch, height, width, c) -> (batch * windows, window * window, c)."""
    return _split(x, window).transpose(2, 3).flatten(3, 4).flatten(0, 2)


def from_windows(x: Tensor, height: int, width: int, window: int) -> Tensor:
    """The inverse of `to_windows`."""
    x = x.reshape(-1, height // window, width // window, window, window, x.shape[2])
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _split(x: Tensor, size: int) -> Tensor:
    """(batch, height, width, c) -> (batch, height / size, size, width / size, size, c)."""
    height, width, channels = x.shape[1:]
    return x.reshape(-1, height // size, size, width // size, size, channels)


def relative_position_index(window: int) -> Tensor:
    """Which row of the bias table belongs to two tokens of a window: (tokens, tokens)."""
    at = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    distance = at[:, None] - at[None] + window - 1
    return distance[..., 0] * (2 * window - 1) + distance[..., 1]


def shift_mask(height: int, width: int, window: int, shift: tuple[int, ...]) -> Tensor:
    """What hides from each other the tokens of a window that come from opposite edges of the
    picture: (windows, 1, tokens, tokens), 0 or -100.
    """
    region = torch.zeros(height, width, dtype=torch.long)
    region[height - shift[0] :] += 1
    region[:, width - shift[1] :] += 2
    windows = to_windows(region[None, :, :, None], window)[..., 0]
    apart = windows[:, None, :, None] != windows[:, None, None]
    return torch.zeros(apart.shape).masked_fill(apart, HIDDEN)
