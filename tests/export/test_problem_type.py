"""What the numbers of a classifier mean: one of its classes, each by itself, or no class at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vision_models import photo

import genkit
from genkit.images import decode
from genkit.model import open_model
from genkit.pixels import fit
from genkit_export import export_checkpoint
from genkit_export.architectures.vit import ViT, ViTConfig
from genkit_export.export import inspect

from .inspecting import assert_refused, settings_of
from .test_layout_vit import HEADS, saved, timm_weights

MULTI = "multi_label_classification"


@pytest.mark.parametrize("kind", ["single_label_classification", MULTI])
def test_is_read_where_a_file_tells(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path, timm_weights(), problem_type=kind)
    assert settings_of(path, **HEADS)["problem_type"] == (kind, "read")
    assert inspect(path, given=HEADS).loaded.config["multi_label"] == (kind == MULTI)
    assert ViTConfig().multi_label is False


def test_is_assumed_where_it_does_not(tmp_path: Path) -> None:
    path = saved(tmp_path, timm_weights(), problem_type=None)
    found = settings_of(path, **HEADS)["problem_type"]
    assert found == ("single_label_classification", "assumed")


def test_a_regression_tells_no_classes(tmp_path: Path) -> None:
    path = saved(tmp_path, timm_weights(), problem_type="regression")
    assert_refused(path, "tells 5 number.* no classes", **HEADS)
    path = saved(tmp_path, timm_weights(), problem_type="ranking")
    assert_refused(path, "the problem_type 'ranking', which is not known", **HEADS)


def test_one_number_is_no_class_unless_the_user_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path, timm_weights(num_classes=1))
    assert_refused(path, r"tells 1 number.* no classes \(regression\)", **HEADS)
    given = {**HEADS, "problem_type": MULTI}
    out = export_checkpoint(path, tmp_path / "model", settings=given)
    (spec,) = open_model(out).card.interface["classify"].outputs
    assert spec.description == "of each label of the card, by itself"

    file = photo(tmp_path / "photo.png", 32, 32)
    picture = decode(file.read_bytes())
    ((guess,),) = genkit.load("classify", str(out), device="cpu")([picture])
    found = inspect(path, given=given).loaded

    network = ViT(ViTConfig(**found.config)).eval()
    network.load_state_dict(dict(found.weights))
    crop = open_model(out).card.image
    assert crop is not None

    x = torch.from_numpy(fit(picture.srgb(), crop.resize).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = network(x.float() / 127.5 - 1).sigmoid().item()
    assert guess.probability == pytest.approx(expected, abs=1e-4)
    assert 0.001 < expected < 0.999
