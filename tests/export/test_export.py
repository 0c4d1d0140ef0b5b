"""A checkpoint becomes a model folder that runs, or one clear line and nothing on disk."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import genkit
from genkit.errors import CardError, InputError, ModelError, UsageError
from genkit.model import open_model, user_models, verify
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.transformer import Transformer
from genkit_export.checkpoints import genkit as own
from genkit_export.parity import Graph
from genkit_export.quantize import calibrate
from genkit_export.read import header, read

from .inspecting import settings_in
from .models import VOCABULARY, perturbed, sentences, small_config

WORDS = ["</s>", "<unk>", *(f"w{i}" for i in range(2, VOCABULARY - 1)), "<pad>"]
CARD: dict[str, Any] = {
    "task": "translate",
    "name": "tiny",
    "description": "says random words",
    "license": "CC0-1.0",
    "text": {
        "tokenizer": {"source": "tokenizer.json", "target": "tokenizer.json"},
        "languages": {"source": ["en"], "target": ["de"]},
        "decoder_start_id": VOCABULARY - 1,
        "eos_id": 0,
        "pad_id": VOCABULARY - 1,
        "suppress_ids": [1],
        "max_positions": 64,
    },
    "origin": {"data": [], "figures": []},
}


def rounded(model: Transformer) -> Transformer:
    """The network that a half-precision checkpoint holds."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


@pytest.fixture
def model() -> Transformer:
    return rounded(perturbed(small_config(), sharpness=1.0))


@pytest.fixture
def description(model: Transformer) -> own.Description:
    batch = (sentences(8, 14, model.config), sentences(8, 12, model.config, 1))
    return own.Description("transformer", asdict(model.config), CARD, calibrate(model, [batch]))


@pytest.fixture
def checkpoint(model: Transformer, description: own.Description, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 0)])
    tokenizer.add_special_tokens(["</s>", "<unk>", "<pad>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    own.write(folder / "checkpoint.safetensors", model, description)
    return folder / "checkpoint.safetensors"


def rewrite(checkpoint: Path, tensors: dict[str, torch.Tensor], **metadata: str) -> None:
    old = read(checkpoint)
    save_file(tensors, checkpoint, {**old.metadata, **metadata})


def test_the_folder_runs(checkpoint: Path, tmp_path: Path) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "tiny")
    assert sorted(path.name for path in out.iterdir()) == [
        "model.json",
        "tokenizer.json",
        "translate.fp32.onnx",
        "translate.int8.onnx",
    ]
    opened = open_model(out)
    assert verify(opened) == []
    assert opened.card.default_precision == {"cpu": "int8", "cuda": "fp32"}
    for precision in ("fp32", "int8"):
        translate = genkit.load("translate", str(out), precision=precision)
        (found,) = translate(["w5 w9 w77 w31"])
        assert set(found.split()) <= set(WORDS[2:-1])


def test_the_card_tells_where_it_comes_from(checkpoint: Path, tmp_path: Path) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "other", name="other")
    card = json.loads((out / "model.json").read_text())
    assert card["name"] == "other"
    assert card["origin"]["sha256"] == read(checkpoint).sha256
    assert card["origin"]["layout"] == "genkit"
    assert card["export"]["opset"] == onnx.load(out / "translate.fp32.onnx").opset_import[0].version
    differences = card["export"]["differences"]["translate"]
    assert differences["fp32"] <= card["export"]["tolerance"]
    assert differences.keys() == {"fp32", "int8"}


def test_every_input_and_output_is_documented(checkpoint: Path, tmp_path: Path) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "tiny")
    documented = open_model(out).card.interface["translate"]
    for precision in ("fp32", "int8"):
        graph = onnx.load(out / f"translate.{precision}.onnx").graph
        assert [spec.name for spec in documented.inputs] == [value.name for value in graph.input]
        assert [spec.name for spec in documented.outputs] == [value.name for value in graph.output]
    assert all(spec.description for spec in documented.inputs + documented.outputs)


