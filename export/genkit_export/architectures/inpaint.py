"""Networks that fill holes in pictures: gated convolutions, and LaMa.

Both take (batch, 4, h, w), the picture from 0 to 1 with holes of 0 and the holes, which are 1, and
give the picture (batch, 3, h, w).

`Gated`: a U-Net of gated convolutions (Yu et al., "Free-Form Image Inpainting with Gated
Convolution", 2019) that corrects a smooth fill.

`Lama`: Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions" (2022),
with the state dict of its authors' code. Half of each layer sees the whole picture through a
Fourier transform (`fourier.py`), so that a hole of any size has something to be filled from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fourier import Waves, irfft2, rfft2


@dataclass(frozen=True)
class GatedConfig:
    """A U-Net of gated convolutions. The first of its sizes is half the picture's: pixels enter and
    leave in squares of 2 x 2, so that no layer is as large, or as narrow, as the picture.
    """

    widths: tuple[int, ...] = (32, 64, 128, 192)
    """Channels at half size, and at each half of that."""
    blocks: tuple[int, ...] = (1, 2, 2)
    """Blocks at each of these sizes but the smallest, on the way down and on the way up."""
    dilations: tuple[int, ...] = (1, 2, 1, 2)
    """Of the blocks at the smallest size. With four sizes they reach 96 pixels, all blocks 148."""
    levels: int = 5
    """Half sizes of the smooth fill. What has no known pixel in any of them gets the mean."""
    relaxations: int = 8
    """How often each of them is smoothed."""

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be a multiple of."""
        return int(2 ** max(len(self.widths), self.levels))


