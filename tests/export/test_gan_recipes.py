"""The recipes of the GAN family, for a few steps on small pictures, and what they are measured by."""

from __future__ import annotations

import importlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from genkit.model import open_model
from genkit_export.architectures.biggan import BigGanConfig, StoredStatistics
from genkit_export.architectures.dcgan import DcganConfig
from genkit_export.architectures.gan import GanConfig
from genkit_export.architectures.progressive import ProgressiveConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.read import read

from .gans import lively

CLASSES = ("bird", "cat", "ship")


def recipe(name: str) -> Any:
    return importlib.import_module(name)


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("cifar_features", "gan_training", "dcgan", "wgan", "biggan", "progressive"):
            monkeypatch.setattr(recipe(name), "DEVICE", "cpu")
        yield


def picture_zip(path: Path, folders: tuple[str, ...], count: int, side: int) -> None:
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for index, folder in enumerate(folders):
            for i in range(count):
                noise = random.normal(80 + 40 * index, 40, (side, side, 3))
                file = io.BytesIO()
                Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(file, "JPEG")
                archive.writestr(f"{folder}/{i:04}.jpg", file.getvalue())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    picture_zip(folder / "cifar10-train.zip", CLASSES, 20, 32)
    picture_zip(folder / "yosemite-train.zip", ("summer", "winter"), 40, 48)
    return folder


def short(steps: int) -> Any:
    return recipe("loop").LoopConfig(steps=steps, log_every=1, validate_every=2)