def test_an_export_can_be_repeated_to_the_byte(checkpoint: Path, tmp_path: Path) -> None:
    first = export_checkpoint(checkpoint, tmp_path / "a" / "tiny")
    second = export_checkpoint(checkpoint, tmp_path / "b" / "tiny")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_half_precision_weights_lose_nothing_in_the_graph(
    checkpoint: Path, model: Transformer, tmp_path: Path
) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "tiny")
    graph = onnx.load(out / "translate.fp32.onnx").graph
    halves = [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    stored = sum(int(np.prod(t.dims)) for t in halves)
    assert stored > sum(p.numel() for p in model.parameters()) * 0.9


def test_without_a_calibration_there_is_no_int8(
    checkpoint: Path, model: Transformer, description: own.Description, tmp_path: Path
) -> None:
    own.write(checkpoint, model, replace(description, ranges={}))
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "tiny")
    card = open_model(out).card
    assert card.graphs["translate"].keys() == {"fp32"}
    assert card.default_precision == {"cpu": "fp32", "cuda": "fp32"}


def test_full_precision_alone(checkpoint: Path, tmp_path: Path) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "tiny", precision="fp32")
    assert open_model(out).card.graphs["translate"].keys() == {"fp32"}


def test_eight_bits_alone(checkpoint: Path, tmp_path: Path) -> None:
    out = export_checkpoint(checkpoint, tmp_path / "translate" / "tiny", precision="int8")
    card = open_model(out).card
    assert card.graphs["translate"].keys() == card.export["differences"]["translate"].keys()
    assert [path.name for path in out.glob("*.onnx")] == ["translate.int8.onnx"]
    assert "int8" in genkit.load("translate", str(out), device="cpu").runs_on


def test_eight_bits_need_a_calibration(
    checkpoint: Path, model: Transformer, description: own.Description, tmp_path: Path
) -> None:
    own.write(checkpoint, model, replace(description, ranges={}))
    with pytest.raises(UsageError, match="has no ranges of activations"):
        export_checkpoint(checkpoint, tmp_path / "out", precision="int8")
    assert not (tmp_path / "out").exists()


def test_it_can_be_inspected(checkpoint: Path, model: Transformer) -> None:
    record = inspect_checkpoint(checkpoint)
    assert (record["layout"], record["architecture"]) == ("genkit", "transformer")
    assert record["task"] == "translate"
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    rows = settings_in(record)
    assert rows["d_model"] == (64, "read")


def test_by_default_it_becomes_one_of_the_users_models(checkpoint: Path) -> None:
    assert export_checkpoint(checkpoint) == user_models() / "translate" / "tiny"
    assert genkit.load("translate", "tiny")([""]) == [""]


def test_says_what_it_found_and_measured(checkpoint: Path, tmp_path: Path) -> None:
    said: list[str] = []
    export_checkpoint(checkpoint, tmp_path / "translate" / "tiny", report=said.append)
    assert said[0].startswith("checkpoint.safetensors: transformer, 0.")
    assert [line.partition(":")[0] for line in said[1:]] == [
        "translate.fp32.onnx",
        "translate.int8.onnx",
        "stand-ins that are copied",
    ]


