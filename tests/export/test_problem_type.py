"""What the numbers of a classifier mean: one of its classes, each by itself, or no class at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vision_models import pictures, read_published

from genkit_export.architectures.vit import ViT, ViTConfig
from genkit_export.classify import probabilities
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


@torch.inference_mode()
def test_one_number_is_no_class_unless_the_user_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path, timm_weights(num_classes=1))
    assert_refused(path, r"tells 1 number.* no classes \(regression\)", **HEADS)
    given = {**HEADS, "problem_type": MULTI}
    loaded = inspect(path, given=given).loaded
    network = ViT(ViTConfig(**loaded.config)).eval()
    network.load_state_dict(dict(loaded.weights))
    x = pictures(2, 32, 32)
    assert torch.equal(probabilities(network)(x), torch.sigmoid(network(x)))


@torch.inference_mode()
def test_classes_exclude_each_other_or_do_not(tmp_path: Path) -> None:
    sums = []
    for kind in ("single_label_classification", MULTI):
        path = saved(tmp_path, timm_weights(), problem_type=kind)
        _, network = read_published(path, **HEADS)
        sums.append(probabilities(network)(pictures(1, 32, 32)).sum().item())
    assert sums[0] == pytest.approx(1)
    assert sums[1] > 1.01 or sums[1] < 0.99
