"""Which layout a file is of, and what is said of one that is of none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genkit.errors import InputError, UsageError
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.checkpoints.layout import Layout, Loaded, Settings
from genkit_export.recognise import fit
from genkit_export.registry import ARCHITECTURES, LAYOUTS

from .test_layout_junyanz import filled, resnet_shapes

REFUSED = ("eriklindernoren-context-encoder",)
"""Layouts that are recognised, for their name to be said."""


def layout(*keys: str) -> Layout:
    return Layout("some", "bert", "fill", keys, lambda *_: Loaded({}, {}), "Some layout")


class TestFit:
    def test_a_star_is_a_number(self) -> None:
        some = layout("a.weight", "layers.*.bias")
        assert not fit(some, ["a.weight", "layers.12.bias"]).missing
        assert fit(some, ["a.weight", "layers.x.bias"]).missing == ("layers.*.bias",)

    def test_all_keys_stand_behind_the_same_prefix(self) -> None:
        some = layout("a.weight", "b.weight")
        found = fit(some, ["x.y.a.weight", "x.y.b.weight", "other"])
        assert (found.prefix, found.missing) == ("x.y.", ())
        assert fit(some, ["x.a.weight", "y.b.weight"]).missing

    def test_a_key_is_no_part_of_a_name(self) -> None:
        assert fit(layout("a.weight"), ["ba.weight", "a.weights"]).missing

    def test_several_networks(self) -> None:
        found = fit(layout("a"), ["two.a", "one.a", "three.ema.a"])
        assert found.prefix == "three.ema."
        assert found.prefixes == ("one.", "two.")


class TestTable:
    def test_names_are_different_and_architectures_known(self) -> None:
        assert len({one.name for one in LAYOUTS}) == len(LAYOUTS)
        for one in LAYOUTS:
            assert bool(one.keys) != bool(one.header)
            assert one.header or one.name in REFUSED or one.architecture in ARCHITECTURES

    def test_no_layout_is_taken_for_another(self) -> None:
        """The keys of one, with numbers for the stars, fit that one alone."""
        with_keys = [one for one in LAYOUTS if one.keys]
        for one in with_keys:
            names = [key.replace("*", "0") for key in one.keys]
            assert [other.name for other in with_keys if not fit(other, names).missing] == [
                one.name
            ]


class TestSettings:
    def test_given_before_read_and_assumed(self) -> None:
        settings = Settings({"width": "3", "bias": "no", "share": "0.5", "names": "a,b"})
        assert settings.read("width", 7) == 3
        assert settings.assume("bias", True) is False
        assert settings.assume("share", 0.75) == 0.5
        assert settings.assume("names", ["c"]) == ["a", "b"]
        assert settings.read("depth", 2) == 2
        assert [one.source for one in settings.list()] == [*["given"] * 4, "read"]
        assert settings.list()[1].flag == "--set bias=no"

    @pytest.mark.parametrize(
        ("value", "text"), [(3, "three"), (True, "perhaps"), (0.5, "half"), (3, "1.5")]
    )
    def test_values_of_another_type(self, value: Any, text: str) -> None:
        with pytest.raises(UsageError, match="--set x="):
            Settings({"x": text}).read("x", value)

    def test_one_that_the_layout_does_not_have(self) -> None:
        settings = Settings({"heads": "3"})
        settings.read("width", 7)
        with pytest.raises(UsageError, match="no setting 'heads'") as raised:
            settings.list()
        assert raised.value.hint == "it has width"


class TestReaders:
    """What a reader stumbles over is the file's fault only where it says so."""

    def read(self, monkeypatch: pytest.MonkeyPatch, path: Path, load: Any) -> None:
        torch.save({"a.weight": torch.zeros(1)}, path)
        one = Layout("some", "bert", "fill", ("a.weight",), load, "Some layout")
        monkeypatch.setattr("genkit_export.export.LAYOUTS", (one,))
        inspect_checkpoint(path)

    def test_a_tensor_that_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match=r"looks like some, but has no b\.weight"):
            self.read(monkeypatch, tmp_path / "a.pth", lambda weights, *_: weights["b.weight"])

    def test_a_bug_is_no_fault_of_the_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with pytest.raises(KeyError, match="misspelt"):
            self.read(monkeypatch, tmp_path / "a.pth", lambda *_: {}["misspelt"])


class TestUnknown:
    def test_nothing_like_it(self, tmp_path: Path) -> None:
        torch.save({f"layer{i}": torch.zeros(1) for i in range(6)}, tmp_path / "a.pth")
        with pytest.raises(InputError, match="of no layout that genkit knows") as raised:
            inspect_checkpoint(tmp_path / "a.pth")
        assert raised.value.hint == (
            "no key of any layout is in it; it holds layer0, layer1, layer2, layer3 and 2 more"
        )

    def test_the_nearest_layouts_and_what_they_lack(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(6))
        del weights["model.7.weight"]
        torch.save(weights, tmp_path / "a.pth")
        with pytest.raises(InputError, match="of no layout that genkit knows") as raised:
            export_checkpoint(tmp_path / "a.pth", tmp_path / "out")
        assert raised.value.hint is not None
        assert raised.value.hint.startswith("nearest is junyanz-resnet, but for model.7.weight")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("content", [{}, [], 3, {"epoch": 3}])
    def test_no_tensors(self, content: Any, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(InputError, match="of no layout"):
            inspect_checkpoint(tmp_path / "a.pth")

    def test_a_layout_can_be_forced(self, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(6)), tmp_path / "a.pth")
        for name in ("junyanz-resnet", "cyclegan"):
            assert inspect_checkpoint(tmp_path / "a.pth", arch=name)["layout"] == "junyanz-resnet"
        with pytest.raises(InputError, match="of no layout") as raised:
            inspect_checkpoint(tmp_path / "a.pth", arch="lama")
        assert raised.value.hint is not None
        assert "model.1.ffc.convl2l.weight" in raised.value.hint
        with pytest.raises(UsageError, match="no such layout: 'perceptron'") as unknown:
            inspect_checkpoint(tmp_path / "a.pth", arch="perceptron")
        assert "junyanz-resnet" in (unknown.value.hint or "")
