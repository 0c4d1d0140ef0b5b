"""Checkpoints of BigGAN: in Hugging Face's layout, against its own package, and in ajbrock's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import InputError, UsageError
from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.biggan import BigGanConfig
from genkit_export.architectures.biggan_deep import BigGanDeepConfig
from genkit_export.export import inspect
from genkit_export.parity import Graph

from .gans import DEEP, lively
from .inspecting import settings_in
from .test_gan_networks import plain_biggan, published_deep

__all__ = ["published_deep"]  # a fixture

SHARED = BigGanConfig(
    width=8,
    multiples=(4, 2, 1),
    size=16,
    latent=12,
    classes=7,
    attention=(8,),
    shared=6,
    hierarchical=True,
)
INNER = {"stored_mean": "running_mean", "stored_var": "running_var"}


def assert_bytes(found: Any, pictures: Tensor) -> None:
    expected = ((pictures.permute(0, 2, 3, 1) + 1) * 127.5).clamp(0, 255).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.5 + 1e-4 * 255
    assert found.std() > 10


class TestDeep:
    def test_a_folder_of_hugging_face(self, published_deep: Any, tmp_path: Path) -> None:
        config = published_deep.BigGANConfig(**asdict(DEEP))
        reference = published_deep.BigGAN(config).eval()
        reference.load_state_dict(lively(DEEP).state_dict())
        (tmp_path / "config.json").write_text(json.dumps(asdict(DEEP)))
        torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")

        record = inspect_checkpoint(tmp_path)
        assert (record["layout"], record["task"]) == ("hf-biggan-deep", "sample")
        found = settings_in(record)
        assert found["output_dim"] == (16, "read")
        assert found["eps"] == (1e-4, "read")
        assert found["num_classes"] == (5, "read")
        assert found["attention_layer_position"] == (2, "read")

        model = open_model(export_checkpoint(tmp_path, tmp_path / "out", name="deep"))
        latent = model.card.latent
        assert latent is not None
        assert (latent.distribution, latent.truncation) == ("truncated_normal", "both")
        assert latent.classes == ("0", "1", "2", "3", "4")
        graph = Graph(model.graph("generate", "fp32"))
        label = torch.tensor([4, 0, 2])
        for batch, truncation in ((1, 0.4), (3, 1.0)):
            z = torch.randn(batch, 8, generator=torch.Generator().manual_seed(batch))
            inputs = {"z": z, "class": label[:batch], "truncation": torch.tensor(truncation)}
            (pictures,) = graph.run(["image"], **{k: v.numpy() for k, v in inputs.items()})
            with torch.no_grad():
                one_hot = F.one_hot(label[:batch], 5).float()
                assert_bytes(pictures, reference(z, one_hot, truncation))

    def test_weights_without_their_configuration(self, tmp_path: Path) -> None:
        """Which blocks double the size is assumed to be as in all published ones."""
        config = BigGanDeepConfig(
            output_dim=16,
            z_dim=8,
            class_embed_dim=8,
            channel_width=8,
            num_classes=5,
            layers=((False, 4, 4), (True, 4, 4), (False, 4, 2), (True, 2, 1)),
            attention_layer_position=2,
        )
        torch.save(lively(config).state_dict(), tmp_path / "pytorch_model.bin")
        found = settings_in(inspect_checkpoint(tmp_path / "pytorch_model.bin"))
        assert found["output_dim"] == (16, "assumed")
        assert found["eps"] == (1e-4, "assumed")
        assert found["z_dim"] == (8, "read")


class TestPlain:
    def test_a_generator_with_a_shared_embedding(self, tmp_path: Path) -> None:
        weights = lively(SHARED).state_dict()
        torch.save(weights, tmp_path / "G_ema.pth")
        record = inspect_checkpoint(tmp_path / "G_ema.pth")
        assert (record["layout"], record["task"]) == ("ajbrock-biggan", "sample")
        found = settings_in(record)
        assert found["size"] == (16, "read")
        assert found["latent"] == (12, "read")
        assert found["classes"] == (7, "read")
        assert found["hierarchical"] == (True, "read")
        assert found["norm_eps"] == (1e-5, "assumed")

        model = open_model(export_checkpoint(tmp_path / "G_ema.pth", tmp_path / "out"))
        assert model.card.latent is not None
        assert model.card.latent.truncation == "latent"
        assert len(model.card.latent.classes) == 7
        graph = Graph(model.graph("generate", "fp32"))
        label = torch.tensor([6, 0, 3])
        for batch in (1, 3):
            z = torch.randn(batch, 12, generator=torch.Generator().manual_seed(batch))
            inputs = {"z": z.numpy(), "class": label[:batch].numpy()}
            (pictures,) = graph.run(["image"], **inputs)
            with torch.no_grad():
                assert_bytes(pictures, plain_biggan(weights, z, label[:batch], SHARED))

    @pytest.mark.parametrize("names", [{}, INNER])
    def test_norms_with_a_module_of_their_own(self, names: dict[str, str], tmp_path: Path) -> None:
        """Of `--cross_replica` and `--mybn`, here without a shared embedding (CIFAR-10, SAGAN)."""
        weights = {}
        config = BigGanConfig(width=8, multiples=(4, 4, 4, 4), latent=16)
        for name, tensor in lively(config).state_dict().items():
            start, _, last = name.rpartition(".")
            inner = f"{start}.bn.{names.get(last, last)}" if last in INNER else name
            weights[inner] = tensor
        weights["blocks.0.0.bn1.bn.accumulation_counter"] = torch.ones(1)
        weights["blocks.0.0.conv1.u1"] = torch.ones(1, 32)
        weights["blocks.0.0.conv1.sv1"] = torch.ones(1)
        torch.save(weights, tmp_path / "G.pth")
        found = settings_in(inspect_checkpoint(tmp_path / "G.pth"))
        assert found["classes"] == (10, "read")
        assert found["shared"] == (0, "read")
        assert found["size"] == (32, "read")

    def test_one_without_spectral_norm_is_refused(self, tmp_path: Path) -> None:
        weights = lively(SHARED).state_dict()
        plain = {name: t for name, t in weights.items() if not name.endswith(("u0", "sv0"))}
        torch.save(plain, tmp_path / "G.pth")
        with pytest.raises(InputError, match="without spectral norm"):
            inspect_checkpoint(tmp_path / "G.pth")


class TestLabels:
    CONFIG = BigGanConfig(width=8, multiples=(1, 1), size=8, latent=8, classes=1000)

    def test_a_thousand_classes_are_those_of_imagenet(self, tmp_path: Path) -> None:
        torch.save(lively(self.CONFIG).state_dict(), tmp_path / "G.pth")
        assert settings_in(inspect_checkpoint(tmp_path / "G.pth"))["labels"] == (
            "imagenet",
            "assumed",
        )
        names = inspect(tmp_path / "G.pth").loaded.card["latent"]["classes"]
        assert (names[0], names[281], names[999]) == (
            "tench, Tinca tinca",
            "tabby, tabby cat",
            "toilet tissue, toilet paper, bathroom tissue",
        )
        assert len(names) == 1000
        assert all(name == name.strip() != "" for name in names)
        given = inspect(tmp_path / "G.pth", given={"labels": "numbers"}).loaded.card["latent"]
        assert given["classes"][281] == "281"

    @pytest.mark.parametrize("labels", ["imagenet", "cifar"])
    def test_names_that_there_are_not(self, labels: str, tmp_path: Path) -> None:
        torch.save(lively(SHARED).state_dict(), tmp_path / "G.pth")
        with pytest.raises(UsageError, match="labels of 7 classes"):
            inspect_checkpoint(tmp_path / "G.pth", settings={"labels": labels})
