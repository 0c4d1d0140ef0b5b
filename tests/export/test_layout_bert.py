"""Folders of transformers' masked language models: the logits, the tokens and the words are theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_bert
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

import genkit
from genkit.model import open_model
from genkit_export import export_checkpoint
from genkit_export.parity import Graph

from .inspecting import assert_refused, settings_of

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Of which words of single bytes consist, and which genkit does not write."""
SENTENCES = [
    "The dog barked all night.",
    "A woman is playing the guitar on stage, and a man sang.",
    "The cat was in the house!",
]


def perturbed(model: nn.Module) -> nn.Module:
    """Weights that all matter: no bias is zero, no norm is one."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                scale = 0.3 if "embedding" in name else 1.5 * parameter.shape[1] ** -0.5
                parameter.normal_(0, scale, generator=random)
            else:
                norm = "norm" in name.lower() and name.endswith("weight")
                parameter.normal_(float(norm), 0.2, generator=random)
    return model.eval()


def word_piece(folder: Path) -> None:
    small_bert.tokenizer().save(str(folder / "tokenizer.json"))


def vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(small_bert.TOKENS) + "\n")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')


def byte_level(folder: Path) -> None:
    """As RoBERTa's: pieces of bytes, in two files."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=310,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.model.save(str(folder))


def bert(folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=300,
        intermediate_size=96,
        max_position_embeddings=40,
        layer_norm_eps=1e-5,
        **SIZES,
    )
    perturbed(BertForMaskedLM(config)).save_pretrained(folder)
    word_piece(folder)


