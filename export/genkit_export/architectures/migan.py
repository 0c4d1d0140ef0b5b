"""MI-GAN (Sargsyan et al., "MI-GAN: A Simple Baseline for Image Inpainting on Mobile Devices", 2023):
a small network that fills holes in pictures of one size.

As the authors run it (`lib/model_zoo/migan_inference.py` of Picsart-AI-Research/MI-GAN), with its
names: an encoder that halves the picture down to 4 x 4, and a synthesis that doubles it again, all of
separable convolutions. It takes (batch, 4, size, size), the picture from 0 to 1 with holes of 0 and
the holes, which are 1, and gives the picture (batch, 3, size, size).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4
LEAK = 0.2
LIMIT = 256.0
"""Activations are cut off there."""
GAIN = math.sqrt(2)
"""What the authors multiply activations with, and a checkpoint here its weights."""


@dataclass(frozen=True)
class MiGanConfig:
    """The sizes of the published network for 512 pixels."""

    size: int = 512
    """Side of the pictures, a power of two."""
    width: int = 64
    """Channels at full size; each half size has twice as many."""
    most_channels: int = 512

    def __post_init__(self) -> None:
        if self.size < 2 * SMALLEST or self.size & (self.size - 1):
            raise ValueError(f"size must be a power of two of 8 or more, not {self.size}")

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be."""
        return self.size

    @property
    def sizes(self) -> tuple[int, ...]:
        """All of them, the largest first."""
        return tuple(self.size >> i for i in range(self.size.bit_length() - 2))

    def channels(self, size: int) -> int:
        """How many there are at one of the sizes."""
        return min(self.width * self.size // size, self.most_channels)


class MiGan(nn.Module):
    """(batch, 4, size, size) -> (batch, 3, size, size), about 0 to 1."""

    def __init__(self, config: MiGanConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.synthesis = nn.Module(), nn.Module()
        for size in config.sizes:
            channels, smaller = config.channels(size), config.channels(max(size // 2, SMALLEST))
            down = EncoderBlock(channels, smaller, halve=size > SMALLEST)
            up = SynthesisBlock(smaller, channels, size)
            self.encoder.add_module(f"b{size}", down)
            self.synthesis.add_module(f"b{size}", up)
        largest = self.encoder.get_submodule(f"b{config.size}")
        largest.add_module("fromrgb", nn.Conv2d(4, config.channels(config.size), 1))

    def forward(self, x: Tensor) -> Tensor:
        # To this network what is known is 1, and pictures are from -1 to 1 with holes of 0.
        known = 1 - x[:, 3:]
        y = torch.cat([known - 0.5, (2 * x[:, :3] - 1) * known], 1)
        seen: dict[int, Tensor] = {}
        for size in self.config.sizes:
            block = self.encoder.get_submodule(f"b{size}")
            if size == self.config.size:
                y = activated(block.get_submodule("fromrgb")(y))
            y, seen[size] = block(y)
        picture: Tensor | None = None
        for size in reversed(self.config.sizes):
            y, picture = self.synthesis.get_submodule(f"b{size}")(y, seen[size], picture)
        assert picture is not None
        return picture / 2 + 0.5


class EncoderBlock(nn.Module):
    """Two separable convolutions; what the first one gives is kept for the synthesis."""

    def __init__(self, channels_in: int, channels_out: int, *, halve: bool) -> None:
        super().__init__()
        self.conv1 = Separable(channels_in, channels_in)
        self.conv2 = Separable(channels_in, channels_out, halve=halve)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, in, s, s) -> what goes on, half as large if it is halved, and what is kept."""
        kept = self.conv1(x)
        return self.conv2(kept), kept


class SynthesisBlock(nn.Module):
    """Two separable convolutions, the encoder's features between them, and what they add to the
    picture. All but the smallest one double the size and have noise, which is always the same.
    """

    def __init__(self, channels_in: int, channels_out: int, size: int) -> None:
        super().__init__()
        doubles = size > SMALLEST
        noise = size if doubles else 0
        self.conv1 = Separable(channels_in, channels_out, double=doubles, noise=noise)
        self.conv2 = Separable(channels_out, channels_out, noise=noise)
        self.torgb = nn.Conv2d(channels_out, 3, 1)
        self.upsample = Doubled() if doubles else None

    def forward(self, x: Tensor, kept: Tensor, picture: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.conv2(self.conv1(x) + kept)
        added: Tensor = self.torgb(x)
        if picture is not None and self.upsample is not None:
            added = added + self.upsample(picture)
        return x, added


class Separable(nn.Module):
    """A convolution of each channel and one across them, both activated."""

    noise: Tensor | None

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        halve: bool = False,
        double: bool = False,
        noise: int = 0,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, 1, 1, groups=channels_in)
        self.conv2 = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.downsample = Halved() if halve else None
        self.upsample = Doubled() if double else None
        self.register_buffer("noise", torch.zeros(noise, noise) if noise else None)

    def forward(self, x: Tensor) -> Tensor:
        x = activated(self.conv1(x))
        if self.downsample is not None:
            x = self.downsample(x)
        x = self.conv2(x)
        if self.upsample is not None:
            x = self.upsample(x)
        if self.noise is not None:
            x = x + self.noise
        return activated(x)


class Halved(nn.Module):
    """Every channel smoothed by (1, 3, 3, 1) in both directions and halved in size."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", smoothing(1, 3, 3, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.expand(channels, 1, 4, 4), None, 2, 1, 1, channels)


class Doubled(nn.Module):
    """Every channel doubled in size and smoothed.

    The authors put zeros between the pixels and smooth them by (1, 3, 3, 1). That kernel is
    (1, 2, 1) and (1, 1) one after the other, and the latter makes of pixels and zeros what repeating
    pixels does.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", smoothing(1, 2, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        repeated = F.interpolate(x, scale_factor=2.0)
        return F.conv2d(repeated, self.kernel.expand(channels, 1, 3, 3), None, 1, 1, 1, channels)


def smoothing(*weights: float) -> Tensor:
    """A kernel (n, n) whose rows and columns have these weights, and whose sum is 1."""
    line = torch.tensor(weights) / sum(weights)
    return line.outer(line)


def activated(x: Tensor) -> Tensor:
    """A leaky ReLU, cut off. The authors' factor of sqrt(2), which keeps the variance, is in the
    weights before it: `GAIN`.
    """
    return F.leaky_relu(x, LEAK).clamp(-LIMIT, LIMIT)
