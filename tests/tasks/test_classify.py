"""The task: pictures in, labels out, with a model that tells colours apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import colour_model
import numpy as np
import pytest
from colour_model import LABELS, ColourSession
from PIL import Image

import genkit.tasks.classify as task
from genkit import load
from genkit.card import ImageSpec, Resize
from genkit.errors import InputError, ModelError, UsageError
from genkit.images import Picture
from genkit.model import open_model
from genkit.runtime import RuntimeOptions
from genkit.tasks.classify import Classifier, overlay, prepare, rank

Make = Callable[..., tuple[Classifier, ColourSession]]
RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(**options: Any) -> tuple[Classifier, ColourSession]:
        model = open_model(colour_model.write_model(tmp_path / "colours", **options))
        session = ColourSession()
        monkeypatch.setattr(task, "open_session", lambda *_, **__: session)
        return Classifier(model, RuntimeOptions()), session

    return make


@pytest.fixture
def real(tmp_path: Path) -> Classifier:
    folder = colour_model.write_model(tmp_path / "colours")
    classifier: Classifier = load("classify", str(folder), device="cpu", threads=1)
    return classifier


def plain(colour: Any, height: int = 24, width: int = 40, **fields: Any) -> Picture:
    return Picture(np.full((height, width, 3), colour, np.uint8), **fields)


def spec(mode: str = "shortest_edge", size: Any = (8, 8), crop_pct: float = 1.0) -> ImageSpec:
    return ImageSpec(Resize(mode, size, "bicubic", True, crop_pct), None, ())


def test_the_best_labels_come_first(real: Classifier) -> None:
    (first, second) = real([plain(BLUE), plain((60, 200, 100))])
    assert first[0].label == "blue"
    assert [guess.label for guess in second] == ["green", "blue", "red"]
    assert sum(guess.probability for guess in second) == pytest.approx(1)
    expected = colour_model.probabilities(np.full((1, 8, 8, 3), (60, 200, 100), np.uint8))[0]
    assert second[0].probability == pytest.approx(float(expected[1]), abs=1e-6)
    assert real.runs_on == "cpu (asked for), fp32, 1 thread(s)"


def test_top_and_threshold(make: Make) -> None:
    classify, _ = make()
    picture = plain((60, 200, 100))
    assert [g.label for g in classify([picture], top=2)[0]] == ["green", "blue"]
    assert [g.label for g in classify([picture], threshold=0.5)[0]] == ["green"]
    assert classify([picture], threshold=1.0) == [[]]


def test_equally_likely_labels_are_in_the_order_of_the_model() -> None:
    found = np.array([0.2, 0.4, 0.4], np.float32)
    assert [g.label for g in rank(found, LABELS)] == ["green", "blue", "red"]


def test_batches(make: Make) -> None:
    classify, session = make()
    pictures = [plain((i * 12, 100, 100)) for i in range(19)]
    together = classify(pictures)
    assert session.batches == [8, 8, 3]
    assert together == [classify([picture])[0] for picture in pictures]
    assert classify([]) == []
    session.batches.clear()
    assert classify(pictures, batch=16) == together
    assert session.batches == [16, 3]


def test_pictures_of_several_sizes_for_a_model_without_one(make: Make) -> None:
    classify, session = make(resize={"mode": "none"})
    pictures = [plain(RED, 8, 8), plain(GREEN, 6, 6), plain(BLUE, 8, 8)]
    assert [found[0].label for found in classify(pictures)] == LABELS
    assert session.batches == [2, 1]


def test_a_batch_that_does_not_fit_into_memory_is_run_in_parts(make: Make) -> None:
    classify, session = make()
    session.most = 3
    pictures = [plain(colour) for colour in (RED, GREEN, BLUE, BLUE, GREEN)]
    found = [one[0].label for one in classify(pictures)]
    assert found == ["red", "green", "blue", "blue", "green"]
    assert session.batches == [2, 3]
    session.most = 0
    with pytest.raises(InputError, match="does not fit into memory"):
        classify(pictures)


def test_labels_that_are_not_the_classes_of_the_graph(make: Make) -> None:
    classify, _ = make(labels=["a", "b"])
    with pytest.raises(ModelError, match="tells 3 classes apart, but its card has 2 labels"):
        classify([plain(RED)])


def test_a_single_picture_must_stand_in_a_list(make: Make) -> None:
    classify, _ = make()
    with pytest.raises(TypeError, match=r"\[picture\]"):
        classify(plain(RED))  # type: ignore[arg-type]


class TestPrepare:
    def test_transparent_pixels_are_white(self) -> None:
        clear = np.zeros((24, 40), np.uint8)
        assert (prepare(plain(RED, alpha=clear), spec()) == 255).all()
        assert (prepare(plain(RED, alpha=clear + 255), spec()) == RED).all()

    @pytest.mark.parametrize("size", [(37, 91), (91, 37), (8, 9), (300, 301), (64, 64)])
    @pytest.mark.parametrize("crop_pct", [1.0, 0.9, 0.875])
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_it_is_what_timm_does(
        self, size: tuple[int, int], crop_pct: float, interpolation: str
    ) -> None:
        """Resize((floor(size / crop_pct))) and CenterCrop(size) of torchvision, in its words."""
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        short = int(np.floor(32 / crop_pct))
        scaled = [int(short * side / min(size)) for side in size]
        scaled[int(np.argmin(size))] = short
        method = Image.Resampling[interpolation.upper()]
        image = Image.fromarray(noise).resize((scaled[1], scaled[0]), method)
        top, left = (round((side - 32) / 2.0) for side in scaled)
        expected = np.asarray(image.crop((left, top, left + 32, top + 32)))
        rule = Resize("shortest_edge", (32, 32), interpolation, True, crop_pct)
        np.testing.assert_array_equal(prepare(Picture(noise), ImageSpec(rule, None, ())), expected)

    def test_stretching_is_what_transformers_does(self) -> None:
        transformers = pytest.importorskip("transformers")
        noise = np.random.default_rng(0).integers(0, 256, (37, 91, 3), np.uint8)
        size = {"height": 32, "width": 24}
        reference = transformers.image_transforms.resize(noise, (32, 24), resample=2)
        assert size == {"height": reference.shape[0], "width": reference.shape[1]}
        rule = Resize("stretch", (32, 24), "bilinear", True, 1.0)
        np.testing.assert_array_equal(prepare(Picture(noise), ImageSpec(rule, None, ())), reference)


class TestAttention:
    def test_where_it_looks(self, real: Classifier) -> None:
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[:4, 4:], pixels[4:, 4:] = 200, 50
        np.testing.assert_allclose(real.attention(pixels), [[0, 1], [0, 0.25]], atol=1e-6)
        assert real.open_attention() is real.open_attention()

    def test_nowhere_in_particular(self, real: Classifier) -> None:
        assert (real.attention(np.full((8, 8, 3), 9, np.uint8)) == 0).all()

    def test_a_model_that_cannot_tell(self, make: Make) -> None:
        classify, _ = make(attention=False)
        with pytest.raises(UsageError, match="colours cannot show where it looks"):
            classify.open_attention()

    def test_its_precision_may_be_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = {}
        monkeypatch.setattr(
            task,
            "open_session",
            lambda model, role, options: asked.update({role: options.precision}),
        )
        model = open_model(colour_model.write_model(tmp_path / "colours"))
        for precision in ("bf16", "fp32"):
            Classifier(model, RuntimeOptions(precision=precision)).open_attention()
            expected = "auto" if precision == "bf16" else "fp32"
            assert asked == {"classify": precision, "attention": expected}

    def test_overlay(self) -> None:
        picture = plain(100, 40, 80, alpha=np.full((40, 80), 7, np.uint8))
        attention = np.array([[0, 1], [0, 0]], np.float32)
        result = overlay(picture, attention, spec())
        assert result.size == (40, 80)
        assert result.alpha is picture.alpha
        light = result.pixels.astype(int).sum(-1)
        assert light[5, 52] == light.max()
        dark = light[20, 5]
        assert (light[:, :20] == dark).all(), "what is cut off is dark"
        assert (light[:, 60:] == dark).all()
        assert light[35, 25] < light.max() / 2

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 9)])
    @pytest.mark.parametrize("mode", ["shortest_edge", "stretch"])
    def test_overlays_of_odd_sizes(self, size: tuple[int, int], mode: str) -> None:
        picture = plain(100, *size)
        attention = np.eye(3, dtype=np.float32)
        assert overlay(picture, attention, spec(mode, crop_pct=0.9)).size == size
