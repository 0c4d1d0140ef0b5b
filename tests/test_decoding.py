"""The decoder: token ids in, token ids out, with a session that stands in for the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shouting_model
from shouting_model import EOS, IDS, MAX_POSITIONS, PAD, ShoutingSession

import genkit.decoding
from genkit.decoding import Decoder, Decoding, Found, Sentence, make_batches
from genkit.errors import UsageError
from genkit.model import Model, open_model
from genkit.runtime import RuntimeOptions

Make = Callable[..., tuple[Decoder, ShoutingSession]]
GREEDY = Decoding(beam_size=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(shouting_model.write_model(tmp_path_factory.mktemp("models") / "shout"))


@pytest.fixture
def make(model: Model, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A decoder of so many threads, and the session behind it."""

    def make(threads: int = 1) -> tuple[Decoder, ShoutingSession]:
        session = ShoutingSession()
        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: session)
        return Decoder(model, "translate", RuntimeOptions(threads=threads)), session

    return make


def ids(text: str) -> tuple[int, ...]:
    return tuple(IDS[char] for char in text)


def sentence(text: str, prefix: str = "") -> Sentence:
    return Sentence((*ids(text), EOS), ids(prefix))


class TestResults:
    def test_hypotheses_have_their_end_and_no_padding(self, make: Make) -> None:
        decoder, _ = make()
        short, long = sentence("ab"), sentence("abcd")
        found = decoder.search([short, long], Decoding(beam_size=3, n_best=2)).result()
        assert found[short] == Found(
            ((*ids("AB"), EOS), (*ids("AB!"), EOS)), pytest.approx((-0.3, -0.4)), ended=True
        )
        assert found[long].hypotheses[0] == (*ids("ABCD"), EOS)

    def test_one_that_reached_its_longest_has_no_end(self, make: Make) -> None:
        decoder, _ = make()
        good, cut = sentence("ab"), sentence("a?")
        found = decoder.search([good, cut], Decoding(max_length=5)).result()
        assert (found[good].ended, found[cut].ended) == (True, False)
        assert found[cut].hypotheses == (ids("A????"),)

    def test_the_prefix_is_part_of_them(self, make: Make) -> None:
        decoder, _ = make()
        forced = sentence("ab", prefix="xyz")
        assert decoder.search([forced], GREEDY).result()[forced].hypotheses == (
            (*ids("xyzAB"), EOS),
        )

    @pytest.mark.parametrize(
        ("decoding", "scores", "asked"),
        [
            (GREEDY, True, True),
            (GREEDY, False, False),
            (Decoding(n_best=2), False, True),
        ],
    )
    def test_scores_are_asked_for_where_they_are_needed(
        self, make: Make, decoding: Decoding, scores: bool, asked: bool
    ) -> None:
        decoder, session = make()
        found = decoder.search([sentence("ab")], decoding, scores=scores).result()
        assert [bool(feeds["return_scores"]) for feeds in session.feeds] == [asked]
        assert bool(found[sentence("ab")].scores[0]) == asked

    def test_nothing_gives_nothing(self, make: Make) -> None:
        decoder, session = make()
        assert decoder.search([], GREEDY).result() == {}
        assert session.feeds == []


class TestFeeds:
    def test_settings_reach_the_graph(self, make: Make) -> None:
        decoder, session = make()
        decoding = Decoding(
            beam_size=3,
            length_penalty=0.5,
            early_stopping=True,
            min_length=2,
            max_length=30,
            no_repeat_ngram_size=4,
            repetition_penalty=1.5,
        )
        decoder.search([sentence("ab")], decoding).result()
        (feeds,) = session.feeds
        assert {name: value.tolist() for name, value in feeds.items() if value.ndim == 0} == {
            "beam_size": 3,
            "length_penalty": 0.5,
            "early_stopping": True,
            "min_length": 2,
            "repetition_penalty": 1.5,
            "no_repeat_ngram_size": 4,
            "return_scores": True,
        }
        assert feeds["max_length"].tolist() == [30]

    @pytest.mark.parametrize("prefix", ["", "x"])
    def test_types_and_shapes_are_those_of_the_card(
        self, make: Make, model: Model, prefix: str
    ) -> None:
        decoder, session = make()
        decoder.search([sentence("ab", prefix), sentence("abc")], GREEDY).result()
        (feeds,) = session.feeds
        assert {name: (value.dtype.name, value.ndim) for name, value in feeds.items()} == {
            spec.name: (spec.dtype, len(spec.shape))
            for spec in model.card.interface["translate"].inputs
        }
        assert feeds["prefix_ids"].shape == (2, len(prefix))

    def test_rows_are_padded_at_their_end(self, make: Make) -> None:
        decoder, session = make()
        decoder.search([sentence("a", prefix="xy"), sentence("abc", prefix="z")], GREEDY).result()
        (feeds,) = session.feeds
        assert feeds["input_ids"].tolist() == [[*ids("abc"), EOS], [*ids("a"), EOS, PAD, PAD]]
        assert feeds["prefix_ids"].tolist() == [[*ids("z"), PAD], [*ids("xy")]]

    def test_the_longest_output_depends_on_the_sentence_alone(self, make: Make) -> None:
        decoder, session = make()
        texts = [sentence("ab"), sentence("abcd", prefix="xy"), sentence("a" * 20)]
        decoder.search(texts, GREEDY).result()
        (feeds,) = session.feeds
        assert feeds["max_length"].tolist() == [MAX_POSITIONS, 3 * 5 + 20 + 2, 3 * 3 + 20]


