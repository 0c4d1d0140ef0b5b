"""Folders of Marian models (OPUS-MT): tokens, scores and texts are those of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import genkit
from genkit.decoding import Decoding
from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.checkpoints.marian import marian_config, to_marian
from genkit_export.checkpoints.sentencepiece import read_sentencepiece, to_tokenizer

from .inspecting import assert_refused, settings_in, settings_of
from .models import VOCABULARY, perturbed, small_config

ENGLISH = """The dog barked all night. A woman is playing the guitar on stage. Two dogs are running
through the snow! Where is the train station? I am tired, and he is not. What do you want to drink?
There were 12 books and 345 pens. It's a "test" of (some) marks: one; two - three/four.""".split(
    "\n"
)
GERMAN = """Der Hund bellte die ganze Nacht. Eine Frau spielt Gitarre auf der Bühne. Zwei Hunde rennen
durch den Schnee! Wo ist der Bahnhof? Ich bin müde, und er ist es nicht. Was möchtest du trinken?
Es gab 12 Bücher und 345 Stifte. Größe, Straße, übermäßig: „eins“; zwei - drei/vier.""".split("\n")
TEXTS = [
    "The dog barked all night.",
    "  two   spaces and\ta tab ",
    "Wörter mit ü, 日本 and ①½ ﬁne",
    "<tags> & >>quotes<< 日本 日",
    "?",
    "Two dogs are running through the snow!",
]


def train(lines: list[str], path: Path, **options: Any) -> None:
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=file,
            minloglevel=9,
            num_threads=1,
            hard_vocab_limit=False,
            **{"vocab_size": 110, "normalization_rule_name": "nmt_nfkc", **options},
        )


