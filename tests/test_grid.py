"""Pictures made of pictures: grids, sheets, animations and half-block characters."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import genkit.grid as module
from genkit.errors import UsageError
from genkit.grid import encode_animation, grid, half_blocks, squarest, upscale, with_labels

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)


def test_upscale() -> None:
    large = upscale(PICTURES[0], 3)
    assert large.shape == (12, 15, 3)
    np.testing.assert_array_equal(large[::3, ::3], PICTURES[0])
    np.testing.assert_array_equal(large[2::3, 2::3], PICTURES[0])


def test_upscale_to_something_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 300)
    with pytest.raises(UsageError, match="a picture of 20 x 16 has more than 300 pixels"):
        upscale(PICTURES[0], 4)


@pytest.mark.parametrize(
    ("count", "size"),
    [(1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (5, (3, 2)), (16, (4, 4)), (17, (5, 4)), (64, (8, 8))],
)
def test_squarest(count: int, size: tuple[int, int]) -> None:
    assert squarest(count) == size


class TestGrid:
    def test_each_picture_is_in_its_place(self) -> None:
        order = [(1, 0), (0, 2), (0, 0), (0, 1), (1, 2)]
        canvas = grid(zip(order, PICTURES, strict=False), columns=3, rows=2, gap=2)
        assert canvas.shape == (2 * 6 + 2, 3 * 7 + 2, 3)
        for (row, column), picture in zip(order, PICTURES, strict=False):
            top, left = 2 + row * 6, 2 + column * 7
            np.testing.assert_array_equal(canvas[top : top + 4, left : left + 5], picture)
            canvas[top : top + 4, left : left + 5] = 255
        assert (canvas == 255).all()

    def test_pictures_are_taken_one_by_one(self) -> None:
        held = 0

        def pictures() -> Any:
            nonlocal held
            for index in range(4):
                held += 1
                assert held == 1
                yield divmod(index, 2), PICTURES[index]
                held -= 1

        grid(pictures(), 2, 2)

    def test_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_PIXELS", 300)
        with pytest.raises(UsageError, match="a grid of 9 x 9 pictures has more than 300 pixels"):
            grid([((0, 0), PICTURES[0])], 9, 9)

    def test_none(self) -> None:
        with pytest.raises(UsageError, match="a grid has at least one picture"):
            grid([], 2, 2)


class TestLabels:
    CANVAS = np.full((80, 120, 3), 200, np.uint8)

    def test_the_grid_stays_as_it_is(self) -> None:
        sheet = with_labels(self.CANVAS, ["cat", "airplane"], ["1", "2", "3"])
        height, width = sheet.shape[:2]
        assert height > 80 and width > 120
        np.testing.assert_array_equal(sheet[-80:, -120:], self.CANVAS)

    def test_names_are_black_on_white_at_their_rows_and_columns(self) -> None:
        sheet = with_labels(self.CANVAS, ["", "cat"], ["", "", "3"])
        beside, above = sheet[-80:, :-120], sheet[:-80, -120:]
        assert (beside[:40] == 255).all() and beside[40:].min() < 50
        assert (above[:, :80] == 255).all() and above[:, 80:].min() < 50

    def test_names_do_not_run_into_one_another(self) -> None:
        columns = [str(10**9 + i) for i in range(12)]  # 10 pixels a column
        above = with_labels(self.CANVAS, [], columns)[:-80]
        dark = np.flatnonzero((above < 128).any((0, 2)))
        gaps = np.diff(dark)
        assert 0 < len(dark) < 110
        assert (gaps > 3).sum() == 1  # two of the names

    def test_they_grow_with_the_pictures(self) -> None:
        small, large = (with_labels(self.CANVAS, ["cat"], [], scale) for scale in (1, 3))
        assert large.shape[1] - 120 > 2.5 * (small.shape[1] - 120)


class TestAnimations:
    @pytest.mark.parametrize(("kind", "name"), [("webp", "WEBP"), ("gif", "GIF"), ("png", "PNG")])
    def test_all_frames_are_there_and_it_never_ends(self, kind: str, name: str) -> None:
        image = Image.open(io.BytesIO(encode_animation(iter(PICTURES), kind, 20)))
        assert (image.format, image.size, getattr(image, "n_frames", 1)) == (name, (5, 4), 6)
        assert image.info["loop"] == 0

    def test_apng_is_lossless(self) -> None:
        image = Image.open(io.BytesIO(encode_animation(PICTURES, "png", 20)))
        for index, picture in enumerate(PICTURES):
            image.seek(index)
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture)

    def test_one_frame(self) -> None:
        image = Image.open(io.BytesIO(encode_animation(PICTURES[:1], "png", 20)))
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), PICTURES[0])

    def test_time_is_kept_although_the_units_are_coarse(self) -> None:
        assert module._durations(4, 20, "gif") == [50] * 4
        durations = module._durations(300, 30, "gif")
        assert set(durations) == {30, 40}
        assert sum(durations) == 10_000
        assert set(module._durations(300, 30, "webp")) == {33, 34}

    def test_quality_is_for_webp(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
        low, high = (len(encode_animation(noise, "webp", 20, quality)) for quality in (5, 95))
        assert low < high / 2

    def test_too_many_frames(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_PIXELS", 50)
        frames = iter(PICTURES)
        with pytest.raises(UsageError, match="the animation has more than 50 pixels"):
            encode_animation(frames, "webp", 20)
        assert len(list(frames)) == 3  # it did not wait for the rest

    def test_too_large_for_its_format(self) -> None:
        wide = np.zeros((2, 1, 20_000, 3), np.uint8)
        with pytest.raises(UsageError, match="20000 x 1 pixels cannot be animated as webp"):
            encode_animation(wide, "webp", 20)


class TestHalfBlocks:
    def test_a_character_is_two_pixels(self) -> None:
        pixels = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]], np.uint8)
        assert half_blocks(pixels, 80, truecolor=True) == (
            "\x1b[38;2;1;2;3;48;2;7;8;9m▀\x1b[38;2;4;5;6;48;2;10;11;12m▀\x1b[0m\n"
        )

    def test_colours_are_told_when_they_change(self) -> None:
        text = half_blocks(np.zeros((2, 50, 3), np.uint8), 80, truecolor=True)
        assert text == "\x1b[38;2;0;0;0;48;2;0;0;0m" + "▀" * 50 + "\x1b[0m\n"

    def test_the_last_of_an_odd_number_of_rows_has_nothing_below(self) -> None:
        text = half_blocks(np.zeros((3, 1, 3), np.uint8), 80, truecolor=True)
        assert text.splitlines()[1] == "\x1b[38;2;0;0;0m▀\x1b[0m"

    def test_256_colours(self) -> None:
        pixels = np.array([[[255, 0, 0]], [[250, 140, 90]]], np.uint8)
        assert half_blocks(pixels, 80, truecolor=False) == "\x1b[38;5;196;48;5;209m▀\x1b[0m\n"

    def test_a_wide_picture_is_reduced(self) -> None:
        lines = half_blocks(np.zeros((100, 200, 3), np.uint8), 40, truecolor=True).splitlines()
        assert len(lines) == 10
        assert all(line.count("▀") == 40 for line in lines)
