"""Exports networks that fill holes in pictures."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .architectures.deepfill import DeepFill, DeepFillConfig
from .architectures.inpaint import Gated, GatedConfig, Lama, LamaConfig
from .architectures.migan import MiGan
from .checkpoints.genkit import Description
from .colours import given, grey
from .folder import Exported
from .picture_graph import export_pictures, noise
from .resizing import fixed_size
from .to_onnx import PICTURE_AXES, RESULT

ROLE = "inpaint"
SHAPES = ((2, 2, 3), (1, 2, 2), (3, 5, 2))
"""Pictures and sides that are compared with PyTorch; sides in units of the multiple, or of the smallest side."""
MEANINGS = {
    "image": "sRGB; sides as the card's resize and pad leave them",
    "mask": "above 127 is hole",
    RESULT: "sRGB; outside of the hole it is the image",
}


class Inpainter(nn.Module):
    """A network for pictures as files have them: image uint8 (N, H, W, 3) and mask uint8
    (N, H, W, 1) in, and twice out: as float32 from 0 to 255, and rounded to uint8.
    """

    def __init__(self, network: Gated | Lama | DeepFill | MiGan) -> None:
        super().__init__()
        self.network = network
        self.channels = network.config.channels if isinstance(network, Lama) else 3

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hole = mask > 127
        values = image.float()
        holes = hole.permute(0, 3, 1, 2).float()
        seen = (
            grey(values.permute(0, 3, 1, 2)) if self.channels == 1 else values.permute(0, 3, 1, 2)
        )
        x = seen / 255 * (1 - holes)
        filled = given(self.network(torch.cat([x, holes], 1)).permute(0, 2, 3, 1)) * 255
        exact = torch.where(hole, filled, values)
        return exact, exact.round().clamp(0, 255).to(torch.uint8)


def export(
    network: Gated | Lama | DeepFill | MiGan,
    description: Description,
    folder: Path,
    report: Callable[[str], None],
) -> Exported:
    """Write the graph of a network to `folder`. Raises ModelError if it does not compute what
    PyTorch does.

    Where the card brings pictures to one size, the graph is for that one.
    """
    module = Inpainter(network).eval()
    config = network.config
    axes = PICTURE_AXES
    unit = config.smallest if isinstance(config, LamaConfig) else config.multiple
    shapes = [(batch, height * unit, width * unit) for batch, height, width in SHAPES]
    if size := fixed_size(description):
        axes, shapes = {0: PICTURE_AXES[0]}, [(batch, *size) for batch, _, _ in SHAPES]

    def make_inputs(batch: int, height: int, width: int) -> dict[str, Tensor]:
        return {"image": noise(batch, height, width, 3), "mask": noise(batch, height, width, 1)}

    return export_pictures(ROLE, module, folder, make_inputs, shapes, MEANINGS, report, axes=axes)


def image_section(config: GatedConfig | LamaConfig | DeepFillConfig) -> Mapping[str, Any]:
    """What the card says of pictures, which have any size."""
    pad = {"mode": "symmetric", "multiple": config.multiple, "side": "bottom_right"}
    if isinstance(config, LamaConfig):
        pad["smallest"] = config.smallest
    return {"resize": {"mode": "none"}, "pad": pad}
