"""Vision Transformers of lucidrains/vit-pytorch, of all spellings: the logits are theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from vision_models import photo, pictures, read_published, weights

import genkit
from genkit.errors import InputError
from genkit.images import decode
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.checkpoints.lucidrains import sines

from .inspecting import assert_refused, settings_of

RECORDS = json.loads((Path(__file__).parents[1] / "fixtures" / "lucidrains.json").read_bytes())


def name_of(record: dict[str, Any]) -> str:
    arguments = record["arguments"]
    return (
        f"{record['version']}-{record['file']}-{arguments['heads']}x{arguments['dim_head']}"
        f"-{arguments.get('pool', 'cls')}"
    )


def one(name: str) -> dict[str, Any]:
    return next(record for record in RECORDS if name_of(record) == name)


OLD, NEW = one("0.35.8-vit-3x16-cls"), one("1.26.11-vit-3x16-cls")
SIMPLE = one("1.26.11-simple_vit-3x16-cls")
LAYOUTS = {
    "0.35.8": "lucidrains-vit-old",
    "1.2.0": "lucidrains-vit-old",
    "1.26.11": "lucidrains-vit",
}


def saved(path: Path, record: dict[str, Any], **others: Tensor) -> Path:
    """As kentaroy47's script does it."""
    state = {"net": weights(record["shapes"]) | others, "acc": 80.6, "epoch": 199}
    torch.save(state, path / "vit-4-ckpt.t7")
    return path / "vit-4-ckpt.t7"


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
@torch.inference_mode()
def test_logits_are_those_of_the_authors(record: dict[str, Any], tmp_path: Path) -> None:
    given = {"num_heads": str(record["arguments"]["heads"])}
    expected = LAYOUTS[record["version"]]
    if record["file"] == "simple_vit":
        given["image_size"], expected = "32", "lucidrains-simple-vit"
    layout, network = read_published(saved(tmp_path, record), **given)
    assert layout == expected
    found = network(pictures(2, 32, 32))
    torch.testing.assert_close(found, torch.tensor(record["logits"]), atol=1e-5, rtol=0)


