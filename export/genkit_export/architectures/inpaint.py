"""The inpainting network of LaMa, with the state dict of its authors' code.

Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions" (2022). Half of
each layer sees the whole picture through a Fourier transform, so that a hole of any size has
something to be filled from. The transform is written as matrix products, which ONNX Runtime runs on
every device and for every size.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LamaConfig:
    """Big LaMa's sizes. Sides must be a multiple of 2 ** downs, and twice that or more."""

    width: int = 64
    downs: int = 3
    blocks: int = 18
    global_share: float = 0.75
    """Share of the channels that see the whole picture."""
    most_channels: int = 1024


class Lama(nn.Module):
    """(batch, 4, h, w) -> (batch, 3, h, w), from 0 to 1: the picture with holes of 0, and the holes,
    which are 1.
    """

    def __init__(self, config: LamaConfig) -> None:
        super().__init__()
        self.config = config
        sizes = [min(config.width * 2**i, config.most_channels) for i in range(config.downs + 1)]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), FourierLayer(4, sizes[0], 7, padding=0)]
        for i, (before, after) in enumerate(pairwise(sizes)):
            share = config.global_share if i == config.downs - 1 else 0
            layers.append(FourierLayer(before, after, 3, stride=2, share_out=share))
        layers += [FourierBlock(sizes[-1], config.global_share) for _ in range(config.blocks)]
        layers.append(Join())
        for before, after in pairwise(reversed(sizes)):
            up = nn.ConvTranspose2d(before, after, 3, 2, 1, 1)
            layers += [up, nn.BatchNorm2d(after), nn.ReLU()]
        last = nn.Conv2d(sizes[0], 3, 7)
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), last, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
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

    def forward(self, halves: Halves) -> Halves:
        near, far = halves
        local = self.convl2l(near)
        if far is None:
            return local, self.convl2g(near) if self.has_output else None
        return local + self.convg2l(far), self.convl2g(near) + self.convg2g(far)


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

    def forward(self, x: Tensor | Halves) -> Halves:
        near, far = self.ffc((x, None) if isinstance(x, Tensor) else x)
        near = self.bn_l(near).relu()
        return near, None if far is None else self.bn_g(far).relu()


class FourierBlock(nn.Module):
    """Two Fourier convolutions, added to what came in."""

    def __init__(self, channels: int, share: float) -> None:
        super().__init__()
        self.conv1 = FourierLayer(channels, channels, 3, share_in=share, share_out=share)
        self.conv2 = FourierLayer(channels, channels, 3, share_in=share, share_out=share)

    def forward(self, halves: Halves) -> Halves:
        near, far = self.conv2(self.conv1(halves))
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

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y: Tensor = self.conv2(x + self.fu(x))
        return y


class FourierUnit(nn.Module):
    """A 1 x 1 convolution of the spectrum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        real, imaginary = rfft2(x)
        spectrum = torch.stack([real, imaginary], 2).flatten(1, 2)  # (n, 2 c, h, w // 2 + 1)
        spectrum = self.bn(self.conv_layer(spectrum)).relu()
        real, imaginary = spectrum.unflatten(1, (-1, 2)).unbind(2)
        return irfft2(real, imaginary, x.shape[-1])


class Join(nn.Module):
    """The local and the global channels beside each other."""

    def forward(self, halves: Halves) -> Tensor:
        near, far = halves
        return near if far is None else torch.cat([near, far], 1)


def rfft2(x: Tensor) -> tuple[Tensor, Tensor]:
    """torch.fft.rfft2(x, norm="ortho") by matrix products: real and imaginary part."""
    height, width = x.shape[-2:]
    cos, sin = _waves(width, x)
    cos, sin = cos[:, : width // 2 + 1], sin[:, : width // 2 + 1]
    real, imaginary = x @ cos, -(x @ sin)
    cos, sin = _waves(height, x)
    return cos @ real + sin @ imaginary, cos @ imaginary - sin @ real


def irfft2(real: Tensor, imaginary: Tensor, width: int) -> Tensor:
    """torch.fft.irfft2(real + i imaginary, (height, width), norm="ortho") by matrix products."""
    cos, sin = _waves(real.shape[-2], real)
    real, imaginary = cos @ real - sin @ imaginary, cos @ imaginary + sin @ real
    cos, sin = _waves(width, real)
    frequency = torch.arange(width // 2 + 1, device=real.device)
    # All frequencies stand for two, but the first and, of an even width, the last.
    alone = (frequency == 0) | (2 * frequency == width)
    twice = torch.where(alone, 1.0, 2.0).to(real.dtype)[:, None]
    cos, sin = (twice * wave[: width // 2 + 1] for wave in (cos, sin))
    return real @ cos - imaginary @ sin


def _waves(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 2 pi j k / length, divided by its root: (length, length)."""
    index = torch.arange(length, device=like.device)
    count = index[-1:] + 1  # the length as a tensor: a free size cannot be traced as a divisor
    turns = (index[:, None] * index[None, :]) % count  # whole turns taken out while exact
    angle = turns.float() * (2 * math.pi) / count
    scale = count.float().rsqrt()
    return (angle.cos() * scale).to(like.dtype), (angle.sin() * scale).to(like.dtype)
