"""The recipe that trains a network to fill holes: its holes, its losses, its figures, a short run."""

import importlib
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genkit.model import open_model
from genkit_export.architectures.cyclegan import PatchDiscriminator
from genkit_export.architectures.inpaint import GatedConfig

RECIPES = Path(__file__).parents[2] / "export" / "recipes"
KINDS = ("strokes", "boxes", "scratches")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(RECIPES))
    module = importlib.import_module("inpaint")
    monkeypatch.setattr(module, "DEVICE", "cpu")
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Slopes of two colours."""
    slope = np.linspace(0, 255, 64)[:, None, None] + np.zeros((64, 64, 3))
    with zipfile.ZipFile(tmp_path / "yosemite-train.zip", "w") as archive:
        for season in ("summer", "winter"):
            for i in range(34):
                file = io.BytesIO()
                picture = np.rot90(slope, i % 4).astype(np.uint8)
                Image.fromarray(np.ascontiguousarray(picture)).save(file, "JPEG")
                archive.writestr(f"{season}/{i:04}.jpg", file.getvalue())
    return tmp_path


class TestHoles:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_hole_is_a_part_of_the_picture(self, recipe: Any, kind: str) -> None:
        for seed in range(20):
            hole = recipe.draw_hole(kind, 96, 128, random.Random(seed))
            assert hole.shape == (96, 128)
            assert 0 < hole.mean() <= 0.5
            again = recipe.draw_hole(kind, 96, 128, random.Random(seed))
            np.testing.assert_array_equal(hole, again)

    def test_scratches_are_thin_and_strokes_are_not(self, recipe: Any) -> None:
        def survives(hole: np.ndarray[Any, Any], pixels: int) -> bool:
            """Whether a square of so many pixels fits into a hole."""
            windows = np.lib.stride_tricks.sliding_window_view(hole, (pixels, pixels))
            return bool(windows.all((2, 3)).any())

        draw = recipe.draw_hole
        assert all(survives(draw("strokes", 256, 256, random.Random(i)), 8) for i in range(8))
        assert all(survives(draw("boxes", 256, 256, random.Random(i)), 16) for i in range(8))
        assert not any(survives(draw("scratches", 256, 256, random.Random(i)), 8) for i in range(8))

    def test_a_batch_of_holes(self, recipe: Any) -> None:
        holes = recipe.draw_holes(6, 64, random.Random(0))
        assert holes.shape == (6, 1, 64, 64)
        assert set(holes.unique().tolist()) == {0, 1}


class TestLosses:
    def test_only_the_hole_counts_and_all_holes_alike(self, recipe: Any) -> None:
        real = torch.zeros(2, 3, 8, 8)
        holes = torch.zeros(2, 1, 8, 8)
        holes[0, :, :4], holes[1, :, 0, 0] = 1, 1
        whole = real + 0.25 * holes
        decibels = 20 * np.log10(0.25)
        assert float(recipe.pixel_loss(whole, real, holes)) == pytest.approx(decibels, abs=1e-3)

    def test_a_true_picture_differs_in_nothing_that_the_judge_sees(self, recipe: Any) -> None:
        judge = PatchDiscriminator(4).requires_grad_(False)
        real = torch.rand(2, 3, 64, 64)
        losses = recipe.fooling_losses(judge, real, real)
        assert float(losses["feature"]) == 0
        verdict = judge(real * 2 - 1)
        assert float(losses["fool"]) == pytest.approx(float((verdict - 1).square().mean()))
        expected = (verdict.square().mean() + (verdict - 1).square().mean()) / 2
        assert float(recipe.judge_loss(judge, real, real)) == pytest.approx(float(expected))


class TestFigures:
    def test_by_hand(self, recipe: Any) -> None:
        picture = np.full((16, 16, 3), 100, np.uint8)
        hole = np.zeros((16, 16), bool)
        hole[4:8, 4:8] = True
        filled = picture.copy()
        filled[hole] += 51  # a fifth
        quality = recipe.judge(filled, picture, hole)
        assert quality.psnr == pytest.approx(-20 * np.log10(0.2), abs=1e-3)
        assert quality.l1 == pytest.approx(0.2)
        assert recipe.judge(picture, picture, hole).ssim == pytest.approx(1)

    def test_opencv_fills_a_slope(self, recipe: Any) -> None:
        quality = importlib.import_module("inpaint_quality")
        slope = np.linspace(40, 200, 64)[None, :, None] + np.zeros((64, 64, 3))
        picture = slope.astype(np.uint8)
        for fill in quality.ANCHORS.values():
            figures = quality.measure(fill, [picture] * 2)
            assert list(figures) == list(KINDS)
            assert figures["scratches"].psnr > 30


def test_a_run_ends_with_a_model(recipe: Any, data: Path, tmp_path: Path) -> None:
    def small(steps: int) -> Any:
        loop = recipe.LoopConfig(steps=steps, log_every=1, validate_every=2)
        network = GatedConfig(widths=(4, 8), blocks=(1,), dilations=(1,), levels=2)
        return recipe.Hyperparameters(
            network=network, judge_width=4, crop=32, batch=3, judged_from=0.5, loop=loop
        )

    out = tmp_path / "run"
    recipe.train(data, out, resume=False, init=None, hp=small(2))
    recipe.train(data, out, resume=True, init=None, hp=small(3))
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "pixel" in line] == [1, 2, 3]
    assert [line["step"] for line in log if "judge" in line] == [2, 3]
    assert all(np.isfinite(value) for line in log for value in line.values())
    card = open_model(out / "model").card
    assert card.name == "landscapes"
    assert len(card.origin["figures"]) == 9
    assert (out / "samples.png").exists()
