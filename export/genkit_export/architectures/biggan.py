"""BigGAN, and the SAGAN and SNGAN inside it, with the state dict of BigGAN-PyTorch.

Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2018); the
layout is that of ajbrock/BigGAN-PyTorch (`blocks.0.0.conv1.weight`, ...).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spectral import SpectralConv2d, SpectralEmbedding, SpectralLinear, doubled

START = 4
"""Side of the smallest feature map."""
MOMENTUM = 0.1
MULTIPLES = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
"""Side of the pictures -> channels before the first and after every block, as published."""


@dataclass(frozen=True)
class BigGanConfig:
    """A class-conditional generator of residual blocks."""

    size: int = 32
    """Side of the pictures: 4 times a power of two."""
    width: int = 64
    """Channels come in multiples of it."""
    multiples: tuple[int, ...] = ()
    """Of the width: channels before the first and after every block; empty for the published."""
    latent: int = 128
    classes: int = 10
    attention: tuple[int, ...] = ()
    """Sides of the feature maps that look at themselves."""
    shared: int = 0
    """Width of a class embedding that all norms share; 0 if each has a table of its own."""
    hierarchical: bool = False
    """Whether every block gets a part of the noise. Needs a shared embedding."""
    norm_eps: float = 1e-5
    output_norm_eps: float | None = None
    """Of the last norm; None if it is `norm_eps`, too."""
    leak: float = 0.0
    """Slope below zero; 0 makes the activation a ReLU."""
    colours: int = 3
    """Channels of the pictures."""
    spectral_eps: float = 1e-12
    statistics: int = 1
    """Rows of stored means and variances. With more than one, they are those of truncations from 0
    to 1 in equal steps."""

    def __post_init__(self) -> None:
        if not self.multiples and self.size not in MULTIPLES:
            raise ValueError(f"pictures of {self.size} need multiples")
        if self.size != START * 2**self.blocks:
            raise ValueError(f"{self.blocks} blocks do not make pictures of {self.size}")
        if self.hierarchical and not self.shared:
            raise ValueError("hierarchical noise needs a shared embedding")
        if self.hierarchical and self.latent % (self.blocks + 1):
            raise ValueError(f"noise of {self.latent} has no {self.blocks + 1} equal parts")

    @property
    def channels(self) -> tuple[int, ...]:
        """Before the first and after every block."""
        return tuple(self.width * m for m in self.multiples or MULTIPLES[self.size])

    @property
    def blocks(self) -> int:
        return len(self.multiples or MULTIPLES[self.size]) - 1

    @property
    def chunk(self) -> int:
        """Noise that goes into the first layer, and into each block if it is hierarchical."""
        return self.latent // (self.blocks + 1) if self.hierarchical else self.latent


class BigGan(nn.Module):
    """Noise (batch, latent), class int64 (batch,) and truncation (scalar, for networks with more
    than one row of statistics) -> pictures (batch, colours, size, size), -1 to 1.
    """

    def __init__(self, config: BigGanConfig) -> None:
        super().__init__()
        self.config = c = config
        channels = c.channels
        if c.shared:
            self.shared = nn.Embedding(c.classes, c.shared)
        self.linear = SpectralLinear(c.chunk, channels[0] * START**2, eps=c.spectral_eps)
        blocks = []
        for index, (before, after) in enumerate(itertools.pairwise(channels)):
            layers: list[nn.Module] = [GeneratorBlock(before, after, c)]
            if START * 2 ** (index + 1) in c.attention:
                layers.append(Attention(after, c.spectral_eps))
            blocks.append(nn.ModuleList(layers))
        self.blocks = nn.ModuleList(blocks)
        self.output_layer = nn.Sequential(
            PlainNorm(channels[-1], c),
            nn.LeakyReLU(c.leak) if c.leak else nn.ReLU(),
            SpectralConv2d(channels[-1], c.colours, 3, eps=c.spectral_eps),
        )

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor | None = None) -> Tensor:
        c = self.config
        condition = self.shared(label) if c.shared else label
        conditions = [condition] * c.blocks
        if c.hierarchical:
            z, *parts = z.chunk(c.blocks + 1, 1)
            conditions = [torch.cat([condition, part], 1) for part in parts]
        mix = None if truncation is None else tent(truncation, c.statistics)
        x = torch.unflatten(self.linear(z), 1, (-1, START, START))
        for block, condition in zip(self.blocks, conditions, strict=True):
            for layer in _layers(block):
                x = layer(x, condition, mix) if isinstance(layer, GeneratorBlock) else layer(x)
        norm, relu, conv = self.output_layer
        return torch.tanh(conv(relu(norm(x, mix))))


class GeneratorBlock(nn.Module):
    """Twice the size: (batch, inputs, h, w) -> (batch, outputs, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int, config: BigGanConfig) -> None:
        super().__init__()
        eps = config.spectral_eps
        self.conv1 = SpectralConv2d(inputs, outputs, 3, eps=eps)
        self.conv2 = SpectralConv2d(outputs, outputs, 3, eps=eps)
        self.conv_sc = SpectralConv2d(inputs, outputs, 1, eps=eps)
        self.bn1 = ClassNorm(inputs, config)
        self.bn2 = ClassNorm(outputs, config)
        self.leak = config.leak

    def forward(self, x: Tensor, condition: Tensor, mix: Tensor | None) -> Tensor:
        y: Tensor = self.conv1.enlarged(self.activated(self.bn1(x, condition, mix)))
        y = self.conv2(self.activated(self.bn2(y, condition, mix)))
        # A 1 x 1 convolution before the enlargement computes the same at a quarter of the cost.
        shortcut = doubled(self.conv_sc(x))
        return y + shortcut

    def activated(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.leak) if self.leak else F.relu(x)


