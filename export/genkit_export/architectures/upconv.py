"""A DCGAN that enlarges by repeating pixels, with the state dict of eriklindernoren/PyTorch-GAN.

Source: `implementations/dcgan/dcgan.py` there. Odena et al., "Deconvolution and Checkerboard
Artifacts" (2016), tell why pixels are repeated.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

DOUBLINGS = 2


@dataclass(frozen=True)
class UpconvConfig:
    """A linear layer and three convolutions."""

    size: int = 32
    """Side of the pictures, a multiple of 4."""
    latent: int = 100
    width: int = 64
    """Channels before the last convolution; the layers below have twice as many."""
    channels: int = 1
    norm_eps: float = 0.8
    """Of the norms after the convolutions; the one after the linear layer has 1e-5."""
    leak: float = 0.2

    def __post_init__(self) -> None:
        if self.size % 2**DOUBLINGS or self.size < 1:
            raise ValueError(f"pictures have a side that is a multiple of 4, not {self.size}")


class Upconv(nn.Module):
    """Noise (batch, latent) -> pictures (batch, channels, size, size), -1 to 1."""

    def __init__(self, config: UpconvConfig) -> None:
        super().__init__()
        self.config = c = config
        self.start = c.size // 2**DOUBLINGS
        wide = 2 * c.width
        self.l1 = nn.Sequential(nn.Linear(c.latent, wide * self.start**2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(wide),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, wide, 3, 1, 1),
            nn.BatchNorm2d(wide, c.norm_eps),
            nn.LeakyReLU(c.leak),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, c.width, 3, 1, 1),
            nn.BatchNorm2d(c.width, c.norm_eps),
            nn.LeakyReLU(c.leak),
            nn.Conv2d(c.width, c.channels, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        x = torch.unflatten(self.l1(z), 1, (-1, self.start, self.start))
        pictures: Tensor = self.conv_blocks(x)
        return pictures
