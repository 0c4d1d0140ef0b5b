"""The shipped English model: it fills gaps, and PyTorch agrees with its graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from references import load_bert
from shell import genkit
from tokenizers import Tokenizer

from genkit import load
from genkit.model import open_model, verify
from genkit.tasks.fill import Filler

ENGLISH = Path(__file__).parents[1] / "weights" / "fill" / "english"
INSTRUMENTS = {"bass", "cello", "drum", "drums", "flute", "guitar", "piano", "trumpet", "violin"}
SENTENCES = [
    "The [MASK] barked all night.",
    "She drank a cup of [MASK] in the morning.",
    "A man in a blue [MASK] is standing on a ladder.",
    "I would like to [MASK] you a question.",
    "Two young children are playing [MASK] in the park.",
    "He has been [MASK] for a job since last year.",
    "We went to the [MASK] to watch a film.",
    "The capital of France [MASK] Paris.",
    "They are waiting [MASK] the bus.",
    "What time [MASK] it now?",
]


@pytest.fixture(scope="module")
def filler() -> Filler:
    return load("fill", str(ENGLISH), threads=1)


def test_the_folder_is_whole() -> None:
    model = open_model(ENGLISH)
    assert verify(model) == []
    assert model.card.origin["figures"]
    assert sum(path.stat().st_size for path in ENGLISH.iterdir()) < 45e6


def test_the_graph_is_the_checkpoint_in_eight_bits(filler: Filler) -> None:
    network = load_bert(ENGLISH)
    tokenizer = Tokenizer.from_file(str(ENGLISH / "tokenizer.json"))
    mask = tokenizer.token_to_id("[MASK]")
    same = 0
    for filled, sentence in zip(filler.fill(SENTENCES, top=5), SENTENCES, strict=True):
        ids = torch.tensor([tokenizer.encode(sentence).ids])
        with torch.inference_mode():
            scores = network.at(ids, (ids == mask).nonzero())[0].softmax(0)
        answers = filled.masks[0]  # type: ignore[union-attr]
        for answer in answers:
            probability = float(scores[tokenizer.token_to_id(answer.text)])
            assert answer.probability == pytest.approx(probability, rel=0.5, abs=0.01)
        same += tokenizer.token_to_id(answers[0].text) == int(scores.argmax())
    assert same >= 8


def test_who_plays_on_a_stage_plays_an_instrument() -> None:
    command = ("fill", "--model", str(ENGLISH), "--threads", "1", "--json", "--top", "4")
    run = genkit(*command, "A man is playing the [MASK] on the stage.")
    assert run.code == 0
    (answers,) = json.loads(run.out)["masks"]
    assert len({answer["answer"] for answer in answers} & INSTRUMENTS) >= 3


def test_words_are_told_from_nonsense(filler: Filler) -> None:
    likely, garbled = filler.score(["He is reading a book.", "Book reading he a is."])
    assert likely.score > garbled.score