class StoredStatistics(nn.Module):
    """Means and variances of channels: of the batch in training, stored ones in evaluation."""

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, config: BigGanConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        rows = (config.statistics,) if config.statistics > 1 else ()
        self.register_buffer("stored_mean", torch.zeros(*rows, channels))
        self.register_buffer("stored_var", torch.ones(*rows, channels))
        self.momentum = MOMENTUM

    def normalize_by_batch(self, x: Tensor) -> Tensor:
        """What training does; it moves the stored statistics, or the row of truncation 1."""
        mean, var = self.stored_mean, self.stored_var
        if mean.dim() > 1:
            mean, var = mean[-1], var[-1]
        return F.batch_norm(x, mean, var, None, None, True, self.momentum, self.eps)

    def scale_and_mean(self, mix: Tensor | None) -> tuple[Tensor, Tensor]:
        """1 / deviation and mean of the channels; `mix` (rows,) weighs the rows."""
        mean, var = self.stored_mean, self.stored_var
        if mean.dim() > 1:
            if mix is None:
                raise ValueError("statistics by truncation need a truncation")
            mean, var = mix @ mean, mix @ var
        return (var + self.eps).rsqrt(), mean


class ClassNorm(StoredStatistics):
    """Batch norm whose scale and shift depend on a class (batch,) or an embedding (batch, width)."""

    def __init__(self, channels: int, config: BigGanConfig) -> None:
        super().__init__(channels, config)
        self.gain: nn.Module
        self.bias: nn.Module
        if config.shared:
            width = config.shared + (config.chunk if config.hierarchical else 0)
            eps = config.spectral_eps
            self.gain = SpectralLinear(width, channels, bias=False, eps=eps)
            self.bias = SpectralLinear(width, channels, bias=False, eps=eps)
        else:
            self.gain = nn.Embedding(config.classes, channels)
            self.bias = nn.Embedding(config.classes, channels)
            nn.init.zeros_(self.gain.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, condition: Tensor, mix: Tensor | None) -> Tensor:
        gain, bias = 1 + self.gain(condition), self.bias(condition)  # (batch, channels)
        if self.training:
            x = self.normalize_by_batch(x)
        else:
            scale, mean = self.scale_and_mean(mix)
            gain = gain * scale
            bias = bias - mean * gain
        y: Tensor = x * gain[:, :, None, None].to(x.dtype) + bias[:, :, None, None].to(x.dtype)
        return y


class PlainNorm(StoredStatistics):
    """Batch norm with one scale and shift."""

    def __init__(self, channels: int, config: BigGanConfig) -> None:
        super().__init__(channels, config)
        if config.output_norm_eps is not None:
            self.eps = config.output_norm_eps
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        gain: Tensor = self.gain
        bias: Tensor = self.bias
        if self.training:
            x = self.normalize_by_batch(x)
        else:
            scale, mean = self.scale_and_mean(mix)
            gain = gain * scale
            bias = bias - mean * gain
        return x * gain[:, None, None].to(x.dtype) + bias[:, None, None].to(x.dtype)


