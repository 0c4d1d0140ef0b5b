"""What the card of a translation model says of it, measured with one that copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import shouting_model

from genkit import load
from genkit.model import open_model
from genkit.tasks.translate import Translator
from genkit.text.stand_ins import FAMILIES
from genkit_export.measure_text import chrf, complete, doubtful, longest, stand_ins

if TYPE_CHECKING:
    import numpy as np

SENTENCES = ["The dog is tired.", "A man is here.", "Two cats sleep.", "It is cold.", "Go.", "No."]


def model(folder: Path, table: np.ndarray = shouting_model.COPY) -> Path:
    return shouting_model.write_model(folder, table=table, max_positions=256)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return load("translate", str(model(tmp_path_factory.mktemp("m") / "copy")), threads=1)


def test_a_model_that_copies_copies_all_families(copies: Translator) -> None:
    assert stand_ins(copies, "en", None) == dict.fromkeys(FAMILIES, 1.0)


def test_one_that_has_no_digits_does_not_copy_those_that_do(tmp_path: Path) -> None:
    table = shouting_model.COPY.copy()
    table[[shouting_model.IDS[digit] for digit in "123456789"]] = shouting_model.IDS["0"]
    translator = load("translate", str(model(tmp_path / "m", table)), threads=1)
    assert stand_ins(translator, "en", None) == {"letters": 1.0, "greek": 1.0, "flags": 1.0}


def test_languages_without_carriers_are_not_measured(copies: Translator) -> None:
    assert stand_ins(copies, "xx", None) is None


def test_a_model_that_does_any_length_well_has_the_largest_limit(copies: Translator) -> None:
    before = copies.longest
    assert longest(copies, SENTENCES, "en", None) == 96
    assert copies.longest == before


def test_where_it_is_doubtful_is_around_what_the_sentences_show(copies: Translator) -> None:
    found = doubtful(copies, SENTENCES, None)
    assert found["log_probability"] < 0
    assert found["length_ratio"] == [pytest.approx(1 / 1.5, abs=1e-3), 1.5]


def test_all_is_written_into_the_card(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    before = json.loads((folder / "model.json").read_text())
    said: list[str] = []
    complete(folder, SENTENCES, said.append)
    text = open_model(folder).card.text
    assert text is not None and text.doubtful is not None
    assert (text.longest, text.stand_ins) == (96, dict.fromkeys(FAMILIES, 1.0))
    after = json.loads((folder / "model.json").read_text())
    assert {key for key in after["text"] if key not in before["text"]} == {
        "stand_ins", "longest", "doubtful",
    }  # fmt: skip
    assert said[0].startswith("stand-ins that are copied: at 100%")


def test_chrf_is_that_of_sacrebleu() -> None:
    from sacrebleu.metrics import CHRF

    a, b = "Der Hund ist sehr braun.", "Der alte Hund war braun."
    assert chrf(a, b) == pytest.approx(CHRF().sentence_score(a, [b]).score, abs=0.5)
