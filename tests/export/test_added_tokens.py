"""Tokenisers are read whole: the added tokens, the special ones, the kinds that they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from genkit.errors import InputError
from genkit_export.checkpoints.layout import Settings
from genkit_export.checkpoints.masked_text import masked_text
from genkit_export.read import Checkpoint

from .test_layout_bert import byte_level

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "user", "[", "]", "says", "hello"]
ROWS = 12


class Folder:
    """The files beside a checkpoint, and what is made of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config: dict[str, Any] = {}
        self.notes: list[str] = []
        self.text: dict[str, Any] = {}

    def write(self, name: str, content: Any) -> None:
        (self.path / name).write_text(json.dumps(content))

    def read(self, rows: int = ROWS, mask: str = "[MASK]", pad: int = 0) -> Tokenizer:
        settings = Settings()
        checkpoint = Checkpoint(self.path / "model.safetensors", {}, {}, "0", {}, self.config)
        sizes = {"pad_id": pad, "vocab_size": rows, "max_positions": 40}
        self.text, files = masked_text(checkpoint, sizes, settings, mask)
        self.notes = settings.notes
        return Tokenizer.from_str(files["tokenizer.json"].decode())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return Folder(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens.json": {"[USER]": 10}},
        {"tokenizer_config.json": {"added_tokens_decoder": {"10": {"content": "[USER]"}}}},
        {"special_tokens_map.json": {"additional_special_tokens": ["[USER]"]}},
    ],
)
def test_added_tokens_are_those_of_transformers(files: dict[str, Any], folder: Folder) -> None:
    from transformers import BertTokenizer

    for name, content in files.items():
        folder.write(name, content)
    text = "[USER] says hello user"
    found = folder.read().encode(text).ids
    assert 10 in found
    assert found == BertTokenizer.from_pretrained(str(folder.path))(text).input_ids


def test_special_tokens_are_no_answers(folder: Folder) -> None:
    folder.write("added_tokens.json", {"[USER]": 10})
    folder.write("special_tokens_map.json", {"additional_special_tokens": ["[USER]"]})
    folder.read()
    assert folder.text["suppress_ids"] == [0, 1, 2, 3, 4, 10, 11]


def test_an_id_that_the_vocabulary_does_not_lead_to(folder: Folder) -> None:
    folder.write("added_tokens.json", {"[USER]": 11})
    with pytest.raises(InputError, match=r"'\[USER\]' at 11, but its vocabulary leads to 10"):
        folder.read()


@pytest.mark.parametrize("content", [{"x": "1"}, {"x": None}])
def test_ids_that_are_none(content: Any, folder: Folder) -> None:
    folder.write("added_tokens.json", content)
    with pytest.raises(InputError, match="has the id"):
        folder.read()


def test_rows_without_a_token_are_told_and_never_chosen(folder: Folder) -> None:
    folder.read()
    assert folder.text["suppress_ids"] == [0, 1, 2, 3, 4, 10, 11]
    assert folder.notes == [
        "the tokeniser has 10 tokens, the model 12 rows: those without a token are never chosen"
    ]
    folder.read(rows=10)
    assert (folder.text["suppress_ids"], folder.notes) == ([0, 1, 2, 3, 4], [])


@pytest.mark.parametrize(
    ("told", "config", "message"),
    [
        ({"tokenizer_class": "SomethingElseTokenizer"}, {}, "is a SomethingElseTokenizer"),
        ({}, {"tokenizer_class": "BertJapaneseTokenizer"}, "is a BertJapaneseTokenizer"),
        ({"word_tokenizer_type": "mecab"}, {}, "word_tokenizer_type=mecab"),
        ({"subword_tokenizer_type": "character"}, {}, "subword_tokenizer_type=character"),
        ({"do_basic_tokenize": False}, {}, "do_basic_tokenize=False"),
        ({"cls_token": "<cls>"}, {}, "vocab.txt has no <cls>"),
    ],
)
def test_a_tokeniser_that_does_more_is_refused_by_name(
    told: dict[str, Any], config: dict[str, Any], message: str, folder: Folder
) -> None:
    folder.write("tokenizer_config.json", told)
    folder.config = config
    with pytest.raises(InputError, match=message):
        folder.read()


def test_those_that_do_not_are_read(folder: Folder) -> None:
    folder.write("tokenizer_config.json", {"tokenizer_class": "DistilBertTokenizer"})
    folder.config = {"tokenizer_class": "BertTokenizerFast"}
    assert folder.read().encode("user").tokens == ["[CLS]", "user", "[SEP]"]


def test_a_whole_tokeniser_may_be_of_any_class_but_one_that_has_none(folder: Folder) -> None:
    folder.read(rows=10).save(str(folder.path / "tokenizer.json"))
    folder.write("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    assert folder.read(rows=10).encode("user").tokens == ["[CLS]", "user", "[SEP]"]
    folder.config = {"tokenizer_class": "BertJapaneseTokenizer"}
    with pytest.raises(InputError, match="BertJapaneseTokenizer"):
        folder.read()


@pytest.mark.parametrize("space", [False, True])
def test_a_space_before_the_first_word(space: bool, tmp_path: Path) -> None:
    from transformers import RobertaTokenizerFast

    byte_level(tmp_path)
    folder = Folder(tmp_path)
    folder.write("tokenizer_config.json", {"add_prefix_space": space})
    found = folder.read(rows=310, mask="<mask>", pad=1).encode("dog barked").ids
    theirs = RobertaTokenizerFast.from_pretrained(str(tmp_path), add_prefix_space=space)
    assert found == theirs("dog barked").input_ids