class Gated(nn.Module):
    """(batch, 4, h, w) -> (batch, 3, h, w): a smooth fill, corrected. Not clamped to 0..1."""

    def __init__(self, config: GatedConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        counts = list(zip(widths[:-1], config.blocks, strict=True))
        self.first = nn.Conv2d(4 * 4, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_blocks(width, count) for width, count in counts)
        self.down = nn.ModuleList(
            nn.Conv2d(larger, smaller, 2, 2) for larger, smaller in pairwise(widths)
        )
        self.middle = nn.Sequential(
            *(GatedBlock(widths[-1], dilation) for dilation in config.dilations)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(smaller, 4 * larger, 1) for larger, smaller in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_blocks(width, count) for width, count in counts)
        self.last = nn.Conv2d(widths[0], 4 * 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        # What is known is 1, and so the zeros beyond an edge are unknown.
        known = 1 - x[:, 3:]
        with torch.autocast(x.device.type, enabled=False):  # smoothing forgives no rounding
            smooth = smooth_fill(x[:, :3], known, self.config.levels, self.config.relaxations)
        seen = torch.cat([4 * smooth - 2, known], 1)  # a photograph then varies by one
        y = self.first(F.pixel_unshuffle(seen, 2))
        kept = []
        for encoder, down in zip(self.encoder, self.down, strict=True):
            y = encoder(y)
            kept.append(y)
            y = down(y)
        y = self.middle(y)
        for decoder, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            y = decoder(F.pixel_shuffle(up(y), 2) + kept.pop())
        correction: Tensor = F.pixel_shuffle(self.last(y), 2)
        return smooth + correction.float()


class GatedBlock(nn.Module):
    """A gated convolution, which says how much of each of its features passes, added to what came
    in. It adds nothing until it is trained.
    """

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv = nn.Conv2d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        features, gates = self.conv(self.norm(x)).chunk(2, 1)
        y: Tensor = x + self.out(F.elu(features) * gates.sigmoid())
        return y


class ChannelNorm(nn.Module):
    """Divides each pixel by the root mean square of its channels: of all norms the one that does
    not look at other pixels, so that tiles of a picture agree.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-4).rsqrt() * self.weight


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(GatedBlock(channels) for _ in range(count)))


def smooth_fill(picture: Tensor, known: Tensor, levels: int, relaxations: int) -> Tensor:
    """Fill holes smoothly: (n, c, h, w) and (n, 1, h, w), 1 where known, else 0 -> (n, c, h, w).

    Known pixels are averaged to ever smaller pictures, and what is not known is taken from the next
    smaller one (Gortler et al., "The Lumigraph", 1996, section 3.4). At each size unknown pixels
    then become the mean of their neighbours, again and again, which brings them near the solution
    of Laplace's equation: measured on photographs, 0.5 to 0.8 dB better.
    """
    if not levels:
        total = known.sum((2, 3), keepdim=True).clamp_min(1)
        fill = (picture * known).sum((2, 3), keepdim=True) / total
    else:
        weight = F.avg_pool2d(known, 2)
        smaller = F.avg_pool2d(picture * known, 2) / weight.clamp_min(
            1 / 8
        )  # a quarter, or nothing
        found = (weight > 0).to(known.dtype)
        coarse = smooth_fill(smaller, found, levels - 1, relaxations)
        fill = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    filled = torch.where(known > 0, picture, fill)
    channels = picture.shape[1]
    cross = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    kernel = cross.to(picture).expand(channels, 1, 3, 3)
    for _ in range(relaxations):
        padded = F.pad(filled, (1, 1, 1, 1), mode="replicate")
        filled = torch.where(known > 0, picture, F.conv2d(padded, kernel, groups=channels))
    return filled


OUTPUTS: Mapping[str, Callable[[], list[nn.Module]]] = {
    "sigmoid": lambda: [nn.Sigmoid()],
    "tanh": lambda: [nn.Tanh()],
    "none": list,
}


@dataclass(frozen=True)
class LamaConfig:
    """Big LaMa's sizes."""

    width: int = 64
    downs: int = 3
    blocks: int = 18
    global_share: float = 0.75
    """Share of the channels that see the whole picture."""
    most_channels: int = 1024
    channels: int = 3
    """Of the pictures, see `colours.py`."""
    output: Literal["sigmoid", "tanh", "none"] = "sigmoid"
    """What comes last, `add_out_act`: sigmoid in all published settings."""

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"unknown output {self.output!r}")

    @property
    def multiple(self) -> int:
        """What both sides of a picture are a multiple of: 8 with the authors (`pad_out_to_modulo`),
        even where half sizes need less.
        """
        return int(max(2**self.downs, 8))

    @property
    def smallest(self) -> int:
        """The shortest side: the blocks reflect pixels beyond an edge and need two of them."""
        return int(2 ** (self.downs + 1))


class Lama(nn.Module):
    """(batch, channels + 1, h, w) -> (batch, channels, h, w), from 0 to 1."""

    def __init__(self, config: LamaConfig) -> None:
        super().__init__()
        self.config = config
        sizes = [min(config.width * 2**i, config.most_channels) for i in range(config.downs + 1)]
        first = FourierLayer(config.channels + 1, sizes[0], 7, padding=0)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), first]
        for i, (before, after) in enumerate(pairwise(sizes)):
            share = config.global_share if i == config.downs - 1 else 0
            layers.append(FourierLayer(before, after, 3, stride=2, share_out=share))
        layers += [FourierBlock(sizes[-1], config.global_share) for _ in range(config.blocks)]
        layers.append(Join())
        for before, after in pairwise(reversed(sizes)):
            up = nn.ConvTranspose2d(before, after, 3, 2, 1, 1)
            layers += [up, nn.BatchNorm2d(after), nn.ReLU()]
        last = nn.Conv2d(sizes[0], config.channels, 7)
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), last, *OUTPUTS[config.output]())

    def forward(self, x: Tensor) -> Tensor:
        y, waves = x, None
        for layer in self.model:
            if isinstance(layer, FourierBlock):
                waves = waves or Waves.of(y[0])  # the same for all blocks
                y = layer(y, waves)
            else:
                y = layer(y)
        return y


