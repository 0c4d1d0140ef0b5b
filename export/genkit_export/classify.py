"""Exports classifiers of pictures: ViT and Swin."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import InputError

from .architectures.swin import Swin, SwinConfig
from .architectures.vit import ViT, ViTConfig
from .checkpoints.genkit import Description
from .colours import described, outer, taken
from .folder import Exported, save_graph
from .parity import Graph, check, distance, largest
from .picture_graph import noise
from .resizing import fixed_size, resized
from .to_onnx import trace

CLASSIFY, ATTENTION = "classify", "attention"
MULTI_LABEL = "multi-label"
"""Not a role: what the role classify means where labels do not exclude each other."""
PROBABILITIES, ROLLOUT = "probabilities", "rollout"
TOLERANCE = 1e-5
"""Largest difference of a probability, or of a patch's share of the attention."""
BATCHES = (2, 1, 5)
"""Pictures in a batch: the first is traced, all are compared with PyTorch."""
MEANINGS = {
    CLASSIFY: {
        "image": "sRGB, as the card's resize leaves it",
        PROBABILITIES: "of each label of the card; their sum is 1",
    },
    MULTI_LABEL: {
        "image": "sRGB, as the card's resize leaves it",
        PROBABILITIES: "of each label of the card, by itself",
    },
    ATTENTION: {
        "image": "sRGB, as the card's resize leaves it",
        ROLLOUT: "where the class token looks: attention rollout over the patches; the sum is 1",
    },
}


class PictureClassifier(nn.Module):
    """A network for pictures as files have them: uint8 (N, H, W, 3 or 4) to what `look` makes of them
    when they are normalised.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: ViT | Swin, look: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.look = network, look
        mean, std = torch.tensor(network.config.mean), torch.tensor(network.config.std)
        self.register_buffer("scale", 1 / (255 * std)[:, None, None])
        self.register_buffer("offset", (-mean / std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        x = taken(image, self.network.config.channels)
        return self.look(x * self.scale + self.offset)


def export(
    network: ViT | Swin, description: Description, folder: Path, report: Callable[[str], None]
) -> Exported:
    """Write the graph that classifies to `folder`, and for a ViT with a class token the one that
    shows where it looks. Raises ModelError if they do not compute what PyTorch does, InputError for
    a size that the network cannot take.

    The graphs take pictures of the size of the card's resize: with a known size, positions, masks
    and biases are constants.
    """
    size, multi_label = _size(network.config, description), network.config.multi_label
    looks: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
        CLASSIFY: (PROBABILITIES, probabilities(network))
    }
    if isinstance(network, ViT) and network.config.pooling == "token":
        looks[ATTENTION] = (ROLLOUT, network.rollout)
    files, differences = {}, {}
    for role, (output, look) in looks.items():
        files[role] = {"fp32": f"{role}.fp32.onnx"}
        path = folder / files[role]["fp32"]
        worst = _save(PictureClassifier(network, look).eval(), output, size, path)
        differences[role] = {"fp32": worst}
        report(f"{path.name}: {output} differ from PyTorch's by at most {worst:.1e}")
    meanings = {**MEANINGS, CLASSIFY: MEANINGS[MULTI_LABEL if multi_label else CLASSIFY]}
    image = f"{described(network.config.channels)}, as the card's resize leaves it"
    return Exported(
        graphs=files,
        meanings={role: {**row, "image": image} for role, row in meanings.items()},
        differences=differences,
        tolerance=TOLERANCE,
        default_precision={"cpu": "fp32", "cuda": "fp32"},
    )


def probabilities(network: ViT | Swin) -> Callable[[Tensor], Tensor]:
    """What makes probabilities of pictures: of classes that exclude each other, or each by itself."""
    if network.config.multi_label:
        return lambda x: network(x).sigmoid()
    return lambda x: network(x).softmax(1)


@torch.no_grad()
def _save(module: PictureClassifier, output: str, size: Sequence[int], path: Path) -> float:
    """Write a graph; returns its largest difference against PyTorch. Raises ModelError if that is
    above the tolerance.
    """
    channels = outer(module.network.config.channels)
    model = trace(module, {"image": noise(BATCHES[0], *size, channels)}, [output], {0: "batch"})
    save_graph(model, path)
    graph = Graph(path)
    differences = []
    for batch in BATCHES:
        image = noise(batch, *size, channels)
        (found,) = graph.run([output], image=image.numpy())
        differences.append(distance(found, module(image)))
    worst = largest(differences)
    check(path.name, worst, TOLERANCE)
    return worst


def _size(config: ViTConfig | SwinConfig, description: Description) -> tuple[int, int]:
    """Height and width of the pictures that come out of the card's resize. Raises InputError if
    they are no whole patches of a ViT.
    """
    height, width = fixed_size(description) or (config.image_size, config.image_size)
    patch = config.patch_size
    if isinstance(config, ViTConfig) and (height % patch or width % patch):
        raise InputError(f"{height} x {width} pixels are not a whole number of patches of {patch}")
    return height, width


def image_section(
    config: ViTConfig | SwinConfig,
    labels: Sequence[str],
    *,
    interpolation: str = "bicubic",
    crop_pct: float = 1.0,
) -> Mapping[str, Any]:
    """What the card says of pictures: the shorter side is resized, the middle cut out."""
    return {
        "resize": resized(
            "shortest_edge",
            (config.image_size, config.image_size),
            interpolation=interpolation,
            crop_pct=crop_pct,
        ),
        "labels": list(labels),
    }
