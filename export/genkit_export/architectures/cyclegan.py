"""The networks of CycleGAN and pix2pix, with the state dict of their authors' code.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (2017)
and Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017). All
networks take and give float tensors (batch, channels, height, width), pictures from -1 to 1.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["instance", "batch", "none"]
NORMS = ("instance", "batch", "none")
Colours = Literal["plain", "lab"]
Upsample = Literal["transposed", "resize", "resize-zeros"]
UPSAMPLES = ("transposed", "resize", "resize-zeros")
LEAK = 0.2


@dataclass(frozen=True)
class ResnetConfig:
    """A generator of residual blocks. Sides must be a multiple of 4, and 8 or more."""

    width: int = 64
    """Channels of the first layer; the blocks have four times as many."""
    blocks: int = 9
    norm: Norm = "instance"
    dropout: bool = False
    upsample: Upsample = "transposed"
    """`resize` enlarges and then convolves, which leaves no checkerboard; so does `resize-zeros`,
    with zeros beyond the edges instead of reflected pixels."""
    in_channels: int = 3
    out_channels: int = 3
    colours: Colours = "plain"
    """What channels are: `lab` are L of CIE Lab in, and a and b out."""

    def __post_init__(self) -> None:
        _check(self)
        if self.upsample not in UPSAMPLES:
            raise ValueError(f"unknown upsample {self.upsample!r}")


@dataclass(frozen=True)
class UnetConfig:
    """The generator of pix2pix. Sides must be a multiple of 2 ** downs."""

    width: int = 64
    downs: int = 8
    norm: Norm = "batch"
    dropout: bool = False
    """Only shapes the layout of training; it is off in an exported graph."""
    in_channels: int = 3
    out_channels: int = 3
    colours: Colours = "plain"
    """See ResnetConfig."""

    def __post_init__(self) -> None:
        _check(self)
        if self.downs < 5:
            raise ValueError(f"a U-Net has at least 5 levels, not {self.downs}")


class ResnetGenerator(nn.Module):
    """(batch, in, h, w) -> (batch, out, h, w), from -1 to 1."""

    def __init__(self, config: ResnetConfig) -> None:
        super().__init__()
        self.config = config
        width, biased = config.width, config.norm == "instance"

        def normed(channels: int) -> list[nn.Module]:
            return [_norm(config.norm, channels), nn.ReLU()]

        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(config.in_channels, width, 7, bias=biased),
            *normed(width),
        ]
        for channels in (width, 2 * width):
            down = nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=biased)
            layers += [down, *normed(2 * channels)]
        layers += [ResnetBlock(4 * width, config) for _ in range(config.blocks)]
        for channels in (4 * width, 2 * width):
            layers += [_up(channels, config.upsample, biased), *normed(channels // 2)]
        last = nn.Conv2d(width, config.out_channels, 7)
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), last, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class ResnetBlock(nn.Module):
    """Two convolutions, added to what came in."""

    def __init__(self, channels: int, config: ResnetConfig) -> None:
        super().__init__()

        def half() -> list[nn.Module]:
            conv = nn.Conv2d(channels, channels, 3, bias=config.norm == "instance")
            return [nn.ReflectionPad2d(1), conv, _norm(config.norm, channels)]

        dropout = [nn.Dropout(0.5)] if config.dropout else []
        self.conv_block = nn.Sequential(*half(), nn.ReLU(), *dropout, *half())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv_block(x)
        return y


class UnetGenerator(nn.Module):
    """(batch, in, h, w) -> (batch, out, h, w), from -1 to 1."""

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        block = UnetLevel(8 * width, 8 * width, config)
        for _ in range(config.downs - 5):
            block = UnetLevel(8 * width, 8 * width, config, block, dropout=config.dropout)
        for factor in (4, 2, 1):
            block = UnetLevel(factor * width, 2 * factor * width, config, block)
        self.model = UnetLevel(config.out_channels, width, config, block, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class UnetLevel(nn.Module):
    """Down, whatever is below, and up again; beside it, what came in."""

    def __init__(
        self,
        outer: int,
        inner: int,
        config: UnetConfig,
        below: "UnetLevel | None" = None,
        *,
        outermost: bool = False,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        self.outermost = outermost
        biased = config.norm == "instance"
        channels = config.in_channels if outermost else outer
        down = nn.Conv2d(channels, inner, 4, 2, 1, bias=biased)
        source = inner if below is None else 2 * inner
        up = nn.ConvTranspose2d(source, outer, 4, 2, 1, bias=biased or outermost)
        layers: list[nn.Module]
        if outermost:
            assert below is not None
            layers = [down, below, nn.ReLU(), up, nn.Tanh()]
        elif below is None:
            layers = [nn.LeakyReLU(LEAK), down, nn.ReLU(), up, _norm(config.norm, outer)]
        else:
            layers = [nn.LeakyReLU(LEAK), down, _norm(config.norm, inner), below]
            layers += [nn.ReLU(), up, _norm(config.norm, outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


class PatchDiscriminator(nn.Module):
    """The 70 x 70 PatchGAN: (batch, channels, h, w) -> (batch, 1, h / 8 - 2, w / 8 - 2), a figure
    for each patch, without a sigmoid.
    """

    def __init__(self, width: int = 64, in_channels: int = 3, norm: Norm = "instance") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(LEAK)]
        for factor, stride in ((1, 2), (2, 2), (4, 1)):
            channels = 2 * factor * width
            conv = nn.Conv2d(factor * width, channels, 4, stride, 1, bias=norm == "instance")
            layers += [conv, _norm(norm, channels), nn.LeakyReLU(LEAK)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


def initialize(network: nn.Module) -> None:
    """The authors' start: weights of convolutions from N(0, 0.02), of norms from N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)


def with_own_statistics(network: nn.Module) -> None:
    """Let each picture be normalised by its own statistics, in place.

    The authors run networks with batch norm in training mode on one picture at a time: that is
    instance norm with batch norm's scale and shift. The averages of the training would give a
    different and worse picture.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                own = nn.InstanceNorm2d(child.num_features, eps=child.eps, affine=True)
                own.weight, own.bias = child.weight, child.bias
                setattr(module, name, own.eval())


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.BatchNorm2d(channels)


def _check(config: ResnetConfig | UnetConfig) -> None:
    if config.norm not in NORMS:
        raise ValueError(f"unknown norm {config.norm!r}")
    if config.colours not in ("plain", "lab"):
        raise ValueError(f"unknown colours {config.colours!r}")
    if config.colours == "lab" and (config.in_channels, config.out_channels) != (1, 2):
        raise ValueError("colours are lab from one channel to two")


def _up(channels: int, kind: str, biased: bool) -> nn.Module:
    """Twice the size, half the channels."""
    if kind != "transposed":
        conv = nn.Conv2d(channels, channels // 2, 3, bias=biased)
        edge = nn.ReflectionPad2d(1) if kind == "resize" else nn.ZeroPad2d(1)
        return nn.Sequential(nn.Upsample(scale_factor=2), edge, conv)
    return nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, 1, bias=biased)