Halves = tuple[Tensor, Tensor | None]
"""The local channels and the global ones, if there are any."""


class FourierConv(nn.Module):
    """Convolutions between local and global channels; the global ones see the whole picture."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        share_in: float,
        share_out: float,
        stride: int,
        padding: int,
    ) -> None:
        super().__init__()
        global_in, global_out = int(channels_in * share_in), int(channels_out * share_out)
        local_in, local_out = channels_in - global_in, channels_out - global_out

        def conv(before: int, after: int) -> nn.Module:
            if not before or not after:
                return nn.Identity()
            return nn.Conv2d(
                before, after, kernel, stride, padding, bias=False, padding_mode="reflect"
            )

        self.has_output = bool(global_out)
        self.convl2l = conv(local_in, local_out)
        self.convl2g = conv(local_in, global_out)
        self.convg2l = conv(global_in, local_out)
        self.convg2g = (
            SpectralTransform(global_in, global_out) if global_in and global_out else nn.Identity()
        )

    def forward(self, halves: Halves, waves: Waves | None) -> Halves:
        near, far = halves
        local = self.convl2l(near)
        if far is None:
            return local, self.convl2g(near) if self.has_output else None
        return local + self.convg2l(far), self.convl2g(near) + self.convg2g(far, waves)


class FourierLayer(nn.Module):
    """A Fourier convolution with its norms and ReLUs; a plain tensor is all local."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        share_in: float = 0,
        share_out: float = 0,
        stride: int = 1,
        padding: int = 1,
    ) -> None:
        super().__init__()
        self.ffc = FourierConv(
            channels_in, channels_out, kernel, share_in, share_out, stride, padding
        )
        wide = int(channels_out * share_out)
        self.bn_l = nn.BatchNorm2d(channels_out - wide)
        self.bn_g = nn.BatchNorm2d(wide) if wide else nn.Identity()

    def forward(self, x: Tensor | Halves, waves: Waves | None = None) -> Halves:
        near, far = self.ffc((x, None) if isinstance(x, Tensor) else x, waves)
        near = self.bn_l(near).relu()
        return near, None if far is None else self.bn_g(far).relu()


class FourierBlock(nn.Module):
    """Two Fourier convolutions, added to what came in."""

    def __init__(self, channels: int, share: float) -> None:
        super().__init__()
        self.conv1 = FourierLayer(channels, channels, 3, share_in=share, share_out=share)
        self.conv2 = FourierLayer(channels, channels, 3, share_in=share, share_out=share)

    def forward(self, halves: Halves, waves: Waves) -> Halves:
        near, far = self.conv2(self.conv1(halves, waves), waves)
        return halves[0] + near, None if halves[1] is None else halves[1] + far


class SpectralTransform(nn.Module):
    """What global channels do: the picture's spectrum, convolved, between two 1 x 1 convolutions."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        conv = nn.Conv2d(channels_in, half, 1, bias=False)
        self.conv1 = nn.Sequential(conv, nn.BatchNorm2d(half), nn.ReLU())
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, channels_out, 1, bias=False)

    def forward(self, x: Tensor, waves: Waves) -> Tensor:
        x = self.conv1(x)
        y: Tensor = self.conv2(x + self.fu(x, waves))
        return y


class FourierUnit(nn.Module):
    """A 1 x 1 convolution of the spectrum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor, waves: Waves) -> Tensor:
        real, imaginary = rfft2(x, waves)
        spectrum = torch.stack([real, imaginary], 2).flatten(1, 2)  # (n, 2 c, h, w // 2 + 1)
        spectrum = self.bn(self.conv_layer(spectrum)).relu()
        real, imaginary = spectrum.unflatten(1, (-1, 2)).unbind(2)
        return irfft2(real, imaginary, waves)


class Join(nn.Module):
    """The local and the global channels beside each other."""

    def forward(self, halves: Halves) -> Tensor:
        near, far = halves
        return near if far is None else torch.cat([near, far], 1)
