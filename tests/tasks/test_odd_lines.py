"""Odd lines, with the shipped model and with one that copies."""

from __future__ import annotations

import pytest
import shouting_model
from odd_lines import ODD_LINES, OddLine
from references import EN_DE

from genkit import load
from genkit.tasks.translate import Translation, Translator

IDS = [f"{line.kind}-{i}" for i, line in enumerate(ODD_LINES)]


def translated(translator: Translator) -> dict[str, Translation]:
    texts = [line.text for line in ODD_LINES]
    from genkit.decoding import Decoding

    results = translator.translate(texts, Decoding(beam_size=2), scores=False)
    return dict(zip(texts, results, strict=True))


@pytest.fixture(scope="module")
def shipped() -> dict[str, Translation]:
    return translated(load("translate", str(EN_DE)))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Translation]:
    folder = shouting_model.write_model(
        tmp_path_factory.mktemp("models") / "copy", table=shouting_model.COPY, max_positions=512
    )
    return translated(load("translate", str(folder)))


def test_there_are_many() -> None:
    assert len(ODD_LINES) >= 200


def check(line: OddLine, result: Translation) -> None:
    assert result.lost == ()
    for span in line.keeps:
        assert result.text.count(span) == line.text.count(span), result.text
    assert result.text.startswith(line.starts)
    assert result.text.endswith(line.ends)
    if line.sentences is not None:
        assert result.sentences == line.sentences
    if line.upper:
        assert result.text.isupper()
    if "\ufffd" not in line.text:
        assert "\ufffd" not in result.text


@pytest.mark.parametrize("line", ODD_LINES, ids=IDS)
def test_the_shipped_model_keeps_what_is_no_language(
    line: OddLine, shipped: dict[str, Translation]
) -> None:
    check(line, shipped[line.text])


@pytest.mark.parametrize("line", ODD_LINES, ids=IDS)
def test_a_model_that_copies_gives_the_line(line: OddLine, copied: dict[str, Translation]) -> None:
    check(line, copied[line.text])
    if line.kind != "title":
        assert copied[line.text].text == (line.text if line.reads is None else line.reads)
