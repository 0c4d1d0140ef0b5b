"""The Yosemite photographs, and a small classifier of seasons that judges what becomes of them."""

import io
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from loop import descend

SEASONS = ("summer", "winter")
HELD_OUT_EVERY = 16
"""One photograph in so many is for validation."""


@dataclass(frozen=True)
class Photographs:
    """Photographs by season, uint8 (n, 3, h, w)."""

    train: dict[str, Tensor]
    valid: dict[str, Tensor]

    @classmethod
    def read(cls, data: Path) -> "Photographs":
        """`yosemite-train.zip` of the data folder: `summer/*.jpg` and `winter/*.jpg`, all of one
        size.
        """
        train, valid = {}, {}
        with zipfile.ZipFile(data / "yosemite-train.zip") as archive:
            for season in SEASONS:
                names = sorted(n for n in archive.namelist() if n.startswith(f"{season}/"))
                photos = [_decode(archive.read(n)) for n in names if n.endswith(".jpg")]
                train[season] = torch.stack(
                    [photo for i, photo in enumerate(photos) if i % HELD_OUT_EVERY]
                )
                valid[season] = torch.stack(photos[::HELD_OUT_EVERY])
        return cls(train, valid)


def _decode(data: bytes) -> Tensor:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def to_float(photos: Tensor) -> Tensor:
    """From bytes to -1..1."""
    return photos.float() / 127.5 - 1


def crops(photos: Tensor, count: int, size: int, rng: random.Random) -> Tensor:
    """Random crops of random photographs, half of them mirrored: (count, 3, size, size), -1..1."""
    chosen = []
    for _ in range(count):
        photo = photos[rng.randrange(len(photos))]
        top, left = (rng.randint(0, side - size) for side in photo.shape[1:])
        crop = photo[:, top : top + size, left : left + size]
        chosen.append(crop.flip(2) if rng.random() < 0.5 else crop)
    return to_float(torch.stack(chosen))


@dataclass(frozen=True)
class ClassifierConfig:
    """How the judge of seasons is made."""

    width: int = 32
    steps: int = 600
    size: int = 128
    """Side of the crops that it is trained on."""
    batch: int = 32
    learning_rate: float = 2e-3
    seed: int = 1


class SeasonClassifier(nn.Module):
    """Tells winter from summer: pictures (n, 3, h, w) from -1 to 1 -> logits (n,), above 0 for
    winter.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for after in (width, 2 * width, 4 * width, 4 * width):
            layers += [nn.Conv2d(channels, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
            channels = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).mean((2, 3)))[:, 0]
        return logits


def load_classifier(photos: Photographs, path: Path, config: ClassifierConfig) -> SeasonClassifier:
    """The classifier of a run, trained and written where there is none yet."""
    if path.exists():
        network = SeasonClassifier(config.width)
        network.load_state_dict(torch.load(path, weights_only=True))
        return network.eval()
    network = train_classifier(photos, config)
    torch.save(network.state_dict(), path)
    return network


def train_classifier(photos: Photographs, config: ClassifierConfig) -> SeasonClassifier:
    """A classifier trained on crops of the training photographs."""
    rng = random.Random(config.seed)
    torch.manual_seed(config.seed)
    network = SeasonClassifier(config.width)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=max(config.steps, 2)
    )
    half = config.batch // 2
    target = torch.arange(2).repeat_interleave(half).float()
    for _ in range(config.steps):
        pictures = torch.cat([crops(photos.train[s], half, config.size, rng) for s in SEASONS])
        loss = F.binary_cross_entropy_with_logits(network(pictures), target)
        descend(optimizer, loss)
        schedule.step()
    return network.eval()


@torch.no_grad()
def share_called(classifier: nn.Module, pictures: Sequence[Tensor], season: str) -> float:
    """The share of batches of pictures that the classifier calls a season."""
    logits = torch.cat([classifier(batch) for batch in pictures])
    return float(((logits > 0) == (season == "winter")).float().mean())
