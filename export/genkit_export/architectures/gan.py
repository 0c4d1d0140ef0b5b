"""The original GAN: fully connected networks from noise to small pictures.

Goodfellow et al., "Generative Adversarial Nets" (2014). The same layout serves the MLP generators
that others built since: with batch norm between the layers, or without an activation at the end.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

LEAK = 0.2


@dataclass(frozen=True)
class GanConfig:
    """How a fully connected generator is made."""

    size: int = 32
    """Side of the pictures."""
    latent: int = 100
    hidden: tuple[int, ...] = (256, 512, 1024)
    """Units of the layers between noise and picture."""
    channels: int = 3
    norm_eps: float | None = None
    """Batch norm with this epsilon after every hidden layer but the first; None for no norm."""
    leak: float = LEAK
    """Slope below zero; 0 makes it a ReLU."""
    output: Literal["tanh", "none"] = "tanh"

    def __post_init__(self) -> None:
        if not self.hidden:
            raise ValueError("a fully connected generator needs a hidden layer")
        if self.output not in ("tanh", "none"):
            raise ValueError(f"unknown output {self.output!r}")


class Gan(nn.Module):
    """Noise (batch, latent) -> pictures (batch, channels, size, size), -1 to 1; without an
    activation at the end they may go beyond.
    """

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        units = config.latent
        for index, after in enumerate(config.hidden):
            layers.append(nn.Linear(units, after))
            if index and config.norm_eps is not None:
                layers.append(nn.BatchNorm1d(after, config.norm_eps))
            layers.append(nn.LeakyReLU(config.leak) if config.leak else nn.ReLU())
            units = after
        layers.append(nn.Linear(units, config.channels * config.size**2))
        if config.output == "tanh":
            layers.append(nn.Tanh())
        self.main = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        c = self.config
        pixels: Tensor = self.main(z)
        return torch.unflatten(pixels, 1, (c.channels, c.size, c.size))


class GanDiscriminator(nn.Module):
    """Pictures (batch, channels, size, size) -> how real each looks (batch,), without a sigmoid."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        units = config.channels * config.size**2
        for after in reversed(config.hidden):
            layers += [nn.Linear(units, after), nn.LeakyReLU(LEAK)]
            units = after
        self.main = nn.Sequential(nn.Flatten(), *layers, nn.Linear(units, 1))

    def forward(self, x: Tensor) -> Tensor:
        verdict: Tensor = self.main(x)
        return verdict[:, 0]
