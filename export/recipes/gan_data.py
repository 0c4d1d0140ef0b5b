"""What the GAN recipes draw, pictures and noise, and what is done to both."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pictures import Pictures, to_float

TRUNCATED_AT = 2.0
"""Where the truncated normal distribution ends, in standard deviations."""


def draw(pictures: Pictures, count: int) -> tuple[Tensor, Tensor]:
    """Random training pictures, half of them mirrored, -1 to 1, and their classes."""
    device = pictures.train.device
    chosen = torch.randint(len(pictures.train), (count,), device=device)
    batch = to_float(pictures.train[chosen])
    mirrored = torch.rand(count, 1, 1, 1, device=device) < 0.5
    return torch.where(mirrored, batch.flip(3), batch), pictures.train_labels[chosen]


def normal(count: int, latent: int, device: str = "cpu") -> Tensor:
    """Spherical Gaussian noise (count, latent)."""
    return torch.randn(count, latent, device=device)


def uniform(count: int, latent: int, device: str = "cpu") -> Tensor:
    """Noise from a cube, -1 to 1: (count, latent)."""
    return torch.rand(count, latent, device=device) * 2 - 1


def truncated_normal(count: int, latent: int) -> Tensor:
    """Gaussian noise without its tails: (count, latent)."""
    share = math.erf(TRUNCATED_AT / math.sqrt(2))
    return torch.erfinv((torch.rand(count, latent) * 2 - 1) * share) * math.sqrt(2)


def augment(pictures: Tensor) -> Tensor:
    """Differentiable augmentation, which a judge sees in place of real and made pictures alike:
    brightness, saturation and contrast, a shift of up to an eighth, and a grey square of half the
    side. Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (2020).
    """
    return _cut_out(_shift(_colour(pictures)))


def _colour(x: Tensor) -> Tensor:
    def some() -> Tensor:
        return torch.rand(len(x), 1, 1, 1, device=x.device)

    x = x + (some() - 0.5)
    mean = x.mean(1, keepdim=True)
    x = mean + (x - mean) * (2 * some())
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (some() + 0.5)


def _shift(x: Tensor) -> Tensor:
    count, _, height, width = x.shape
    most = height // 8
    padded = F.pad(x, (most,) * 4)
    rows, columns = (
        torch.randint(0, 2 * most + 1, (count, 1), device=x.device)
        + torch.arange(side, device=x.device)
        for side in (height, width)
    )
    which = torch.arange(count, device=x.device)[:, None, None]
    shifted = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]]
    return shifted.permute(0, 3, 1, 2)


def _cut_out(x: Tensor) -> Tensor:
    count, _, height, width = x.shape
    inside = []
    for side in (height, width):
        centre = torch.randint(0, side + 1, (count, 1), device=x.device)
        inside.append((torch.arange(side, device=x.device) - centre).abs() < side // 4)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None]
    return x.masked_fill(hole, 0)


def save_sheet(pictures: Tensor, path: Path, columns: int = 10) -> None:
    """Pictures, uint8 (n, 3, size, size), side by side in one file; what fills no row is left out."""
    columns = min(columns, len(pictures))
    rows = len(pictures) // columns
    size = pictures.shape[2]
    grid = pictures[: rows * columns].view(rows, columns, 3, size, size)
    sheet = grid.permute(0, 3, 1, 4, 2).reshape(rows * size, columns * size, 3)
    Image.fromarray(sheet.contiguous().numpy()).save(path)


def card_origin(
    recipe: str,
    arguments: Mapping[str, Any],
    seconds: float,
    hardware: str,
    pictures: Pictures,
    figures: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Where weights come from, as a card says it."""
    return {
        "recipe": f"export/recipes/{recipe}.py",
        "arguments": dict(arguments),
        "minutes": round(seconds / 60),
        "hardware": hardware,
        "data": [dict(pictures.origin)],
        "held_out": pictures.held_out,
        "figures": list(figures),
    }
