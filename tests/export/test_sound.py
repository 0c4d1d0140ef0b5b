# ruff: noqa: F401, F811 (fixtures of another file)
"""Weights that cannot be those of a trained network, and names that no model can have."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import small_bert
import torch
from shell import genkit as run

import genkit
from genkit.errors import InputError, ModelError, UsageError
from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.checkpoints import genkit as own
from genkit_export.read import read
from genkit_export.sound import check_numbers, never_ran

from .inspecting import assert_refused

# The small Transformer of the export's tests, and its checkpoint.
from .test_export import checkpoint, description, model
from .test_layout_junyanz import filled, resnet_shapes


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "told"), [(math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")]
    )
    def test_of_no_kind_that_a_weight_has(self, value: float, told: str, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(1))
        weights["model.4.weight"][1, 0, 2, 0] = value
        torch.save({"net": weights}, tmp_path / "a.pth")
        assert_refused(tmp_path / "a.pth", rf"model\.4\.weight holds {told}")

    def test_that_float32_does_not_have(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(1))
        weights["model.4.weight"] = weights["model.4.weight"].double() * 1e300
        torch.save(weights, tmp_path / "a.pth")
        assert_refused(tmp_path / "a.pth", r"model\.4\.weight holds .*float32 does not have")

    def test_that_are_not_used(self, tmp_path: Path) -> None:
        state = {"step": torch.tensor(math.nan)}
        torch.save({"net": filled(resnet_shapes(1)), "optimizer": state}, tmp_path / "a.pth")
        assert inspect_checkpoint(tmp_path / "a.pth")["layout"] == "junyanz-resnet"

    def test_minus_infinity_may_be_meant_in_the_last_bias_alone(self) -> None:
        bias = {"head.bias": torch.tensor([0.0, -math.inf])}
        check_numbers(bias, bias, "a.pth")
        for name, value in (("head.bias", math.inf), ("norm.bias", -math.inf)):
            wrong = {name: torch.tensor([0.0, value])}
            with pytest.raises(InputError, match=f"a.pth: {name} holds infinite"):
                check_numbers(wrong, wrong, "a.pth")

    def test_a_token_that_is_never_chosen(self, tmp_path: Path) -> None:
        network = small_bert.perturbed(small_bert.small_config())
        with torch.no_grad():
            network.head.bias[77] = -math.inf
        folder = small_bert.write_model(tmp_path / "model", small_bert.halved(network))
        fill = genkit.load("fill", str(folder), precision="fp32")
        (answers,) = fill.fill(["the [MASK] barked."], top=200)[0].masks
        assert small_bert.TOKENS[77] not in [answer.text for answer in answers]
        assert all(math.isfinite(answer.score) for answer in answers)

    def test_weights_with_which_a_network_overflows(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(1))
        weights["model.4.weight"] *= 1e38
        torch.save(weights, tmp_path / "a.pth")
        with pytest.raises(InputError, match="gives no numbers"):
            export_checkpoint(tmp_path / "a.pth", tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestStatistics:
    FRESH = (("a.running_mean", torch.zeros(3)), ("a.running_var", torch.ones(3)))

    def test_of_norms_that_no_batch_went_through(self) -> None:
        assert never_ran(self.FRESH)
        assert never_ran((("stored_mean", torch.zeros(3)), ("stored_var", torch.ones(3))))
        assert not never_ran((*self.FRESH, ("b.running_mean", torch.full((3,), 0.1))))
        assert not never_ran((("a.weight", torch.zeros(3)),))


class TestNames:
    def test_are_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        for extra in ((), ("--inspect",)):
            done = run("export", str(tmp_path / "none.pth"), "--name", "my model", *extra)
            assert (done.code, done.out) == (2, "")
            assert done.err.startswith("genkit: a model cannot be called 'my model'")
            assert "for example my-model" in done.err
        with pytest.raises(UsageError):
            export_checkpoint(tmp_path / "none.pth", tmp_path / "out", name="a/b")

    def test_of_files_become_names_of_models(self, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(1)), tmp_path / "日本 _x.pth")
        out = export_checkpoint(tmp_path / "日本 _x.pth", tmp_path / "out")
        assert open_model(out).card.name == "x"

    def test_of_a_checkpoints_own_card(
        self,
        checkpoint: Path,
        model: torch.nn.Module,
        description: own.Description,
    ) -> None:
        own.write(checkpoint, model, replace(description, card={**description.card, "name": "a b"}))
        assert_refused(checkpoint, "a model cannot be called 'a b'")
        assert inspect_checkpoint(checkpoint, name="fine")["task"] == "translate"


class TestEightBits:
    def test_that_do_not_stand_for_the_network_are_refused(
        self,
        checkpoint: Path,
        model: torch.nn.Module,
        description: own.Description,
        tmp_path: Path,
    ) -> None:
        narrow = {site: (low / 50, high / 50) for site, (low, high) in description.ranges.items()}
        own.write(checkpoint, model, replace(description, ranges=narrow))
        with pytest.raises(ModelError, match=r"int8\.onnx does not compute") as raised:
            export_checkpoint(checkpoint, tmp_path / "out")
        assert raised.value.hint == "--precision fp32 leaves it out"
        card = open_model(export_checkpoint(checkpoint, tmp_path / "out", precision="fp32")).card
        assert card.export.get("tolerances") is None

    def test_have_a_tolerance_of_their_own_in_the_card(
        self,
        checkpoint: Path,
        tmp_path: Path,
    ) -> None:
        card = open_model(export_checkpoint(checkpoint, tmp_path / "out", precision="int8")).card
        difference = card.export["differences"]["translate"]["int8"]
        assert card.export["tolerance"] < difference <= card.tolerance("int8")
        assert card.file_facts.keys() == {"tokenizer.json"}

    def test_an_input_that_is_always_zero(
        self,
        checkpoint: Path,
        model: torch.nn.Module,
        description: own.Description,
        tmp_path: Path,
    ) -> None:
        ranges = {**description.ranges, next(iter(description.ranges)): (0.0, 0.0)}
        own.write(checkpoint, model, replace(description, ranges=ranges))
        with pytest.raises(ModelError, match="does not compute"):  # it is not always zero here
            export_checkpoint(checkpoint, tmp_path / "out")

    @pytest.mark.parametrize("wrong", [None, [1.0], [2.0, 1.0], ["a", "b"], [math.nan, 1.0]])
    def test_ranges_that_are_none(
        self,
        wrong: object,
        checkpoint: Path,
        model: torch.nn.Module,
        description: own.Description,
        tmp_path: Path,
    ) -> None:
        site = next(iter(description.ranges))
        ranges = {k: v for k, v in description.ranges.items() if k != site}
        if wrong is not None:
            ranges[site] = wrong  # type: ignore[assignment]
        own.write(checkpoint, model, replace(description, ranges=ranges))
        with pytest.raises(InputError, match=f"range .*for {site}"):
            export_checkpoint(checkpoint, tmp_path / "out")


def test_every_shipped_model_holds_its_tolerances() -> None:
    weights = Path(__file__).parents[2] / "weights"
    for path in weights.glob("*/*/model.json"):
        card = open_model(path.parent).card
        assert not card.unhashed()
        for differences in card.export["differences"].values():
            for precision, difference in differences.items():
                assert difference <= card.tolerance(precision), (path, precision)
        assert (
            json.loads(path.read_text())["origin"]["sha256"]
            == read(path.parent / "checkpoint.safetensors").sha256
        )
