"""The shipped models that make pictures: whole folders, true to PyTorch, good on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from references import load_network
from shell import genkit, pipeline

from genkit import load
from genkit.images import Picture
from genkit.model import open_model, verify
from genkit_export.cyclegan import PictureGenerator
from genkit_export.inpaint import Inpainter
from genkit_export.parity import Graph
from inpaint_quality import ANCHORS, holes_of, measure

WEIGHTS = Path(__file__).parents[1] / "weights"
SEASONS = [WEIGHTS / "cyclegan" / name for name in ("summer2winter", "winter2summer")]
LANDSCAPES = WEIGHTS / "inpaint" / "landscapes"
MODELS = [*SEASONS, LANDSCAPES]
WRAPPERS = {"generate": PictureGenerator, "inpaint": Inpainter}
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg")


def photograph(name: str) -> np.ndarray[Any, Any]:
    """A photograph that scikit-image carries, uint8 (H, W, 3)."""
    with Image.open(Path(skimage.data_dir) / name) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
class TestEveryModel:
    def test_the_folder_is_whole(self, folder: Path) -> None:
        model = open_model(folder)
        assert verify(model) == []
        assert model.card.origin["figures"]
        with Image.open(folder / "sample.jpg") as sample:
            assert sample.width > 200

    def test_the_graph_is_the_checkpoint(self, folder: Path) -> None:
        network = load_network(folder)
        (role,) = open_model(folder).card.graphs
        graph = Graph(folder / f"{role}.fp32.onnx")
        picture = torch.from_numpy(photograph("coffee.png")[None, :96, :160].copy())
        mask = torch.zeros(1, 96, 160, 1, dtype=torch.uint8)
        mask[:, 30:60, 50:100] = 255
        inputs = {"image": picture} if role == "generate" else {"image": picture, "mask": mask}
        with torch.no_grad():
            exact, _ = WRAPPERS[role](network).eval()(*inputs.values())
        (result,) = graph.run(["result"], **{name: value.numpy() for name, value in inputs.items()})
        assert np.abs(result - exact.clamp(0, 255).numpy()).max() < 0.53


class TestSeasons:
    @pytest.mark.parametrize("folder", SEASONS, ids=lambda folder: folder.name)
    def test_a_photograph_keeps_its_size_and_its_shapes(self, folder: Path) -> None:
        translate = load("cyclegan", str(folder), device="cpu", threads=1)
        before = photograph("rocket.jpg")
        after = translate(Picture(before)).pixels
        assert after.shape == before.shape
        assert np.abs(after.astype(int) - before).mean() > 4
        grey = [pixels.mean(2).ravel() for pixels in (before, after)]
        assert np.corrcoef(*grey)[0, 1] > 0.8

    def test_sides_that_are_multiples_of_four_are_run_as_they_are(self) -> None:
        folder = SEASONS[0]
        pixels = photograph("coffee.png")[100:168, 200:300]
        after = load("cyclegan", str(folder), device="cpu", precision="fp32")(Picture(pixels))
        (expected,) = Graph(folder / "generate.fp32.onnx").run(["result"], image=pixels[None])
        assert np.abs(after.pixels - expected[0].clip(0, 255)).max() < 0.53

    def test_a_pipeline_of_both_directions(self, tmp_path: Path) -> None:
        Image.fromarray(photograph("chelsea.png")[:120, :200]).save(tmp_path / "a.png")
        run = pipeline(
            "cat a.png | genkit cyclegan - | genkit cyclegan --model winter2summer - > b.png",
            cwd=tmp_path,
        )
        assert (run.code, run.err) == (0, "")
        with Image.open(tmp_path / "b.png") as picture:
            assert picture.size == (200, 120)


class TestHoles:
    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    @pytest.mark.parametrize("kind", ["strokes", "boxes", "scratches"])
    def test_the_photograph_around_a_hole_stays(self, name: str, kind: str) -> None:
        fill = load("inpaint", str(LANDSCAPES), threads=1)
        picture = photograph(name)[:200, :240]
        (hole,) = holes_of([picture], kind)
        filled = fill(Picture(picture * ~hole[..., None]), hole).pixels
        np.testing.assert_array_equal(filled[~hole], picture[~hole])
        assert np.abs(filled[hole].astype(int) - picture[hole]).mean() < 60

    def test_it_fills_better_than_opencv(self) -> None:
        """Photographs of another kind than those that it was trained on."""
        fill = load("inpaint", str(LANDSCAPES), device="cpu", threads=1)
        pictures = [photograph(name)[:256, :256] for name in PHOTOGRAPHS]
        ours = measure(lambda picture, hole: fill(Picture(picture), hole).pixels, pictures)
        theirs = [measure(anchor, pictures) for anchor in ANCHORS.values()]
        for kind, quality in ours.items():
            assert quality.psnr > max(other[kind].psnr for other in theirs)

    def test_the_command(self, tmp_path: Path) -> None:
        path, out = tmp_path / "cat.png", tmp_path / "out.png"
        Image.fromarray(photograph("chelsea.png")).save(path)
        run = genkit("inpaint", str(path), "--box", "200,100,64,48", "-o", str(out))
        assert (run.code, run.err) == (0, "")
        with Image.open(out) as picture:
            assert np.abs(np.asarray(picture).astype(int)[100:148, 200:264]).std() > 5
