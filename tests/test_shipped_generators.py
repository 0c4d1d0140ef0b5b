"""The shipped generators: whole folders, true to PyTorch, the same bytes for the same seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from references import load_network
from shell import genkit, pipeline

from genkit import load
from genkit.images import Picture
from genkit.model import open_model, verify
from genkit_export import sample
from genkit_export.parity import Graph

WEIGHTS = Path(__file__).parents[1] / "weights" / "sample"
MODELS = ("biggan", "dcgan", "progressive", "wgan")


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_the_folder_is_whole(self, name: str) -> None:
        model = open_model(WEIGHTS / name)
        assert verify(model) == []
        assert model.card.origin["figures"]
        with Image.open(WEIGHTS / name / "sample.jpg") as picture:
            assert picture.width > 200

    def test_the_graph_is_the_checkpoint(self, name: str) -> None:
        network = load_network(WEIGHTS / name)
        sampler = sample.Sampler(network).eval()
        graph = Graph(WEIGHTS / name / "generate.fp32.onnx")
        for count in (1, 5):
            inputs = sample.noise(network.config, count)
            with torch.no_grad():
                exact, _ = sampler(*inputs.values())
            (made,) = graph.run(["image"], **{k: value.numpy() for k, value in inputs.items()})
            assert np.abs(made - exact.clamp(0, 255).numpy()).max() < 0.53

    def test_pictures_differ(self, name: str) -> None:
        pictures = np.stack(list(load("sample", str(WEIGHTS / name), device="cpu")(range(24))))
        assert pictures.std() > 30
        flat = pictures.reshape(24, -1).astype(int)
        apart = np.abs(flat[:, None] - flat).mean(2) + 255 * np.eye(24)
        assert apart.min() > 5


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.*")) < 45e6


def test_the_first_three_of_three_hundred(tmp_path: Path) -> None:
    hashes = []
    for count in ("3", "300"):
        out = tmp_path / count
        assert genkit("sample", "-n", count, "--seed", "5", "-o", str(out)).code == 0
        files = sorted(out.iterdir())
        assert len(files) == int(count)
        hashes.append(
            [(path.name, hashlib.sha256(path.read_bytes()).digest()) for path in files[:3]]
        )
    assert hashes[0] == hashes[1]


def test_the_default_model_makes_what_is_asked_for() -> None:
    """Told by another network than the one that its figures come from."""
    make, name = load("sample", device="cpu"), load("classify", device="cpu")
    right = 0
    for label in make.classes:
        pictures = [Picture(pixels) for pixels in make(range(12), classes=[label])]
        right += sum(found[0].label == label for found in name(pictures, top=1))
    assert right >= 0.7 * 12 * len(make.classes)


def test_from_noise_to_names() -> None:
    run = pipeline(
        "genkit sample --class ship --seed 4 -n 1 --upscale 4 -o - | genkit classify --top 1 -"
    )
    assert run.code == 0
    assert "ship" in run.out
