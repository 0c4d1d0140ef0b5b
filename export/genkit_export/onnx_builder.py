"""A few lines over `onnx.helper` that let a graph be written as a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 23
"""The first opset with Attention, which CPU kernels run without transposing keys."""
IR_VERSION = 11
MICROSOFT = "com.microsoft"

Value = str | NDArray[Any] | np.generic | bool | None
"""A value's name, a constant to store, or None for an optional input left out."""
Signature = dict[str, tuple[int, tuple[str | int, ...], str]]
"""The inputs or outputs of a graph: name -> type, shape, meaning."""


def vector(*numbers: int) -> NDArray[np.int64]:
    """int64 constants for shapes, axes and indices."""
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class State:
    """A value that a loop carries: type, shape (sizes, names or None), and what it starts as."""

    kind: int
    shape: tuple[int | str | None, ...]
    start: str
    per_beam: bool = False
    """Whether its first axis counts beams instead of rows."""


class GraphBuilder:
    """Collects nodes in order. `builder("Add", a, b)` adds a node and returns its output's name;
    arrays among the inputs become constants, stored once in the outermost graph, where subgraphs
    see them.
    """

    def __init__(self, outer: "GraphBuilder | None" = None) -> None:
        self.root: GraphBuilder = outer.root if outer else self
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[object, onnx.TensorProto] = {}
        self.count = 0

    def __call__(self, op: str, *inputs: Value, domain: str = "", **attributes: Any) -> str:
        return self.many(op, *inputs, outputs=1, domain=domain, **attributes)[0]

    def many(
        self, op: str, *inputs: Value, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [self.name(op.lower()) for _ in range(outputs)]
        operands = [self._operand(value) for value in inputs]
        node = helper.make_node(op, operands, names, names[0], domain=domain, **attributes)
        self.nodes.append(node)
        return names

    def constant(self, array: NDArray[Any] | np.generic | bool) -> str:
        """The name of a stored constant; equal ones are stored once."""
        value = np.asarray(array)
        key = (value.dtype.str, value.shape, value.tobytes())
        stored = self.root.initializers
        if key not in stored:
            stored[key] = numpy_helper.from_array(value, self.name("constant"))
        return stored[key].name

    def weight(self, array: NDArray[np.float32]) -> str:
        """A float32 constant, stored in half precision where that loses nothing.

        The cast is folded when a session opens, and its result belongs to this very graph: ONNX
        Runtime packs weights in advance only if they are the graph's own or its parent's.
        """
        half = array.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), array):
            return self.constant(array)
        return self("Cast", half, to=TensorProto.FLOAT)

    def graph(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """All nodes so far as a subgraph."""
        return helper.make_graph(self.nodes, self.name("graph"), inputs, outputs)

    def loop(
        self,
        body: "GraphBuilder",
        states: Sequence[State],
        names: Sequence[str],
        ends: Sequence[str],
        go: str,
        *,
        rounds: str | None = None,
        start: Sequence[str] | None = None,
    ) -> list[str]:
        """Add a Loop with the nodes of `body`, in which the states have the given names.

        `ends` are their values after one round, `go` (bool scalar) tells whether another follows,
        `rounds` (int64 scalar) how many there are at most.
        The states begin with `start`, or their own start values.
        """
        iteration = tensor(self.name("round"), TensorProto.INT64, ())
        going = tensor(self.name("going"), TensorProto.BOOL, ())
        carried = [
            tensor(name, state.kind, state.shape) for name, state in zip(names, states, strict=True)
        ]
        after = [
            tensor(name, state.kind, state.shape) for name, state in zip(ends, states, strict=True)
        ]
        graph = body.graph([iteration, going, *carried], [tensor(go, TensorProto.BOOL, ()), *after])
        values = [state.start for state in states] if start is None else start
        return self.many("Loop", rounds, np.bool_(True), *values, outputs=len(states), body=graph)

    def rename(self, names: dict[str, str]) -> None:
        """Give outputs of the newest node names of their own."""
        outputs = self.nodes[-1].output
        outputs[:] = [names.get(output, output) for output in outputs]

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The finished model, its structure checked."""
        graph = helper.make_graph(
            self.nodes, "genkit", inputs, outputs, list(self.initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        model.producer_name = "genkit"
        onnx.checker.check_model(model)
        return model

    def _operand(self, value: Value) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else self.constant(value)

    def name(self, stem: str) -> str:
        """A new name, unique in the whole model."""
        self.root.count += 1
        return f"{stem}_{self.root.count}"


def tensor(name: str, kind: int, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    """A typed input or output; axes are sizes, names, or None for anything."""
    return helper.make_tensor_value_info(name, kind, shape)
