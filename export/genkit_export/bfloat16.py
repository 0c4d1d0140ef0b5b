"""Measuring what bfloat16 does to pictures, and offering it in the card where that is little.

There is no file for it: OpenVINO computes the fp32 graph in bfloat16. What the exporting machine
cannot measure is not offered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from genkit.errors import first_line
from genkit.runtime.devices import bfloat16_units, default_threads
from genkit.runtime.engines.openvino import open_graph

from .folder import Exported
from .parity import largest
from .to_onnx import BYTES, RESULT

PRECISION = "bf16"


def offer_bf16(
    exported: Exported,
    role: str,
    module: nn.Module,
    folder: Path,
    make_inputs: Callable[[int, int, int], Mapping[str, Tensor]],
    shapes: Sequence[tuple[int, int, int]],
    tolerance: float,
    report: Callable[[str], None],
) -> Exported:
    """What was exported, and bf16 for a role if its pictures differ from PyTorch's by no more than
    the tolerance, as a share of the range from black to white.

    The other arguments are those of `save_picture_graph`, which has written the role's graph.
    """
    path = folder / exported.graphs[role]["fp32"]
    difference, reason = _difference(module, path, make_inputs, shapes)
    if difference is None:
        report(f"{PRECISION} is not offered: {reason}")
        return exported
    found = f"{path.name}: in {PRECISION} pixels differ from PyTorch's by at most {difference:.1e}"
    if not difference <= tolerance:
        report(f"{found}; it is not offered, for {tolerance:.0e} is allowed")
        return exported
    report(found)
    differences = {**exported.differences[role], PRECISION: difference}
    return replace(
        exported,
        differences={**exported.differences, role: differences},
        tolerances={**exported.tolerances, PRECISION: tolerance},
        default_precision={**exported.default_precision, "openvino": PRECISION},
    )


def _difference(
    module: nn.Module,
    path: Path,
    make_inputs: Callable[[int, int, int], Mapping[str, Tensor]],
    shapes: Sequence[tuple[int, int, int]],
) -> tuple[float | None, str]:
    """The largest difference of a pixel, or why it cannot be measured here."""
    if not bfloat16_units():
        return None, "this processor is not known to have bfloat16 units"
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = default_threads()
    session, reason = open_graph(onnxruntime, path, settings, PRECISION)
    if session is None:
        return None, f"OpenVINO cannot be used: {reason}"
    differences = []
    for shape in shapes:
        inputs = make_inputs(*shape)
        with torch.no_grad():
            expected, _ = module(*inputs.values())
        feeds = {name: value.numpy() for name, value in inputs.items()}
        try:
            (result,) = session.run([RESULT], feeds)
        except Exception as error:  # neither ONNX Runtime's nor OpenVINO's have a base of their own
            return None, f"OpenVINO cannot run it: {first_line(error)}"
        off = (torch.from_numpy(result).float() - expected.clamp(0, BYTES)).abs().max()
        differences.append(float(off) / BYTES)
    return largest(differences), ""
