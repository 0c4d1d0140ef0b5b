"""What training stands on: the loop, the cheap layers, and the parallel text."""

import gzip
import json
import random
import re
import unicodedata
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cpu import FastDropout, SmoothedCrossEntropy, use_fast_dropout
from loop import Loop, LoopConfig, descend
from muon import Muon, orthogonal
from translate_corpus import (
    Corpus,
    filter_pairs,
    held_out,
    known_words,
    read_phrases,
)
from translate_data import batches, encode, train_vocabulary
from translate_variation import Variation, add_stand_in, vary, with_stand_ins


class TestLoop:
    def make(self, out: Path, steps: int, **config: Any) -> tuple[Loop, nn.Linear]:
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        optimizer = torch.optim.AdamW(model.parameters(), 0.1)
        settings = {"log_every": 2, "validate_every": 4, "warmup": 3} | config
        loop = Loop(
            out, LoopConfig(steps, **settings), {"m": model}, {"a": optimizer}, averaged="m"
        )
        return loop, model

    def train(self, loop: Loop, model: nn.Linear, figures: list[float] | None = None) -> None:
        def take_step(step: int) -> Mapping[str, Tensor]:
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
            loop.optimizers["a"].zero_grad()
            loss.backward()
            loop.optimizers["a"].step()
            return {"loss": loss.detach()}

        values = iter(figures or [])
        loop.run(take_step, lambda _: (next(values, 0.0), {"figure": 1.0}))

    def test_learns(self, tmp_path: Path) -> None:
        loop, model = self.make(tmp_path, 60)
        self.train(loop, model)
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        assert losses[-1] < losses[0] / 10
        assert len(losses) == 30

    def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(self, tmp_path: Path) -> None:
        whole, model = self.make(tmp_path / "a", 12, decay=0.01)
        self.train(whole, model)
        first, half = self.make(tmp_path / "b", 6, decay=0.01)
        self.train(first, half)
        second, rest = self.make(tmp_path / "b", 12, decay=0.01)
        second.resume()
        assert second.step == 6
        self.train(second, rest)
        torch.testing.assert_close(rest.weight, model.weight)
        torch.testing.assert_close(second.average.weight, whole.average.weight)
        assert second.seconds > first.seconds

    def test_what_another_run_is_writing_lies_under_another_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop, _ = self.make(tmp_path, 6)
        save, seen = torch.save, []

        def both(state: Any, file: Any) -> None:
            if len(seen) == 0:
                seen.append(True)
                loop.save()  # the other run, from its beginning to its end
            seen.extend(path.name for path in tmp_path.iterdir())
            save(state, file)

        monkeypatch.setattr(torch, "save", both)
        loop.save()
        assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
        assert len({name for name in seen if name not in (True, "run.pt")}) == 2
        loop.resume()

    def test_resuming_without_a_run_starts_one(self, tmp_path: Path) -> None:
        loop, _ = self.make(tmp_path, 3)
        loop.resume()
        assert loop.step == 0

    def test_keeps_the_best_and_not_the_last(self, tmp_path: Path) -> None:
        loop, model = self.make(tmp_path, 12)
        kept: list[Tensor] = []
        write = loop._write

        def spy(name: str, state: Mapping[str, Any]) -> None:
            if name == "best.pt":
                kept.append(state["weight"].clone())
            write(name, state)

        loop._write = spy  # type: ignore[method-assign]
        self.train(loop, model, [1.0, 3.0, 2.0])
        assert len(kept) == 2
        best = torch.load(tmp_path / "best.pt", weights_only=True)
        assert torch.equal(best["weight"], kept[1])
        assert not torch.equal(best["weight"], loop.average.weight)  # type: ignore[arg-type]

    def test_the_average_trails_the_weights(self, tmp_path: Path) -> None:
        loop, model = self.make(tmp_path, 40, average=0.9)
        self.train(loop, model)
        target = torch.ones(1, 4)
        assert not torch.equal(loop.average.weight, model.weight)  # type: ignore[arg-type]
        assert (loop.average.weight - target).abs().max() < 1  # type: ignore[operator]
        assert not any(p.requires_grad for p in loop.average.parameters())

    def test_the_rate_rises_stays_and_falls(self) -> None:
        config = LoopConfig(steps=100, warmup=10, decay=0.3)
        rates = [config.rate(step) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert rates[9:70] == [1.0] * 61
        assert rates[85] == pytest.approx(0.5)
        assert rates[99] == pytest.approx(1 / 30)
        assert config.rate(100) == 0

    def test_a_run_of_minutes(self, tmp_path: Path) -> None:
        config = LoopConfig(steps=100, warmup=10, decay=0.5, minutes=4)
        assert [config.progress(*at) for at in ((0, 1), (50, 1), (0, 9))] == [0.25, 0.5, 1]
        assert [config.rate(20, minutes) for minutes in (0, 2, 3, 4)] == [1, 1, 0.5, 0]
        loop, model = self.make(tmp_path, 10**9, minutes=0.005, log_every=10**6)
        self.train(loop, model)
        assert 0.3 <= loop.seconds < 20
        assert 0 < loop.step < 10**9
        assert (tmp_path / "best.pt").is_file()
        assert (tmp_path / "run.pt").is_file()

    def test_rates_that_a_device_reads(self, tmp_path: Path) -> None:
        """A recorded step cannot be told another number, but reads a tensor."""
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        rate = torch.tensor(0.1)
        optimizer = torch.optim.Adam(model.parameters(), rate, capturable=False, foreach=False)
        config = LoopConfig(8, log_every=2, validate_every=8, warmup=3)
        loop = Loop(tmp_path, config, {"m": model}, {"a": optimizer}, averaged="m")
        seen = []

        def take_step(_: int) -> Mapping[str, float]:
            seen.append(float(rate))
            return {"loss": 0.0}

        loop.run(take_step, lambda _: (0.0, {}))
        assert seen == pytest.approx([0.1 * config.rate(step) for step in range(8)])
        loop.resume()
        assert optimizer.param_groups[0]["lr"] is rate


class TestMuon:
    @pytest.mark.parametrize("shape", [(6, 6), (4, 30), (30, 4)])
    def test_a_direction_is_the_orthogonal_factor_or_near_it(self, shape: tuple[int, int]) -> None:
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        u, _, vh = torch.linalg.svd(x, full_matrices=False)
        found = u.T @ orthogonal(x) @ vh.T
        kept = found.diagonal()
        assert float(kept.min()) > 0.6
        assert float(kept.max()) < 1.3
        torch.testing.assert_close(found, torch.diag(kept), atol=1e-5, rtol=0)

    def test_the_first_step_is_that_of_torch(self) -> None:
        ours, theirs = (nn.Linear(12, 20, bias=False) for _ in range(2))
        theirs.load_state_dict(ours.state_dict())
        weight = ours.weight.detach().clone()
        rule = torch.optim.Muon
        pairs = (
            (ours, Muon(ours.parameters(), 0.1, weight_decay=0.5, rms=0.2)),
            (theirs, rule(theirs.parameters(), 0.1, 0.5, adjust_lr_fn="match_rms_adamw")),
        )
        x = torch.randn(200, 12)
        for layer, optimizer in pairs:
            descend(optimizer, layer(x).square().sum())
        step = (theirs.weight - weight).norm()
        assert (ours.weight - theirs.weight).norm() < 0.05 * step  # theirs is in bfloat16

    def test_a_convolution_is_a_matrix_with_a_row_an_output(self) -> None:
        conv = nn.Conv2d(3, 8, 3, bias=False)
        before = conv.weight.detach().clone()
        descend(Muon(conv.parameters(), 0.5), conv(torch.randn(2, 3, 8, 8)).square().sum())
        steps = torch.linalg.svdvals((conv.weight - before).detach().flatten(1))
        assert float(steps.min()) > 0.5 * 0.6
        assert float(steps.max()) < 0.5 * 1.3

    def test_it_goes_on_where_it_stopped(self) -> None:
        torch.manual_seed(0)
        layer, x = nn.Linear(5, 4), torch.randn(7, 5)
        optimizer = Muon([layer.weight], 0.1)
        descend(optimizer, layer(x).square().sum())
        state, weight = deepcopy(optimizer.state_dict()), layer.weight.detach().clone()
        descend(optimizer, layer(x).square().sum())
        after = layer.weight.detach().clone()
        layer.weight.data.copy_(weight)
        resumed = Muon([layer.weight], 0.1)
        resumed.load_state_dict(state)
        descend(resumed, layer(x).square().sum())
        assert torch.equal(layer.weight, after)


def test_a_step_is_clipped_by_the_gradient_of_all_optimizers() -> None:
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    optimizers = [torch.optim.SGD(layer.parameters(), 1.0) for layer in (first, second)]
    before = [layer.weight.detach().clone() for layer in (first, second)]
    norm = descend(optimizers, 100 * second(first(torch.randn(5, 3))).square().sum(), 0.5)
    moved = [
        layer.weight.detach() - old for layer, old in zip((first, second), before, strict=True)
    ]
    assert norm > 0.5
    assert float(torch.cat(moved).norm()) == pytest.approx(0.5, rel=1e-3)


class TestCheapLayers:
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_the_gradient_is_that_of_torch(self, smoothing: float) -> None:
        torch.manual_seed(0)
        logits = torch.randn(50, 30, requires_grad=True)
        target = torch.randint(0, 30, (50,))
        loss = SmoothedCrossEntropy.apply(logits, target, smoothing)
        assert torch.allclose(loss, F.cross_entropy(logits, target))
        reference = F.cross_entropy(logits, target, label_smoothing=smoothing)
        (ours,) = torch.autograd.grad(loss * 3, logits)
        (theirs,) = torch.autograd.grad(reference * 3, logits)
        torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("p", [0.1, 0.3])
    def test_dropout_drops_its_share_and_keeps_the_mean(self, p: float) -> None:
        torch.manual_seed(0)
        dropped = FastDropout(p)(torch.ones(1000, 101))
        assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.01)
        assert dropped.mean().item() == pytest.approx(1, abs=0.01)

    def test_dropout_does_nothing_in_evaluation(self) -> None:
        x = torch.randn(7, 3)
        assert torch.equal(FastDropout(0.5).eval()(x), x)

    def test_every_dropout_is_replaced(self) -> None:
        model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
        use_fast_dropout(model)
        kinds = [type(module) for module in model.modules()]
        assert kinds.count(FastDropout) == 2
        assert nn.Dropout not in kinds


