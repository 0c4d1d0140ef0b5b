"""The shipped English-German model: it translates, and everybody's engine agrees with ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from references import (
    EN_DE,
    UNK,
    convert_to_ctranslate2,
    ctranslate2_ids,
    load_transformer,
    marian_twin,
)
from shell import genkit, pipeline

from genkit import load
from genkit.decoding import Decoding, Sentence
from genkit.model import open_model, verify
from genkit.tasks.translate import Translator


def accepted(name: str) -> list[list[str]]:
    """Rows of a text and its accepted translations."""
    path = Path(__file__).parent / "data" / name
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


EVERYDAY = accepted("everyday.tsv")
PHRASES = accepted("phrases.en-de.tsv")
SOURCES = [row[0] for row in EVERYDAY]
LONGER = [
    "A man in a blue shirt is standing on a ladder cleaning a window.",
    "Two young children are playing football in the park while their parents are watching them.",
    "I would have called you if I had known that you were waiting for me at the station.",
    "The old woman who lives next door has been feeding the cats of our street for many years.",
]


@pytest.fixture(scope="module")
def translator() -> Translator:
    return load("translate", str(EN_DE), threads=1)


@pytest.fixture(scope="module")
def full() -> Translator:
    return load("translate", str(EN_DE), precision="fp32", threads=1)


def test_the_folder_is_whole() -> None:
    model = open_model(EN_DE)
    assert verify(model) == []
    assert sum(path.stat().st_size for path in EN_DE.iterdir()) < 60e6


@pytest.mark.parametrize(("rows", "count", "least"), [(EVERYDAY, 50, 44), (PHRASES, 100, 76)])
def test_everyday_language(
    translator: Translator, rows: list[list[str]], count: int, least: int
) -> None:
    found = translator([row[0] for row in rows])
    assert len(rows) == count
    assert sum(text in row[1:] for text, row in zip(found, rows, strict=True)) >= least


def test_the_first_things_that_people_type(translator: Translator) -> None:
    wanted = {
        "Hello.": "Hallo.", "Good morning.": "Guten Morgen.", "How are you?": "Wie geht es dir?",
        "Yes.": "Ja.", "No.": "Nein.", "Thank you very much.": "Vielen Dank.",
        "Cancel": "Abbrechen", "File not found": "Datei nicht gefunden",
    }  # fmt: skip
    assert dict(zip(wanted, translator(list(wanted)), strict=True)) == wanted


def test_the_command_keeps_lines(models: Path) -> None:
    run = genkit(
        "translate",
        "--model",
        str(EN_DE),
        stdin=b"Good morning.\n\nTwo dogs are running through the snow.\n",
    )
    assert run.code == 0
    assert "Morgen" in run.out.splitlines()[0]
    assert run.out.splitlines()[1] == ""
    assert (
        run.out.splitlines()[2] in EVERYDAY[SOURCES.index("Two dogs are running through the snow.")]
    )


def test_an_endless_input_ends_when_nobody_reads_on() -> None:
    command = f"yes 'How are you?' | genkit translate --model '{EN_DE}' | head -3"
    run = pipeline(command)
    assert run.err == ""
    assert len(run.out.splitlines()) == 3


ODD = [
    "🙂",
    "I like 猫 very much. 🙂",
    "Мария lives in Москва.",
    "Her e-mail address is zoe.müller@example.org.",
    "Pneumonoultramicroscopicsilicovolcanoconiosis is a long word.",
    "Ωμέγα",
    "ﷺ ✈️ ½ ☕",
    "\u0301\u200d",
    "xkcdqwrtz bnmpflst 12345",
]


def test_nothing_becomes_unknown(translator: Translator) -> None:
    for text in translator(ODD):
        assert "<unk>" not in text
        assert "⁇" not in text
        assert "<0x" not in text


def test_special_tokens_in_the_text_are_text(translator: Translator) -> None:
    (found,) = translator(["Write </s> at the end of the line."])
    assert len(found.split()) > 4


def test_numbers_survive(translator: Translator) -> None:
    found = translator(["I was born in 1987.", "He has 250 books.", "My room number is 4071."])
    assert [re.findall(r"\d+", text) for text in found] == [["1987"], ["250"], ["4071"]]


def ids(translator: Translator, texts: Sequence[str]) -> list[list[int]]:
    return translator._source.encode(texts)


def searched(
    translator: Translator, rows: Sequence[Sequence[int]], decoding: Decoding
) -> list[tuple[int, ...]]:
    units = [Sentence(tuple(row)) for row in rows]
    found = translator._decoder.search(units, decoding).result()
    return [found[unit].hypotheses[0] for unit in units]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_tokens_equal_transformers(full: Translator, beam_size: int) -> None:
    import torch

    model = load_transformer()
    pad = model.config.pad_id
    twin = marian_twin(model, [UNK, pad])
    rows = ids(full, SOURCES[:20] + LONGER)
    ours = searched(full, rows, Decoding(beam_size=beam_size, length_penalty=1.0))
    for row, expected in zip(rows, ours, strict=True):
        found = twin.generate(
            input_ids=torch.tensor([row]),
            attention_mask=torch.ones(1, len(row), dtype=torch.long),
            num_beams=beam_size,
            do_sample=False,
            max_new_tokens=3 * len(row) + 20,
        )
        assert tuple(t for t in found[0].tolist() if t != pad) == expected


@pytest.mark.parametrize("beam_size", [1, 4])
def test_tokens_equal_ctranslate2(full: Translator, beam_size: int, tmp_path: Path) -> None:
    import ctranslate2
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(EN_DE / "tokenizer.json"))
    convert_to_ctranslate2(load_transformer(), tokenizer, tmp_path / "ct2", None)
    engine = ctranslate2.Translator(str(tmp_path / "ct2"), intra_threads=1)
    rows = ids(full, SOURCES[:20] + LONGER)
    # CTranslate2 stops at the first complete beam_size hypotheses.
    decoding = Decoding(beam_size=beam_size, length_penalty=1.0, early_stopping=True)
    ours = searched(full, rows, decoding)
    theirs = ctranslate2_ids(engine, tokenizer, rows, beam_size=beam_size, length_penalty=1)
    assert [list(tokens) for tokens in ours] == theirs


@pytest.mark.parametrize("size", [1, 8, 64])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_translation_does_not_depend_on_its_batch(
    translator: Translator, size: int, beam_size: int
) -> None:
    texts = (SOURCES + LONGER * 4)[-size:] if size < 64 else SOURCES + LONGER
    together = translator(texts, beam_size=beam_size, batch_tokens=100_000)
    assert together == [translator([text], beam_size=beam_size)[0] for text in texts]


def test_a_sentence_of_a_paragraph_is_translated_like_alone(translator: Translator) -> None:
    (paragraph,) = translator(["Good morning. How are you?  I am hungry."])
    first, second, third = translator(["Good morning.", "How are you?", "I am hungry."])
    assert paragraph == f"{first} {second}  {third}"


def test_a_long_sentence_is_translated_in_parts(translator: Translator) -> None:
    source = ", and ".join(text.rstrip(".") for text in SOURCES[4:40]) + "."
    (result,) = translator.translate([source])
    assert result.sentences > 1
    assert result.source_tokens > translator.longest.limit
    assert not result.truncated
    assert len(result.text) > len(source) / 2


def test_the_checkpoint_makes_the_shipped_graphs_again(
    translator: Translator, tmp_path: Path
) -> None:
    from genkit_export import export_checkpoint

    again = export_checkpoint(EN_DE / "checkpoint.safetensors", tmp_path / "translate" / "en-de")
    for precision in ("fp32", "int8"):
        shipped = load("translate", str(EN_DE), precision=precision, threads=1)
        rebuilt = load("translate", str(again), precision=precision, threads=1)
        for old, new in zip(
            shipped.translate(SOURCES + LONGER), rebuilt.translate(SOURCES + LONGER), strict=True
        ):
            assert new.text == old.text
            assert new.score == pytest.approx(old.score, abs=1e-5)
