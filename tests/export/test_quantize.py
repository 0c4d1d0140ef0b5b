"""Eight-bit graphs: close to float32, and independent of batch mates to the last bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genkit_export.architectures.transformer import Transformer
from genkit_export.folder import save_graph
from genkit_export.parity import Graph
from genkit_export.quantize import StaticInt8, calibrate
from genkit_export.search_graph import build

from .models import perturbed, sentences, small_config
from .test_search_graph import Case

Batches = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def model() -> Transformer:
    return perturbed(small_config(), sharpness=1.0)


@pytest.fixture(scope="module")
def batches(model: Transformer) -> Batches:
    return [
        (sentences(16, 14, model.config, seed), sentences(16, 12, model.config, seed + 100))
        for seed in range(4)
    ]


@pytest.fixture(scope="module")
def case(model: Transformer, batches: Batches, tmp_path_factory: pytest.TempPathFactory) -> Case:
    path = tmp_path_factory.mktemp("graph") / "search.onnx"
    save_graph(build(model, dense=StaticInt8(calibrate(model, batches))), path)
    return Case(model, Graph(path), None)  # type: ignore[arg-type]


def test_every_linear_layer_and_the_output_have_a_range(
    model: Transformer, batches: Batches
) -> None:
    ranges = calibrate(model, batches)
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert ranges.keys() == linear | {"embedding"}
    assert all(low <= 0 < high for low, high in ranges.values())


def test_a_range_covers_the_inputs_but_for_outliers(model: Transformer, batches: Batches) -> None:
    inputs: list[Tensor] = []
    site = "encoder.1.feed_forward.contract"
    handle = model.get_submodule(site).register_forward_pre_hook(
        lambda _, args: inputs.append(args[0].flatten())
    )
    ranges = calibrate(model, batches, percentile=99.0)
    handle.remove()
    values = torch.cat(inputs)
    low, high = ranges[site]
    inside = ((values >= low) & (values <= high)).float().mean()
    assert 0.97 < inside < 0.999


def test_calibration_leaves_the_network_as_it_was(model: Transformer, batches: Batches) -> None:
    calibrate(model, batches)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_scores_stay_near_float32(case: Case, tmp_path: Path) -> None:
    save_graph(build(case.model), tmp_path / "search.onnx")
    full = Case(case.model, Graph(tmp_path / "search.onnx"), None)  # type: ignore[arg-type]
    source = sentences(64, 14, case.model.config, seed=9)
    # One token: a random network's later ones follow from the first, and say nothing.
    limits = {"max_length": [1] * 64}
    pairs = list(zip(case.search(source, **limits), full.search(source, **limits), strict=True))
    alike = [(a[0].score, b[0].score) for a, b in pairs if a[0].tokens == b[0].tokens]
    assert len(alike) > 48
    assert np.mean([abs(eight - exact) for eight, exact in alike]) < 0.1


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_row_is_the_same_alone_and_among_others(case: Case, beam_size: int) -> None:
    source = sentences(48, 21, case.model.config, seed=7)
    pad = case.model.config.pad_id
    together = case.search(source, beam_size=beam_size)
    for row, expected in zip(source, together, strict=True):
        assert case.search(row[row != pad][None], beam_size=beam_size)[0] == expected


def test_inputs_are_unsigned_and_weights_signed(case: Case, model: Transformer) -> None:
    """The fast path of x86: unsigned inputs, signed weights."""
    import onnx
    from onnx import TensorProto

    graph = build(model, dense=StaticInt8(_wide_ranges(model))).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    products = [
        node
        for inner in _graphs(graph)
        for node in inner.node
        if node.op_type == "MatMulIntegerToFloat"
    ]
    assert products
    stored = {node.output[0]: node.input[0] for inner in _graphs(graph) for node in inner.node}
    assert {kinds[stored[node.input[1]]] for node in products} == {TensorProto.INT8}
    assert {kinds[node.input[4]] for node in products} == {TensorProto.UINT8}
    assert not any(
        node.op_type in ("MatMul", "Gemm") for inner in _graphs(graph) for node in inner.node
    )
    assert isinstance(graph, onnx.GraphProto)


def _wide_ranges(model: Transformer) -> dict[str, tuple[float, float]]:
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return dict.fromkeys([*linear, "embedding"], (-4.0, 4.0))


def _graphs(graph: object) -> list[object]:
    """A graph and all graphs inside it."""
    inner = [
        attribute.g
        for node in graph.node  # type: ignore[attr-defined]
        for attribute in node.attribute
        if attribute.HasField("g")
    ]
    return [graph, *(found for one in inner for found in _graphs(one))]


def test_a_static_product_equals_its_formula() -> None:
    from onnx import TensorProto

    from genkit_export.onnx_builder import GraphBuilder, tensor

    random = np.random.default_rng(0)
    weight = random.normal(size=(24, 32)).astype(np.float32)
    bias = random.normal(size=24).astype(np.float32)
    g = GraphBuilder()
    y = StaticInt8({"here": (-0.5, 3.0)})(g, "x", weight, bias, "here")
    model = g.model(
        [tensor("x", TensorProto.FLOAT, ("n", 32))], [tensor(y, TensorProto.FLOAT, ("n", 24))]
    )
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = random.uniform(-0.5, 3.0, (10, 32)).astype(np.float32)
    (found,) = session.run(None, {"x": x})
    step = 3.5 / 255
    assert np.abs(found - (x @ weight.T + bias)).max() < 32 * step * np.abs(weight).max()
    zero = round(0.5 / step)
    eight = (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step
    channel = np.abs(weight).max(1, keepdims=True) / 127
    expected = eight @ (np.rint(weight / channel) * channel).T + bias
    np.testing.assert_allclose(found, expected, atol=1e-4)
