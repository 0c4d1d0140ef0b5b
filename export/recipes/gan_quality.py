"""How good and how varied the pictures of generators are, measured the same way for all.

python export/recipes/gan_quality.py --data DIR [--judge CHECKPOINT] [--inception WEIGHTS] MODEL...

A MODEL is a name or a folder. Distances are measured in the features of a small classifier of
CIFAR-10 (`cifar_features.py`): they compare these generators with each other and are **not** the FID
of the literature, which `--inception` computes for who has its weights (a TorchScript file that takes
float pictures (n, 3, 299, 299) from -1 to 1 and gives features (n, 2048)).
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cifar_features import SHIPPED, CifarResnet, load_judge, look
from gan_data import truncated_normal
from genkit.card import Card
from genkit.model import find
from genkit_export.parity import Graph
from pictures import YOSEMITE, Pictures, read_cifar, read_yosemite, to_float

NEIGHBOURS = 3
"""How many neighbours away the border of a picture's neighbourhood is, for precision and recall."""
MOST = 5000
"""Pictures that are compared, at most."""
BATCH = 100
INCEPTION_SIZE = 299
SIDE = 64
"""Of the Yosemite photographs."""


@dataclass(frozen=True)
class Quality:
    """Of pictures that were made, against real ones."""

    distance: float
    """Frechet distance to the training pictures, as a multiple of the one of held-out pictures."""
    precision: float
    """Share of made pictures that lie among the real ones."""
    recall: float
    """Share of real pictures that lie among the made ones."""
    diversity: float
    """Mean distance of two made pictures in features, as a multiple of that of real ones."""
    nearest: float
    """Distance of the two most alike made pictures, as a multiple of that of the two most alike
    real ones; below 1, two are more alike than any two real ones."""


class Reference:
    """The real pictures, as a judge sees them."""

    def __init__(self, judge: CifarResnet, pictures: Pictures) -> None:
        self.judge = judge
        self.train = Moments.of(look(judge, pictures.train)[0])
        self.valid, _ = look(judge, pictures.valid[:MOST])
        self.own = frechet(self.train, Moments.of(self.valid))
        self.spread = spread(self.valid)
        # Some photographs are there twice.
        self.nearest = nearest_pair(pictures.valid[:MOST].unique(dim=0))

    @property
    def count(self) -> int:
        """How many pictures to make: as many as are held out, for distances fall with the number."""
        return len(self.valid)

    def quick(self, pictures: Tensor) -> dict[str, float]:
        """What a recipe watches: distance and diversity of pictures, uint8 (n, 3, side, side)."""
        features, _ = look(self.judge, pictures)
        return {
            "distance": frechet(self.train, Moments.of(features)) / self.own,
            "diversity": spread(features) / self.spread,
        }

    def measure(self, pictures: Tensor) -> Quality:
        """Everything, of pictures, uint8 (n, 3, side, side)."""
        features, _ = look(self.judge, pictures)
        precision, recall = precision_and_recall(self.valid, features)
        return Quality(
            distance=frechet(self.train, Moments.of(features)) / self.own,
            precision=precision,
            recall=recall,
            diversity=spread(features) / self.spread,
            nearest=nearest_pair(pictures) / self.nearest,
        )


