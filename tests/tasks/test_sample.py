"""The task: noise in, pictures out, the same ones in whatever company."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import noise_model
import numpy as np
import pytest
from noise_model import EchoSession

import genkit.tasks.sample as task
from genkit import load
from genkit.errors import InputError, ModelError, UsageError
from genkit.model import open_model
from genkit.noise import draw
from genkit.runtime import RuntimeOptions
from genkit.tasks.sample import Point, Sampler, find_class

Make = Callable[..., tuple[Sampler, EchoSession]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(device: str = "cpu", **latent: Any) -> tuple[Sampler, EchoSession]:
        model = open_model(noise_model.write_model(tmp_path / "noise", **latent))
        session = EchoSession(device)
        monkeypatch.setattr(task, "open_session", lambda *_, **__: session)
        return Sampler(model, RuntimeOptions()), session

    return make


def joined(session: EchoSession, name: str) -> Any:
    """An input of all runs together."""
    return np.concatenate([np.atleast_1d(feed[name]) for feed in session.feeds])


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    folder = noise_model.write_model(tmp_path_factory.mktemp("models") / "noise", truncation="both")
    return load("sample", str(folder), device="cpu")


@pytest.fixture(scope="module")
def many(sampler: Sampler) -> Any:
    return np.stack(list(sampler(range(5, 305))))


class TestTheSamePictures:
    """With a real session: a picture depends on nothing but its seed, its class and truncation."""

    def test_however_many_there_are(self, sampler: Sampler, many: Any) -> None:
        assert (many.shape, many.dtype) == ((300, 8, 8, 3), np.uint8)
        np.testing.assert_array_equal(np.stack(list(sampler(range(5, 8)))), many[:3])

    @pytest.mark.parametrize("batch_size", [1, 2, 7, 64, 300, 1000])
    def test_in_whatever_batch(self, sampler: Sampler, many: Any, batch_size: int) -> None:
        again = np.stack(list(sampler(range(5, 305), batch_size=batch_size)))
        np.testing.assert_array_equal(again, many)

    def test_in_whatever_order(self, sampler: Sampler, many: Any) -> None:
        again = np.stack(list(sampler(reversed(range(5, 305)))))
        np.testing.assert_array_equal(again[::-1], many)

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_on_however_many_threads(self, sampler: Sampler, many: Any, threads: int) -> None:
        other = load("sample", str(sampler.model.path), device="cpu", threads=threads)
        np.testing.assert_array_equal(np.stack(list(other(range(5, 305)))), many)

    def test_they_are_pictures_of_their_own(self, many: Any) -> None:
        assert len({picture.tobytes() for picture in many}) == 300
        assert many.std() > 20


class TestStreams:
    def test_a_batch_is_made_when_it_is_asked_for(self, make: Make) -> None:
        sampler, session = make()
        drawn = []

        def seeds() -> Iterator[int]:
            for seed in count():  # there is no end to it
                drawn.append(seed)
                yield seed

        pictures = sampler(seeds(), batch_size=4)
        assert (session.batches, drawn) == ([], [])
        next(pictures)
        assert (session.batches, len(drawn)) == ([4], 4)
        assert len(list(islice(pictures, 3))) == 3
        assert (session.batches, len(drawn)) == ([4], 4)
        next(pictures)
        assert (session.batches, len(drawn)) == ([4, 4], 8)

    def test_nothing_is_kept_of_what_was_made(self, make: Make) -> None:
        sampler, session = make()
        batches: list[weakref.ref[Any]] = []
        pictures = sampler(count(), batch_size=4)
        for _ in islice(pictures, 400):
            batches += [weakref.ref(feed["z"]) for feed in session.feeds]
            session.feeds.clear()
            assert sum(batch() is not None for batch in batches) <= 1
        assert len(batches) == 100

    @pytest.mark.parametrize("device", ["cpu", "openvino"])
    def test_the_last_batch_is_as_small_as_it_is(self, make: Make, device: str) -> None:
        sampler, session = make(device)
        assert len(list(sampler(range(10), batch_size=4))) == 10
        assert session.batches == [4, 4, 2]

    def test_on_a_gpu_it_is_filled_up(self, make: Make) -> None:
        sampler, session = make("cuda:0")
        assert len(list(sampler(range(10), batch_size=4))) == 10
        assert session.batches == [4, 4, 4]

    def test_no_seeds(self, make: Make) -> None:
        sampler, session = make()
        assert list(sampler([])) == []
        assert session.batches == []

    def test_a_batch_of_none(self, make: Make) -> None:
        sampler, _ = make()
        with pytest.raises(UsageError, match="a batch has at least one picture, not 0"):
            next(sampler([1], batch_size=0))

    def test_a_batch_that_does_not_fit_into_memory(self, make: Make) -> None:
        sampler, session = make()
        session.most = 3
        with pytest.raises(InputError, match="4 pictures at a time do not fit into memory"):
            list(sampler(range(10), batch_size=4))


class TestWhatGoesIn:
    def test_noise(self, make: Make) -> None:
        sampler, session = make(distribution="truncated_normal")
        list(sampler([3, 9]))
        expected = [draw(3, sampler.model.card.latent), draw(9, sampler.model.card.latent)]  # type: ignore[arg-type]
        np.testing.assert_array_equal(session.feeds[0]["z"], expected)
        assert session.feeds[0]["z"].dtype == np.float32

    @pytest.mark.parametrize(
        ("where", "scale", "told"),
        [("latent", 0.5, None), ("graph", 1, 0.5), ("both", 0.5, 0.5)],
    )
    def test_truncation(self, make: Make, where: str, scale: float, told: float | None) -> None:
        sampler, session = make(truncation=where)
        list(sampler([3], truncation=0.5))
        list(sampler([3]))
        half, whole = session.feeds
        np.testing.assert_array_equal(half["z"], whole["z"] * np.float32(scale))
        if told is None:
            assert "truncation" not in half
        else:
            assert half["truncation"].shape == ()
            assert half["truncation"].dtype == np.float32
            assert (half["truncation"], whole["truncation"]) == (0.5, 1)

    def test_the_truncation_of_the_model(self, make: Make) -> None:
        sampler, session = make(truncation="both", default_truncation=0.4)
        list(sampler([3]))
        list(sampler([3], truncation=1.0))
        own, whole = session.feeds
        np.testing.assert_array_equal(own["z"], whole["z"] * np.float32(0.4))
        np.testing.assert_allclose([own["truncation"], whole["truncation"]], [0.4, 1])

    def test_a_run_has_one_truncation(self, make: Make) -> None:
        sampler, session = make(truncation="both")
        z = np.ones(noise_model.NOISE, np.float32)
        points = [Point(z, 0, truncation) for truncation in (0.2, 0.2, 0.2, 0.7, 0.7, 0.2)]
        assert len(list(sampler.run(points, 2))) == 6
        assert session.batches == [2, 1, 2, 1]
        np.testing.assert_allclose(joined(session, "truncation"), [0.2, 0.2, 0.7, 0.2])
        assert (z == 1).all()

    def test_the_classes_are_taken_in_turn(self, make: Make) -> None:
        sampler, session = make()
        list(sampler(range(4, 9)))
        assert session.feeds[0]["class"].tolist() == [1, 2, 0, 1, 2]
        assert session.feeds[0]["class"].dtype == np.int64
        session.feeds.clear()
        list(sampler(range(4), classes=["ship", 0]))
        assert session.feeds[0]["class"].tolist() == [2, 0, 2, 0]

    def test_a_model_without_classes(self, make: Make) -> None:
        sampler, session = make(classes=[])
        list(sampler([1]))
        assert set(session.feeds[0]) == {"z"}
        assert sampler.classes == ()

    def test_what_makes_no_sense_is_refused_at_once(self, make: Make) -> None:
        sampler, _ = make(truncation="none", classes=[])
        with pytest.raises(UsageError, match="noise has no classes"):
            sampler([1], classes=["cat"])
        with pytest.raises(UsageError, match="noise has no truncation"):
            sampler([1], truncation=0.5)
        with pytest.raises(UsageError, match=r"truncation is 0 to 1, not 1\.5"):
            sampler([1], truncation=1.5)


class TestClasses:
    NAMES = ("tench, Tinca tinca", "crane", "tabby, tabby cat", "crane", "Egyptian cat")

    @pytest.mark.parametrize(
        ("asked", "index"),
        [
            ("tabby", 2), ("Tabby Cat", 2), (" tinca tinca", 0), ("tench, tinca tinca", 0),
            ("4", 4), (3, 3), ("egyptian CAT", 4),
        ],
    )  # fmt: skip
    def test_by_name_or_index(self, asked: str | int, index: int) -> None:
        assert find_class(self.NAMES, asked) == index

    @pytest.mark.parametrize(
        ("asked", "message", "hint"),
        [
            ("tabbi", "unknown class 'tabbi'", "did you mean 'tabby'?"),
            ("cat", "unknown class 'cat'", "did you mean 'tabby cat' or 'egyptian cat'?"),
            ("zzz", "unknown class 'zzz'", "there is: tench, Tinca tinca, crane, "),
            ("", "unknown class ''", "there is: "),
            ("crane", "2 classes are called 'crane'", "by index: 1, 3"),
            ("5", "there is no class 5", "classes are 0 to 4"),
            ("-1", "unknown class '-1'", "there is: "),
        ],
    )
    def test_others_are_refused_with_what_is_near(
        self, asked: str, message: str, hint: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            find_class(self.NAMES, asked)
        assert caught.value.message == message
        assert caught.value.hint is not None
        assert caught.value.hint.startswith(hint)

    def test_of_many_a_few_are_named(self) -> None:
        with pytest.raises(UsageError) as caught:
            find_class([f"c{i:04}" for i in range(1000)], "zzz")
        assert caught.value.hint is not None
        assert caught.value.hint.endswith("c0011 and others")


def test_another_kind_of_model(tmp_path: Path) -> None:
    import picture_model

    model = open_model(picture_model.write_model(tmp_path / "negative", "cyclegan"))
    with pytest.raises(TypeError, match="negative makes nothing from noise"):
        Sampler(model, RuntimeOptions())


def test_a_card_that_does_not_tell_all_that_the_graph_takes(tmp_path: Path) -> None:
    folder = noise_model.write_model(tmp_path / "noise")
    card = json.loads((folder / "model.json").read_bytes())
    del card["latent"]["classes"]
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="noise takes class, z, but its card tells of z"):
        Sampler(open_model(folder), RuntimeOptions())


def test_a_picture_that_is_all_black_is_warned_of(make: Make) -> None:
    """NaN becomes 0 in bytes."""
    sampler, session = make()
    black = np.zeros((1, 8, 8, 3), np.uint8)
    session.run = lambda feeds: [black]  # type: ignore[method-assign]
    with pytest.warns(RuntimeWarning, match="noise made a picture that is all black"):
        list(sampler([0]))


def test_what_it_runs_on(tmp_path: Path) -> None:
    folder = noise_model.write_model(tmp_path / "noise")
    sampler = load("sample", str(folder), device="cpu", threads=1)
    assert sampler.runs_on == "cpu (asked for), fp32, 1 thread(s)"
