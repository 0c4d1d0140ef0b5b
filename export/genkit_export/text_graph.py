"""Exports a network that reads text: a graph in float32 and, where it was calibrated, one in int8."""

from collections.abc import Callable
from pathlib import Path

import onnx

from .checkpoints.genkit import Description
from .folder import Exported, save_graph
from .onnx_builder import Signature
from .parity import Graph, check, largest
from .quantize import StaticInt8

TOLERANCE = 1e-4
"""Largest difference of a score or a log probability, in float32."""
SHAPES = ((1, 5), (8, 12), (3, 30))
"""Rows and tokens of the texts that are compared with PyTorch."""


def export_text(
    role: str,
    build: Callable[..., onnx.ModelProto],
    signature: Signature,
    difference: Callable[[Graph, tuple[int, int]], float],
    what: str,
    description: Description,
    folder: Path,
    report: Callable[[str], None],
) -> Exported:
    """Write the graphs of a network to `folder`: `build()`, and `build(dense)` for int8 where the
    description has ranges. Raises ModelError if that in float32 does not compute what PyTorch does.

    `difference(graph, shape)` is the largest to PyTorch for texts of one of the `SHAPES`, of `what`.
    """
    files = {"fp32": f"{role}.fp32.onnx"}
    save_graph(build(), folder / files["fp32"])
    if description.ranges:
        files["int8"] = f"{role}.int8.onnx"
        save_graph(build(StaticInt8(description.ranges)), folder / files["int8"])

    differences: dict[str, float] = {}
    for precision, name in files.items():
        graph = Graph(folder / name)
        worst = largest(difference(graph, shape) for shape in SHAPES)
        differences[precision] = worst
        report(f"{name}: {what} differ from PyTorch's by at most {worst:.1e}")
        if precision == "fp32":
            check(name, worst, TOLERANCE)
    return Exported(
        graphs={role: files},
        meanings={role: {name: text for name, (_, _, text) in signature.items()}},
        differences={role: differences},
        tolerance=TOLERANCE,
        default_precision={"cpu": "int8" if "int8" in files else "fp32", "cuda": "fp32"},
    )
