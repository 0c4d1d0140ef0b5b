"""Swin Transformers of timm, transformers, torchvision and Microsoft: the probabilities are theirs,
and so is what they do to a picture before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from vision_models import (
    LABELS,
    fill,
    lively,
    photo,
    pictures,
    read_published,
    swin_config,
    weights,
)

import genkit
from genkit.errors import InputError
from genkit.images import decode
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.swin import Swin
from genkit_export.checkpoints.swin import transformers_config

from .inspecting import assert_refused, settings_of

RECORDS = json.loads((Path(__file__).parents[1] / "fixtures" / "vision.json").read_bytes())["swin"]
IMAGENET = (0.485, 0.456, 0.406)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def timm_weights(**config: Any) -> dict[str, Tensor]:
    with torch.device("meta"):
        state = Swin(swin_config(**config)).state_dict()
    return weights({name: tensor.shape for name, tensor in state.items()})


def microsoft(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names: downsampling belongs to the stage before, and masks are in the file."""
    theirs = {
        name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc", "head"): t
        for name, t in state.items()
    }
    theirs["layers.0.blocks.1.attn_mask"] = torch.zeros(16, 16, 16)  # 16 windows of 4 x 4
    theirs["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16)
    return theirs


def name_of(record: dict[str, Any]) -> str:
    height, width = record["size"]
    return f"{record['source']}-{height}x{width}"


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
@torch.inference_mode()
def test_logits_are_those_of_timm_and_torchvision(record: dict[str, Any], tmp_path: Path) -> None:
    layout, network = read_published(saved(tmp_path / "a.pth", weights(record["shapes"])))
    assert layout == record["source"].replace("_", "-")
    found = network(pictures(2, *record["size"]))
    torch.testing.assert_close(found, torch.tensor(record["logits"]), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_logits_are_those_of_the_authors(tmp_path: Path) -> None:
    model = lively(swin_config())
    path = saved(
        tmp_path / "swin.pth", {"model": microsoft(model.state_dict()), "max_accuracy": 81}
    )
    layout, network = read_published(path)
    assert layout == "microsoft-swin"
    assert (network.config.image_size, network.config.norm_eps) == (32, 1e-5)
    x = pictures(2, 32, 32)
    assert torch.equal(network(x), model(x))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with what belongs to it, as `save_pretrained` writes them."""
    from transformers import SwinConfig, SwinForImageClassification, ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("swin")
    config = SwinConfig(**transformers_config(swin_config()), id2label=dict(enumerate(LABELS)))
    model = SwinForImageClassification(config)
    fill(model)
    model.save_pretrained(folder)
    processor = ViTImageProcessorPil(
        size={"height": 32, "width": 32}, resample=3, image_mean=list(IMAGENET)
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ours(theirs: Path) -> Path:
    return export_checkpoint(theirs, theirs / "exported", name="tiny-swin")


class TestTransformers:
    @pytest.mark.parametrize("size", [(32, 32), (70, 50), (21, 90)])
    @torch.inference_mode()
    def test_a_photo_has_the_same_probabilities(
        self, size: tuple[int, int], theirs: Path, ours: Path, tmp_path: Path
    ) -> None:
        from transformers import SwinForImageClassification, ViTImageProcessorPil

        path = photo(tmp_path / "photo.jpg", *size)
        model = SwinForImageClassification.from_pretrained(theirs).eval()
        processor = ViTImageProcessorPil.from_pretrained(theirs)
        x = processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
        expected = model(x).logits.softmax(1)[0].sort(descending=True)

        classify = genkit.load("classify", str(ours), device="cpu", threads=1)
        ((*guesses,),) = classify([decode(path.read_bytes())])
        assert [g.label for g in guesses] == [LABELS[i] for i in expected.indices.tolist()]
        found = torch.tensor([guess.probability for guess in guesses])
        torch.testing.assert_close(found, expected.values, atol=1e-4, rtol=0)
        assert found.std() > 0.01

    def test_what_is_read_and_what_is_assumed(self, theirs: Path) -> None:
        record = inspect_checkpoint(theirs)
        assert (record["layout"], record["task"]) == ("hf-swin", "classify")
        found = settings_of(theirs)
        assert found["depths"] == ((2, 2), "read")
        assert found["num_heads"] == ((2, 4), "read")
        assert found["window_size"] == (4, "read")
        assert found["mlp_ratio"] == (4.0, "read")
        assert found["layer_norm_eps"] == (1e-5, "read")
        assert found["interpolation"] == ("bicubic", "read")
        assert found["mean"] == (IMAGENET, "read")
        assert found["labels"] == ("config.json", "read")

    def test_without_its_folder_the_usual_is_assumed(self, theirs: Path, tmp_path: Path) -> None:
        path = tmp_path / "swin.safetensors"
        path.write_bytes((theirs / "model.safetensors").read_bytes())
        found = settings_of(path)
        assert found["resize"] == ("stretch", "assumed")
        assert found["interpolation"] == ("bicubic", "assumed")
        assert found["mean"] == (IMAGENET, "assumed")
        assert found["size"] == ((16, 16), "assumed")  # which the last window sees all of


class TestPictures:
    """Swin-T as it is published, with every layer after the first of a stage left out."""

    SWIN_T = {"patch_size": 4, "embed_dim": 96, "num_heads": (3, 6, 12, 24), "window_size": 7}

    def test_of_timm(self, tmp_path: Path) -> None:
        for window, size, share in ((7, 224, 0.9), (12, 384, 1.0)):
            config = self.SWIN_T | {
                "depths": (1, 1, 1, 1),
                "window_size": window,
                "mlp_ratio": 0.125,
            }
            found = settings_of(saved(tmp_path / "a.pth", timm_weights(**config)))
            assert found["size"] == ((size, size), "assumed")
            assert found["crop_pct"] == (share, "assumed")
            assert found["interpolation"] == ("bicubic", "assumed")
            assert found["mean"] == (IMAGENET, "assumed")

    def test_of_the_authors(self, tmp_path: Path) -> None:
        """At 224 pixels a part is cut out, at 384 all is squeezed; the masks tell the size."""
        state = microsoft(timm_weights(patch_size=4, window_size=7))
        for windows, size, resize, share in (
            (64, 224, "shortest_edge", 0.875),
            (196, 392, "stretch", 1.0),
        ):
            state["layers.0.blocks.1.attn_mask"] = torch.zeros(windows, 49, 49)
            found = settings_of(saved(tmp_path / "a.pth", {"model": state}))
            assert found["size"] == ((size, size), "read")
            assert found["resize"] == (resize, "assumed")
            assert found["crop_pct"] == (share, "assumed")

    @pytest.mark.parametrize(
        ("width", "depth", "edge"), [(96, 6, 232), (96, 18, 246), (128, 18, 238)]
    )
    def test_of_torchvision(self, width: int, depth: int, edge: int, tmp_path: Path) -> None:
        inner = {"norm1": "norm1", "attn": "attn", "norm2": "norm2"}
        inner |= {"mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"}
        state = {}
        heads = (1, 1, 1, 1)
        config = self.SWIN_T | {"embed_dim": width, "num_heads": heads, "mlp_ratio": 0.0625}
        for name, tensor in timm_weights(depths=(1, 1, depth, 1), **config).items():
            match name.split("."):
                case ["layers", stage, "blocks", block, *rest]:
                    path = ".".join(rest)
                    for ours, theirs in inner.items():
                        if path.startswith(ours):
                            path = path.replace(ours, theirs, 1)
                            break
                    name = f"features.{2 * int(stage) + 1}.{block}.{path}"
                case ["layers", stage, "downsample", *rest]:
                    name = ".".join(["features", str(2 * int(stage)), *rest])
                case ["patch_embed", part, kind]:
                    name = f"features.0.{'0' if part == 'proj' else '2'}.{kind}"
            state[name.replace("head.fc", "head")] = tensor.half()
        found = settings_of(saved(tmp_path / "a.pth", state))
        assert found["size"] == ((224, 224), "assumed")
        assert int(224 / found["crop_pct"][0]) == edge


VARIANTS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "Swin V2": ({"layers.0.blocks.0.attn.logit_scale": (2, 1, 1)}, "the attention of Swin V2"),
    "Swin-MLP": ({"layers.0.blocks.0.spatial_mlp.weight": (98, 49, 1)}, "layers of Swin-MLP"),
    "absolute": ({"absolute_pos_embed": (1, 256, 16)}, "absolute positions"),
    "S3": (
        {"layers.1.blocks.0.attn.relative_position_bias_table": (169, 4)},
        "windows of several sizes",
    ),
    "odd": (
        {
            f"layers.{stage}.blocks.{block}.attn.relative_position_bias_table": (48, 2 + 2 * stage)
            for stage in (0, 1)
            for block in (0, 1)
        },
        "48 biases are not those of a window",
    ),
    "channels": (
        {"patch_embed.proj.weight": (16, 5, 2, 2)},
        "channels 5: genkit has pictures of 1",
    ),
    "unknown": ({"other": (1,)}, "left over or of another shape: other"),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", ["timm", "microsoft"])
def test_other_swin_transformers_are_refused_by_name(
    layout: str, variant: str, tmp_path: Path
) -> None:
    shapes, message = VARIANTS[variant]
    state = timm_weights()
    state = (microsoft(state) if layout == "microsoft" else state) | weights(shapes)
    assert_refused(saved(tmp_path / "a.pth", state), message)


def test_swin_v2_of_timm_has_no_tables(tmp_path: Path) -> None:
    state = {name: t for name, t in timm_weights().items() if "table" not in name}
    state |= {"layers.0.blocks.0.attn.cpb_mlp.0.weight": torch.zeros(512, 2)}
    state |= {"layers.0.blocks.0.attn.logit_scale": torch.zeros(2, 1, 1)}
    with pytest.raises(InputError, match="the attention of Swin V2"):
        inspect_checkpoint(saved(tmp_path / "a.pth", state))