TEXTS = [
    "The train leaves at eight o'clock.", "Der Zug fährt um acht Uhr ab.",
    "Where is the station?", "Wo ist der Bahnhof?", "I have 12 cats.", "Ich habe 12 Katzen.",
] * 3  # fmt: skip


class TestVocabulary:
    def test_size_and_order_are_marians(self) -> None:
        tokenizer = train_vocabulary(TEXTS, 400, 60)
        assert tokenizer.get_vocab_size() <= 400
        assert tokenizer.token_to_id("</s>") == 0
        assert tokenizer.token_to_id("<unk>") == 1
        assert tokenizer.token_to_id("<pad>") == 399
        assert tokenizer.encode("Wo?").ids[-1] == 0

    @pytest.mark.parametrize(
        "text", ["Wo ist der Zug?", "Zoë mag 猫 🙂.", "ﷺ½ — „so“", "a\u0301e\u0308", "12345"]
    )
    def test_every_text_comes_back(self, text: str) -> None:
        tokenizer = train_vocabulary(TEXTS, 400, 60)
        encoding = tokenizer.encode(text)
        assert 1 not in encoding.ids
        assert tokenizer.decode(encoding.ids) == unicodedata.normalize("NFC", text)

    def test_white_space_is_one_space(self) -> None:
        tokenizer = train_vocabulary(TEXTS, 400, 60)
        assert tokenizer.encode("  Wo \t ist\n").ids == tokenizer.encode("Wo ist").ids

    def test_digits_stand_alone(self) -> None:
        tokens = train_vocabulary(TEXTS, 400, 60).encode("12 121").tokens
        assert [t for t in tokens if t.strip("▁").isdigit()] == ["1", "2", "1", "2", "1"]


