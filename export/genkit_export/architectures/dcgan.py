"""The convolutional networks of DCGAN and WGAN, with the state dict of PyTorch's DCGAN example.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2015), and Arjovsky et al., "Wasserstein GAN" (2017), whose generator is the
same pyramid. Keys are those of pytorch/examples (`main.0.weight`, ...).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

LEAK = 0.2
START = 4
"""Side of the smallest feature map."""
Norm = Literal["batch", "layer", "none"]
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "batch": lambda channels: [nn.BatchNorm2d(channels)],
    "layer": lambda channels: [nn.GroupNorm(1, channels)],
    "none": lambda channels: [],
}


@dataclass(frozen=True)
class DcganConfig:
    """A pyramid of transposed convolutions."""

    size: int = 64
    """Side of the pictures: 4 times a power of two, from 8 on; or 28, cut from the middle of 32."""
    latent: int = 100
    width: int = 64
    """Channels before the last layer; every layer below has twice as many."""
    channels: int = 3
    head: Literal["transposed", "point"] = "transposed"
    """The last layer doubles the size too, as published for 64; or, in some 32 x 32 networks, it is
    a 1 x 1 convolution after one more doubling."""
    extra_layers: int = 0
    """3 x 3 convolutions before the head, of WGAN's authors."""
    upsample: Literal["transposed", "shuffle"] = "transposed"
    """How the layers between the first and the last double the size: `shuffle` is a 3 x 3
    convolution and a depth-to-space."""
    batch_norm: bool = True
    """No layer has a bias, with batch norm or without."""
    output: Literal["tanh", "none"] = "tanh"
    """What comes last: nothing in networks of losses without a sigmoid (the GAN zoo's)."""

    def __post_init__(self) -> None:
        if self.size != 28 and (self.size < 2 * START or self.size.bit_count() != 1):
            raise ValueError(f"pictures have a side of 28, or 8, 16, 32, ..., not {self.size}")
        if self.output not in ("tanh", "none"):
            raise ValueError(f"unknown output {self.output!r}")
        if self.head not in ("transposed", "point"):
            raise ValueError(f"unknown head {self.head!r}")
        if self.upsample not in ("transposed", "shuffle"):
            raise ValueError(f"unknown upsample {self.upsample!r}")

    @property
    def grid(self) -> int:
        """Side of the feature maps that the pictures are cut from."""
        return 32 if self.size == 28 else self.size

    @property
    def doublings(self) -> int:
        """Layers that double the size, without the head."""
        levels = (self.grid // START).bit_length() - 1
        return levels - 1 if self.head == "transposed" else levels


class Dcgan(nn.Module):
    """Noise (batch, latent), or (batch, latent, 1, 1) -> pictures (batch, channels, size, size),
    -1 to 1.
    """

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config = config

        def finished(layer: nn.Module, channels: int) -> list[nn.Module]:
            norm = [nn.BatchNorm2d(channels)] if config.batch_norm else []
            return [layer, *norm, nn.ReLU()]

        channels = config.width * 2**config.doublings
        layers = finished(nn.ConvTranspose2d(config.latent, channels, START, bias=False), channels)
        for _ in range(config.doublings):
            layers += finished(_double(channels, config.upsample), channels // 2)
            channels //= 2
        for _ in range(config.extra_layers):
            layers += finished(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels)
        kernel, stride, padding = (4, 2, 1) if config.head == "transposed" else (1, 1, 0)
        padding += (config.grid - config.size) // 2
        head = nn.ConvTranspose2d(channels, config.channels, kernel, stride, padding, bias=False)
        last = [nn.Tanh()] if config.output == "tanh" else []
        self.main = nn.Sequential(*layers, head, *last)

    def forward(self, z: Tensor) -> Tensor:
        pictures: Tensor = self.main(z[:, :, None, None] if z.dim() == 2 else z)
        return pictures


class DcganDiscriminator(nn.Module):
    """Pictures (batch, channels, size, size) -> how real each looks (batch,), without a sigmoid.

    With `layer` norm, each picture by itself, as the gradient penalty wants it.
    """

    def __init__(
        self, size: int = 64, width: int = 64, channels: int = 3, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"unknown norm {norm!r}")
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(LEAK),
        ]
        side = size // 2
        while side > 5:  # down to 4, or 3 for pictures of 28
            conv = nn.Conv2d(width, 2 * width, 4, 2, 1, bias=norm == "none")
            width, side = 2 * width, side // 2
            layers += [conv, *NORMS[norm](width), nn.LeakyReLU(LEAK)]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, side, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        verdict: Tensor = self.main(x)
        return verdict.flatten()


def initialize(network: nn.Module) -> None:
    """The start of the paper: weights of convolutions from N(0, 0.02), of norms from N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)


def _double(channels: int, kind: str) -> nn.Module:
    """Twice the size, half the channels."""
    if kind == "shuffle":
        conv = nn.Conv2d(channels, 2 * channels, 3, 1, 1, bias=False)
        return nn.Sequential(conv, nn.PixelShuffle(2))
    return nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False)
