"""Vision Transformers of timm, transformers and torchvision: the probabilities are theirs, and so is
what they do to a picture before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from vision_models import LABELS, fill, photo, pictures, read_published, vit_config, weights

import genkit
from genkit.errors import InputError, UsageError
from genkit.images import decode
from genkit.model import open_model
from genkit.pixels import fit
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.vit import ViT
from genkit_export.checkpoints.pictures import crop_share
from genkit_export.checkpoints.vit import transformers_config

from .inspecting import assert_refused, settings_of

RECORDS = json.loads((Path(__file__).parents[1] / "fixtures" / "vision.json").read_bytes())["vit"]
HEADS = {"num_heads": "3"}


def timm_weights(**config: Any) -> dict[str, Tensor]:
    with torch.device("meta"):
        state = ViT(vit_config(**config)).state_dict()
    return weights({name: tensor.shape for name, tensor in state.items()})


def saved(path: Path, content: Any, **config: Any) -> Path:
    """A folder with a network and, if there is one, its configuration."""
    if config:
        (path / "config.json").write_text(json.dumps(config))
    torch.save(content, path / "pytorch_model.bin")
    return path


def name_of(record: dict[str, Any]) -> str:
    height, width = record["size"]
    return f"{record['source']}-{record['config']['pooling']}-{height}x{width}"


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
@torch.inference_mode()
def test_logits_are_those_of_timm_and_torchvision(record: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": weights(record["shapes"])}, tmp_path / "a.pth")
    layout, network = read_published(tmp_path / "a.pth", **HEADS)
    assert layout == record["source"].replace("_", "-")
    found = network(pictures(2, *record["size"]))
    torch.testing.assert_close(found, torch.tensor(record["logits"]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with what belongs to it, as `save_pretrained` writes them."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        **transformers_config(vit_config(norm_eps=1e-12)), id2label=dict(enumerate(LABELS))
    )
    model = ViTForImageClassification(config)
    fill(model)
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    ViTImageProcessorPil(size=size, image_mean=[0.4, 0.5, 0.6]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ours(theirs: Path) -> Path:
    return export_checkpoint(theirs, theirs / "exported", name="tiny-vit")


class TestTransformers:
    @pytest.mark.parametrize("size", [(32, 32), (70, 50), (21, 90)])
    @torch.inference_mode()
    def test_a_photo_has_the_same_probabilities(
        self, size: tuple[int, int], theirs: Path, ours: Path, tmp_path: Path
    ) -> None:
        from transformers import ViTForImageClassification, ViTImageProcessorPil

        path = photo(tmp_path / "photo.jpg", *size)
        model = ViTForImageClassification.from_pretrained(theirs).eval()
        processor = ViTImageProcessorPil.from_pretrained(theirs)
        x = processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
        expected = model(x).logits.softmax(1)[0].sort(descending=True)

        classify = genkit.load("classify", str(ours), device="cpu", threads=1)
        ((*guesses,),) = classify([decode(path.read_bytes())])
        assert [g.label for g in guesses] == [LABELS[i] for i in expected.indices.tolist()]
        found = torch.tensor([guess.probability for guess in guesses])
        torch.testing.assert_close(found, expected.values, atol=1e-4, rtol=0)
        assert found.std() > 0.01

    def test_where_it_looks_is_exported_too(self, ours: Path) -> None:
        assert set(open_model(ours).card.graphs) == {"classify", "attention"}

    def test_what_is_read_and_what_is_assumed(self, theirs: Path) -> None:
        record = inspect_checkpoint(theirs)
        assert (record["layout"], record["task"]) == ("hf-vit", "classify")
        found = settings_of(theirs)
        assert found["num_attention_heads"] == (3, "read")
        assert found["layer_norm_eps"] == (1e-12, "read")
        assert found["size"] == ((32, 32), "read")
        assert found["resize"] == ("stretch", "read")
        assert found["interpolation"] == ("bilinear", "read")
        assert found["mean"] == ((0.4, 0.5, 0.6), "read")
        assert found["labels"] == ("config.json", "read")
        assert found["license"] == ("unknown", "assumed")

    def test_without_its_folder_the_usual_is_assumed(self, theirs: Path, tmp_path: Path) -> None:
        path = tmp_path / "vit.safetensors"
        path.write_bytes((theirs / "model.safetensors").read_bytes())
        found = settings_of(path, num_attention_heads="3")
        assert found["num_attention_heads"] == (3, "given")
        assert found["layer_norm_eps"] == (1e-12, "assumed")
        assert found["size"] == ((32, 32), "assumed")
        assert found["mean"] == ((0.5, 0.5, 0.5), "assumed")
        assert found["labels"] == ("numbered", "assumed")

    def test_a_pooler_is_left_out(self, theirs: Path, tmp_path: Path) -> None:
        from safetensors.torch import load_file

        pooler = {"vit.pooler.dense.weight": torch.zeros(48, 48)}
        saved(tmp_path, load_file(theirs / "model.safetensors") | pooler)
        assert inspect_checkpoint(tmp_path, settings={"num_attention_heads": "3"})["parameters"]

    def test_another_activation_is_refused(self, theirs: Path, tmp_path: Path) -> None:
        for name in ("model.safetensors", "config.json"):
            (tmp_path / name).write_bytes((theirs / name).read_bytes())
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
        with pytest.raises(InputError, match="the activation 'relu'"):
            inspect_checkpoint(tmp_path)


VIT = {"image_processor_type": "ViTImageProcessor"}
PREPROCESSORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a bare number": (
        {"size": 224, "feature_extractor_type": "ViTFeatureExtractor", "do_normalize": True},
        {"size": (224, 224), "resize": "stretch", "interpolation": "bilinear", "crop_pct": 1.0},
    ),
    "height and width": (
        {"size": {"height": 32, "width": 48}, "resample": 3, **VIT},
        {"size": (32, 48), "resize": "stretch", "interpolation": "bicubic"},
    ),
    "the shorter side": (
        {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": 32},
        {"size": (32, 32), "resize": "shortest_edge", "crop_pct": 0.8},
    ),
    "the shorter side, uncut": (
        {"size": {"shortest_edge": 40}, "crop_size": 32},
        {"size": (40, 40), "resize": "shortest_edge", "crop_pct": 1.0},
    ),
    "a cut square": (
        {"size": 256, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True},
        {"size": (224, 224), "resize": "stretch", "crop_pct": 0.875},
    ),
    "DeiT's": (
        {"feature_extractor_type": "DeiTFeatureExtractor", "image_mean": [0.1, 0.2, 0.3]},
        {"size": (224, 224), "crop_pct": 0.875, "interpolation": "bicubic", "mean": (0.1, 0.2, 0.3)},
    ),
    "not normalised": (
        {"do_normalize": False, **VIT},
        {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    ),
    "nothing said": ({}, {"mean": (0.5, 0.5, 0.5), "size": (224, 224)}),
}  # fmt: skip


class TestPreprocessors:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        names = {
            "cls_token": "vit.embeddings.cls_token",
            "pos_embed": "vit.embeddings.position_embeddings",
            "patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
            "attn.proj": "attention.output.dense",
            "mlp.fc1": "intermediate.dense",
            "mlp.fc2": "output.dense",
            "norm1": "layernorm_before",
            "norm2": "layernorm_after",
        }
        theirs: dict[str, Tensor] = {}
        for name, tensor in timm_weights().items():
            for old, new in names.items():
                name = name.replace(old, new)
            if not name.startswith("vit."):
                name = "vit." + name.replace("blocks", "encoder.layer")
            name = name.replace("vit.norm.", "vit.layernorm.").replace("vit.head.", "classifier.")
            if ".attn.qkv." in name:
                for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                    theirs[name.replace("attn.qkv", f"attention.attention.{part}")] = third.clone()
            else:
                theirs[name] = tensor
        save_file(theirs, tmp_path / "model.safetensors")
        return tmp_path

    def write(self, folder: Path, content: object) -> None:
        (folder / "preprocessor_config.json").write_text(json.dumps(content))

    @pytest.mark.parametrize("name", PREPROCESSORS)
    def test_all_their_forms_are_read(self, name: str, folder: Path) -> None:
        told, expected = PREPROCESSORS[name]
        self.write(folder, told)
        found = settings_of(folder, num_attention_heads="3")
        assert {key: found[key][0] for key in expected} == expected
        assert found["size"][1] == ("read" if "size" in told else "assumed")

    @pytest.mark.parametrize(
        "told",
        [
            {"size": {"longest_edge": 3}},
            {"size": [3, 4]},
            {"size": 0},
            {"resample": 4},
            {"resample": [3]},
            {"do_resize": False},
            {"do_rescale": False},
            {"rescale_factor": 1},
            {"rescale_factor": "1"},
            {"image_mean": "grey"},
            {"image_mean": [0.5]},
            {"image_std": [0.5, 0.5, 0]},
            {"crop_pct": 0.9},
            {"size": 32, "do_center_crop": True, "crop_size": 40},
            {"size": 32, "do_center_crop": True, "crop_size": {"height": 8, "width": 20}},
        ],
        ids=str,
    )
    def test_what_cannot_be_done_is_refused(self, told: dict[str, Any], folder: Path) -> None:
        self.write(folder, told)
        assert_refused(folder, num_attention_heads="3")


@pytest.mark.parametrize(("part", "whole"), [(224, 256), (224, 257), (29, 41), (7, 7), (1, 99)])
def test_the_share_that_is_cut_out_gives_the_whole_again(part: int, whole: int) -> None:
    assert int(part / crop_share(part, whole)) == whole


def test_a_square_is_cut_as_deit_has_it(tmp_path: Path) -> None:
    """Stretched, then cut: to the pixel what transformers does."""
    from transformers import DeiTImageProcessorPil

    from genkit.card import Resize

    path = photo(tmp_path / "photo.jpg", 60, 90)
    size, crop = {"height": 40, "width": 40}, {"height": 32, "width": 32}
    processor = DeiTImageProcessorPil(
        size=size, crop_size=crop, do_rescale=False, do_normalize=False
    )
    expected = processor(Image.open(path), return_tensors="np")["pixel_values"][0]
    rule = Resize("stretch", (32, 32), "bicubic", True, crop_share(32, 40))
    found = fit(decode(path.read_bytes()).srgb(), rule)
    assert (found == expected.transpose(1, 2, 0)).all()


class TestTimm:
    def test_what_its_files_do_not_tell(self, tmp_path: Path) -> None:
        found = settings_of(saved(tmp_path, timm_weights(d_model=128, num_heads=2)))
        assert found["num_heads"] == (2, "assumed")
        assert found["norm_eps"] == (1e-6, "assumed")
        assert found["global_pool"] == ("token", "assumed")
        assert found["problem_type"] == ("single_label_classification", "assumed")
        assert found["image_size"] == (32, "read")
        assert found["crop_pct"] == (0.9, "assumed")
        assert found["interpolation"] == ("bicubic", "assumed")
        assert found["std"] == ((0.5, 0.5, 0.5), "assumed")

    def test_its_configuration(self, tmp_path: Path) -> None:
        told = {
            "input_size": [3, 40, 40], "crop_pct": 1, "crop_mode": "squash",
            "interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1],
        }  # fmt: skip
        labels = {"label_names": list("abcde"), "label_descriptions": {"b": "a bee"}}
        folder = saved(tmp_path, timm_weights(), pretrained_cfg=told, global_pool="token", **labels)
        found = settings_of(folder, **HEADS)
        assert found["size"] == ((40, 40), "read")
        assert found["resize"] == ("stretch", "read")
        assert found["crop_pct"] == (1.0, "read")
        assert found["std"] == ((1.0, 1.0, 1.0), "read")
        assert found["labels"] == ("config.json", "read")

    @pytest.mark.parametrize(
        "told",
        [{"crop_mode": "border"}, {"input_size": [1, 28, 28]}, {"interpolation": "random"}],
        ids=str,
    )
    def test_what_cannot_be_done_is_refused(self, told: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(InputError):
            inspect_checkpoint(saved(tmp_path, timm_weights(), **told), settings=HEADS)

    def test_the_mean_of_the_patches(self, tmp_path: Path) -> None:
        """With a class token, which timm leaves out; told by a file or by the user."""
        path = saved(tmp_path, timm_weights(), global_pool="avg")
        assert settings_of(path, **HEADS)["global_pool"] == ("avg", "read")
        _, network = read_published(path, **HEADS)
        x = pictures(2, 32, 32)
        with torch.no_grad():
            tokens = network.embed(x)
            for block in network.blocks:
                tokens, _ = block(tokens)
            expected = network.head(network.norm(tokens)[:, 1:].mean(1))
            torch.testing.assert_close(network(x), expected)
        (tmp_path / "config.json").unlink()
        _, told = read_published(path, **HEADS, global_pool="avg")
        assert torch.equal(told(x), network(x))

    def test_other_pooling_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="pools by 'map': genkit has token and avg"):
            inspect_checkpoint(saved(tmp_path, timm_weights(), global_pool="map"))

    def test_the_mean_and_std_of_deit_are_told_of(self, tmp_path: Path) -> None:
        path = saved(tmp_path, timm_weights())
        (note,) = inspect_checkpoint(path, settings=HEADS)["notes"]
        assert "--set mean=0.485,0.456,0.406 --set std=0.229,0.224,0.225" in note
        given = {**HEADS, "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}
        assert inspect_checkpoint(path, settings=given)["notes"] == []

    def test_without_biases_of_the_attention(self, tmp_path: Path) -> None:
        """qkv_bias=False is the same as biases of zero."""
        state = timm_weights()
        bare = {name: t for name, t in state.items() if not name.endswith("qkv.bias")}
        zero = {name: t * 0 if name.endswith("qkv.bias") else t for name, t in state.items()}
        (tmp_path / "zero").mkdir()
        _, found = read_published(saved(tmp_path, bare), **HEADS)
        _, expected = read_published(saved(tmp_path / "zero", zero), **HEADS)
        x = pictures(2, 32, 32)
        assert torch.equal(found(x), expected(x))

    @pytest.mark.parametrize("width", [1280, 1408])
    def test_the_largest_have_sixteen_heads(self, width: int, tmp_path: Path) -> None:
        small = {"layers": 1, "d_ff": 8, "num_heads": 1}
        assert (
            settings_of(saved(tmp_path, timm_weights(d_model=width, **small)))["num_heads"][0] == 16
        )


class TestTorchvision:
    def test_its_transforms(self, tmp_path: Path) -> None:
        """Of weights for 224 pixels, and of those for more, which are not cut."""
        record = next(one for one in RECORDS if one["source"] == "torchvision_vit")
        shapes = dict(record["shapes"])
        path = tmp_path / "a.pth"
        for grid, share, interpolation in ((28, 0.875, "bilinear"), (48, 1.0, "bicubic")):
            shapes["encoder.pos_embedding"] = (1, 1 + grid**2, 48)
            torch.save(weights(shapes), path)
            found = settings_of(path, **HEADS)
            assert found["size"] == ((8 * grid, 8 * grid), "assumed")
            assert found["crop_pct"] == (share, "assumed")
            assert found["interpolation"] == (interpolation, "assumed")
            assert found["mean"] == ((0.485, 0.456, 0.406), "assumed")


class TestSettings:
    def test_what_the_user_says_goes_first(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
        folder = saved(tmp_path, timm_weights())
        given = {
            "mean": "0.1, 0.2,0.3", "size": "48", "resize": "stretch",
            "labels": str(tmp_path / "labels.txt"), "num_heads": "4",
        }  # fmt: skip
        found = settings_of(folder, **given)
        assert found["mean"] == ((0.1, 0.2, 0.3), "given")
        assert found["num_heads"] == (4, "given")
        _, network = read_published(folder, **given)
        assert network.config.mean == (0.1, 0.2, 0.3)

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"mean": "red"}, UsageError),
            ({"mean": "1,2"}, InputError),
            ({"size": "8,8,8"}, InputError),
            ({"crop_pct": "2"}, InputError),
            ({"resize": "fit"}, InputError),
            ({"labels": "nowhere.txt"}, InputError),
            ({"labels": __file__}, InputError),
        ],
        ids=str,
    )
    def test_what_cannot_be_is_refused(
        self, given: dict[str, str], error: type[Exception], tmp_path: Path
    ) -> None:
        with pytest.raises(error):
            inspect_checkpoint(saved(tmp_path, timm_weights()), settings=HEADS | given)


def with_tensor(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.update({name: torch.zeros(48)})


def with_token(name: str) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        state[name] = torch.zeros(1, 1, 48)
        state["pos_embed"] = torch.zeros(1, 18, 48)

    return change


def five(state: dict[str, Tensor]) -> None:
    state["patch_embed.proj.weight"] = torch.zeros(48, 5, 8, 8)


VARIANTS: dict[str, tuple[Callable[[dict[str, Tensor]], None], str]] = {
    "distilled": (with_token("dist_token"), "a distillation token"),
    "registers": (with_token("reg_token"), "register tokens"),
    "scaled": (with_tensor("blocks.0.ls1.gamma"), "scaled layers"),
    "mean then norm": (with_tensor("fc_norm.weight"), "a norm after pooling"),
    "CLIP": (with_tensor("norm_pre.weight"), "a norm before its blocks"),
    "hybrid": (with_tensor("patch_embed.backbone.conv.weight"), "convolutions before"),
    "represented": (with_tensor("pre_logits.fc.weight"), "a layer before its classifier"),
    "channels": (five, "channels 5: genkit has pictures of 1 to 4"),
    "unknown": (with_tensor("blocks.0.other"), "left over or of another shape: blocks.0.other"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_vision_transformers_are_refused_by_name(variant: str, tmp_path: Path) -> None:
    change, message = VARIANTS[variant]
    state = timm_weights()
    change(state)
    assert_refused(saved(tmp_path, state), message, **HEADS)


def test_the_average_is_preferred(tmp_path: Path) -> None:
    state = timm_weights()
    average = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": state, "model_ema": average}, tmp_path / "a.pth")
    assert settings_of(tmp_path / "a.pth", **HEADS)["part"] == ("model_ema", "assumed")
    _, network = read_published(tmp_path / "a.pth", **HEADS)
    assert torch.equal(network.state_dict()["head.bias"], average["head.bias"])
