"""Spans that a model loses are translated again, and at last around; and what is doubted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shouting_model
from shouting_model import PAD

import genkit.decoding
from genkit.card import Doubt
from genkit.model import open_model
from genkit.runtime import RuntimeOptions
from genkit.tasks.doubt import is_doubtful, loops
from genkit.tasks.translate import Translator

if TYPE_CHECKING:
    from numpy.typing import NDArray

Change = Callable[[str], str]


class Session:
    """Says of every sentence, for each beam, what one of some functions makes of it."""

    device, precision, reason = "cpu", "fp32", "a test"

    def __init__(self, tokenizer: Any, *changes: Change) -> None:
        self.tokenizer = tokenizer
        self.changes = changes
        self.read: list[str] = []

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        beam = int(feeds["beam_size"])
        rows = []
        for source in feeds["input_ids"]:
            text = self.tokenizer.decode([i for i in source.tolist() if i != PAD])
            self.read.append(text)
            for j in range(beam):
                change = self.changes[min(j, len(self.changes) - 1)]
                rows.append(self.tokenizer.encode(change(text)).ids)
        width = max(map(len, rows))
        padded = [[*row, *[PAD] * (width - len(row))] for row in rows]
        count = len(feeds["input_ids"])
        scores = np.tile(-np.arange(1, beam + 1, dtype=np.float32), (count, 1))
        return [np.array(padded).reshape(count, beam, width), scores]


Make = Callable[..., tuple[Translator, Session]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(*changes: Change, **text: Any) -> tuple[Translator, Session]:
        text = {"stand_ins": {"at": 1.0, "hash": 1.0}, "max_positions": 512, **text}
        model = open_model(shouting_model.write_model(tmp_path / "m", **text))
        session = Session(shouting_model.tokenizer(), *changes)
        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: session)
        return Translator(model, RuntimeOptions(threads=1)), session

    return make


def test_a_stand_in_is_read_in_place_of_a_span(make: Make) -> None:
    translator, session = make(str)
    assert translator(["I see {name} now."]) == ["I see {name} now."]
    assert session.read == ["I see @1 now."]


def test_without_protection_the_span_itself_is_read(make: Make) -> None:
    translator, session = make(str)
    assert translator(["I see {name} now."], protect=False) == ["I see {name} now."]
    assert session.read == ["I see {name} now."]


def test_the_first_hypothesis_that_has_them_all_is_taken(make: Make) -> None:
    translator, session = make(lambda text: text.replace("@1", "it"), str.lower)
    (result,) = translator.translate(["I see {name} now."])
    assert result.text == "i see {name} now."
    assert len(session.read) == 1


def test_then_another_family_is_tried(make: Make) -> None:
    translator, session = make(lambda text: text.replace("@", ""))
    assert translator(["I see {name} now."]) == ["I see {name} now."]
    assert session.read == ["I see @1 now.", "I see #1 now."]


def test_what_models_copy_has_a_stand_in_only_when_it_was_lost(make: Make) -> None:
    translator, session = make(lambda text: text.replace("17", "71"))
    assert translator(["I see 17 dogs."]) == ["I see 17 dogs."]
    assert session.read == ["I see 17 dogs.", "I see @1 dogs."]


def test_at_last_what_stands_around_is_translated(make: Make) -> None:
    translator, session = make(lambda text: re.sub("[@#]", "", text).upper())
    (result,) = translator.translate(["I see {name} now, and %d dogs."])
    assert (result.text, result.lost) == ("I SEE {name} NOW, AND %d DOGS.", ())
    assert set(session.read[-3:]) == {"I see", "now, and", "dogs."}


def test_a_model_that_copies_nothing_is_not_asked(make: Make) -> None:
    translator, session = make(str.upper, stand_ins={})
    assert translator(["I see {name} now."]) == ["I SEE {name} NOW."]
    assert sorted(session.read) == ["I see", "now."]


def test_given_spans_come_back(make: Make) -> None:
    translator, _session = make(lambda text: text.upper())
    assert translator(["I see Tom now."], spans=[[(6, 9)]]) == ["I SEE Tom NOW."]
    with pytest.raises(ValueError, match="1 lists of spans for 2 texts"):
        translator(["a", "b"], spans=[[]])


def test_patterns_add_kinds(make: Make) -> None:
    translator, _ = make(str.upper)
    assert translator(["I see Tom now."], patterns=["T.m"]) == ["I SEE Tom NOW."]


def test_a_pair_of_marks_is_put_around_its_words(make: Make) -> None:
    translator, session = make(str)
    assert translator(["I see the <b>old</b> dog."]) == ["I see the <b>old</b> dog."]
    assert set(session.read) == {"I see the old dog.", "old"}


def test_more_spans_than_stand_ins_are_kept_as_well(make: Make) -> None:
    translator, _ = make(str)
    text = "See " + " and ".join(f"{{x{i}}}" for i in range(30)) + "."
    assert translator([text]) == [text]


def test_a_long_sentence_is_cut_where_the_card_says_and_spans_are_not(make: Make) -> None:
    translator, session = make(str, longest=40)
    text = ", ".join(f"the {{name{i}}} dog sees https://example.org/{i}" for i in range(20))
    assert translator([text]) == [text]
    assert max(map(len, session.read)) <= 40


def test_a_replacement_character_never_comes_out(make: Make) -> None:
    translator, _ = make(lambda text: text + "\ufffd")
    assert translator(["Good.", "A \ufffd dog."]) == ["Good.", "A \ufffd dog."]


def test_the_likelier_spelling_of_a_title_is_taken(make: Make) -> None:
    translator, session = make(str)
    assert translator(["# The Old House"])[0] in ("# The Old House", "# The old house")
    assert set(session.read) == {"The Old House", "The old house"}


class TestDoubt:
    DOUBT = Doubt(-1.0, (0.5, 2.0))

    @pytest.mark.parametrize(
        ("mean", "source", "target", "doubtful"),
        [
            (-0.5, 10, 12, False),
            (-1.5, 10, 12, True),
            (None, 10, 12, False),
            (-0.5, 10, 30, True),
            (-0.5, 30, 10, True),
            (-0.5, 2, 6, False),  # a short one may be much longer
        ],
    )
    def test_scores_and_lengths(
        self, mean: float | None, source: int, target: int, doubtful: bool
    ) -> None:
        assert is_doubtful(self.DOUBT, mean, range(source), range(target)) == doubtful

    def test_saying_the_same_over_and_over(self) -> None:
        assert loops([5, 1, 2, 1, 2, 1, 2, 1, 2])
        assert loops([3, 3, 3, 3])
        assert not loops([1, 2, 1, 2, 1, 2, 3])
        assert is_doubtful(self.DOUBT, -0.1, range(8), [1, 2] * 4)
        assert not is_doubtful(self.DOUBT, -0.1, [7] * 8, [3] * 8)

    def test_a_translation_says_so(self, make: Make) -> None:
        doubt = {"log_probability": -0.2, "length_ratio": [0.5, 2.0]}
        translator, _ = make(str, doubtful=doubt)
        sure, unsure = translator.translate(["One dog sees two cats. Yes.", "Yes"])
        assert (sure.doubtful, unsure.doubtful) == (True, True)  # Yes. is -1 / 5
