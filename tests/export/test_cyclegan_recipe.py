"""The recipe of CycleGAN, for a few steps on small pictures: it trains, resumes and exports."""

from __future__ import annotations

import importlib
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genkit.model import open_model
from genkit_export.architectures.cyclegan import ResnetConfig
from genkit_export.read import read

RECIPES = Path(__file__).parents[2] / "export" / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(RECIPES))
    module = importlib.import_module("cyclegan")
    monkeypatch.setattr(module, "DEVICE", "cpu")
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Green "summers" and white "winters"."""
    random_values = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "yosemite-train.zip", "w") as archive:
        for season, colour in (("summer", (40, 130, 40)), ("winter", (210, 215, 225))):
            for i in range(18):
                noise = random_values.normal(0, 15, (40, 48, 3))
                picture = Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))
                file = io.BytesIO()
                picture.save(file, "JPEG")
                archive.writestr(f"{season}/{i:04}.jpg", file.getvalue())
    return tmp_path


def small(recipe: Any, steps: int) -> Any:
    loop = recipe.LoopConfig(steps=steps, log_every=1, validate_every=2)
    network = ResnetConfig(4, 1, upsample="resize")
    return recipe.Hyperparameters(
        network=network,
        judge_width=4,
        crop=32,
        batch=2,
        pool=3,
        classifier=recipe.ClassifierConfig(width=8, steps=30, size=32),
        loop=loop,
    )


def test_a_run_ends_with_both_directions(recipe: Any, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe.train(data, out, resume=False, init=None, hp=small(recipe, 2))
    recipe.train(data, out, resume=True, init=None, hp=small(recipe, 3))
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "cycle" in line] == [1, 2, 3]
    assert all(np.isfinite(value) for line in log for value in line.values())
    for name in ("summer2winter", "winter2summer"):
        card = open_model(out / name / "model").card
        assert card.name == name
        assert card.image is not None
        figures = {f["measure"]: f["value"] for f in card.origin["figures"]}
        assert len(figures) == 3
        assert figures[f"share called {name[7:]} by a classifier, before"] == 0
    with Image.open(out / "samples.png") as sheet:
        assert sheet.size == (48, 4 * 40)


def test_a_run_starts_from_weights(
    recipe: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "export_checkpoint", lambda *_, **__: None)
    out, again = tmp_path / "run", tmp_path / "again"
    recipe.train(data, out, resume=False, init=None, hp=small(recipe, 1))
    recipe.train(data, again, resume=False, init=out, hp=small(recipe, 1))
    before, after = (
        read(run / "summer2winter" / "checkpoint.safetensors").tensors for run in (out, again)
    )
    for name, tensor in before.items():  # one step of 2e-4 away
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=4e-4)


def test_a_pool_gives_what_it_got(recipe: Any) -> None:
    pool = recipe.Pool(3, random.Random(0))
    first = torch.arange(3.0)[:, None, None, None].expand(3, 3, 2, 2)
    assert torch.equal(pool.exchange(first), first)
    seen = [pool.exchange(torch.full((1, 3, 2, 2), float(i)))[0, 0, 0, 0] for i in range(3, 60)]
    assert len({float(value) for value in seen}) == len(seen)  # never one twice
    assert len(pool.pictures) == 3
    old = [value < i for i, value in enumerate(seen, 3)]
    assert 15 < sum(old) < 42


def test_the_losses_are_those_of_the_paper(recipe: Any) -> None:
    """Judges that always say 0.5; generators that make a constant."""
    hp = recipe.Hyperparameters()

    class Constant(torch.nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x, self.value)

    generators = torch.nn.ModuleDict({"summer": Constant(0.25), "winter": Constant(-0.5)})
    judges = torch.nn.ModuleDict({"summer": Constant(0.5), "winter": Constant(0.5)})
    real = {"summer": torch.zeros(1, 3, 8, 8), "winter": torch.ones(1, 3, 8, 8)}
    losses, made = recipe.generator_losses(generators, judges, real, hp, "winter")
    assert float(losses["fool"]) == pytest.approx(0.25 + 0.25)
    assert float(losses["cycle"]) == pytest.approx(10 * (0.25 + 1.5))
    assert float(losses["identity"]) == pytest.approx(2 * 5 * 1.5)
    assert float(recipe.judge_loss(judges, real, made)) == pytest.approx(2 * (0.25 + 0.25) / 2)