class TestBatches:
    def test_the_longest_come_first(self) -> None:
        batches = make_batches([sentence("a" * (i * 7 % 25 + 1)) for i in range(99)], 100, 1)
        lengths = [len(s.source) for batch in batches for s in batch]
        assert lengths == sorted(lengths, reverse=True)
        assert len(lengths) == 99

    @pytest.mark.parametrize("workers", [1, 2, 5])
    def test_padding_counts(self, workers: int) -> None:
        batches = make_batches([sentence("a" * i) for i in range(1, 25)], 60, workers)
        assert all(len(batch) * len(batch[0].source) <= 60 for batch in batches)
        assert max(map(len, batches)) > 1

    def test_a_sentence_over_the_limit_comes_alone(self) -> None:
        assert make_batches([sentence("ab"), sentence("abc")], 1, 1) == [
            [sentence("abc")],
            [sentence("ab")],
        ]

    @pytest.mark.parametrize(
        ("count", "workers", "sizes"),
        [
            (8, 1, [8]),
            (1, 2, [1]),
            (2, 2, [1, 1]),
            (3, 2, [2, 1]),
            (8, 2, [4, 4]),
            (8, 3, [3, 3, 2]),
            (300, 2, [62, 62, 62, 62, 52]),
        ],
    )
    def test_a_few_are_shared_out_among_the_workers(
        self, count: int, workers: int, sizes: list[int]
    ) -> None:
        batches = make_batches([sentence("a" * 7)] * count, 500, workers)
        assert [len(batch) for batch in batches] == sizes

    def test_a_sentence_that_comes_twice_is_done_once(self, make: Make) -> None:
        decoder, session = make()
        found = decoder.search([sentence("a"), sentence("a", prefix="b")] * 10, GREEDY).result()
        assert len(found) == 2
        assert sum(len(feeds["input_ids"]) for feeds in session.feeds) == 2


class TestThreads:
    many = [sentence("a" * (i % 20) + "b" * (i // 20)) for i in range(400)]

    def test_they_do_not_change_results(self, make: Make) -> None:
        searches = [make(n)[0].search(self.many, GREEDY, batch_tokens=100) for n in (1, 2, 7)]
        results = [search.result() for search in searches]
        assert results[0] == results[1] == results[2]

    def test_each_takes_a_batch_at_a_time(self, make: Make) -> None:
        decoder, session = make(threads=3)
        session.together = 3  # runs wait for each other: it hangs if there are fewer threads
        decoder.search([sentence(c * 9) for c in "abc"], GREEDY).result()
        assert len(session.feeds) == 3

    def test_after_an_error_nothing_new_is_begun(self, make: Make) -> None:
        decoder, session = make(threads=2)
        session.error = RuntimeError("out of memory")
        with pytest.raises(RuntimeError, match="out of memory"):
            decoder.search(self.many, GREEDY, batch_tokens=1).result()
        assert len(session.feeds) < len(self.many)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"beam_size": 0}, "beam size must be at least 1, is 0"),
            ({"n_best": 0}, "n best must be at least 1, is 0"),
            ({"n_best": 5}, "5 best of a beam of 4 cannot be had"),
            ({"max_length": 0}, "max length must be at least 1, is 0"),
            ({"min_length": 9, "max_length": 8}, "min length 9 is above max length 8"),
            ({"no_repeat_ngram_size": -1}, "no repeat ngram size must be at least 0, is -1"),
            ({"repetition_penalty": 0.0}, "repetition penalty must be above 0, is 0.0"),
            ({"repetition_penalty": float("nan")}, "repetition penalty must be above 0, is nan"),
            ({"length_penalty": float("inf")}, "length penalty must be a number, is inf"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, settings: Any, message: str) -> None:
        with pytest.raises(UsageError) as error:
            Decoding(**settings)
        assert error.value.message == message

    def test_the_model_has_limits(self, make: Make) -> None:
        decoder, _ = make()
        with pytest.raises(UsageError, match="max length 65 is more than the 64 positions"):
            decoder.search([sentence("a")], Decoding(max_length=65))
        with pytest.raises(UsageError, match="the prefix has 10 tokens, the max length is 10"):
            decoder.search([sentence("a", prefix="0123456789")], Decoding(max_length=10))
        with pytest.raises(UsageError, match="batch tokens must be at least 1, is 0"):
            decoder.search([sentence("a")], GREEDY, batch_tokens=0)


def test_the_graph_agrees_with_the_stand_in(make: Make, model: Model) -> None:
    real = Decoder(model, "translate", RuntimeOptions(device="cpu", threads=2))
    fake, _ = make()
    texts = [sentence("a" * i + "b") for i in range(1, 30)]
    found = real.search(texts, GREEDY, batch_tokens=64).result()
    expected = fake.search(texts, GREEDY, batch_tokens=64).result()
    assert {s: f.hypotheses for s, f in found.items()} == {
        s: f.hypotheses for s, f in expected.items()
    }


def test_a_model_without_an_end_is_a_mistake(tmp_path: Path) -> None:
    folder = shouting_model.write_model(tmp_path / "m")
    card = (folder / "model.json").read_text().replace("translate", "fill")
    (folder / "model.json").write_text(card.replace('"eos_id": 0', '"mask_id": 0'))
    with pytest.raises(TypeError, match="no model for sequences"):
        Decoder(open_model(folder), "fill", RuntimeOptions())
