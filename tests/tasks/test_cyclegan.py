"""The task: a picture in, a picture out, with a session that makes a negative."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import picture_model
import pytest
from picture_model import NegativeSession

import genkit.tasks.cyclegan as task
from genkit import load
from genkit.errors import InputError, UsageError
from genkit.images import Picture
from genkit.metadata import Metadata
from genkit.model import open_model
from genkit.runtime import RuntimeOptions
from genkit.tasks.cyclegan import PictureTranslator, side_by_side

Make = Callable[..., tuple[PictureTranslator, NegativeSession]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(**image: Any) -> tuple[PictureTranslator, NegativeSession]:
        model = open_model(picture_model.write_model(tmp_path / "negative", "cyclegan", **image))
        session = NegativeSession()
        monkeypatch.setattr(task, "open_session", lambda *_, **__: session)
        return PictureTranslator(model, RuntimeOptions()), session

    return make


def picture(height: int = 24, width: int = 40, **fields: Any) -> Picture:
    random = np.random.default_rng(0)
    return Picture(random.integers(0, 256, (height, width, 3), np.uint8), **fields)


@pytest.mark.parametrize("size", [(24, 40), (1, 1), (7, 33), (65, 8)])
def test_the_size_is_kept_although_the_network_sees_multiples(
    make: Make, size: tuple[int, int]
) -> None:
    translate, session = make()
    before = picture(*size)
    after = translate(before)
    np.testing.assert_array_equal(after.pixels, 255 - before.pixels)
    assert all(side % 8 == 0 for side in session.sizes[0])


def test_the_network_gets_a_batch_of_one_in_bytes(make: Make) -> None:
    translate, session = make()
    translate(picture())
    image = session.feeds[0]["image"]
    assert (image.shape, image.dtype) == ((1, 24, 40, 3), np.uint8)
    assert image.flags.c_contiguous


@pytest.mark.parametrize(
    ("size", "expected"), [(20, (12, 20)), (80, (48, 80)), ((10, 30), (10, 30)), (None, (24, 40))]
)
def test_another_size(make: Make, size: Any, expected: tuple[int, int]) -> None:
    translate, _ = make()
    alpha = np.full((24, 40), 99, np.uint8)
    after = translate(picture(alpha=alpha), size=size)
    assert after.size == expected
    assert after.alpha is not None
    assert after.alpha.shape == expected


def test_a_picture_is_never_less_than_a_pixel(make: Make) -> None:
    translate, _ = make()
    assert translate(picture(1, 500), size=10).size == (1, 10)
    with pytest.raises(UsageError, match="at least one pixel"):
        translate(picture(), size=(0, 5))


def test_a_card_with_a_fixed_size(make: Make) -> None:
    resize = {
        "mode": "stretch",
        "size": [16, 16],
        "interpolation": "bicubic",
        "antialias": True,
        "crop_pct": 1,
    }
    translate, session = make(resize=resize)
    assert translate(picture()).size == (24, 40)
    assert session.sizes == [(16, 16)]


def test_alpha_is_kept_and_hidden_colours_do_not_reach_the_network(make: Make) -> None:
    translate, session = make()
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[:, 20:] = 0
    before = picture(alpha=alpha)
    before.pixels[:, :20], before.pixels[:, 20:] = 60, 200
    after = translate(before)
    assert set(session.feeds[0]["image"].ravel()) == {60}
    np.testing.assert_array_equal(after.alpha, alpha)


def test_depth_and_metadata_are_kept_and_grey_comes_out_in_colour(make: Make) -> None:
    translate, _ = make()
    said = Metadata(comment=b"mine")
    deep = np.full((24, 40), 1000, np.uint16)
    after = translate(Picture(deep, deep, metadata=said))
    assert after.pixels.shape == (24, 40, 3)
    assert set(np.unique(after.pixels)) == {(255 - 4) * 257}
    np.testing.assert_array_equal(after.alpha, deep)
    assert after.metadata is said


class TestTiles:
    def test_large_pictures_are_run_in_tiles(self, make: Make) -> None:
        translate, session = make()
        before = picture(150, 200)
        after = translate(before, tile=96)
        np.testing.assert_array_equal(after.pixels, 255 - before.pixels)
        assert set(session.sizes) == {(96, 96)}
        assert len(session.sizes) == 6

    def test_small_ones_are_not(self, make: Make) -> None:
        translate, session = make()
        translate(picture(), tile=64)
        assert session.sizes == [(24, 40)]

    def test_a_tile_that_is_too_small(self, make: Make) -> None:
        translate, _ = make()
        with pytest.raises(UsageError, match="at least 64 pixels a side, not 10"):
            translate(picture(), tile=10)

    def test_tiles_are_halved_until_they_fit_into_memory(self, make: Make) -> None:
        translate, session = make()
        session.most = 100 * 100
        before = picture(300, 400)
        with pytest.warns(RuntimeWarning, match="not enough memory") as warned:
            after = translate(before)
        assert [str(w.message).split()[8] for w in warned] == ["200", "96"]
        np.testing.assert_array_equal(after.pixels, 255 - before.pixels)

    @pytest.mark.filterwarnings("ignore:not enough memory")
    def test_memory_is_given_back_before_less_is_tried(self, make: Make) -> None:
        translate, session = make()
        session.most = 100 * 100
        translate(picture(300, 400))
        assert [feeds["image"].shape for feeds in session.released] == [(1, 8, 8, 3)] * 2

    @pytest.mark.filterwarnings("ignore:not enough memory")
    def test_no_memory_at_all(self, make: Make) -> None:
        translate, session = make()
        session.most = 10
        with pytest.raises(InputError, match="does not fit into memory, not even in tiles"):
            translate(picture(300, 400))


def test_side_by_side() -> None:
    before, after = picture(24, 40), Picture(np.full((12, 20, 3), 7, np.uint8), profile=None)
    both = side_by_side(before, after)
    assert both.size == (12, 40)
    np.testing.assert_array_equal(both.pixels[:, 20:], after.pixels)
    clear = np.zeros((24, 40), np.uint8)
    both = side_by_side(picture(alpha=clear), picture(alpha=clear + 1))
    assert both.alpha is not None
    assert both.alpha[0].tolist() == [0] * 40 + [1] * 40


def test_a_real_session(tmp_path: Path) -> None:
    folder = picture_model.write_model(tmp_path / "negative", "cyclegan")
    translate = load("cyclegan", str(folder), device="cpu", threads=1)
    before = picture(9, 13)
    np.testing.assert_array_equal(translate(before).pixels, 255 - before.pixels)
    assert translate.runs_on == "cpu (asked for), fp32, 1 thread(s)"
