"""The pictures that the recipes learn from, and those that are held out."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CIFAR10 = {"name": "CIFAR-10, training set (re-encoded as JPEG)", "license": "research use"}
YOSEMITE = {
    "name": "summer2winter_yosemite, training set (CycleGAN's authors, Flickr)",
    "license": "research use",
}
CIFAR_HELD_OUT, YOSEMITE_HELD_OUT = 10, 16
"""One picture in so many of each class is for validation."""


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

    def to(self, device: str) -> "Pictures":
        """The same on a device."""
        tensors = {name: v for name, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


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
        for label, folder in enumerate(classes):
            mine = [name for name in names if name.split("/")[0] == folder]
            for index, name in enumerate(mine):
                held = index % every == 0
                (valid if held else train).append(_decode(archive.read(name), size))
                (valid_labels if held else train_labels).append(label)
    return Pictures(
        torch.stack(train),
        torch.tensor(train_labels),
        torch.stack(valid),
        torch.tensor(valid_labels),
        classes,
        origin,
        f"every {every}th picture of each class of the training set",
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
