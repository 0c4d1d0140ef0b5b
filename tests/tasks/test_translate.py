"""The task: texts in, translations out, with a session that stands in for the graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shouting_model
from numpy.typing import NDArray
from shouting_model import EOS, IDS, MAX_POSITIONS, PAD, SHOUT

import genkit.tasks.translate as task
from genkit import load
from genkit.errors import UsageError
from genkit.model import Model, open_model
from genkit.runtime import RuntimeOptions
from genkit.tasks.translate import BATCH_TOKENS, Decoding, Hypothesis, Translator

Feeds = Mapping[str, NDArray[Any]]


class FakeSession:
    """Shouts. Hypothesis j ends with j exclamation marks and scores -(tokens + j) / 10.

    A sentence with a tilde never ends. Keeps the feeds of every run.
    """

    device = "cpu"
    precision = "fp32"
    reason = "a test"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.feeds: list[Feeds] = []
        self.seen_threads: set[str] = set()

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        assert outputs == ["tokens", "scores"]
        self.feeds.append(feeds)
        self.seen_threads.add(threading.current_thread().name)
        beam = int(feeds["beam_size"])
        rows, scores = [], []
        for source, prefix, most in zip(
            feeds["input_ids"], feeds["prefix_ids"], feeds["max_length"], strict=True
        ):
            words = [i for i in source.tolist() if i != PAD]
            assert words[-1] == EOS
            forced = [i for i in prefix.tolist() if i != PAD]
            shouted = [*forced, *SHOUT[words[:-1]].tolist()]
            for j in range(beam):
                ids = [*shouted, *[IDS["!"]] * j, EOS]
                if IDS["?"] in words:
                    ids = [*shouted, *[IDS["?"]] * MAX_POSITIONS]
                rows.append(ids[: int(most)])
                scores.append(-(len(words) + j) / 10 if feeds["return_scores"] else 0.0)
        width = max(map(len, rows))
        padded = [[*row, *[PAD] * (width - len(row))] for row in rows]
        count = len(feeds["input_ids"])
        return [
            np.array(padded).reshape(count, beam, width),
            np.array(scores, np.float32).reshape(count, beam),
        ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(shouting_model.write_model(tmp_path_factory.mktemp("models") / "shout"))


Make = Callable[..., tuple[Translator, FakeSession]]


@pytest.fixture
def make(model: Model, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(threads: int = 1, model: Model = model) -> tuple[Translator, FakeSession]:
        session = FakeSession(threads)
        monkeypatch.setattr(task, "open_session", lambda *_, **__: session)
        return Translator(model, RuntimeOptions()), session

    return make


def rows_of(session: FakeSession) -> list[int]:
    return [len(feeds["input_ids"]) for feeds in session.feeds]


class TestTexts:
    def test_a_text_is_translated(self, make: Make) -> None:
        translator, _ = make()
        assert translator(["Hello.", "Good morning"]) == ["HELLO.", "GOOD MORNING"]

    def test_no_texts(self, make: Make) -> None:
        translator, session = make()
        assert translator([]) == []
        assert session.feeds == []

    @pytest.mark.parametrize("text", ["", "   ", "\t", "12.50", "...", "😀", " - 3:0 - "])
    def test_what_holds_no_letter_is_kept(self, make: Make, text: str) -> None:
        translator, session = make()
        result = translator.translate([text])[0]
        assert (result.text, result.score, result.sentences) == (text, 0, 0)
        assert session.feeds == []

    def test_white_space_between_sentences_is_kept(self, make: Make) -> None:
        translator, _ = make()
        text = "  One two.   Three.\u00a0Four!\tfive\n\n1. Six seven. \r"
        assert translator([text]) == [text.upper()]

    def test_one_string_is_a_mistake(self, make: Make) -> None:
        translator, _ = make()
        with pytest.raises(TypeError, match=r"\[text\]"):
            translator("Hello.")

    def test_unknown_characters_survive(self, make: Make) -> None:
        translator, _ = make()
        assert translator(["a 東京 😀 Łódź"]) == ["A 東京 😀 ŁóDź"]

    def test_a_long_sentence_is_cut_and_nothing_is_lost(self, make: Make) -> None:
        translator, session = make()
        text = "hello, my friend; " * 50 + "x" * 500
        assert translator([text]) == [text.upper()]
        widths = [feeds["input_ids"].shape[1] for feeds in session.feeds]
        assert max(widths) <= MAX_POSITIONS // 2

    def test_a_megabyte(self, make: Make) -> None:
        translator, _ = make()
        text = "Over and over again. " * 50_000
        assert translator([text]) == [text.upper()]


class TestBatches:
    def test_results_are_in_order_and_the_longest_come_first(self, make: Make) -> None:
        translator, session = make()
        texts = ["a" * (i * 7 % 25 + 1) for i in range(100)]
        assert translator(texts, batch_tokens=100) == [text.upper() for text in texts]
        widths = [feeds["input_ids"].shape[1] for feeds in session.feeds]
        assert widths == sorted(widths, reverse=True)

    def test_padding_counts_in_the_budget(self, make: Make) -> None:
        translator, session = make()
        translator(["b" * i for i in range(1, 25)], batch_tokens=60)
        assert all(feeds["input_ids"].size <= 60 for feeds in session.feeds)
        assert max(rows_of(session)) > 1

    def test_a_sentence_over_the_budget_comes_alone(self, make: Make) -> None:
        translator, session = make()
        translator(["abc", "defg"], batch_tokens=1)
        assert rows_of(session) == [1, 1]

    def test_the_same_sentence_is_translated_once(self, make: Make) -> None:
        translator, session = make()
        assert translator(["Yes. No.", "No.", "Yes."] * 10) == ["YES. NO.", "NO.", "YES."] * 10
        assert sum(rows_of(session)) == 2

    def test_rows_are_padded_at_their_end(self, make: Make) -> None:
        translator, session = make()
        translator(["abc", "a"])
        (feeds,) = session.feeds
        assert feeds["input_ids"].tolist() == [
            [IDS["▁"], IDS["a"], IDS["b"], IDS["c"], EOS],
            [IDS["▁"], IDS["a"], EOS, PAD, PAD],
        ]

    @pytest.mark.parametrize(("sentences", "batches"), [(1, 1), (2, 2), (3, 2), (8, 2), (300, 5)])
    def test_batches_are_shared_out_among_the_threads(
        self, make: Make, sentences: int, batches: int
    ) -> None:
        translator, session = make(threads=2)
        texts = [f"{i:03}abc" for i in range(sentences)]
        assert translator(texts, batch_tokens=500) == [text.upper() for text in texts]
        assert len(session.feeds) == batches

    def test_threads_do_not_change_results(self, make: Make) -> None:
        texts = [f"Sentence {'x' * (i % 13)}. And {i}!" for i in range(200)]
        results = [make(threads=threads)[0].translate(texts) for threads in (1, 2, 7)]
        assert results[0] == results[1] == results[2]

    def test_an_error_in_a_thread_is_raised_and_the_rest_is_not_begun(self, make: Make) -> None:
        translator, session = make(threads=2)

        def fails(*_: Any) -> Any:
            session.feeds.append({})
            raise RuntimeError("out of memory")

        session.run = fails  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="out of memory"):
            translator([f"text {i} abc" for i in range(1000)], batch_tokens=1)
        assert len(session.feeds) < 1000


class TestFeeds:
    def test_settings_reach_the_graph(self, make: Make) -> None:
        translator, session = make()
        translator(
            ["abc"],
            beam_size=3,
            length_penalty=0.5,
            min_length=2,
            max_length=30,
            no_repeat_ngram_size=4,
            repetition_penalty=1.5,
        )
        (feeds,) = session.feeds
        settings = {name: value.tolist() for name, value in feeds.items() if value.ndim == 0}
        assert settings == {
            "beam_size": 3,
            "length_penalty": 0.5,
            "min_length": 2,
            "repetition_penalty": 1.5,
            "no_repeat_ngram_size": 4,
            "return_scores": False,
        }
        assert feeds["max_length"].tolist() == [30]

    def test_types_and_shapes_are_those_of_the_card(self, make: Make, model: Model) -> None:
        translator, session = make()
        translator(["abc", "defg"], prefix=["x", ""])
        (feeds,) = session.feeds
        assert {
            spec.name: (spec.dtype, len(spec.shape))
            for spec in model.card.interface["translate"].inputs
        } == {name: (value.dtype.name, value.ndim) for name, value in feeds.items()}

    def test_the_longest_translation_depends_on_the_sentence_alone(self, make: Make) -> None:
        translator, session = make()
        translator(["ab", "abcd", "abcdefghijklmnop"])
        (feeds,) = session.feeds
        assert feeds["max_length"].tolist() == [MAX_POSITIONS, 3 * 6 + 20, 3 * 4 + 20]

    def test_a_max_length_that_is_reached_is_told(self, make: Make) -> None:
        translator, _ = make()
        ended, cut = translator.translate(["Good. Bad.", "Good. What? Bad."])
        assert (ended.truncated, cut.truncated) == (False, True)
        assert cut.text.startswith("GOOD. WHAT??")


class TestPrefix:
    def test_it_begins_the_first_sentence_of_each_text(self, make: Make) -> None:
        translator, _ = make()
        texts = ["one. two.", "3. three. four.", "", "5"]
        assert translator(texts, prefix="So ") == ["So ONE. TWO.", "3. So THREE. FOUR.", "", "5"]

    def test_texts_may_have_their_own(self, make: Make) -> None:
        translator, _ = make()
        assert translator(["b", "b", "b"], prefix=["a", "", "xyz"]) == ["a B", "B", "xyz B"]

    def test_each_text_needs_one(self, make: Make) -> None:
        translator, _ = make()
        with pytest.raises(ValueError, match="1 prefixes for 2 texts"):
            translator(["a", "b"], prefix=["c"])

    def test_it_must_leave_room(self, make: Make) -> None:
        translator, _ = make()
        with pytest.raises(UsageError, match="the prefix has 11 tokens, the max length is 10"):
            translator(["a"], prefix="0123456789", max_length=10)


class TestScores:
    def test_they_are_asked_for_where_they_are_shown(self, make: Make) -> None:
        translator, session = make()
        assert translator.translate(["ab."])[0].score == pytest.approx(-0.5)
        assert translator.translate(["ab."], scores=False)[0].score == 0
        assert [bool(feeds["return_scores"]) for feeds in session.feeds] == [True, False]

    def test_that_of_a_text_is_the_sum_over_its_sentences(self, make: Make) -> None:
        translator, _ = make()
        assert translator.translate(["ab. abc. 7. ab."])[0].score == pytest.approx(-1.6)

    def test_tokens_are_counted_with_their_ends(self, make: Make) -> None:
        translator, _ = make()
        result = translator.translate(["ab. cd."], prefix="x")[0]
        assert (result.sentences, result.source_tokens, result.target_tokens) == (2, 10, 12)


class TestNBest:
    def test_the_best_comes_first(self, make: Make) -> None:
        translator, _ = make()
        result = translator.translate(["ab"], Decoding(beam_size=4, n_best=3))[0]
        assert [h.text for h in result.hypotheses] == ["AB", "AB!", "AB!!"]
        assert [h.score for h in result.hypotheses] == pytest.approx([-0.4, -0.5, -0.6])

    def test_sentences_are_combined_by_the_sum_of_their_scores(self, make: Make) -> None:
        translator, _ = make()
        result = translator.translate(["So.  It is."], Decoding(beam_size=4, n_best=4))[0]
        texts = ["SO.  IT IS.", "SO.  IT IS.!", "SO.!  IT IS.", "SO.  IT IS.!!"]
        assert [h.text for h in result.hypotheses] == texts
        assert [h.score for h in result.hypotheses] == pytest.approx([-1.3, -1.4, -1.4, -1.5])

    def test_what_is_kept_has_one_hypothesis(self, make: Make) -> None:
        translator, _ = make()
        assert translator.translate(["7"], Decoding(n_best=4))[0].hypotheses == (
            Hypothesis("7", 0.0),
        )


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"beam_size": 0}, "beam size must be at least 1, is 0"),
            ({"n_best": 5}, "5 best of a beam of 4 cannot be had"),
            ({"max_length": 0}, "max length must be at least 1"),
            ({"min_length": 9, "max_length": 8}, "min length 9 is above max length 8"),
            ({"no_repeat_ngram_size": -1}, "no repeat ngram size must be at least 0"),
            ({"repetition_penalty": 0.0}, "repetition penalty must be above 0"),
            ({"repetition_penalty": float("nan")}, "repetition penalty must be above 0"),
            ({"length_penalty": float("inf")}, "length penalty must be a number"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, settings: Any, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            Decoding(**settings)

    def test_the_model_has_limits(self, make: Make) -> None:
        translator, _ = make()
        with pytest.raises(UsageError, match="max length 65 is more than the 64 positions"):
            translator(["a"], max_length=65)
        with pytest.raises(UsageError, match="batch tokens"):
            translator(["a"], batch_tokens=0)

    def test_a_language_that_the_model_has_not_is_refused(self, make: Make) -> None:
        translator, _ = make()
        assert translator(["a"], to="loud") == ["A"]
        with pytest.raises(UsageError, match="shout does not translate to fr") as error:
            translator(["a"], to="fr")
        assert error.value.hint == "one of: loud"

    def test_the_language_token_stands_first(self, make: Make, tmp_path: Path) -> None:
        languages = {"source": ["en"], "target": ["loud", "mad"]}
        folder = shouting_model.write_model(
            tmp_path / "m", languages=languages, language_tokens={"loud": 8, "mad": 9}
        )
        translator, session = make(model=open_model(folder))
        translator(["a"], to="mad")
        assert session.feeds[0]["input_ids"].tolist() == [[9, IDS["▁"], IDS["a"], EOS]]
        with pytest.raises(UsageError, match="several languages"):
            translator(["a"])


def test_a_model_folder_is_loaded_and_run(model: Model) -> None:
    translate = load("translate", str(model.path), threads=2)
    texts = [f"Hello {i}. How are you?" for i in range(100)]
    assert translate(texts) == [text.upper() for text in texts]
    assert translate(["Hello."]) == ["HELLO."]
    assert BATCH_TOKENS > 0