class Attention(nn.Module):
    """Every place looks at all others, at half the size (Zhang et al., SAGAN, 2018).
    (batch, channels, h, w), even sides, to the same.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.theta = SpectralConv2d(channels, channels // 8, 1, bias=False, eps=eps)
        self.phi = SpectralConv2d(channels, channels // 8, 1, bias=False, eps=eps)
        self.g = SpectralConv2d(channels, channels // 2, 1, bias=False, eps=eps)
        self.o = SpectralConv2d(channels // 2, channels, 1, bias=False, eps=eps)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.o(attend(self.theta(x), self.phi(x), self.g(x)))
        return x + self.gamma * seen


class BigGanDiscriminator(nn.Module):
    """Pictures (batch, 3, size, size) and class int64 (batch,) -> how real each looks (batch,)."""

    def __init__(
        self,
        width: int,
        classes: int,
        multiples: Sequence[int] = (4, 4, 4, 4),
        downs: Sequence[bool] = (True, True, False, False),
        attention: Sequence[int] = (),
        size: int = 32,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        blocks, channels, side = [], 3, size
        for index, (multiple, down) in enumerate(zip(multiples, downs, strict=True)):
            layers: list[nn.Module] = [
                DiscriminatorBlock(channels, width * multiple, down, first=not index, eps=eps)
            ]
            channels, side = width * multiple, side // 2 if down else side
            if side in attention and down:
                layers.append(Attention(channels, eps))
            blocks.append(nn.ModuleList(layers))
        self.blocks = nn.ModuleList(blocks)
        self.linear = SpectralLinear(channels, 1, eps=eps)
        self.embed = SpectralEmbedding(classes, channels, eps=eps)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        for block in self.blocks:
            for layer in _layers(block):
                x = layer(x)
        features = F.relu(x).sum((2, 3))
        verdict: Tensor = self.linear(features)[:, 0] + (self.embed(label) * features).sum(1)
        return verdict


class DiscriminatorBlock(nn.Module):
    """(batch, inputs, h, w) -> (batch, outputs, h, w), or half the sides."""

    def __init__(self, inputs: int, outputs: int, down: bool, *, first: bool, eps: float) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = SpectralConv2d(inputs, outputs, 3, eps=eps)
        self.conv2 = SpectralConv2d(outputs, outputs, 3, eps=eps)
        if down or inputs != outputs:
            self.conv_sc = SpectralConv2d(inputs, outputs, 1, eps=eps)
        self.learned = down or inputs != outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        # Averaging commutes with a 1 x 1 convolution, and goes first because it is cheaper then.
        shortcut = F.avg_pool2d(x, 2) if self.down else x
        if self.learned:
            shortcut = self.conv_sc(shortcut)
        return shortcut + (F.avg_pool2d(y, 2) if self.down else y)


def attend(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """Queries theta and keys phi (batch, k, h, w), values g (batch, v, h, w) -> (batch, v, h, w);
    keys and values at half the size.
    """
    query = theta.flatten(2).transpose(1, 2)  # (batch, h w, k)
    key = F.max_pool2d(phi, 2).flatten(2)  # (batch, k, h w / 4)
    value = F.max_pool2d(g, 2).flatten(2).transpose(1, 2)  # (batch, h w / 4, v)
    seen = (query @ key).softmax(-1) @ value
    return torch.unflatten(seen.transpose(1, 2), 2, theta.shape[2:])


def tent(truncation: Tensor, rows: int) -> Tensor:
    """Weights (rows,) that interpolate linearly between the rows of a table over 0 to 1."""
    steps = torch.arange(rows, dtype=torch.float32, device=truncation.device)
    return (1 - (truncation * (rows - 1) - steps).abs()).clamp(min=0)


def initialize(network: nn.Module) -> None:
    """The authors' start: orthogonal weights; scales of one and shifts of zero by class stay."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | SpectralEmbedding):
            nn.init.orthogonal_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _layers(block: nn.Module) -> Iterator[nn.Module]:
    """The layers of a block, typed."""
    assert isinstance(block, nn.ModuleList)
    return iter(block)
