"""Exports generators that turn pictures into pictures: CycleGAN's and pix2pix's."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .architectures.cyclegan import (
    ResnetConfig,
    ResnetGenerator,
    UnetConfig,
    UnetGenerator,
    with_own_statistics,
)
from .checkpoints.genkit import Description
from .colours import Colorizer, described, given, outer, taken
from .folder import Exported
from .picture_graph import export_pictures, noise
from .to_onnx import RESULT

ROLE = "generate"
STRIDE = 4
"""Of the residual generator's blocks."""
SHAPES = ((2, 2, 3), (1, 1, 1), (3, 4, 2))
"""Pictures and sides that are compared with PyTorch; sides in units of the largest multiple."""


class PictureGenerator(nn.Module):
    """A generator for pictures as files have them: image uint8 (N, H, W, 3 or 4) in, and twice out:
    as float32 from 0 to 255, and rounded to uint8.
    """

    def __init__(self, network: ResnetGenerator | UnetGenerator) -> None:
        super().__init__()
        config = network.config
        lab = config.colours == "lab"
        self.network: nn.Module = Colorizer(network) if lab else network
        self.channels = 3 if lab else config.in_channels

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = taken(image, self.channels) / 127.5 - 1
        exact = (given(self.network(x).permute(0, 2, 3, 1)) + 1) * 127.5
        return exact, exact.round().clamp(0, 255).to(torch.uint8)


def export(
    network: ResnetGenerator | UnetGenerator,
    description: Description,
    folder: Path,
    report: Callable[[str], None],
) -> Exported:
    """Write the graph of a generator to `folder`. Raises ModelError if it does not compute what
    PyTorch does.
    """
    network = deepcopy(network).eval()
    with_own_statistics(network)
    unit = max(multiple(network.config), 16)
    module = PictureGenerator(network)
    shapes = [(batch, height * unit, width * unit) for batch, height, width in SHAPES]

    def make_inputs(batch: int, height: int, width: int) -> dict[str, Tensor]:
        return {"image": noise(batch, height, width, outer(module.channels))}

    made = 3 if network.config.colours == "lab" else network.config.out_channels
    meanings = {
        "image": f"{described(module.channels)}; sides a multiple of the card's pad",
        RESULT: described(made),
    }
    return export_pictures(ROLE, module, folder, make_inputs, shapes, meanings, report)


def multiple(config: ResnetConfig | UnetConfig) -> int:
    """What both sides of a picture must be a multiple of."""
    return 2**config.downs if isinstance(config, UnetConfig) else STRIDE


def image_section(config: ResnetConfig | UnetConfig) -> Mapping[str, Any]:
    """What the card says of pictures. The grid of the network starts at their top left, as it does
    in the authors' code, which runs multiples of 4 as they are.
    """
    pad = {"mode": "reflect", "multiple": multiple(config), "side": "bottom_right"}
    if isinstance(config, ResnetConfig):
        # Its blocks reflect pixels beyond an edge and need two of them.
        pad["smallest"] = 2 * STRIDE
    channels = 3 if config.colours == "lab" else outer(config.in_channels)
    section = {"resize": {"mode": "none"}, "pad": pad}
    return section if channels == 3 else {"channels": channels, **section}