def write_vocabulary(folder: Path, *extra: str) -> dict[str, int]:
    """Both models, and numbers for the pieces of both, in an order of their own."""
    pieces = {}
    for name, lines in (("source", ENGLISH), ("target", GERMAN)):
        train(lines, folder / f"{name}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        pieces |= dict.fromkeys(model.id_to_piece(i) for i in range(3, len(model)))
    tokens = ["</s>", "<unk>", *extra, *sorted(pieces)]
    tokens += [f"unused{i}" for i in range(VOCABULARY - 1 - len(tokens))]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<pad>"])}
    assert len(vocabulary) == VOCABULARY
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return vocabulary


def write_model(folder: Path, **about: Any) -> Any:
    """A folder of transformers with a network whose sentences end; returns the network."""
    from transformers import MarianConfig, MarianMTModel

    model = perturbed(small_config())
    twin = MarianMTModel(MarianConfig(**marian_config(model), attn_implementation="eager"))
    twin.load_state_dict(to_marian(model))
    twin.final_logits_bias[0, VOCABULARY - 1] = -1e4  # transformers forbids padding elsewhere
    twin.eval().save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return twin


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of transformers, and ours."""
    folder = tmp_path_factory.mktemp("opus") / "opus-mt-en-de"
    folder.mkdir()
    write_vocabulary(folder)
    write_model(folder, source_lang="en", target_lang="de")
    return folder, export_checkpoint(folder, folder / "exported")


def reference(folder: Path) -> tuple[Any, Any]:
    from transformers import MarianMTModel, MarianTokenizer

    network = MarianMTModel.from_pretrained(folder, attn_implementation="eager").eval()
    return network, MarianTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_translations_are_those_of_transformers(beams: int, folders: tuple[Path, Path]) -> None:
    theirs, ours = folders
    network, tokenizer = reference(theirs)
    # Each of them is one sentence for genkit, and has a letter in it.
    sentences = [text for text in TEXTS if text != "?" and "\t" not in text]
    translator = genkit.load("translate", str(ours))
    decoding = Decoding(beam_size=beams, length_penalty=1.0, max_length=30)
    found = translator.translate(sentences, decoding, protect=False)
    for sentence, result in zip(sentences, found, strict=True):
        rows = tokenizer([sentence.strip()], return_tensors="pt")
        expected = network.generate(
            **rows,
            num_beams=beams,
            max_new_tokens=30,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        (text,) = tokenizer.batch_decode(expected.sequences, skip_special_tokens=True)
        assert result.text.strip() == text, sentence
        if beams > 1:
            score = float(expected.sequences_scores[0])
            assert result.score == pytest.approx(score, abs=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_tokens_are_those_of_transformers(folders: tuple[Path, Path]) -> None:
    theirs, ours = folders
    _, tokenizer = reference(theirs)
    source = Tokenizer.from_file(str(ours / "tokenizer.json"))
    source.encode_special_tokens = True
    for text in TEXTS:
        assert source.encode(text).ids == tokenizer(text).input_ids, text


def test_marks_of_the_model_in_a_text_are_text(folders: tuple[Path, Path]) -> None:
    source = Tokenizer.from_file(str(folders[1] / "tokenizer.json"))
    source.encode_special_tokens = True
    assert source.encode("a</s><pad>b").ids.count(0) == 1
    assert VOCABULARY - 1 not in source.encode("a</s><pad>b").ids


def test_the_target_is_decoded_as_sentencepiece_does(folders: tuple[Path, Path]) -> None:
    theirs, ours = folders
    target = Tokenizer.from_file(str(ours / "tokenizer.target.json"))
    vocabulary = json.loads((theirs / "vocab.json").read_text())
    model = sentencepiece.SentencePieceProcessor(model_file=str(theirs / "target.spm"))
    for line in GERMAN:
        ids = [vocabulary[piece] for piece in model.encode(line, out_type=str)]
        assert target.encode(line).ids == [*ids, 0]
        assert target.decode([*ids, 0, VOCABULARY - 1]).strip() == model.decode(model.encode(line))


@pytest.mark.parametrize(
    "options",
    [
        {"normalization_rule_name": "identity"},
        {"add_dummy_prefix": False},
        {"remove_extra_whitespaces": False},
        {"user_defined_symbols": ["Schnee", "ei"]},
        {"character_coverage": 0.98},
    ],
)
def test_the_choices_of_a_sentencepiece_model(options: dict[str, Any], tmp_path: Path) -> None:
    train(GERMAN, tmp_path / "a.spm", **options)
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "a.spm"))
    ids = {model.id_to_piece(i): i for i in range(len(model))}
    tokenizer = to_tokenizer(read_sentencepiece(tmp_path / "a.spm"), ids, "</s>", "<unk>")
    tokenizer.encode_special_tokens = True
    for text in (*GERMAN, *ENGLISH, "Straße  mit Xylophon", "日本語"):
        assert tokenizer.encode(text).ids[:-1] == model.encode(text), text


def test_a_model_of_several_target_languages(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path, ">>fr<<", ">>pt_br<<")
    write_model(tmp_path, source_lang="en", target_lang="ROMANCE")
    ours = export_checkpoint(tmp_path, tmp_path / "exported")
    text = open_model(ours).card.text
    assert text is not None and text.languages is not None
    assert text.languages.source == ("en",)
    assert text.languages.target == ("fr", "pt_br")
    assert text.language_tokens == {"fr": vocabulary[">>fr<<"], "pt_br": vocabulary[">>pt_br<<"]}
    translator = genkit.load("translate", str(ours))
    assert translator([ENGLISH[0]], to="fr") != translator([ENGLISH[0]], to="pt_br")


def test_what_is_read_and_what_is_assumed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    record = inspect_checkpoint(folders[0])
    assert (record["layout"], record["task"]) == ("hf-marian", "translate")
    rows = settings_in(record)
    assert rows["encoder_attention_heads"] == (4, "read")
    assert rows["source_lang"] == ("en", "read")
    for file in folders[0].glob("*.*"):
        if file.name not in ("config.json", "tokenizer_config.json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    rows = settings_of(tmp_path, source_lang="sv")
    assert rows["encoder_attention_heads"] == (1, "assumed")
    assert rows["source_lang"] == ("sv", "given")
    assert rows["target_lang"] == ("und", "assumed")


class TestRefusals:
    @pytest.fixture
    def folder(self, folders: tuple[Path, Path], tmp_path: Path) -> Path:
        for file in folders[0].glob("*.*"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path

    def change(self, folder: Path, **tensors: torch.Tensor) -> None:
        path = folder / "model.safetensors"
        named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
        save_file(load_file(path) | named, path)

    def test_a_relative_with_the_same_names(self, folder: Path) -> None:
        self.change(folder, model__encoder__layernorm_embedding__weight=torch.ones(64))
        assert_refused(folder, "is a BART or one of its relatives")

    def test_embeddings_of_each_side(self, folder: Path) -> None:
        self.change(folder, model__decoder__embed_tokens__weight=torch.ones(VOCABULARY, 64))
        assert_refused(folder, "its model.decoder.embed_tokens differs from model.shared")

    def test_another_start(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"decoder_start_token_id": 3}))
        assert_refused(folder, "starts decoding from another token than padding")

    @pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
    def test_a_file_that_is_missing_or_broken(self, name: str, folder: Path) -> None:
        data = (folder / name).read_bytes()
        for broken in (b"\xff\xff\xff", data[: len(data) // 2], b""):
            (folder / name).write_bytes(broken)
            assert_refused(folder, f"{name} is no")
        (folder / name).unlink()
        assert_refused(folder, f"cannot read .*{name}")

    def test_a_vocabulary_of_another_model(self, folder: Path) -> None:
        vocabulary = json.loads((folder / "vocab.json").read_text())
        no_end = {token: i for token, i in vocabulary.items() if i}
        for wrong in ({"more": VOCABULARY}, {"a": -1}, {"a": "b"}, {"a": 1.5}, {"a": [1]}, None):
            changed = no_end if wrong is None else vocabulary | wrong
            (folder / "vocab.json").write_text(json.dumps(changed))
            assert_refused(folder, "is the vocabulary of another model")

    def test_pieces_of_another_kind(self, folder: Path) -> None:
        train(ENGLISH, folder / "source.spm", model_type="bpe", vocab_size=80)
        assert_refused(folder, "of another kind than unigram")

    def test_pieces_of_bytes(self, folder: Path) -> None:
        train(ENGLISH, folder / "source.spm", byte_fallback=True, vocab_size=400)
        assert_refused(folder, "spells in bytes")
