"""The shipped ViT and Swin: whole folders, true to PyTorch, right about pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from references import load_network
from shell import genkit, pipeline

from genkit.model import open_model, verify
from genkit.pixels import fit
from genkit_export.classify import PictureClassifier
from genkit_export.parity import Graph

WEIGHTS = Path(__file__).parents[1] / "weights"
PICTURES = Path(__file__).parent / "data" / "pictures"
FLOORS = {"vit": 90, "swin": 88}
"""Per cent of the held-out pictures."""


@pytest.mark.parametrize("name", FLOORS)
class TestEveryModel:
    def test_the_folder_is_whole(self, name: str) -> None:
        model = open_model(WEIGHTS / "classify" / name)
        assert verify(model) == []
        figures = {one["measure"]: one["value"] for one in model.card.origin["figures"]}
        assert figures["accuracy, top 1, %"] >= FLOORS[name]

    def test_the_graph_is_the_checkpoint(self, name: str) -> None:
        folder = WEIGHTS / "classify" / name
        network = load_network(folder)
        image = open_model(folder).card.image
        assert image is not None
        with Image.open(PICTURES / "cat.jpg") as picture:
            whole = np.asarray(picture.convert("RGB"))
        parts = [fit(part, image.resize) for part in (whole, whole[:, :150], whole[:90, 60:])]
        pixels = np.stack(parts)
        (found,) = Graph(folder / "classify.fp32.onnx").run(["probabilities"], image=pixels)
        classifier = PictureClassifier(network, lambda x: network(x).softmax(1)).eval()
        with torch.no_grad():
            exact = classifier(torch.from_numpy(pixels)).numpy()
        np.testing.assert_allclose(found, exact, atol=1e-5)

    def test_what_is_in_the_pictures(self, name: str) -> None:
        paths = sorted(map(str, PICTURES.glob("*.jpg")))
        run = genkit("classify", "--model", name, "--top", "1", *paths)
        assert (run.code, run.err) == (0, "")
        for line, path in zip(run.out.splitlines(), paths, strict=True):
            probability, label, file = line.split("\t")
            assert (label, file) == (Path(path).stem, path)
            assert float(probability) > 0.5


def test_a_broken_file_among_good_ones(tmp_path: Path) -> None:
    good = (PICTURES / "cat.jpg").read_bytes()
    for name, data in (("a.jpg", good), ("b.jpg", good[:500]), ("c.jpg", good)):
        (tmp_path / name).write_bytes(data)
    run = pipeline(
        "find . -name '*.jpg' | sort | genkit classify --files-from - --json", cwd=tmp_path
    )
    assert run.code == 1
    first, broken, last = map(json.loads, run.out.splitlines())
    assert first["labels"][0]["label"] == last["labels"][0]["label"] == "cat"
    assert (broken["input"], broken["labels"]) == ("b.jpg", None)
    assert broken["error"]
    assert "b.jpg" in run.err


def test_where_the_class_token_looks(tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    run = genkit("classify", str(PICTURES / "cat.jpg"), "--attention", str(out), "--top", "1")
    assert run.code == 0
    with Image.open(out) as seen, Image.open(PICTURES / "cat.jpg") as picture:
        assert seen.size == picture.size
        assert np.asarray(seen.convert("L")).std() > 5
