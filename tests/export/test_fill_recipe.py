"""The recipe of the fill model: its text, its masks, and a run of a few steps."""

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

import fill
import genkit
from fill_data import (
    CLS,
    MASK,
    PAD,
    SEP,
    SPECIAL,
    UNK,
    Masking,
    Rows,
    Variation,
    batches,
    continuations,
    epoch_of,
    mask,
    read_lines,
    train_vocabulary,
)
from fill_quality import Quality, show, validation_batches
from genkit_export.read import header, read
from loop import LoopConfig
from translate_corpus import held_out

WORDS = "the a dog cat man moon barked sang played singing playing night day on in all".split()


def sentences(count: int) -> list[str]:
    """Different sentences of a few words."""
    rng = random.Random(0)
    found = {
        " ".join(rng.choices(WORDS, k=rng.randint(3, 9))).capitalize() + "." for _ in range(count)
    }
    return sorted(found)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_vocabulary(sentences(500), 120, 60, lowercase=True)


@pytest.fixture(scope="module")
def rows(tokenizer: Tokenizer) -> Rows:
    return Rows.encode(tokenizer, sentences(500))


class TestText:
    def test_lines_are_held_out_by_the_hash_of_the_other_recipe(self, tmp_path: Path) -> None:
        texts = [f"Sentence {i}." for i in range(3000)]
        with gzip.open(tmp_path / "english.txt.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(["", *texts]) + "\n")
        train, valid = read_lines(tmp_path)
        assert sorted(train + valid) == sorted(texts)
        assert all(map(held_out, valid)) and not any(map(held_out, train))
        assert 10 < len(valid) < 60
        assert valid != [text for text in texts if held_out(text)]

    def test_the_vocabulary_is_berts(self, tokenizer: Tokenizer) -> None:
        assert [tokenizer.id_to_token(i) for i in range(5)] == list(SPECIAL)
        assert tokenizer.get_vocab_size() <= 120
        encoding = tokenizer.encode("The DOG barked.")
        assert encoding.ids[0] == CLS and encoding.ids[-1] == SEP
        assert tokenizer.decode(encoding.ids) == "the dog barked."
        assert tokenizer.encode("猫").ids == [CLS, UNK, SEP]
        assert tokenizer.encode("[MASK]").ids == [CLS, MASK, SEP]

    def test_a_cased_vocabulary_keeps_capitals(self) -> None:
        cased = train_vocabulary(sentences(100), 200, 60, lowercase=False)
        assert cased.decode(cased.encode("The dog").ids) == "The dog"

    def test_rows_come_back(self, tokenizer: Tokenizer, rows: Rows) -> None:
        texts = sentences(500)
        assert len(rows) == len(texts)
        for i in (0, 1, 77, len(texts) - 1):
            assert rows[i] == tokenizer.encode(texts[i]).ids[1:-1]

    def test_an_epoch_has_every_line_once(self, rows: Rows) -> None:
        plain = epoch_of(rows, Variation(join=0, strip=0), 64, frozenset(), random.Random(0))
        assert sorted(row[1:-1] for row in plain) == sorted(rows[i] for i in range(len(rows)))
        joined = epoch_of(rows, Variation(join=0.5, strip=0), 999, frozenset(), random.Random(0))
        assert len(joined) < len(plain)
        assert sum(len(row) - 2 for row in joined) == len(rows.ids)
        assert all(row[0] == CLS and row[-1] == SEP for row in joined)

    def test_a_row_is_cut_and_stripped(self, rows: Rows, tokenizer: Tokenizer) -> None:
        end = tokenizer.token_to_id(".")
        always = Variation(join=0, strip=1)
        short = epoch_of(rows, always, 4, frozenset({end}), random.Random(0))
        assert max(map(len, short)) == 6
        assert all(end not in row for row in short)

    def test_batches_hold_every_row_within_the_budget(self, rows: Rows) -> None:
        epoch = epoch_of(rows, Variation(), 64, frozenset(), random.Random(0))
        seen = []
        for ids in batches(epoch, 200, random.Random(0)):
            assert ids.numel() <= 200
            seen += [[i for i in row if i != PAD] for row in ids.tolist()]
        assert sorted(seen) == sorted(epoch)


class TestMasks:
    @pytest.fixture
    def ids(self, rows: Rows) -> torch.Tensor:
        epoch = epoch_of(rows, Variation(), 64, frozenset(), random.Random(0))
        return next(iter(batches(epoch * 20, 40_000, random.Random(0))))

    @pytest.mark.parametrize("whole_words", [False, True])
    def test_shares(self, ids: torch.Tensor, tokenizer: Tokenizer, whole_words: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        masking = Masking(rate=0.2, whole_words=whole_words)
        masked, positions = mask(ids, masking, continuations(tokenizer), generator)
        chosen = torch.zeros_like(ids, dtype=torch.bool)
        chosen[positions[:, 0], positions[:, 1]] = True
        real = ids >= len(SPECIAL)
        assert not (chosen & ~real).any()
        assert float(chosen.sum() / real.sum()) == pytest.approx(0.2, abs=0.02)
        assert torch.equal(masked[~chosen], ids[~chosen])
        share = float((masked[chosen] == MASK).float().mean())
        assert share == pytest.approx(0.8, abs=0.02)
        other = (masked[chosen] != MASK) & (masked[chosen] != ids[chosen])
        assert float(other.float().mean()) == pytest.approx(0.1, abs=0.02)
        assert masked[chosen].min() >= MASK

    def test_masks_are_new_each_time(self, ids: torch.Tensor, tokenizer: Tokenizer) -> None:
        continues = continuations(tokenizer)
        assert not torch.equal(
            mask(ids, Masking(), continues)[0], mask(ids, Masking(), continues)[0]
        )

    def test_whole_words_are_chosen_whole(self, tokenizer: Tokenizer) -> None:
        continues = continuations(tokenizer)
        piece = int(continues.nonzero()[0])
        word = tokenizer.token_to_id("dog")
        ids = torch.tensor([[CLS, word, piece, piece, word, piece, SEP, PAD]]).repeat(2000, 1)
        masking = Masking(rate=0.3, whole_words=True, mask=1, replace=0)
        masked, _ = mask(ids, masking, continues)
        hidden = masked == MASK
        assert torch.equal(hidden[:, 1], hidden[:, 2]) and torch.equal(hidden[:, 1], hidden[:, 3])
        assert torch.equal(hidden[:, 4], hidden[:, 5])
        assert not torch.equal(hidden[:, 1], hidden[:, 4])
        assert float(hidden[:, 1].float().mean()) == pytest.approx(0.3, abs=0.04)

    def test_for_validation_they_are_the_same_in_every_run(self, tokenizer: Tokenizer) -> None:
        first, second = (validation_batches(tokenizer, sentences(200), 62) for _ in range(2))
        for (ids, positions, target), again in zip(first, second, strict=True):
            assert torch.equal(ids, again[0])
            assert (ids[positions[:, 0], positions[:, 1]] == MASK).all()
            assert (target >= len(SPECIAL)).all()


HP = fill.Hyperparameters(
    vocab_size=120,
    alphabet=60,
    d_model=32,
    layers=1,
    num_heads=2,
    d_ff=64,
    max_positions=32,
    learning_rate=3e-3,
    batch_tokens=400,
    calibration_batches=2,
    validation_lines=20,
    loop=LoopConfig(steps=30, warmup=5, average=0.8, log_every=5, validate_every=15),
)


def test_a_run_ends_with_a_model_that_fills_and_can_be_resumed(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "english.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(sentences(3000)))
    out = tmp_path / "run"
    fill.train(tmp_path, out, resume=False, init=None, hp=HP)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] - 0.5
    assert [line["step"] for line in lines if "top1" in line] == [15, 30]

    checkpoint = out / "checkpoint.safetensors"
    card = (header(read(checkpoint), "genkit") or {})["card"]
    assert isinstance(card, dict)
    assert {figure["precision"] for figure in card["origin"]["figures"]} == {"fp32", "int8"}
    filler = genkit.load("fill", str(out / "model"))
    (filled,) = filler(["The ___ barked all night."])
    assert filled.startswith("The ") and filled.endswith(" barked all night.")

    longer = replace(HP, loop=replace(HP.loop, steps=35))
    fill.train(tmp_path, out, resume=True, init=None, hp=longer)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(5, 40, 5))

    again = replace(HP, loop=replace(HP.loop, steps=2))
    fill.train(tmp_path, tmp_path / "second", resume=False, init=checkpoint, hp=again)
    first, second = (folder / "tokenizer.json" for folder in (out, tmp_path / "second"))
    assert first.read_bytes() == second.read_bytes()


def test_the_table() -> None:
    assert show({"int8": Quality(41.234, 65.0, 12.5)}).splitlines()[-1] == (
        "| int8 | 41.23 | 65.00 | 12.50 |"
    )