@dataclass(frozen=True)
class Moments:
    """Of features: mean (width,) and covariance (width, width), in double precision."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Those of features (n, width)."""
        values = features.double()
        return cls(values.mean(0), values.T.cov())

    @cached_property
    def root(self) -> Tensor:
        """The square root of the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T


def frechet(a: Moments, b: Moments) -> float:
    """Frechet distance of two normal distributions."""
    gap = (a.mean - b.mean).square().sum()
    shared = torch.linalg.eigvalsh(a.root @ b.covariance @ a.root).clamp(min=0).sqrt().sum()
    return float(gap + a.covariance.trace() + b.covariance.trace() - 2 * shared)


def precision_and_recall(real: Tensor, made: Tensor) -> tuple[float, float]:
    """Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models"
    (2019): a picture lies among others if it is within a neighbourhood of one of them. Features
    (n, width) and (m, width).
    """
    return _share_among(made, real), _share_among(real, made)


def _share_among(points: Tensor, others: Tensor) -> float:
    # The nearest of all is the point itself.
    radii = torch.cat(
        [
            torch.cdist(part, others).kthvalue(min(NEIGHBOURS + 1, len(others)), 1).values
            for part in others.split(500)
        ]
    )
    among = [(torch.cdist(part, others) <= radii).any(1) for part in points.split(500)]
    return float(torch.cat(among).float().mean())


def spread(features: Tensor) -> float:
    """Mean distance of two pictures, from their features (n, width)."""
    half = len(features) // 2
    return float((features[:half] - features[half : 2 * half]).norm(dim=1).mean())


def nearest_pair(pictures: Tensor) -> float:
    """Root mean square difference, in levels, of the two most alike of pictures, uint8 (n, ...)."""
    rows = pictures.flatten(1).float()
    best = torch.tensor(torch.inf, device=rows.device)
    for begin in range(0, len(rows), 500):
        distances = torch.cdist(rows[begin : begin + 500], rows)
        every = torch.arange(len(rows), device=rows.device)
        own = every[begin : begin + len(distances)]
        later = every > own[:, None]  # each pair once, and nothing with itself
        best = torch.minimum(best, distances.masked_fill(~later, torch.inf).min())
    return float(best) / rows.shape[1] ** 0.5


def agreement(judge: CifarResnet, pictures: Tensor, labels: Tensor) -> float:
    """Share of pictures that the judge gives the class that was asked for."""
    _, classes = look(judge, pictures)
    return float((classes == labels).float().mean())


def make(
    model: str, count: int, truncation: float | None, seed: int
) -> tuple[Tensor, Tensor, Card]:
    """Pictures, uint8 (count, 3, side, side), of an exported model, and the classes asked for."""
    found = find("sample", model)
    latent = found.card.latent
    assert latent is not None
    if truncation is None:
        truncation = latent.default_truncation
    graph = Graph(found.graph("generate", found.card.default_precision["cpu"]))
    inputs = {spec.name for spec in found.card.interface["generate"].inputs}
    torch.manual_seed(seed)
    labels = torch.arange(count) % max(len(latent.classes), 1)
    size = int(np.prod(latent.shape))
    kind = truncated_normal if latent.distribution == "truncated_normal" else torch.randn
    noise = kind(count, size) * (1.0 if latent.truncation == "graph" else truncation)
    parts = []
    for begin in range(0, count, BATCH):
        chosen = slice(begin, begin + BATCH)
        feeds = {
            "z": noise[chosen].view(-1, *latent.shape).numpy(),
            "class": labels[chosen].numpy(),
            "truncation": truncation,
        }
        (made,) = graph.run(["image"], **{k: v for k, v in feeds.items() if k in inputs})
        parts.append(torch.from_numpy(made).permute(0, 3, 1, 2))
    return torch.cat(parts), labels, found.card


def fid(weights: Path, real: Tensor, made: Tensor) -> float:
    """The Frechet distance in the features of the Inception network of the literature."""
    network = torch.jit.load(weights).eval()

    @torch.no_grad()
    def features(pictures: Tensor) -> Tensor:
        sizes = (INCEPTION_SIZE, INCEPTION_SIZE)
        return torch.cat(
            [
                network(F.interpolate(to_float(part), sizes, mode="bilinear")).flatten(1)
                for part in pictures.split(50)
            ]
        )

    return frechet(Moments.of(features(real)), Moments.of(features(made)))


def rows(
    models: list[str],
    references: Callable[[str], tuple[Reference, Pictures]],
    truncation: float | None,
    seed: int,
    inception: Path | None,
) -> Iterator[Mapping[str, float | str]]:
    """A row of the table for each model; `references` gives the real pictures by the name of the data
    set, CIFAR-10 for one that is not known.
    """
    for model in models:
        card = find("sample", model).card
        reference, pictures = references(
            card.origin["data"][0]["name"] if card.origin["data"] else ""
        )
        made, labels, card = make(model, reference.count, truncation, seed)
        row: dict[str, float | str] = {"model": card.name, "pictures": len(made)}
        row |= {name: round(value, 3) for name, value in asdict(reference.measure(made)).items()}
        assert card.latent is not None
        if card.latent.classes:
            row["agreement"] = round(agreement(reference.judge, made, labels), 3)
        if inception:
            row["fid"] = round(fid(inception, pictures.train, made), 2)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument(
        "--judge", type=Path, default=SHIPPED, help="checkpoint of cifar_features.py"
    )
    parser.add_argument("--truncation", type=float, help="instead of each model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inception", type=Path, help="TorchScript file of the Inception network")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    options = parser.parse_args()
    judge = load_judge(options.judge)
    known: dict[str, tuple[Reference, Pictures]] = {}

    def references(name: str) -> tuple[Reference, Pictures]:
        if name not in known:
            yosemite = name == YOSEMITE["name"]
            pictures = read_yosemite(options.data, SIDE) if yosemite else read_cifar(options.data)
            known[name] = Reference(judge, pictures), pictures
        return known[name]

    for row in rows(
        options.models, references, options.truncation, options.seed, options.inception
    ):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
