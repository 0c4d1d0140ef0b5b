"""Exports a network that reads text: a graph in float32 and, where it was calibrated, one in int8."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from .checkpoints.genkit import Description
from .folder import Exported, save_graph
from .onnx_builder import Signature
from .parity import Graph, check, largest
from .quantize import StaticInt8

TOLERANCE = 1e-4
"""Largest difference of a score or a log probability, in float32."""
INT8_TOLERANCE = 1.0
"""The same in int8, for random texts, which are further from what it was calibrated for than any
real one: above it, eight bits do not stand for this network any more. Of the shipped networks,
translate has 0.26 and fill 0.65."""
SHAPES = ((1, 5), (8, 12), (3, 30))
"""Rows and tokens of the texts that are compared with PyTorch."""


@dataclass(frozen=True)
class TextGraph:
    """The graph of a task that reads text, as an architecture builds and compares it."""

    role: str
    build: Callable[..., onnx.ModelProto]
    """Without an argument in float32, with `StaticInt8` in int8."""
    signature: Signature
    difference: Callable[[Graph, tuple[int, int]], float]
    """The largest one to PyTorch, of a graph, for texts of one of the `SHAPES`."""
    what: str
    """That differs."""

    def export(
        self, description: Description, folder: Path, report: Callable[[str], None]
    ) -> Exported:
        """Write the graph to `folder`, also in int8 where the description has ranges. Raises
        ModelError if they do not compute what PyTorch does.
        """
        files = {"fp32": f"{self.role}.fp32.onnx"}
        save_graph(self.build(), folder / files["fp32"])
        if description.ranges:
            files["int8"] = f"{self.role}.int8.onnx"
            save_graph(self.build(StaticInt8(description.ranges)), folder / files["int8"])

        differences: dict[str, float] = {}
        for precision, name in files.items():
            graph = Graph(folder / name, text=True)
            worst = largest(self.difference(graph, shape) for shape in SHAPES)
            differences[precision] = worst
            report(f"{name}: {self.what} differ from PyTorch's by at most {worst:.1e}")
            if precision == "int8":
                check(name, worst, INT8_TOLERANCE, "--precision fp32 leaves it out")
            else:
                check(name, worst, TOLERANCE)
        meanings = {name: text for name, (_, _, text) in self.signature.items()}
        return Exported(
            graphs={self.role: files},
            meanings={self.role: meanings},
            differences={self.role: differences},
            tolerance=TOLERANCE,
            tolerances={"int8": INT8_TOLERANCE} if "int8" in files else {},
            default_precision={"cpu": "int8" if "int8" in files else "fp32", "cuda": "fp32"},
        )
