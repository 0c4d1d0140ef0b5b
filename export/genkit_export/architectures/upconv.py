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
    codes: tuple[int, int] = (0, 0)
    """How many of the last numbers of the noise are classes, and codes, of an InfoGAN."""

    def __post_init__(self) -> None:
        if self.size % 2**DOUBLINGS or self.size < 1:
            raise ValueError(f"pictures have a side that is a multiple of 4, not {self.size}")
        object.__setattr__(self, "codes", tuple(self.codes))  # a list, where it is from a file
        if len(self.codes) != 2 or min(self.codes) < 0 or sum(self.codes) >= self.latent:
            raise ValueError(f"codes are two numbers, less than {self.latent} together")


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

    def coded(self, z: Tensor) -> Tensor:
        """Noise of a normal distribution with what an InfoGAN (Chen et al., 2016) was trained on in
        the last places: one class of several, all as likely, as ones and zeros; and codes that are
        spread evenly from -1 to 1.
        """
        classes, codes = self.config.codes
        plain = self.config.latent - classes - codes
        noise, chosen, code = z[:, :plain], z[:, plain : plain + classes], z[:, plain + classes :]
        if classes:
            chosen = (chosen == chosen.amax(1, keepdim=True)).float()
        return torch.cat([noise, chosen, torch.erf(code / 2**0.5)], 1)

    def forward(self, z: Tensor) -> Tensor:
        if any(self.config.codes):
            z = self.coded(z)
        x = torch.unflatten(self.l1(z), 1, (-1, self.start, self.start))
        pictures: Tensor = self.conv_blocks(x)
        return pictures
