"""The task: a picture and its holes in, a picture out, with a session that makes a negative of the holes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import picture_model
import pytest
from picture_model import NegativeSession
from PIL import ImageCms

import genkit.tasks.inpaint as task
from genkit import load
from genkit.errors import InputError
from genkit.images import Picture
from genkit.model import open_model
from genkit.pixels import resize
from genkit.runtime import RuntimeOptions
from genkit.tasks.inpaint import Inpainter, dilate, threshold

Make = Callable[..., tuple[Inpainter, NegativeSession]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(**image: Any) -> tuple[Inpainter, NegativeSession]:
        model = open_model(picture_model.write_model(tmp_path / "negative", "inpaint", **image))
        session = NegativeSession()
        monkeypatch.setattr(task, "open_session", lambda *_, **__: session)
        return Inpainter(model, RuntimeOptions()), session

    return make


def picture(height: int = 40, width: int = 60, **fields: Any) -> Picture:
    random = np.random.default_rng(0)
    return Picture(random.integers(0, 256, (height, width, 3), np.uint8), **fields)


def hole(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Any:
    """Holes of top, left, height and width."""
    result = np.zeros(size, bool)
    for top, left, height, width in boxes:
        result[top : top + height, left : left + width] = True
    return result


def stretched(side: int) -> dict[str, Any]:
    """The resize of a network for squares of one size."""
    return {
        "mode": "stretch",
        "size": [side, side],
        "interpolation": "bilinear",
        "antialias": True,
        "crop_pct": 1,
    }


def test_the_hole_is_filled_and_the_rest_is_kept(make: Make) -> None:
    fill, _ = make()
    before, where = picture(), hole((40, 60), (3, 5, 10, 20), (39, 59, 1, 1))
    after = fill(before, where)
    np.testing.assert_array_equal(after.pixels[where], 255 - before.pixels[where])
    np.testing.assert_array_equal(after.pixels[~where], before.pixels[~where])


def test_the_network_gets_bytes_and_255_for_a_hole(make: Make) -> None:
    fill, session = make()
    fill(picture(), hole((40, 60), (0, 0, 2, 3)))
    image, mask = session.feeds[0]["image"], session.feeds[0]["mask"]
    assert image.dtype == mask.dtype == np.uint8
    assert mask.shape == (*image.shape[:3], 1)
    assert set(mask.ravel()) == {0, 255}


def test_without_a_hole_nothing_is_run(make: Make) -> None:
    fill, session = make()
    np.testing.assert_array_equal(fill(picture(), hole((40, 60))).pixels, picture().pixels)
    assert session.feeds == []


class TestParts:
    def test_a_large_photograph_is_filled_from_around_the_hole(self, make: Make) -> None:
        fill, session = make()
        where = hole((3000, 4000), (1000, 2000, 100, 40))
        before = Picture(np.full((3000, 4000, 3), 9, np.uint8))
        after = fill(before, where)
        assert session.sizes == [(232, 168)]  # 64 pixels to all sides, in multiples of 8
        np.testing.assert_array_equal(after.pixels[..., 0] == 246, where)

    def test_a_large_hole_is_filled_from_further_around(self, make: Make) -> None:
        fill, session = make()
        fill(Picture(np.zeros((2000, 2000, 3), np.uint8)), hole((2000, 2000), (800, 800, 400, 80)))
        assert session.sizes == [(800, 480)]

    def test_holes_that_are_far_apart_are_filled_one_by_one(self, make: Make) -> None:
        fill, session = make()
        boxes = [(0, 0, 8, 8), (0, 900, 8, 8), (900, 0, 8, 8), (992, 992, 8, 8), (960, 960, 8, 8)]
        where = hole((1000, 1000), *boxes)
        before = picture(1000, 1000)
        after = fill(before, where)
        assert len(session.sizes) == 4
        np.testing.assert_array_equal(after.pixels[where], 255 - before.pixels[where])
        np.testing.assert_array_equal(after.pixels[~where], before.pixels[~where])

    def test_boxes_are_cut_in_both_directions(self, make: Make) -> None:
        """An L and a square in its corner share rows and columns, but are no neighbours."""
        fill, session = make()
        where = hole((600, 600), (0, 0, 600, 10), (590, 0, 10, 600), (0, 590, 10, 10))
        before = picture(600, 600)
        after = fill(before, where)
        np.testing.assert_array_equal(after.pixels[where], 255 - before.pixels[where])
        np.testing.assert_array_equal(after.pixels[~where], before.pixels[~where])
        assert session.feeds

    def test_a_card_with_a_fixed_size(self, make: Make) -> None:
        fill, session = make(resize=stretched(32))
        before, where = picture(), hole((40, 60), (3, 5, 10, 20))
        after = fill(before, where)
        assert session.sizes == [(32, 32)]
        np.testing.assert_array_equal(after.pixels[~where], before.pixels[~where])

    @pytest.mark.parametrize("at", [(5, 590), (300, 300), (0, 0)])
    def test_a_network_of_a_fixed_size_sees_no_enlarged_part(
        self, at: tuple[int, int], make: Make
    ) -> None:
        """Around a small hole it sees as many pixels as it has, wherever the hole is."""
        fill, session = make(resize=stretched(256))
        before, where = picture(600, 600), hole((600, 600), (*at, 10, 10))
        after = fill(before, where)
        assert session.sizes == [(256, 256)]
        np.testing.assert_array_equal(after.pixels[where], 255 - before.pixels[where])
        np.testing.assert_array_equal(after.pixels[~where], before.pixels[~where])

    def test_what_is_reduced_to_a_fixed_size_is_a_square(self, make: Make) -> None:
        fill, session = make(resize=stretched(64))
        before, where = picture(500, 400), hole((500, 400), (150, 40, 100, 20))
        fill(before, where)
        (seen,) = session.feeds
        expected = resize(before.pixels[86:314, 0:228], (64, 64), "bilinear")
        np.testing.assert_array_equal(seen["image"][0], expected)


def test_colours_of_a_profile_come_back_bit_for_bit_outside_of_the_hole(make: Make) -> None:
    fill, _ = make()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    before, where = picture(profile=profile), hole((40, 60), (3, 5, 10, 20))
    after = fill(before, where)
    assert after.profile == profile
    np.testing.assert_array_equal(after.pixels[~where], before.pixels[~where])
    assert np.abs(after.pixels[where].astype(int) - (255 - before.pixels[where])).max() <= 3


def test_what_was_transparent_in_the_hole_becomes_opaque(make: Make) -> None:
    fill, _ = make()
    where = hole((40, 60), (3, 5, 10, 20))
    after = fill(picture(alpha=np.full((40, 60), 7, np.uint8)), where)
    assert after.alpha is not None
    np.testing.assert_array_equal(after.alpha, np.where(where, 255, 7))


def test_sizes_that_differ(make: Make) -> None:
    fill, _ = make()
    with pytest.raises(InputError, match="the picture has 60 x 40 pixels, its mask 5 x 4"):
        fill(picture(), hole((4, 5)))


def test_a_hole_that_is_everything(make: Make) -> None:
    fill, _ = make()
    with pytest.raises(InputError, match="covers the whole picture"):
        fill(picture(), hole((40, 60), (0, 0, 40, 60)))


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_sixteen_bits_stay_as_they_are_outside_of_the_hole(make: Make, shape: Any) -> None:
    fill, _ = make()
    deep = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
    before, where = (
        Picture(deep, alpha=deep.reshape(40, 60, -1)[..., 0]),
        hole((40, 60), (3, 5, 10, 20)),
    )
    after = fill(before, where)
    assert after.pixels.dtype == np.uint16
    np.testing.assert_array_equal(after.pixels[~where], deep[~where])
    expected = 255 - (deep.astype(int) + 128) // 257
    np.testing.assert_array_equal(after.pixels[where], expected[where] * 257)
    assert before.alpha is not None
    np.testing.assert_array_equal(after.alpha, np.where(where, 65535, before.alpha))


def test_grey_stays_grey(make: Make) -> None:
    fill, _ = make()
    grey = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    where = hole((40, 60), (3, 5, 10, 20))
    np.testing.assert_array_equal(
        fill(Picture(grey), where).pixels, np.where(where, 255 - grey, grey)
    )


def test_no_memory_is_an_error_of_the_picture_and_given_back(make: Make) -> None:
    fill, session = make()
    session.most = 10
    with pytest.raises(InputError, match="around its largest hole does not fit into memory"):
        fill(picture(), hole((40, 60), (3, 5, 10, 20)))
    assert [feeds["mask"].shape for feeds in session.released] == [(1, 8, 8, 1)]


@pytest.mark.parametrize("level", [0, 127, 254])
def test_thresholds_of_eight_and_sixteen_bits(level: int) -> None:
    mask = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(threshold(mask, level), mask > level)
    deep = mask.astype(np.uint16) * 257
    np.testing.assert_array_equal(threshold(deep, level), mask > level)
    assert threshold(np.array([[1]], np.uint16), 0).all()


@pytest.mark.parametrize("pixels", [1, 3, 100])
def test_dilate(pixels: int) -> None:
    where = hole((9, 12), (4, 5, 1, 2))
    expected = hole((9, 12))
    expected[max(4 - pixels, 0) : 5 + pixels, max(5 - pixels, 0) : 7 + pixels] = True
    np.testing.assert_array_equal(dilate(where, pixels), expected)


def test_a_real_session(tmp_path: Path) -> None:
    folder = picture_model.write_model(tmp_path / "negative", "inpaint")
    fill = load("inpaint", str(folder), device="cpu", threads=1)
    before, where = picture(9, 13), hole((9, 13), (1, 2, 3, 4))
    after = fill(before, where)
    np.testing.assert_array_equal(after.pixels[where], 255 - before.pixels[where])
    assert fill.runs_on == "cpu (asked for), fp32, 1 thread(s)"