class TestRefusals:
    def refuse(self, checkpoint: Path, error: type[Exception], message: str) -> None:
        out = checkpoint.parent.parent / "out"
        with pytest.raises(error, match=message):
            export_checkpoint(checkpoint, out)
        assert not out.exists()
        assert not list(out.parent.glob(".out*"))

    def test_missing_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        self.refuse(
            tmp_path / "a" / "none.safetensors", InputError, "cannot read|not a safetensors"
        )

    def test_no_safetensors(self, checkpoint: Path) -> None:
        checkpoint.write_bytes(b"PK\x03\x04 something else")
        self.refuse(checkpoint, InputError, "is no PyTorch file, or is damaged")

    def test_cut_short(self, checkpoint: Path) -> None:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
        self.refuse(checkpoint, InputError, "is not a safetensors file, or is cut short")

    def test_no_description(self, checkpoint: Path) -> None:
        save_file({"a": torch.zeros(1)}, checkpoint)
        self.refuse(checkpoint, InputError, "of no layout that genkit knows")

    @pytest.mark.parametrize("text", ["{", "[]", '"x"'])
    def test_broken_description(self, checkpoint: Path, text: str) -> None:
        rewrite(checkpoint, dict(read(checkpoint).tensors), genkit=text)
        self.refuse(checkpoint, InputError, "its 'genkit' header")

    def test_incomplete_description(self, checkpoint: Path) -> None:
        rewrite(
            checkpoint, dict(read(checkpoint).tensors), genkit='{"architecture": "transformer"}'
        )
        self.refuse(checkpoint, InputError, "header is incomplete: .*config")

    def test_newer_format(self, checkpoint: Path) -> None:
        fields = {**(header(read(checkpoint), "genkit") or {}), "format": 99}
        rewrite(checkpoint, dict(read(checkpoint).tensors), genkit=json.dumps(fields))
        self.refuse(checkpoint, InputError, "format 99, newer")

    def test_unknown_architecture(
        self, checkpoint: Path, model: Transformer, description: own.Description
    ) -> None:
        own.write(checkpoint, model, replace(description, architecture="perceptron"))
        self.refuse(checkpoint, InputError, "unknown architecture 'perceptron'")

    @pytest.mark.parametrize("change", [{"depth": 3}, {"num_heads": 7}])
    def test_configuration_that_does_not_fit(
        self,
        checkpoint: Path,
        model: Transformer,
        description: own.Description,
        change: dict[str, int],
    ) -> None:
        config = {**description.config, **change}
        own.write(checkpoint, model, replace(description, config=config))
        self.refuse(checkpoint, InputError, "its configuration does not fit")

    def test_left_over_missing_and_misshapen_tensors(self, checkpoint: Path) -> None:
        tensors = dict(read(checkpoint).tensors)
        del tensors["output_bias"]
        tensors["surplus"] = torch.zeros(2)
        tensors["encoder.0.self_residual.norm.bias"] = torch.zeros(3)
        rewrite(checkpoint, tensors)
        names = "encoder.0.self_residual.norm.bias, output_bias, surplus"
        self.refuse(checkpoint, InputError, f"of another shape: {names}$")

    def test_no_tokenizer(self, checkpoint: Path) -> None:
        (checkpoint.parent / "tokenizer.json").unlink()
        self.refuse(checkpoint, InputError, "needs tokenizer.json beside it")

    def test_card_that_is_not_whole(
        self, checkpoint: Path, model: Transformer, description: own.Description
    ) -> None:
        card = {key: value for key, value in CARD.items() if key != "license"}
        own.write(checkpoint, model, replace(description, card=card))
        self.refuse(checkpoint, CardError, "license")

    def test_graph_that_computes_something_else(
        self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = Graph.run
        monkeypatch.setattr(
            Graph, "run", lambda *args, **inputs: [x + 0.01 for x in run(*args, **inputs)]
        )
        self.refuse(checkpoint, ModelError, "does not compute what PyTorch does")


def test_a_full_folder_is_kept_unless_told_otherwise(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "translate" / "tiny"
    out.mkdir(parents=True)
    (out / "sample.jpg").write_bytes(b"a picture")
    with pytest.raises(UsageError, match="not empty"):
        export_checkpoint(checkpoint, out)
    export_checkpoint(checkpoint, out, overwrite=True)
    assert (out / "sample.jpg").read_bytes() == b"a picture"
    assert open_model(out).card.name == "tiny"


def test_a_file_is_no_place_for_a_folder(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        export_checkpoint(checkpoint, tmp_path / "file", overwrite=True)
