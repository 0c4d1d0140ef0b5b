"""Noise: the same for a seed for ever, and the files that hold it."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from genkit.card import LatentSpec
from genkit.errors import InputError, UsageError
from genkit.noise import draw, read_latents, slerp, write_latents

NORMAL = LatentSpec((100,), "normal", "none", ())
TRUNCATED = LatentSpec((100,), "truncated_normal", "latent", ())


class TestDraw:
    def test_the_values_are_numpys_and_never_change(self) -> None:
        noise = draw(7, NORMAL)
        assert (noise.dtype, noise.shape) == (np.float32, (100,))
        np.testing.assert_array_equal(
            noise, np.random.RandomState(7).standard_normal(100).astype(np.float32)
        )
        np.testing.assert_allclose(noise[:3], [1.6905257, -0.46593738, 0.03282016], rtol=1e-6)

    def test_truncated_the_values_are_those_that_lie_within_two_deviations(self) -> None:
        noise = draw(7, TRUNCATED)
        stream = np.random.RandomState(7).standard_normal(1000)
        assert (np.abs(stream[:100]) > 2).any()
        expected = stream[np.abs(stream) <= 2][:100].astype(np.float32)
        np.testing.assert_array_equal(noise, expected)

    def test_truncated_it_has_the_distribution_of_biggan(self) -> None:
        values = draw(0, LatentSpec((100_000,), "truncated_normal", "latent", ()))
        assert np.abs(values).max() <= 2
        # The deviation of scipy.stats.truncnorm(-2, 2).
        assert values.std() == pytest.approx(0.87962566, abs=0.005)

    def test_the_shape_of_the_card(self) -> None:
        spec = LatentSpec((25, 2, 2), "normal", "none", ())
        np.testing.assert_array_equal(draw(7, spec).ravel(), draw(7, NORMAL))

    def test_what_was_drawn_before_does_not_matter(self) -> None:
        expected = draw(7, TRUNCATED)
        for count in (1, 3, 100):  # an odd number leaves half a pair behind
            draw(8, LatentSpec((count,), "normal", "none", ()))
            np.testing.assert_array_equal(draw(7, TRUNCATED), expected)

    def test_many_threads_may_draw(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            drawn = list(pool.map(lambda seed: draw(seed % 5, TRUNCATED), range(2000)))
        for seed, noise in enumerate(drawn):
            np.testing.assert_array_equal(noise, drawn[seed % 5])

    def test_other_seeds_are_other_noise(self) -> None:
        first = {draw(seed, NORMAL)[0] for seed in range(1000)}
        assert len(first) == 1000

    @pytest.mark.parametrize("seed", [-1, 1 << 32])
    def test_seeds_that_numpy_does_not_take(self, seed: int) -> None:
        with pytest.raises(UsageError, match=f"there is no seed {seed}"):
            draw(seed, NORMAL)
        draw((1 << 32) - 1, NORMAL)


class TestSlerp:
    def test_the_ends_are_met_to_the_bit(self) -> None:
        a, b = draw(1, NORMAL), draw(2, NORMAL)
        np.testing.assert_array_equal(slerp(a, b, 0), a)
        np.testing.assert_array_equal(slerp(a, b, 1), b)

    def test_it_keeps_its_distance_from_the_origin(self) -> None:
        a, b = draw(1, NORMAL), draw(2, NORMAL)
        lengths = [np.linalg.norm(slerp(a, b, t)) for t in np.linspace(0, 1, 11)]
        low, high = sorted([np.linalg.norm(a), np.linalg.norm(b)])
        assert low * 0.99 < min(lengths) and max(lengths) < high * 1.01
        assert np.linalg.norm((a + b) / 2) < low * 0.8

    def test_the_angle_grows_evenly(self) -> None:
        a, b = np.eye(2, dtype=np.float32)
        between = slerp(a, b, 1 / 3)
        np.testing.assert_allclose(between, [np.cos(np.pi / 6), np.sin(np.pi / 6)], rtol=1e-6)

    @pytest.mark.parametrize("factor", [1, 3, -1, 0])
    def test_points_on_one_line(self, factor: float) -> None:
        a = draw(1, NORMAL)
        between = slerp(a, a * np.float32(factor), 0.5)
        np.testing.assert_allclose(between, a * (1 + factor) / 2, atol=1e-6)


class TestFiles:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        noises = [draw(seed, NORMAL) for seed in range(5)]
        file = io.BytesIO()
        write_latents(file, iter(noises), 5, (100,))
        (tmp_path / "z.npy").write_bytes(file.getvalue())
        np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), noises)
        np.testing.assert_array_equal(read_latents(tmp_path / "z.npy", (100,)), noises)

    def test_a_large_file_stays_on_the_disk(self, tmp_path: Path) -> None:
        np.save(tmp_path / "z.npy", np.zeros((3, 100)))
        assert isinstance(read_latents(tmp_path / "z.npy", (100,)), np.memmap)

    def test_one_latent(self, tmp_path: Path) -> None:
        np.save(tmp_path / "z.npy", np.zeros(100, np.float16))
        assert read_latents(tmp_path / "z.npy", (100,)).shape == (1, 100)

    def test_another_shape(self, tmp_path: Path) -> None:
        np.save(tmp_path / "z.npy", np.zeros((3, 64)))
        with pytest.raises(InputError) as caught:
            read_latents(tmp_path / "z.npy", (100,))
        assert caught.value.message.endswith("holds an array (3, 64); the model takes (n, 100)")

    def test_whole_numbers(self, tmp_path: Path) -> None:
        np.save(tmp_path / "z.npy", np.zeros((3, 100), int))
        with pytest.raises(InputError, match="holds int64, not floating-point numbers"):
            read_latents(tmp_path / "z.npy", (100,))

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="No such file or directory"):
            read_latents(tmp_path / "z.npy", (100,))

    @pytest.mark.parametrize("what", ["text", "objects", "cut short", "empty"])
    def test_another_kind_of_file(self, tmp_path: Path, what: str) -> None:
        path = tmp_path / "z.npy"
        if what == "text":
            path.write_text("hello, I am a text of some length, which is no array at all")
        else:
            array = np.array([None]) if what == "objects" else np.zeros((3, 100))
            np.save(path, array, allow_pickle=True)
            if what == "cut short":
                path.write_bytes(path.read_bytes()[:500])
            if what == "empty":
                path.write_bytes(b"")
        with pytest.raises(InputError, match=r"is not a \.npy file of numbers"):
            read_latents(path, (100,))
