"""From a PyTorch module to an ONNX file by tracing, checked against the module."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from genkit.errors import ModelError

from .folder import save_graph
from .onnx_builder import OPSET
from .parity import Graph, check, distance, largest

PICTURE_AXES = {0: "batch", 1: "height", 2: "width"}
"""The free axes of pictures (N, H, W, channels)."""
EXACT, RESULT = "exact", "result"
"""What a picture graph gives: float32 from 0 to 255, only while it is checked; and bytes."""
BYTES = 255


def trace(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Mapping[int, str],
) -> onnx.ModelProto:
    """The graph of `module(*inputs)`, its structure checked.

    `axes` names the free axes of the inputs, as far as they have so many, and of the outputs.
    """
    with _quietly():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(
                {axis: name for axis, name in axes.items() if axis < value.dim()}
                for value in inputs.values()
            ),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.producer_name = "genkit"
    for described in (model, model.graph, *model.graph.node, *model.graph.input):
        del described.metadata_props[:]  # the trace of the Python code, longer than the graph
    for value in model.graph.output:  # PyTorch names the sizes by how they came about
        for axis, name in axes.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    _store_in_half(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def save_picture_graph(
    module: nn.Module,
    path: Path,
    make_inputs: Callable[..., Mapping[str, Tensor]],
    shapes: Sequence[tuple[int, ...]],
    tolerance: float,
    *,
    reference: nn.Module | None = None,
    axes: Mapping[int, str] = PICTURE_AXES,
    result: str = RESULT,
) -> float:
    """Write the graph of a module that makes pictures; returns its largest difference against
    PyTorch, as a share of the range from black to white.

    `module` returns pictures twice, (N, H, W, 3): as float32 from 0 to 255, and rounded to uint8.
    `make_inputs` makes the inputs of a shape, such as batch, height and width; the first of the
    `shapes` is traced, all are compared: with `module`, or with the `reference` that it was made
    from. `axes` are the free ones, `result` is the name of the bytes. Raises ModelError if a
    difference is above the tolerance.
    """
    model = trace(module, make_inputs(*shapes[0]), [EXACT, result], axes)
    save_graph(model, path)
    graph = Graph(path)
    worst = 0.0
    for shape in shapes:
        inputs = make_inputs(*shape)
        with torch.no_grad():
            expected, _ = (reference or module)(*inputs.values())
        exact, pictures = graph.run(
            [EXACT, result], **{name: value.numpy() for name, value in inputs.items()}
        )
        difference = distance(exact, expected) / BYTES
        worst = largest([worst, difference])
        check(path.name, difference, tolerance)
        off = (torch.from_numpy(pictures).float() - expected.clamp(0, BYTES)).abs().max()
        if off > 0.5 + tolerance * BYTES:
            raise ModelError(f"{path.name} does not round to the nearest byte")
    del model.graph.output[0]
    save_graph(model, path)
    return worst


def _store_in_half(graph: onnx.GraphProto) -> None:
    """Store float32 weights in half precision where that loses nothing, as in a graph that comes
    from a checkpoint in half precision. ONNX Runtime converts them when it opens the graph.
    """
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        array = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if array.size > 1 and np.array_equal(half.astype(np.float32), array):
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quietly() -> Iterator[None]:
    """PyTorch's exporter talks of what it does and of what else could be installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