def roberta(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(
        vocab_size=310,
        intermediate_size=96,
        max_position_embeddings=42,
        type_vocab_size=1,
        pad_token_id=1,
        **SIZES,
    )
    perturbed(RobertaForMaskedLM(config)).save_pretrained(folder)
    byte_level(folder)


def distilbert(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    config = DistilBertConfig(
        vocab_size=300, dim=64, n_layers=2, n_heads=2, hidden_dim=96, max_position_embeddings=40
    )
    perturbed(DistilBertForMaskedLM(config)).save_pretrained(folder)
    vocabulary(folder)


WRITE: dict[str, Callable[[Path], None]] = {
    "hf-bert": bert,
    "hf-roberta": roberta,
    "hf-distilbert": distilbert,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Layout -> the folder of transformers, and ours."""
    made = {}
    for layout, write in WRITE.items():
        place = tmp_path_factory.mktemp(layout)
        write(place)
        made[layout] = (place, export_checkpoint(place, place / "exported"))
    return made


def reference(folder: Path) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()


def reference_tokenizer(folder: Path) -> Any:
    from transformers import BertTokenizerFast, PreTrainedTokenizerFast, RobertaTokenizerFast

    if (folder / "merges.txt").exists():
        mask = AddedToken("<mask>", lstrip=True, special=True)  # as in every published folder
        return RobertaTokenizerFast.from_pretrained(folder, mask_token=mask)
    if (folder / "vocab.txt").exists():
        return BertTokenizerFast.from_pretrained(folder)
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), mask_token="[MASK]", pad_token="[PAD]"
    )


@pytest.mark.parametrize("layout", WRITE)
@torch.inference_mode()
def test_probabilities_are_those_of_transformers(
    layout: str, folders: dict[str, tuple[Path, Path]]
) -> None:
    theirs, ours = folders[layout]
    model = open_model(ours)
    assert model.card.text is not None
    pad, longest = model.card.text.pad_id, model.card.text.max_positions
    assert longest == 40
    graph = Graph(model.graph("fill", "fp32"))
    random = torch.Generator().manual_seed(0)
    for rows, length in ((1, 3), (5, 11), (2, longest)):
        ids = torch.randint(5, 300, (rows, length), generator=random)
        for row in range(rows):
            ids[row, length - row * 2 :] = pad
        places = torch.tensor([(row, column) for row in range(rows) for column in (0, 2)])
        logits = reference(theirs)(input_ids=ids, attention_mask=(ids != pad).long()).logits
        expected = logits[places[:, 0], places[:, 1]].log_softmax(-1)
        (found,) = graph.run(
            ["log_probabilities"],
            input_ids=ids.numpy(),
            positions=places.numpy(),
            targets=places.numpy()[:, :0],
            top=1,
        )
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", WRITE)
@pytest.mark.parametrize(
    "text", ["The {} barked all night.", "{} was in the house", "A man sang {}", "on the {}, ran."]
)
@torch.inference_mode()
def test_the_words_are_those_of_transformers(
    layout: str, text: str, folders: dict[str, tuple[Path, Path]]
) -> None:
    theirs, ours = folders[layout]
    tokenizer = reference_tokenizer(theirs)
    written = text.format(tokenizer.mask_token)
    ids = tokenizer(written, return_tensors="pt").input_ids
    logits = reference(theirs)(input_ids=ids).logits[ids == tokenizer.mask_token_id]
    scores = logits[0].log_softmax(-1)
    text_card = open_model(ours).card.text
    assert text_card is not None
    scores[list(text_card.suppress_ids)] = -torch.inf
    best: dict[str, float] = {}  # of tokens that are spelled alike (stray bytes), the likeliest
    for score, i in zip(*(found.tolist() for found in scores.topk(20)), strict=True):
        best.setdefault(CONTROLS.sub(" ", tokenizer.decode([i])).strip(), score)

    (filling,) = genkit.load("fill", str(ours)).fill([written])
    answers = filling.masks[0]
    assert len(answers) >= 4
    assert [answer.text for answer in answers] == list(best)[: len(answers)]
    found = [answer.score for answer in answers]
    assert found == pytest.approx(list(best.values())[: len(answers)], abs=1e-4)


@torch.inference_mode()
def test_a_target_of_roberta_is_a_word_inside_of_a_text(
    folders: dict[str, tuple[Path, Path]],
) -> None:
    theirs, ours = folders["hf-roberta"]
    tokenizer = reference_tokenizer(theirs)
    vocabulary = tokenizer.get_vocab()
    word = next(piece[1:] for piece in sorted(vocabulary) if re.fullmatch("Ġ[a-z]{2,}", piece))
    ids = tokenizer("The dog is <mask>.", return_tensors="pt").input_ids
    logits = reference(theirs)(input_ids=ids).logits[ids == tokenizer.mask_token_id]
    (filling,) = genkit.load("fill", str(ours)).fill(["The dog is <mask>."], targets=[word])
    score = float(logits[0].log_softmax(-1)[vocabulary[f"Ġ{word}"]])
    assert filling.masks[0][0].score == pytest.approx(score, abs=1e-4)


def test_what_is_read_and_what_is_assumed(folders: dict[str, tuple[Path, Path]]) -> None:
    rows = settings_of(folders["hf-bert"][0])
    assert rows["num_attention_heads"] == (2, "read")
    assert rows["layer_norm_eps"] == (1e-5, "read")
    assert rows["license"] == ("unknown", "assumed")
    assert rows["mask_token"] == ("[MASK]", "assumed")


def test_without_a_configuration_the_usual_is_assumed(
    folders: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    source = folders["hf-bert"][0]
    save_file(load_file(source / "model.safetensors"), tmp_path / "bert.safetensors")
    word_piece(tmp_path)
    rows = settings_of(tmp_path / "bert.safetensors")
    assert rows["num_attention_heads"] == (1, "assumed")
    assert rows["layer_norm_eps"] == (1e-12, "assumed")
    rows = settings_of(tmp_path / "bert.safetensors", num_attention_heads="2")
    assert rows["num_attention_heads"] == (2, "given")


def test_files_that_came_from_tensorflow(
    folders: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """With gamma and beta, and with what the encoder was trained for besides."""
    source = folders["hf-bert"][0]
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = {
        name.replace(old, names[old])
        if (old := ".".join(name.split(".")[-2:])) in names
        else name: t
        for name, t in load_file(source / "model.safetensors").items()
    }
    tensors["bert.pooler.dense.weight"] = torch.zeros(64, 64)
    tensors["cls.seq_relationship.bias"] = torch.zeros(2)
    tensors["bert.embeddings.position_ids"] = torch.arange(40)[None]
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    word_piece(tmp_path)
    ours = export_checkpoint(tmp_path, tmp_path / "exported")
    expected = folders["hf-bert"][1] / "fill.fp32.onnx"
    assert (ours / "fill.fp32.onnx").read_bytes() == expected.read_bytes()


class TestRefusals:
    @pytest.fixture
    def folder(self, folders: dict[str, tuple[Path, Path]], tmp_path: Path) -> Path:
        for file in folders["hf-bert"][0].iterdir():
            if file.is_file():
                (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path

    def configure(self, folder: Path, **changes: Any) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    def test_another_activation(self, folder: Path) -> None:
        self.configure(folder, hidden_act="gelu_new")
        assert_refused(folder, "the activation 'gelu_new', which genkit does not have")

    @pytest.mark.parametrize("heads", [0, 7, "two", -1])
    def test_heads_that_cannot_be(self, heads: Any, folder: Path) -> None:
        self.configure(folder, num_attention_heads=heads)
        assert_refused(folder, "num_attention_heads|num_heads|configuration does not fit")

    def test_output_embeddings_of_its_own(self, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["cls.predictions.decoder.weight"] = torch.zeros(300, 64)
        save_file(tensors, folder / "model.safetensors")
        assert_refused(folder, "output embeddings of its own")

    def test_no_tokeniser(self, folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        assert_refused(folder, "has no tokeniser")

    def test_a_tokeniser_of_another_model(self, folder: Path) -> None:
        tokenizer = small_bert.tokenizer()
        tokenizer.add_tokens(["one", "more"])
        tokenizer.save(str(folder / "tokenizer.json"))
        assert_refused(folder, "has 302 tokens, the model 300")

    def test_a_broken_tokeniser(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")
        assert_refused(folder, "is no tokeniser")

    def test_a_layer_that_is_not_whole(self, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        del tensors["bert.encoder.layer.1.output.dense.bias"]
        tensors["bert.encoder.layer.1.surplus"] = torch.zeros(1)
        save_file(tensors, folder / "model.safetensors")
        assert_refused(folder, r"left over .*bert.encoder.layer.1.surplus, encoder.1.contract.bias")