@pytest.fixture(scope="module")
def judge(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of the recipe."""
    out = tmp_path_factory.mktemp("judge")
    features = recipe("cifar_features")
    hp = features.Hyperparameters(widths=(8, 16, 32), batch=8, loop=short(2))
    features.train(data, out, resume=False, init=None, hp=hp)
    return out / "checkpoint.safetensors"


def log_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


class TestRuns:
    def test_the_judge(self, data: Path, judge: Path) -> None:
        features = recipe("cifar_features")
        network = features.load_judge(judge)
        pictures = recipe("pictures").read_cifar(data)
        seen, classes = features.look(network, pictures.valid, batch=4)
        assert seen.shape == (6, 32)
        assert set(classes.tolist()) <= {0, 1, 2}
        assert "accuracy" in log_of(judge.parent)[-1]

    def test_biggan_learns_by_class(
        self, data: Path, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recipe("gan_training"), "export_checkpoint", lambda *_, **__: None)
        module = recipe("biggan")
        network = BigGanConfig(
            width=8, multiples=(2, 2, 1, 1), latent=8, classes=3, attention=(8,), statistics=3
        )
        hp = module.Hyperparameters(
            network=network,
            judge_width=8,
            judge_multiples=(1, 1, 1, 1),
            batch=4,
            loop=short(2),
        )
        module.train(data, tmp_path, judge, resume=False, init=None, hp=hp)
        log = log_of(tmp_path)
        assert all(np.isfinite(value) for line in log for value in line.values())
        assert {"distance", "diversity", "agreement"} < log[-1].keys()
        checkpoint = read(tmp_path / "checkpoint.safetensors")
        description = own.describe(checkpoint)
        assert description is not None
        assert description.architecture == "biggan"
        assert description.card["latent"]["classes"] == list(CLASSES)
        assert description.card["latent"]["truncation"] == "both"
        assert len(description.card["origin"]["figures"]) == 6
        means = checkpoint.tensors["blocks.0.0.bn1.stored_mean"]
        assert means.shape == (3, 16)
        assert not torch.equal(means[0], means[2])  # truncations have moments of their own
        with Image.open(tmp_path / "samples.png") as sheet:
            assert sheet.size == (6 * 32, 32)

    @pytest.mark.parametrize("kind", ["dcgan", "gan"])
    def test_dcgan_resumes_and_ends_with_a_model(
        self, data: Path, judge: Path, tmp_path: Path, kind: str
    ) -> None:
        module = recipe("dcgan")
        network = DcganConfig(32, 8, 4) if kind == "dcgan" else GanConfig(32, 8, (16,))
        hp = module.Hyperparameters(
            kind=kind, network=network, judge_width=4, batch=4, loop=short(1)
        )
        module.train(data, tmp_path, judge, resume=False, init=None, hp=hp)
        longer = module.Hyperparameters(**(vars(hp) | {"loop": short(2)}))
        module.train(data, tmp_path, judge, resume=True, init=None, hp=longer)
        assert [line["step"] for line in log_of(tmp_path) if "judge" in line] == [1, 2]
        card = open_model(tmp_path / "model").card
        assert card.name == card.architecture == kind
        assert card.origin["data"][0]["name"].startswith("CIFAR-10")
        assert len(card.origin["figures"]) == 5

    def test_noise_that_the_command_does_not_draw_is_not_exported(
        self, data: Path, judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        module = recipe("dcgan")
        hp = module.Hyperparameters(
            network=DcganConfig(32, 8, 4), judge_width=4, noise="uniform", batch=4, loop=short(1)
        )
        module.train(data, tmp_path, judge, resume=False, init=None, hp=hp)
        assert "not exported" in capsys.readouterr().out
        assert not (tmp_path / "checkpoint.safetensors").exists()

    @pytest.mark.parametrize("lipschitz", ["penalty", "clamp"])
    def test_wgan(
        self,
        data: Path,
        judge: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        lipschitz: str,
    ) -> None:
        monkeypatch.setattr(recipe("gan_training"), "export_checkpoint", lambda *_, **__: None)
        module = recipe("wgan")
        hp = module.Hyperparameters(
            network=DcganConfig(32, 8, 4),
            judge_width=4,
            batch=4,
            critic_steps=2,
            lipschitz=lipschitz,
            loop=short(2),
        )
        module.train(data, tmp_path, judge, resume=False, init=None, hp=hp)
        if lipschitz == "clamp":
            weights = torch.load(tmp_path / "run.pt", weights_only=True)["modules"]["judge"]
            assert float(weights["main.2.weight"].abs().max()) <= 0.01

    def test_progressive_keeps_only_the_whole_network(
        self, data: Path, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recipe("gan_training"), "export_checkpoint", lambda *_, **__: None)
        module = recipe("progressive")
        hp = module.Hyperparameters(
            network=ProgressiveConfig((8, 8, 8, 8), 8),
            shares=(1, 1, 1, 2),
            batch=4,
            loop=short(10),
        )
        module.train(data, tmp_path, judge, resume=False, init=None, hp=hp)
        levels = [line["level"] for line in log_of(tmp_path) if "level" in line]
        assert levels == pytest.approx([1, 1, 1, 2, 2, 3, 3, 3.5, 4, 4], abs=0.51)
        assert torch.load(tmp_path / "run.pt", weights_only=True)["best"] > -np.inf
        # A run may start from the weights of another.
        again = tmp_path / "again"
        hp = module.Hyperparameters(**(vars(hp) | {"loop": short(1)}))
        init = tmp_path / "checkpoint.safetensors"
        module.train(data, again, judge, resume=False, init=init, hp=hp)


class TestTraining:
    def test_the_networks_that_are_trained_by_default_fit_together(self) -> None:
        for name in ("dcgan", "biggan"):
            module = recipe(name)
            hp = module.Hyperparameters()
            generator, judge = module.networks(hp)
            label = [torch.zeros(2, dtype=torch.int64)] if name == "biggan" else []
            with torch.no_grad():
                pictures = generator(torch.randn(2, hp.network.latent), *label)
                assert pictures.shape == (2, 3, 32, 32)
                assert judge(pictures, *label).shape == (2,)
        hp = recipe("progressive").Hyperparameters()
        assert hp.network.size == 64
        assert len(hp.shares) == len(hp.network.depths)

    def test_the_losses_of_the_papers(self) -> None:
        training = recipe("gan_training")
        real, made = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
        assert float(training.JUDGE_LOSSES["hinge"](real, made)) == pytest.approx(0.25 + 0.5)
        assert float(training.GENERATOR_LOSSES["hinge"](made)) == pytest.approx(1.5)
        assert float(training.JUDGE_LOSSES["wasserstein"](real, made)) == pytest.approx(-2.75)
        log_of_fake = torch.sigmoid(made).log().mean()
        assert float(training.GENERATOR_LOSSES["non-saturating"](made)) == pytest.approx(
            -float(log_of_fake)
        )
        minimax = (1 - torch.sigmoid(made)).log().mean()
        assert float(training.GENERATOR_LOSSES["minimax"](made)) == pytest.approx(float(minimax))
        both = -torch.sigmoid(real).log().mean() - minimax
        assert float(training.JUDGE_LOSSES["minimax"](real, made)) == pytest.approx(float(both))

    def test_labels_are_softened_and_flipped(self) -> None:
        module = recipe("dcgan")

        class Sure(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x.flatten(1)[:, 0]

        real, made = torch.full((200, 3, 2, 2), 8.0), torch.full((200, 3, 2, 2), -8.0)

        def loss(**fields: float) -> float:
            hp = module.Hyperparameters(**fields)
            return float(module.judge_loss(Sure(), real, made, hp))

        assert loss(label_smoothing=0.0) == pytest.approx(0, abs=0.01)
        assert loss(label_smoothing=0.2) == pytest.approx(0.1 * 8, rel=0.2)
        assert loss(label_smoothing=0.0, label_noise=1.0) == pytest.approx(16, rel=0.01)
        assert loss(label_smoothing=0.0, separate_batches=False) == pytest.approx(0, abs=0.01)

    def test_the_penalty_wants_a_slope_of_one(self) -> None:
        module = recipe("wgan")

        class Slope(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return 3 * x.flatten(1)[:, 0]

        real, made = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2)
        assert module.gradient_penalty(Slope(), real, made).item() == pytest.approx(4)

    def test_scales_fade_in(self) -> None:
        stage = recipe("progressive").stage
        shares = (0.25, 0.25, 0.5)
        assert [stage(at / 16, shares) for at in (0, 3)] == [(1, 0), (1, 0)]
        assert [stage(at / 16, shares) for at in (4, 5, 6)] == [(2, 1), (2, 0.5), (2, 0)]
        assert stage(8 / 16, shares) == (3, 1)
        assert stage(12 / 16, shares) == stage(15 / 16, shares) == (3, 0)

    def test_norms_get_the_moments_of_what_they_see(self) -> None:
        training = recipe("gan_training")
        network = lively(BigGanConfig(width=8, multiples=(2, 1), size=8, latent=8, statistics=3))
        network.linear.bias.data.zero_()  # type: ignore[union-attr, operator]
        torch.manual_seed(0)
        training.settle_all_moments(network)
        norm = network.blocks[0][0].bn1  # type: ignore[union-attr, index]
        assert isinstance(norm, StoredStatistics)
        assert norm.momentum == pytest.approx(0.1)
        assert not network.training
        # The first norm sees the first layer, which is linear in the noise.
        assert float(norm.stored_var[0].max()) < 1e-3
        ratio = norm.stored_var[1] / norm.stored_var[2]
        assert float(ratio.mean()) == pytest.approx(0.25, rel=0.1)

    def test_batch_norm_gets_the_moments_of_averaged_weights(self) -> None:
        training = recipe("gan_training")
        network = lively(DcganConfig(32, 8, 4))
        training.settle_moments(network, network.config, batches=4)
        norm, before = network.main[1], network.main[0]  # type: ignore[union-attr, index]
        with torch.no_grad():
            seen = before(torch.randn(4000, 8, 1, 1))  # type: ignore[operator]
        torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3)), rtol=0.3, atol=0)  # type: ignore[union-attr]

    def test_augmentation_keeps_the_gradient(self) -> None:
        augment = recipe("gan_data").augment
        pictures = (torch.rand(8, 3, 32, 32) * 2 - 1).requires_grad_()
        seen = augment(pictures)
        assert seen.shape == pictures.shape
        seen.sum().backward()
        assert pictures.grad is not None
        assert int((pictures.grad != 0).sum()) > pictures.numel() / 2
        hidden = (seen == 0).all(1).float().mean((1, 2))
        assert float(hidden.max()) > 0.1

    def test_truncated_noise_has_no_tails(self) -> None:
        noise = recipe("gan_data").truncated_normal(1000, 8)
        assert float(noise.abs().max()) <= 2
        assert float(noise.std()) == pytest.approx(0.88, abs=0.02)


class TestQuality:
    def test_the_frechet_distance_of_known_distributions(self) -> None:
        quality = recipe("gan_quality")
        frechet, moments = quality.frechet, quality.Moments.of
        torch.manual_seed(0)
        values = torch.randn(4000, 3)
        a = moments(values)
        assert frechet(a, a) == pytest.approx(0, abs=1e-6)
        b = moments(values * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([1.0, 0, 0]))
        # (2 - 1)^2 + (3 - 1)^2 for the deviations, 1 for the mean.
        assert frechet(a, b) == pytest.approx(6, rel=0.1)
        assert frechet(a, b) == pytest.approx(frechet(b, a))

    def test_precision_and_recall(self) -> None:
        measure = recipe("gan_quality").precision_and_recall
        torch.manual_seed(0)
        real = torch.cat([torch.randn(100, 2), torch.randn(100, 2) + 50])
        one_mode = torch.randn(200, 2)
        precision, recall = measure(real, one_mode)
        assert precision > 0.9
        assert 0.4 < recall < 0.55
        elsewhere = torch.randn(200, 2) - 50
        assert measure(real, elsewhere) == (0, 0)

    def test_the_two_most_alike(self) -> None:
        nearest = recipe("gan_quality").nearest_pair
        pictures = torch.randint(0, 256, (700, 3, 4, 4), dtype=torch.uint8)
        pictures[650] = pictures[3]
        pictures[650, 0, 0, 0] = pictures[3, 0, 0, 0] ^ 16
        assert nearest(pictures) == pytest.approx((16**2 / 48) ** 0.5, rel=0.02)

    def test_a_generator_that_says_one_thing_has_no_diversity(
        self, data: Path, judge: Path
    ) -> None:
        quality = recipe("gan_quality")
        pictures = recipe("pictures").read_cifar(data)
        reference = quality.Reference(recipe("cifar_features").load_judge(judge), pictures)
        same = pictures.valid[:1].expand(6, -1, -1, -1)
        found = reference.measure(same)
        assert found.diversity == pytest.approx(0, abs=1e-3)
        assert found.nearest == pytest.approx(0, abs=0.1)
        assert found.distance > 1
        again = reference.measure(pictures.valid)
        assert again.distance == pytest.approx(1)
        assert again.nearest == pytest.approx(1)

    def test_the_table(
        self, data: Path, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        """A row for each exported model, as JSON; the graph is run in batches."""
        quality = recipe("gan_quality")
        card = type("Card", (), {})()
        card.name, card.origin = "tiny", {"data": []}
        card.latent = type("Latent", (), {"classes": CLASSES})()
        monkeypatch.setattr(quality, "find", lambda *_: type("Model", (), {"card": card})())
        pictures = recipe("pictures").read_cifar(data).valid
        labels = torch.zeros(len(pictures), dtype=torch.int64)
        monkeypatch.setattr(quality, "make", lambda *_: (pictures, labels, card))
        argv = ["gan_quality.py", "--data", str(data), "--judge", str(judge), "tiny"]
        monkeypatch.setattr(sys, "argv", argv)
        quality.main()
        (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert row["model"] == "tiny"
        assert row["pictures"] == 6
        assert row["distance"] == pytest.approx(1)
        assert 0 <= row["agreement"] <= 1
