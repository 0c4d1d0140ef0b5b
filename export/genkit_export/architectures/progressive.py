"""Progressive GAN, with the state dict of facebookresearch/pytorch_GAN_zoo.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2017).
The weights are drawn from N(0, 1) and scaled by He's constant in every pass. The networks have all
their scales from the start; a pass uses the first `level` of them, and `fade` is the weight of the
coarser picture while a new scale comes in.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spectral import Enlarging, doubled

START = 4
"""Side of the first scale."""
NORM_EPS = 1e-8
GROUP = 4
"""Pictures whose deviation a discriminator sees together."""


@dataclass(frozen=True)
class ProgressiveConfig:
    """A generator of as many scales as it has depths; the pictures have a side of
    4 * 2 ** (scales - 1).
    """

    depths: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64)
    """Channels of the scales, from the smallest."""
    latent: int = 512
    channels: int = 3
    leak: float = 0.2
    pixel_norm: bool = True
    output: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        if len(self.depths) < 2:
            raise ValueError("a network that grows has two scales or more")
        if self.output not in ("none", "tanh"):
            raise ValueError(f"unknown output {self.output!r}")

    @property
    def size(self) -> int:
        """Side of the pictures."""
        return START << (len(self.depths) - 1)


class Equalized(Enlarging):
    """A layer whose output is scaled by He's constant, the bias included."""

    def __init__(self, module: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.module = module
        nn.init.normal_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
        self.constant = float((2 / module.weight[0].numel()) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x) * self.constant
        return y


class Progressive(nn.Module):
    """Noise (batch, latent) -> pictures (batch, channels, size, size), around -1 to 1."""

    def __init__(self, config: ProgressiveConfig) -> None:
        super().__init__()
        self.config = config
        first = config.depths[0]
        self.formatLayer = Equalized(nn.Linear(config.latent, START**2 * first))
        self.groupScale0 = nn.ModuleList([_conv(first, first)])
        self.scaleLayers = nn.ModuleList(
            nn.ModuleList([_conv(before, after), _conv(after, after)])
            for before, after in itertools.pairwise(config.depths)
        )
        self.toRGBLayers = nn.ModuleList(
            _conv(depth, config.channels, 1) for depth in config.depths
        )

    def forward(self, z: Tensor, level: int | None = None, fade: float | Tensor = 0.0) -> Tensor:
        """`level` (1 or more) scales are used; all by default."""
        level = len(self.config.depths) if level is None else level
        x = self._finish(self.formatLayer(self._norm(z)), (-1, START, START))
        for layer in self.groupScale0:
            x = self._finish(layer(x))
        before = x
        for group in itertools.islice(self.scaleLayers, level - 1):
            assert isinstance(group, nn.ModuleList)
            before = x
            first, second = group
            x = self._finish(first.enlarged(x))  # type: ignore[operator]
            x = self._finish(second(x))
        pictures: Tensor = self.toRGBLayers[level - 1](x)
        if fades(level, fade):
            coarse = doubled(self.toRGBLayers[level - 2](before))
            pictures = pictures + fade * (coarse - pictures)
        return pictures.tanh() if self.config.output == "tanh" else pictures

    def _finish(self, x: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        x = F.leaky_relu(x, self.config.leak)
        return self._norm(x if shape is None else torch.unflatten(x, 1, shape))

    def _norm(self, x: Tensor) -> Tensor:
        if not self.config.pixel_norm:
            return x
        values = x.float()
        return (values * (values.square().mean(1, keepdim=True) + NORM_EPS).rsqrt()).to(x.dtype)


class ProgressiveDiscriminator(nn.Module):
    """Pictures (batch, channels, side, side) -> how real each looks (batch,); the side is that of
    the level.
    """

    def __init__(self, config: ProgressiveConfig) -> None:
        super().__init__()
        self.config = config
        first = config.depths[0]
        self.fromRGBLayers = nn.ModuleList(
            _conv(config.channels, depth, 1) for depth in config.depths
        )
        self.scaleLayers = nn.ModuleList(
            nn.ModuleList([_conv(after, after), _conv(after, before)])
            for before, after in itertools.pairwise(config.depths)
        )
        self.groupScaleZero = nn.ModuleList(
            [_conv(first + 1, first), Equalized(nn.Linear(START**2 * first, first))]
        )
        self.decisionLayer = Equalized(nn.Linear(first, 1))

    def forward(self, x: Tensor, level: int | None = None, fade: float | Tensor = 0.0) -> Tensor:
        """`level` (1 or more) scales are used; all by default."""
        level = len(self.config.depths) if level is None else level
        coarse = None
        if fades(level, fade):
            coarse = self._leak(self.fromRGBLayers[level - 2](F.avg_pool2d(x, 2)))
        x = self._leak(self.fromRGBLayers[level - 1](x))
        for index in range(level - 2, -1, -1):
            group = self.scaleLayers[index]
            assert isinstance(group, nn.ModuleList)
            for layer in group:
                x = self._leak(layer(x))
            x = F.avg_pool2d(x, 2)
            if coarse is not None:
                x, coarse = x + fade * (coarse - x), None
        x = torch.cat([x, deviation(x)], 1)
        x = self._leak(self.groupScaleZero[0](x)).flatten(1)
        x = self._leak(self.groupScaleZero[1](x))
        verdict: Tensor = self.decisionLayer(x)
        return verdict[:, 0]

    def _leak(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.config.leak)


def fades(level: int, fade: float | Tensor) -> bool:
    """Whether a coarser picture has a part. A tensor is not read: that would wait for its device."""
    return level > 1 and (isinstance(fade, Tensor) or fade > 0)


def deviation(x: Tensor) -> Tensor:
    """How much the pictures of a group differ: features (batch, channels, h, w) -> one more channel
    (batch, 1, h, w), the standard deviation over the group, averaged over channels and places.
    """
    count = x.shape[0]
    group = GROUP if count % GROUP == 0 else count
    if group == 1:
        return torch.zeros_like(x[:, :1])
    groups = torch.unflatten(x.float(), 0, (group, -1))  # (group, count / group, channels, h, w)
    spread: Tensor = (groups.var(0) + NORM_EPS).sqrt().mean((1, 2, 3))  # (count / group,)
    channel = spread.repeat(group)[:, None, None, None].to(x.dtype)
    return channel.expand(-1, 1, *x.shape[2:])


def _conv(inputs: int, outputs: int, kernel: int = 3) -> Equalized:
    return Equalized(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