def write_tables(folder: Path) -> None:
    tables = {"tatoeba.en-de": "I am tired.\tIch bin müde.\n"}
    for name in ("train", "val", "test_2016_flickr"):
        tables[f"multi30k.{name}.en-de-fr"] = "A dog.\tEin Hund.\tUn chien.\n"
    for name, text in tables.items():
        with gzip.open(folder / f"{name}.tsv.gz", "wt", encoding="utf-8") as file:
            file.write(text)


NEVER = Variation(**dict.fromkeys((field.name for field in fields(Variation)), 0.0))


class InOrder(random.Random):
    """Numbers stand-ins as they come."""

    def random(self) -> float:
        return 0.0


class TestPairs:
    def test_all_translations_of_a_sentence_fall_on_one_side(self) -> None:
        words = [f"sentence {i}" for i in range(20_000)]
        share = sum(map(held_out, words)) / len(words)
        assert share == pytest.approx(0.01, abs=0.003)
        assert all(held_out(word) == held_out(word.upper()) for word in words)

    def test_a_variation_keeps_the_pair_a_pair(self) -> None:
        rng = random.Random(0)
        always = replace(NEVER, rename=1, copy=1)
        for _ in range(50):
            source, target = vary(("Tom is here.", "Tom ist hier."), [], always, rng)
            assert (source == "Tom is here.") == (target == "Tom ist hier.")
            assert "Tom" not in source + target
            extra = set(source.split()) - {"is", "here."}
            assert extra == set(target.split()) - {"ist", "hier."}

    def test_a_name_on_one_side_only_stays(self) -> None:
        rng = random.Random(0)
        rename = replace(NEVER, rename=1)
        assert vary(("Tom's dog.", "Sein Hund."), [], rename, rng) == ("Tom's dog.", "Sein Hund.")

    def test_without_rates_nothing_changes(self) -> None:
        pair = ("Tom is here.", "Tom ist hier.")
        assert vary(pair, [pair], NEVER, random.Random(0)) == pair

    def test_what_stands_on_both_sides_becomes_a_stand_in(self) -> None:
        pair = ("Tom met Mary in Rome at 7.30, not in May.", "Tom traf Mary um 7.30 in Rom.")
        assert with_stand_ins(*pair, InOrder()) == (
            "@1 met @2 in Rome at @3, not in May.",
            "@1 traf @2 um @3 in Rom.",
        )

    def test_what_stands_twice_on_a_side_stays(self) -> None:
        pair = ("Tom and Tom saw Tom's 7 dogs.", "Tom und Tom sahen 7 Hunde.")
        assert with_stand_ins(*pair, InOrder()) == (
            "Tom and Tom saw Tom's @1 dogs.",
            "Tom und Tom sahen @1 Hunde.",
        )

    def test_an_added_stand_in_is_on_both_sides_and_new(self) -> None:
        rng = random.Random(0)
        for _ in range(50):
            sides = add_stand_in("@1 is here.", "@1 ist hier.", rng)
            marks = [re.findall(r"@\d", side) for side in sides]
            assert sorted(marks[0]) == sorted(marks[1])
            assert len(set(marks[0])) == 2

    def test_pairs_that_are_no_translations_are_left_out(self) -> None:
        good = [("Open the file.", "Die Datei öffnen."), ("Linux", "Linux")]
        bad = [
            ("Open the file.", "Open the file."),
            ("Yes", "Das ist eine sehr lange Erklärung, die hier nicht hingehört."),
            ("%%% --- !!! a", "%%% --- !!! b"),
        ]
        assert filter_pairs(good + bad) == good

    def test_a_dictionary_gives_the_words_that_are_used(self) -> None:
        entries = [
            ("dog", "Köter"), ("dog", "Hund"), ("dog", "Hund (m)"), ("rarity", "Rarität"),
            ("the old dog of my house", "der alte Hund meines Hauses"),
        ]  # fmt: skip
        pairs = [("My dog sees the dog.", "Mein Hund sieht den Hund.")] * 5
        pairs += [("A dog!", "Köter!")] * 5
        assert known_words(entries, pairs) == [("dog", "Hund")]

    def test_phrases_come_with_the_marks_that_fit(self) -> None:
        phrases = read_phrases("de")
        assert ("Yes", "Ja") in phrases
        assert ("Yes.", "Ja.") in phrases
        assert ("How are you?", "Wie geht es dir?") in phrases
        assert ("How are you.", "Wie geht es dir.") not in phrases
        assert ("Please wait...", "Bitte warten ...") in phrases
        assert ("How are you?", "Comment allez-vous ?") in read_phrases("fr")

    def test_a_corpus_the_other_way_round(self, tmp_path: Path) -> None:
        write_tables(tmp_path)
        forward = Corpus.read(tmp_path, ("en", "de"))
        back = Corpus.read(tmp_path, ("de", "en"))
        assert forward.tatoeba == [("I am tired.", "Ich bin müde.")]
        assert back.tatoeba == [("Ich bin müde.", "I am tired.")]
        assert back.multi30k_test == [("Ein Hund.", "A dog.")]
        assert ("Ja", "Yes") in back.phrases
        assert back.software == []

    def test_batches_hold_every_row_once_within_the_budget(self) -> None:
        tokenizer = train_vocabulary(TEXTS, 400, 60)
        rng = random.Random(0)
        rows = encode(tokenizer, [(TEXTS[i % 6], TEXTS[(i + 1) % 6]) for i in range(40)])
        seen: list[tuple[list[int], list[int]]] = []
        for source, target in batches(rows, 100, 399, rng):
            assert max(source.numel(), target.numel()) <= 100
            for s, t in zip(source.tolist(), target.tolist(), strict=True):
                seen.append(([i for i in s if i != 399], [i for i in t if i != 399]))
        assert sorted(seen) == sorted(rows)
