"""Exports generators that turn noise into pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .architectures.biggan import BigGan, BigGanConfig
from .architectures.biggan_deep import BigGanDeep, BigGanDeepConfig
from .architectures.dcgan import Dcgan, DcganConfig
from .architectures.gan import Gan, GanConfig
from .architectures.progressive import Progressive, ProgressiveConfig
from .architectures.upconv import Upconv, UpconvConfig
from .checkpoints.genkit import Description
from .colours import described, given
from .fold import folded
from .folder import Exported
from .to_onnx import save_picture_graph

Generator = Gan | Dcgan | Upconv | Progressive | BigGan | BigGanDeep
Config = (
    GanConfig | DcganConfig | UpconvConfig | ProgressiveConfig | BigGanConfig | BigGanDeepConfig
)
ROLE, IMAGE = "generate", "image"
TOLERANCE = 1e-4
"""Largest difference of a pixel, as a share of the range from black to white."""
BATCHES = (2, 1, 3, 5)
AXES = {0: "batch"}


class Sampler(nn.Module):
    """A generator whose pictures are as files have them: noise, and class and truncation where the
    generator takes them, in; and twice out, (N, H, W, 3), or 4 with alpha: as float32 from 0 to
    255, and rounded to uint8. Grey pictures get three equal channels.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, z: Tensor, label: Tensor | None = None, truncation: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        conditions = [value for value in (label, truncation) if value is not None]
        x = self.network(z, *conditions).permute(0, 2, 3, 1)
        # Colours are expanded to themselves, as in the graphs that are shipped.
        shown = x.expand(-1, -1, -1, 3) if x.shape[-1] == 3 else given(x)
        exact = (shown + 1) * 127.5
        return exact, exact.round().clamp(0, 255).to(torch.uint8)


def export(
    network: Generator, description: Description, folder: Path, report: Callable[[str], None]
) -> Exported:
    """Write the graph of a generator to `folder`. Raises ModelError if it does not compute what
    PyTorch does.
    """
    file = f"{ROLE}.fp32.onnx"
    worst = save_picture_graph(
        Sampler(folded(network)).eval(),
        folder / file,
        lambda *shape: noise(network.config, *shape),
        [(batch,) for batch in BATCHES],
        TOLERANCE,
        reference=Sampler(network).eval(),
        axes=AXES,
        result=IMAGE,
    )
    report(f"{file}: pixels differ from PyTorch's by at most {worst:.1e}")
    latent = latent_section(network.config)
    return Exported(
        graphs={ROLE: {"fp32": file}},
        meanings={
            ROLE: {
                "z": f"noise: {latent['distribution'].replace('_', ' ')}",
                "class": "index of the class",
                "truncation": "0 to 1; the noise is to be multiplied by it too",
                IMAGE: described(channels_of(network.config)),
            }
        },
        differences={ROLE: {"fp32": worst}},
        tolerance=TOLERANCE,
        default_precision={"cpu": "fp32", "cuda": "fp32"},
    )


def noise(config: Config, batch: int) -> dict[str, Tensor]:
    """Inputs of a graph, the same for the same batch."""
    random = torch.Generator().manual_seed(batch)
    inputs = {"z": torch.randn(batch, latent_size(config), generator=random)}
    if classes := class_count(config):
        inputs["class"] = torch.randint(0, classes, (batch,), generator=random)
    if by_truncation(config):
        inputs["truncation"] = torch.rand((), generator=random)
    return inputs


def latent_size(config: Config) -> int:
    """Numbers of noise for a picture."""
    return config.z_dim if isinstance(config, BigGanDeepConfig) else config.latent


def channels_of(config: Config) -> int:
    """Channels of a picture."""
    if isinstance(config, BigGanDeepConfig):
        return 3
    return config.colours if isinstance(config, BigGanConfig) else config.channels


def class_count(config: Config) -> int:
    """Classes of a conditional generator, 0 for another."""
    if isinstance(config, BigGanDeepConfig):
        return config.num_classes
    return config.classes if isinstance(config, BigGanConfig) else 0


def by_truncation(config: Config) -> bool:
    """Whether the norms have statistics by truncation, so that the graph takes it."""
    if isinstance(config, BigGanDeepConfig):
        return True
    return isinstance(config, BigGanConfig) and config.statistics > 1


def latent_section(
    config: Config, classes: Sequence[str] = (), default_truncation: float = 1.0
) -> Mapping[str, Any]:
    """What the card says of the noise. Generators by class are trained for truncation."""
    conditional = class_count(config) > 0
    section: dict[str, Any] = {
        "shape": [latent_size(config)],
        "distribution": "truncated_normal" if conditional else "normal",
        "truncation": "both" if by_truncation(config) else "latent",
    }
    section |= {"classes": list(classes)} if classes else {}
    return section | ({"default_truncation": default_truncation} if default_truncation < 1 else {})
