"""The fill graph equals PyTorch at every mask, and no text knows of its neighbours."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from small_bert import VOCABULARY, masked_rows, perturbed, small_config
from torch import Tensor, nn

from genkit_export.architectures.bert import Bert
from genkit_export.fill import calibrate
from genkit_export.fill_graph import INPUTS, OUTPUTS, build
from genkit_export.folder import save_graph
from genkit_export.parity import Graph
from genkit_export.quantize import StaticInt8

SHAPES = ((1, 5), (4, 9), (13, 30))
SUPPRESS = (0, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def model() -> Bert:
    return perturbed(small_config())


@pytest.fixture(scope="module")
def batches(model: Bert) -> list[tuple[Tensor, Tensor]]:
    return [masked_rows(24, 20, model.config, seed) for seed in range(100, 104)]


@pytest.fixture(scope="module")
def graphs(
    model: Bert, batches: list[tuple[Tensor, Tensor]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Graph]:
    folder = tmp_path_factory.mktemp("graphs")
    save_graph(build(model, SUPPRESS), folder / "fp32.onnx")
    dense = StaticInt8(calibrate(model, batches))
    save_graph(build(model, SUPPRESS, dense), folder / "int8.onnx")
    return {name: Graph(folder / f"{name}.onnx") for name in ("fp32", "int8")}


def run(
    graph: Graph, ids: Tensor, positions: Tensor, targets: Any = None, top: int = 3
) -> dict[str, NDArray[Any]]:
    """All outputs by name."""
    if targets is None:
        targets = np.zeros((len(positions), 0))
    values = graph.run(
        list(OUTPUTS),
        input_ids=ids.numpy(),
        positions=positions.numpy(),
        targets=targets,
        top=top,
    )
    return dict(zip(OUTPUTS, values, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_equals_pytorch(graphs: dict[str, Graph], model: Bert, shape: tuple[int, int]) -> None:
    ids, positions = masked_rows(*shape, model.config)
    expected = model.at(ids, positions).log_softmax(-1).numpy()
    found = run(graphs["fp32"], ids, positions, top=VOCABULARY - len(SUPPRESS))
    np.testing.assert_allclose(found["log_probabilities"], expected, atol=3e-5)
    expected[:, SUPPRESS] = -np.inf
    order = np.sort(expected)[:, ::-1]
    np.testing.assert_allclose(found["scores"], order[:, : -len(SUPPRESS)], atol=3e-5)
    own = np.take_along_axis(expected, found["tokens"], 1)
    np.testing.assert_allclose(found["scores"], own, atol=3e-5)
    assert not np.isin(found["tokens"], SUPPRESS).any()


def test_targets_are_looked_up_suppressed_or_not(graphs: dict[str, Graph], model: Bert) -> None:
    ids, positions = masked_rows(5, 12, model.config)
    targets = np.arange(len(positions) * 3).reshape(-1, 3)
    found = run(graphs["fp32"], ids, positions, targets)
    expected = np.take_along_axis(found["log_probabilities"], targets, 1)
    assert np.array_equal(found["target_scores"], expected)
    assert np.isfinite(expected).all()


def test_no_targets_give_none(graphs: dict[str, Graph], model: Bert) -> None:
    ids, positions = masked_rows(2, 8, model.config)
    assert run(graphs["fp32"], ids, positions)["target_scores"].shape == (len(positions), 0)


def test_any_token_can_be_asked_about_in_any_order(graphs: dict[str, Graph], model: Bert) -> None:
    ids, _ = masked_rows(3, 8, model.config)
    positions = torch.tensor([(2, 0), (0, 7), (0, 0), (2, 0)])
    found = run(graphs["fp32"], ids, positions)["log_probabilities"]
    with torch.inference_mode():
        expected = model(ids).log_softmax(-1)[positions[:, 0], positions[:, 1]]
    np.testing.assert_allclose(found, expected.numpy(), atol=3e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_text_is_the_same_alone_and_among_others(
    graphs: dict[str, Graph], model: Bert, precision: str
) -> None:
    ids, positions = masked_rows(29, 37, model.config, seed=7)
    together = run(graphs[precision], ids, positions)
    for row, text in enumerate(ids):
        mine = positions[:, 0] == row
        own = positions[mine] * torch.tensor([0, 1])
        alone = run(graphs[precision], text[text != model.config.pad_id][None], own)
        for name, values in alone.items():
            if precision == "int8":  # to the last bit
                assert np.array_equal(values, together[name][mine]), name
            else:
                np.testing.assert_allclose(values, together[name][mine], atol=1e-5)


@torch.inference_mode()
def test_int8_stays_near_float32(graphs: dict[str, Graph], model: Bert) -> None:
    ids, positions = masked_rows(64, 20, model.config, seed=9)
    full = run(graphs["fp32"], ids, positions)
    eight = run(graphs["int8"], ids, positions)
    difference = np.abs(full["log_probabilities"] - eight["log_probabilities"])
    assert difference.mean() < 0.1
    assert (full["tokens"][:, 0] == eight["tokens"][:, 0]).mean() > 0.7


def test_every_product_has_a_range(model: Bert, batches: list[tuple[Tensor, Tensor]]) -> None:
    ranges = calibrate(model, batches)
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert ranges.keys() == linear | {"embeddings.words"}
    assert all(low <= 0 < high for low, high in ranges.values())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_int8_has_no_product_in_float(model: Bert) -> None:
    sites = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    ranges = dict.fromkeys(sites | {"embeddings.words"}, (-4.0, 4.0))
    operators = [node.op_type for node in build(model, dense=StaticInt8(ranges)).graph.node]
    # Four in each of two layers, the head's, the vocabulary's.
    assert operators.count("MatMulIntegerToFloat") == 10
    assert not {"MatMul", "Gemm"} & set(operators)


def test_only_masks_meet_what_follows_the_last_attention(model: Bert, tmp_path: Path) -> None:
    graph = build(model)
    operators = [node.op_type for node in graph.graph.node]
    last = len(operators) - 1 - operators[::-1].index("MultiHeadAttention")
    after = [node.output[0] for node in graph.graph.node[last:] if node.op_type == "MatMul"]
    assert len(after) == 5  # out of the attention, two of the feed-forward, head, vocabulary
    graph.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in after)
    save_graph(graph, tmp_path / "graph.onnx")
    ids, positions = masked_rows(4, 20, model.config, 0)
    none = np.zeros((len(positions), 0))
    values = Graph(tmp_path / "graph.onnx").run(
        after, input_ids=ids.numpy(), positions=positions.numpy(), targets=none, top=1
    )
    assert len(positions) < (ids != model.config.pad_id).sum()
    assert {len(rows) for rows in values} == {len(positions)}


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_every_activation(activation: str, tmp_path: Path) -> None:
    model = perturbed(small_config(activation=activation, layers=1))
    save_graph(build(model), tmp_path / "fill.onnx")
    ids, positions = masked_rows(3, 9, model.config)
    found = run(Graph(tmp_path / "fill.onnx"), ids, positions)["log_probabilities"]
    with torch.inference_mode():
        expected = model.at(ids, positions).log_softmax(-1).numpy()
    np.testing.assert_allclose(found, expected, atol=3e-5)


def test_tied_embeddings_are_stored_once_in_half_precision(model: Bert) -> None:
    with torch.no_grad():
        rounded = Bert(model.config)
        rounded.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    stored = build(rounded).graph.initializer
    tables = [t for t in stored if list(t.dims) == [VOCABULARY, model.config.d_model]]
    assert [t.data_type for t in tables] == [TensorProto.FLOAT16]


def test_inputs_and_outputs_are_documented(model: Bert) -> None:
    graph = build(model).graph
    assert [value.name for value in graph.input] == list(INPUTS)
    assert [value.name for value in graph.output] == list(OUTPUTS)
