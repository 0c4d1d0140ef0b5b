"""The task: texts in, translations out, with a session that stands in for the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import shouting_model
from shouting_model import EOS, IDS, MAX_POSITIONS, ShoutingSession

import genkit.decoding
from genkit import load
from genkit.decoding import Decoding
from genkit.errors import InputError, UsageError
from genkit.model import Model, open_model
from genkit.runtime import RuntimeOptions
from genkit.tasks.translate import Hypothesis, Translation, Translator
from genkit.tasks.translations import join
from genkit.text.units import Unit

Make = Callable[..., tuple[Translator, ShoutingSession]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(shouting_model.write_model(tmp_path_factory.mktemp("models") / "shout"))


@pytest.fixture
def make(model: Model, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(threads: int = 1, model: Model = model) -> tuple[Translator, ShoutingSession]:
        session = ShoutingSession()
        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: session)
        return Translator(model, RuntimeOptions(threads=threads)), session

    return make


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
        text = "hello, my friend; " * 50 + "x" * 60
        assert translator([text]) == [text.upper()]
        widths = [feeds["input_ids"].shape[1] for feeds in session.feeds]
        assert max(widths) <= MAX_POSITIONS // 2

    def test_a_megabyte(self, make: Make) -> None:
        translator, _ = make()
        text = "Over and over again. " * 50_000
        assert translator([text]) == [text.upper()]


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


class TestScores:
    def test_they_are_left_out_where_only_text_is_wanted(self, make: Make) -> None:
        translator, session = make()
        translator(["ab."])
        translator.translate(["ab."])
        assert [bool(feeds["return_scores"]) for feeds in session.feeds] == [False, True]

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

    def test_no_two_are_spelled_alike(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        translator, session = make()
        run = session.run

        def twins(feeds: Any, outputs: Any = None) -> list[Any]:
            tokens, scores = run(feeds, outputs)
            # The second hypothesis is the first, with its "A" as a byte: another token.
            tokens[:, 1] = tokens[:, 0]
            tokens[:, 1][tokens[:, 1] == IDS["A"]] = IDS["<0x41>"]
            return [tokens, scores]

        monkeypatch.setattr(session, "run", twins)
        result = translator.translate(["ab"], Decoding(beam_size=4, n_best=2))[0]
        assert [h.text for h in result.hypotheses] == ["AB", "AB!!"]
        assert [h.score for h in result.hypotheses] == pytest.approx([-0.4, -0.6])
        result = translator.translate(["ab"], Decoding(beam_size=4, n_best=4))[0]
        assert [h.text for h in result.hypotheses] == ["AB", "AB!!", "AB!!!"]

    def test_no_two_texts_of_several_sentences_are_spelled_alike(self) -> None:
        pair = (Hypothesis("a", -1.0), Hypothesis("aa", -1.5))
        translation = Translation(pair, 1, 1, 1, truncated=False)
        joined = join([Unit("x"), Unit("y")], lambda _: translation, 3)
        assert [h.text for h in joined.hypotheses] == ["aa", "aaa", "aaaa"]
        assert [h.score for h in joined.hypotheses] == [-2.0, -2.5, -3.0]

    def test_what_is_kept_has_one_hypothesis(self, make: Make) -> None:
        translator, _ = make()
        assert translator.translate(["7"], Decoding(n_best=4))[0].hypotheses == (
            Hypothesis("7", 0.0),
        )


def test_a_text_that_is_too_much(make: Make) -> None:
    translator, session = make()
    session.error = MemoryError("Failed to allocate")
    result, kept = translator.translate(["ab. cd", "7"])
    assert (result.text, result.error, kept.text) == ("", "does not fit into memory", "7")
    with pytest.raises(InputError, match="does not fit into memory"):
        translator(["ab"])
    streamed = translator.stream([["7"], ["ab"]], prefix="x")
    assert [[one.error for one in some] for some in streamed] == [
        [None],
        ["does not fit into memory"],
    ]


def test_a_prefix_that_is_no_text_is_refused(make: Make) -> None:
    translator, _ = make()
    with pytest.raises(UsageError, match="is no text that can be written as UTF-8"):
        translator(["ab"], prefix="caf\udce9")


class TestStream:
    def test_lists_come_back_in_order(self, make: Make) -> None:
        translator, _ = make(threads=2)
        lists = [["a", "b. c"], [], ["1"], ["d"]]
        texts = [[result.text for result in results] for results in translator.stream(lists)]
        assert texts == [["A", "B. C"], [], ["1"], ["D"]]

    def test_the_next_list_is_begun_before_the_last_is_done(self, make: Make) -> None:
        translator, session = make(threads=2)
        session.together = 2  # no run ends before two are under way
        assert len(list(translator.stream([["a"], ["b"]]))) == 2

    def test_with_none_there_yet_what_was_begun_is_finished(self, make: Make) -> None:
        translator, _ = make()
        events: list[str] = []

        def lists() -> Iterator[list[str] | None]:
            for texts in (["a"], None, None, ["b"], ["c"], None):
                events.append(f"asked, gets {texts}")
                yield texts

        for results in translator.stream(lists()):
            events.append(results[0].text)  # noqa: PERF401 (lists() appends meanwhile)
        assert events == [
            "asked, gets ['a']",
            "asked, gets None",
            "A",
            "asked, gets None",
            "asked, gets ['b']",
            "asked, gets ['c']",
            "B",
            "asked, gets None",
            "C",
        ]

    def test_nothing_new_is_begun_after_it_was_closed(self, make: Make) -> None:
        translator, session = make()
        lists = [["a"], [f"{'x' * (i % 20)} y {i}" for i in range(1000)]]
        results = translator.stream(lists, batch_tokens=1)
        next(results)
        results.close()
        assert len(session.feeds) < 1000


class TestLanguages:
    def test_one_that_the_model_has_not_is_refused(self, make: Make) -> None:
        translator, _ = make()
        assert translator(["a"], to="loud") == ["A"]
        with pytest.raises(UsageError, match="shout does not translate to fr") as error:
            translator(["a"], to="fr")
        assert error.value.hint == "one of: loud"

    def test_the_token_of_the_target_stands_first(self, make: Make, tmp_path: Path) -> None:
        languages = {"source": ["en"], "target": ["loud", "mad"]}
        tokens = {"loud": 8, "mad": 9}
        folder = shouting_model.write_model(
            tmp_path / "m", languages=languages, language_tokens=tokens
        )
        translator, session = make(model=open_model(folder))
        translator(["a"], to="mad")
        assert session.feeds[0]["input_ids"].tolist() == [[9, IDS["▁"], IDS["a"], EOS]]
        with pytest.raises(UsageError, match="shout translates to several languages"):
            translator(["a"])


def test_texts_share_batches_and_come_back_in_order(make: Make) -> None:
    translator, session = make(threads=2)
    texts = [f"{'a' * (i * 7 % 25)}b. Yes! {'c' * (i % 9)}." for i in range(100)]
    assert translator(texts) == [text.upper() for text in texts]
    assert len(session.feeds) < 10


def test_a_cut_translation_is_told(make: Make) -> None:
    translator, _ = make()
    good, cut = translator.translate(["Good. Bad.", "Good. What? Bad."])
    assert (good.truncated, cut.truncated) == (False, True)
    assert cut.text.startswith("GOOD. WHAT??")


def test_a_model_folder_is_loaded_and_run(model: Model) -> None:
    translate = load("translate", str(model.path), threads=2)
    texts = [f"Hello {i}. How are you?" for i in range(100)]
    assert translate(texts) == [text.upper() for text in texts]
    assert translate(["Hello."]) == ["HELLO."]
