"""A BERT's checkpoint becomes a model folder for the task fill."""

from pathlib import Path

import onnx
import pytest
from small_bert import MASK, SPECIAL, halved, perturbed, small_config, write_checkpoint

from genkit.errors import ModelError
from genkit.model import open_model, verify
from genkit_export import export_checkpoint
from genkit_export.checkpoints import genkit as own
from genkit_export.parity import Graph
from genkit_export.read import read


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint", halved(perturbed(small_config())))


def test_the_folder_is_whole_and_tells_what_was_measured(checkpoint: Path, tmp_path: Path) -> None:
    said: list[str] = []
    out = export_checkpoint(checkpoint, tmp_path / "fill" / "small", report=said.append)
    assert sorted(path.name for path in out.iterdir()) == [
        "fill.fp32.onnx",
        "fill.int8.onnx",
        "model.json",
        "tokenizer.json",
    ]
    opened = open_model(out)
    assert verify(opened) == []
    card = opened.card
    assert (card.task, card.architecture) == ("fill", "bert")
    assert card.default_precision == {"cpu": "int8", "cuda": "fp32"}
    assert card.text is not None and card.text.mask_id == MASK
    assert card.text.suppress_ids == tuple(range(SPECIAL))
    differences = card.export["differences"]["fill"]
    assert differences["fp32"] <= card.export["tolerance"]
    assert differences["fp32"] < differences["int8"] < 2
    assert said[0].startswith("checkpoint.safetensors: bert, 0.")
    assert [line.partition(":")[0] for line in said[1:]] == ["fill.fp32.onnx", "fill.int8.onnx"]


def test_every_input_and_output_is_documented(checkpoint: Path, tmp_path: Path) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "fill" / "small")
    documented = open_model(out).card.interface["fill"]
    for precision in ("fp32", "int8"):
        graph = onnx.load(out / f"fill.{precision}.onnx").graph
        assert [spec.name for spec in documented.inputs] == [value.name for value in graph.input]
        assert [spec.name for spec in documented.outputs] == [value.name for value in graph.output]
    assert all(spec.description for spec in documented.inputs + documented.outputs)


def test_without_a_calibration_there_is_no_int8(checkpoint: Path, tmp_path: Path) -> None:
    model = halved(perturbed(small_config()))
    described = own.describe(read(checkpoint))
    assert described is not None
    own.write(checkpoint, model, own.Description("bert", described.config, described.card))
    card = open_model(export_checkpoint(checkpoint, tmp_path / "fill" / "small")).card
    assert card.graphs["fill"].keys() == {"fp32"}
    assert card.default_precision == {"cpu": "fp32", "cuda": "fp32"}


def test_a_graph_that_computes_something_else_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Graph.run
    monkeypatch.setattr(
        Graph, "run", lambda *args, **feeds: [x + 0.01 for x in run(*args, **feeds)]
    )
    with pytest.raises(ModelError, match="does not compute what PyTorch does"):
        export_checkpoint(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()
