"""Odd lines, with the shipped model and with one that copies."""

from __future__ import annotations

import pytest
import shouting_model
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_lines import ODD_LINES, OddLine
from references import EN_DE

from genkit import load
from genkit.decoding import Decoding
from genkit.tasks.translate import Translation, Translator
from genkit.text.spelling import normalise

IDS = [f"{line.kind}-{i}" for i, line in enumerate(ODD_LINES)]


def translated(translator: Translator) -> dict[str, Translation]:
    texts = [line.text for line in ODD_LINES]
    results = translator.translate(texts, Decoding(beam_size=2), scores=False)
    return dict(zip(texts, results, strict=True))


@pytest.fixture(scope="module")
def shipped() -> dict[str, Translation]:
    return translated(load("translate", str(EN_DE)))


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    folder = shouting_model.write_model(
        tmp_path_factory.mktemp("models") / "copy", table=shouting_model.COPY, max_positions=512
    )
    return load("translate", str(folder), threads=1)


@pytest.fixture(scope="module")
def copied(copies: Translator) -> dict[str, Translation]:
    return translated(copies)


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


PIECES = """{n}|%s|<b>|</b>|**|*|_|`|(|)|[|]|](x)|"|'|I am|tired|NASA|DOG|Dog|😀|\u200d|🇩🇪|-| - |1|1.|12.5|$5|.|!|?|,
 |  |\t|\\n|<br/>|</p>|#|@1|XA|#1|&amp;|\x1b[0m|\ufeff|\u00ad|猫|ß|İ|ﬁ|foo_bar|http://a.b/c|{|}|...|…|«|»|“|”|>|
>> |✓|\ufffd|▁|</s>|½|a|A|é""".split("|")
LINES = st.lists(st.sampled_from([*PIECES, "|"]), max_size=14).map("".join)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(LINES, min_size=8, max_size=8), size=st.integers(0, 4))
def test_any_line_comes_back_from_a_model_that_copies(
    copies: Translator, texts: list[str], size: int
) -> None:
    spans = [[(len(text) // 3, min(len(text), len(text) // 3 + size))] for text in texts]
    results = copies.translate(texts, Decoding(beam_size=1), spans=spans, scores=False)
    for text, result in zip(texts, results, strict=True):
        assert result.lost == ()
        assert folded(result.text) == folded(text)


def folded(text: str) -> str:
    """A text without what may change: white space, capitals, characters for compatibility."""
    return "".join(normalise(text).split()).casefold()