def test_a_photo_has_the_probabilities_of_the_network(tmp_path: Path) -> None:
    """Through the graph, which the patches between norms have of their own."""
    folder = export_checkpoint(
        saved(tmp_path, NEW), tmp_path / "model", name="tiny", settings={"num_heads": "3"}
    )
    path = photo(tmp_path / "photo.png", 32, 32)
    picture = decode(path.read_bytes())
    _, network = read_published(saved(tmp_path, NEW), num_heads="3")
    x = torch.from_numpy(picture.srgb().copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = network(x).softmax(1)[0].sort(descending=True)
    ((*guesses,),) = genkit.load("classify", str(folder), device="cpu", threads=1)([picture])
    assert [guess.label for guess in guesses] == [f"class {i}" for i in expected.indices.tolist()]
    found = np.array([guess.probability for guess in guesses])
    np.testing.assert_allclose(found, expected.values.numpy(), atol=1e-5)


def test_what_is_read_and_what_is_assumed(tmp_path: Path) -> None:
    record = inspect_checkpoint(saved(tmp_path, OLD), settings={"num_heads": "3"})
    assert (record["layout"], record["task"]) == ("lucidrains-vit-old", "classify")
    found = settings_of(saved(tmp_path, OLD))
    assert found["image_size"] == (32, "read")
    assert found["patch_size"] == (8, "read")
    assert found["d_attention"] == (48, "read")
    assert found["num_heads"] == (1, "assumed")
    assert found["norm_eps"] == (1e-5, "assumed")
    assert found["pool"] == ("cls", "assumed")
    assert found["mean"] == ((0.0, 0.0, 0.0), "assumed")


def test_heads_are_64_wide(tmp_path: Path) -> None:
    wide = one("1.26.11-vit-2x64-cls")
    found = settings_of(saved(tmp_path, wide))
    assert (found["num_heads"], found["d_attention"]) == ((2, "assumed"), (128, "read"))


@pytest.mark.parametrize(("classes", "mean"), [(10, 0.4914), (100, 0.5071), (7, 0.0)])
def test_pictures_of_cifar_are_prepared_as_kentaroy47_does(
    classes: int, mean: float, tmp_path: Path
) -> None:
    shapes = OLD["shapes"] | {"mlp_head.1.weight": [classes, 48], "mlp_head.1.bias": [classes]}
    found = settings_of(saved(tmp_path, OLD | {"shapes": shapes}), num_heads="3")
    assert found["mean"][0][0] == mean
    assert found["size"] == ((32, 32), "assumed")


@torch.inference_mode()
def test_the_mean_of_all_tokens_the_class_token_included(tmp_path: Path) -> None:
    """`pool="mean"` of files from before it left the class token out."""
    path = saved(tmp_path, OLD)
    _, network = read_published(path, num_heads="3", pool="mean")
    tokens = network.embed(pictures(2, 32, 32))
    for block in network.blocks:
        tokens, _ = block(tokens)
    expected = network.head(network.norm(tokens).mean(1))
    torch.testing.assert_close(network(pictures(2, 32, 32)), expected)
    assert settings_of(path)["pool"] == ("cls", "assumed")


@pytest.mark.parametrize(
    ("numbers", "channels", "patch"),
    [(192, (3, "read"), 8), (64, (1, "assumed"), 8), (128, (2, "read"), 8), (12, (3, "read"), 2)],
)
def test_the_channels_of_patches(
    numbers: int, channels: tuple[int, str], patch: int, tmp_path: Path
) -> None:
    weight = {"to_patch_embedding.1.weight": torch.zeros(48, numbers)}
    found = settings_of(saved(tmp_path, OLD, **weight), num_heads="3")
    assert (found["channels"], found["patch_size"]) == (channels, (patch, "read"))
    if channels[1] == "assumed":
        found = settings_of(saved(tmp_path, OLD, **weight), num_heads="3", channels="4")
        assert found["patch_size"] == (patch // 2, "read")


class TestSimple:
    def test_positions_are_those_of_the_paper(self) -> None:
        """Columns before rows, sine before cosine."""
        found = sines(3, 16)
        omega = 10000 ** -(torch.arange(4) / 3)
        row, column = 2, 1
        expected = [column * omega, column * omega, row * omega, row * omega]
        parts = found[3 * row + column].chunk(4)
        for part, angle, function in zip(parts, expected, (torch.sin, torch.cos) * 2, strict=True):
            torch.testing.assert_close(part, function(angle))

    def test_its_size_is_assumed(self, tmp_path: Path) -> None:
        path = saved(tmp_path, SIMPLE)
        assert settings_of(path)["image_size"] == (256, "assumed")
        assert settings_of(path, image_size="64")["size"] == ((64, 64), "assumed")
        with pytest.raises(InputError, match="must be a multiple of its patches of 8"):
            inspect_checkpoint(path, settings={"image_size": "36"})


class TestRefused:
    def test_attention_for_small_data_sets(self, tmp_path: Path) -> None:
        temperature = {"transformer.layers.0.0.fn.temperature": torch.tensor(-2.0)}
        with pytest.raises(InputError, match="attention for small data sets"):
            inspect_checkpoint(saved(tmp_path, OLD, **temperature))

    def test_a_pool_that_there_is_not(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="pool must be cls or mean, not 'max'"):
            inspect_checkpoint(saved(tmp_path, OLD), settings={"pool": "max"})

    @pytest.mark.parametrize(
        ("name", "shape", "message"),
        [
            ("pos_embedding", (1, 15, 48), "positions for 14 patches"),
            ("to_patch_embedding.1.weight", (48, 101), "no squares of 3 channels"),
            ("to_patch_embedding.1.weight", (48,), "does not fit"),
            ("transformer.layers.1.0.fn.to_qkv.weight", (99, 48), "of another shape"),
        ],
    )
    def test_wrong_shapes(
        self, name: str, shape: tuple[int, ...], message: str, tmp_path: Path
    ) -> None:
        path = saved(tmp_path, OLD, **{name: torch.zeros(shape)})
        assert_refused(path, message, num_heads="3")
