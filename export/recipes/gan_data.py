"""The pictures that the GAN recipes learn from, the noise, and what is done to both."""

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

CIFAR10 = {"name": "CIFAR-10, training set (re-encoded as JPEG)", "license": "research use"}
YOSEMITE = {
    "name": "summer2winter_yosemite, training set (CycleGAN's authors, Flickr)",
    "license": "research use",
}
CIFAR_HELD_OUT, YOSEMITE_HELD_OUT = 10, 16
"""One picture in so many is for validation."""
TRUNCATED_AT = 2.0
"""Where the truncated normal distribution ends, in standard deviations."""


@dataclass(frozen=True)
class Pictures:
    """Pictures, uint8 (n, 3, size, size), and the index of their class, int64 (n,)."""

    train: Tensor
    train_labels: Tensor
    valid: Tensor
    valid_labels: Tensor
    classes: tuple[str, ...]
    origin: Mapping[str, str]
    """Name and licence, for the card."""
    held_out: str


def read_cifar(data: Path) -> Pictures:
    """`cifar10-train.zip` of the data folder: `CLASS/NNNN.jpg`, 32 x 32."""
    return _read(data / "cifar10-train.zip", None, CIFAR_HELD_OUT, CIFAR10)


def read_yosemite(data: Path, size: int) -> Pictures:
    """`yosemite-train.zip` of the data folder: `SEASON/NNNN.jpg`, made smaller."""
    return _read(data / "yosemite-train.zip", size, YOSEMITE_HELD_OUT, YOSEMITE)


def _read(path: Path, size: int | None, every: int, origin: Mapping[str, str]) -> Pictures:
    train: list[Tensor] = []
    valid: list[Tensor] = []
    train_labels: list[int] = []
    valid_labels: list[int] = []
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = tuple(sorted({name.split("/")[0] for name in names}))
        for index, name in enumerate(names):
            picture = _decode(archive.read(name), size)
            label = classes.index(name.split("/")[0])
            held = index % every == 0
            (valid if held else train).append(picture)
            (valid_labels if held else train_labels).append(label)
    return Pictures(
        torch.stack(train),
        torch.tensor(train_labels),
        torch.stack(valid),
        torch.tensor(valid_labels),
        classes,
        origin,
        f"every {every}th picture of the training set",
    )


def _decode(data: bytes, size: int | None) -> Tensor:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if size is not None:
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def to_float(pictures: Tensor) -> Tensor:
    """From bytes to -1..1."""
    return pictures.float() / 127.5 - 1


def to_bytes(pictures: Tensor) -> Tensor:
    """From -1..1 to bytes, rounded."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def draw(pictures: Pictures, count: int) -> tuple[Tensor, Tensor]:
    """Random training pictures, half of them mirrored, -1 to 1, and their classes."""
    chosen = torch.randint(len(pictures.train), (count,))
    batch = to_float(pictures.train[chosen])
    mirrored = torch.rand(count) < 0.5
    batch[mirrored] = batch[mirrored].flip(3)
    return batch, pictures.train_labels[chosen]


def normal(count: int, latent: int) -> Tensor:
    """Spherical Gaussian noise (count, latent)."""
    return torch.randn(count, latent)


def uniform(count: int, latent: int) -> Tensor:
    """Noise from a cube, -1 to 1: (count, latent)."""
    return torch.rand(count, latent) * 2 - 1


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
