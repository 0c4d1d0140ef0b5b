"""Exports a network that makes pictures of pictures: one graph, and bfloat16 where it is measured."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .bfloat16 import offer_bf16
from .folder import Exported
from .to_onnx import PICTURE_AXES, save_picture_graph

TOLERANCE = 1e-4
"""Largest difference of a pixel, as a share of the range from black to white."""
BF16_TOLERANCE = 0.05
"""The same, computed in bfloat16."""


def export_pictures(
    role: str,
    module: nn.Module,
    folder: Path,
    make_inputs: Callable[[int, int, int], Mapping[str, Tensor]],
    shapes: Sequence[tuple[int, int, int]],
    meanings: Mapping[str, str],
    report: Callable[[str], None],
    *,
    axes: Mapping[int, str] = PICTURE_AXES,
) -> Exported:
    """Write the graph of a module to `folder`; see `to_onnx.save_picture_graph`. Raises ModelError
    if it does not compute what PyTorch does.
    """
    file = f"{role}.fp32.onnx"
    worst = save_picture_graph(module, folder / file, make_inputs, shapes, TOLERANCE, axes=axes)
    report(f"{file}: pixels differ from PyTorch's by at most {worst:.1e}")
    exported = Exported(
        graphs={role: {"fp32": file}},
        meanings={role: meanings},
        differences={role: {"fp32": worst}},
        tolerance=TOLERANCE,
        default_precision={"cpu": "fp32", "cuda": "fp32"},
    )
    return offer_bf16(exported, role, module, folder, make_inputs, shapes, BF16_TOLERANCE, report)


def noise(*shape: int) -> Tensor:
    """Random bytes, the same for the same shape."""
    random = torch.Generator().manual_seed(shape[0])
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
