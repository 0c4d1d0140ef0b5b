"""Resizing, padding and tiling: what PyTorch and Pillow do, and no seams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genkit.card import Pad, Resize
from genkit.pixels import fit, pad, resize, tiled, to_bytes


def scene(height: int = 24, width: int = 36) -> np.ndarray[Any, Any]:
    """A smooth picture, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, 255 - (x + y) * 255 / (height + width)]
    return np.stack(channels, -1).astype(np.uint8)


def far(a: Any, b: Any) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


class TestSizes:
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    @pytest.mark.parametrize("size", [(9, 50), (24, 11), (48, 72)])
    def test_without_antialias_it_samples_as_pytorch_does(
        self, interpolation: str, size: tuple[int, int]
    ) -> None:
        torch = pytest.importorskip("torch")
        noise = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
        values = torch.from_numpy(noise).permute(2, 0, 1)[None].float()
        expected = torch.nn.functional.interpolate(values, size, mode=interpolation)
        found = resize(noise, size, interpolation, antialias=False)
        assert far(found, to_bytes(expected[0].permute(1, 2, 0).numpy())) <= 1

    def test_the_size_that_it_has(self) -> None:
        assert resize(pixels := scene(), (24, 36)) is pixels

    def test_fit(self) -> None:
        pixels = scene(100, 200)
        assert fit(pixels, Resize("none", None, "bilinear", True, 1.0)) is pixels
        stretched = fit(pixels, Resize("stretch", (32, 32), "bilinear", True, 1.0))
        assert stretched.shape == (32, 32, 3)
        cut = fit(pixels, Resize("shortest_edge", (50, 50), "bicubic", True, 0.5))
        np.testing.assert_array_equal(cut, pixels[25:75, 75:125])

    @pytest.mark.parametrize("size", [(31, 7), (7, 31), (8, 8), (50, 49)])
    @pytest.mark.parametrize("wanted", [(8, 8), (6, 10)])
    def test_a_fitted_picture_has_the_size_asked_for(
        self, size: tuple[int, int], wanted: tuple[int, int]
    ) -> None:
        spec = Resize("shortest_edge", wanted, "bicubic", True, 0.875)
        assert fit(scene(*size), spec).shape == (*wanted, 3)

    @pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge", "constant"])
    @pytest.mark.parametrize("side", ["both", "bottom_right"])
    @pytest.mark.parametrize("size", [(1, 1), (5, 8), (24, 36), (9, 3)])
    def test_what_was_padded_can_be_cut_out(
        self, mode: str, side: str, size: tuple[int, int]
    ) -> None:
        padded, inside = pad(scene(*size), Pad(8, mode, side))
        assert [n % 8 for n in padded.shape[:2]] == [0, 0]
        np.testing.assert_array_equal(padded[inside], scene(*size))

    @pytest.mark.parametrize(("side", "expected"), [(3, 8), (8, 8), (9, 12), (12, 12), (16, 16)])
    def test_no_more_than_what_is_needed(self, side: int, expected: int) -> None:
        rule = Pad(4, "reflect", "bottom_right", smallest=8)
        padded, inside = pad(scene(side, 20), rule)
        assert padded.shape[:2] == (expected, 20)
        assert inside == (slice(0, side), slice(0, 20))

    def test_pad_without_a_rule(self) -> None:
        padded, inside = pad(scene(5, 7), None)
        assert padded[inside].shape == (5, 7, 3)

    def test_padding_reflects_on_both_sides(self) -> None:
        row = np.array([[1, 2, 3, 4, 5]], np.uint8)
        padded, _ = pad(row, Pad(8, "reflect", "both"))
        assert padded[0].tolist() == [2, 1, 2, 3, 4, 5, 4, 3]


class TestTiles:
    @pytest.mark.parametrize("size", [(24, 36), (16, 16), (5, 100), (100, 17)])
    @pytest.mark.parametrize("overlap", [0, 4])
    def test_what_changes_nothing_changes_nothing(
        self, size: tuple[int, int], overlap: int
    ) -> None:
        shapes = set()

        def keep(part: Any) -> Any:
            shapes.add(part.shape)
            return part

        np.testing.assert_array_equal(tiled(keep, scene(*size), 16, overlap), scene(*size))
        assert shapes == {(min(16, size[0]), min(16, size[1]), 3)}

    def test_neighbours_fade_into_each_other(self) -> None:
        values = iter([0, 200])

        def run(part: Any) -> Any:
            return np.full_like(part, next(values))

        row = tiled(run, np.zeros((1, 12, 3), np.uint8), 8, 4)[0, :, 0].astype(int)
        assert row[:4].tolist() == [0] * 4
        assert row[8:].tolist() == [200] * 4
        assert (np.diff(row[3:9]) > 0).all()
