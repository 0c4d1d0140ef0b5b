"""ViT equals those of timm, transformers and torchvision, and shows where its class token looks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from vision_models import fill, lively, pictures, published, vit_config, weights

from genkit_export.architectures import vit
from genkit_export.architectures.vision import DropPath, PatchEmbed
from genkit_export.architectures.vit import ViT, ViTConfig
from genkit_export.checkpoints.names import renamed
from genkit_export.checkpoints.vit import (
    from_torchvision,
    from_transformers,
    transformers_config,
)

if TYPE_CHECKING:
    from transformers import ViTForImageClassification

RECORDS = json.loads((Path(__file__).parents[1] / "fixtures" / "vision.json").read_bytes())["vit"]


def name_of(record: dict[str, Any]) -> str:
    pooling, (height, width) = record["config"]["pooling"], record["size"]
    return f"{record['source']}-{pooling}-{height}x{width}"


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
@torch.inference_mode()
def test_logits_equal_what_was_recorded(record: dict[str, Any]) -> None:
    theirs = weights(record["shapes"])
    model = ViT(ViTConfig(**record["config"])).eval()
    model.load_state_dict(theirs if record["source"] == "timm_vit" else from_torchvision(theirs))
    found = model(pictures(2, *record["size"]))
    torch.testing.assert_close(found, torch.tensor(record["logits"]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[ViT, ViTForImageClassification]:
    """Ours with the weights of transformers'."""
    from transformers import ViTConfig, ViTForImageClassification

    config = vit_config(norm_eps=1e-12, position_antialias=False)
    theirs = ViTForImageClassification(
        ViTConfig(**transformers_config(config), attn_implementation="eager")
    )
    fill(theirs)
    ours = ViT(config)
    ours.load_state_dict(from_transformers(published(theirs, tmp_path_factory.mktemp("vit"))))
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (3, 32, 32), (2, 56, 40)])
@torch.inference_mode()
def test_logits_equal_transformers(
    twins: tuple[ViT, ViTForImageClassification], batch: int, height: int, width: int
) -> None:
    ours, theirs = twins
    x = pictures(batch, height, width)
    expected = theirs(x, interpolate_pos_encoding=True).logits
    assert expected.std() > 0.2
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("config", "millions"), [(vit.tiny(), 5.717), (vit.small(), 22.051), (vit.base(), 86.568)]
)
def test_sizes_are_the_published_ones(config: ViTConfig, millions: float) -> None:
    """The parameters that timm's vit_{tiny,small,base}_patch16_224 have."""
    with torch.device("meta"):
        count = sum(p.numel() for p in ViT(config).parameters())
    assert round(count / 1e6, 3) == millions


class TestRollout:
    @torch.inference_mode()
    def test_it_is_the_product_of_the_paper(self) -> None:
        model = lively(vit_config(layers=3))
        assert isinstance(model, ViT)
        x = pictures(2, 32, 24)
        tokens, product = model.embed(x), torch.eye(13)
        for block in model.blocks:
            tokens, heads = block(tokens)
            torch.testing.assert_close(heads.sum(-1), torch.ones(heads.shape[:3]))
            product = (0.5 * heads.mean(1) + 0.5 * torch.eye(13)) @ product
        expected = product[:, 0, 1:] / product[:, 0, 1:].sum(1, keepdim=True)
        torch.testing.assert_close(model.rollout(x), expected.view(2, 4, 3))

    @torch.inference_mode()
    def test_it_finds_what_decides(self) -> None:
        """A class token whose keys ask for bright patches."""
        model = ViT(vit_config(layers=1, num_heads=1))
        for parameter in model.parameters():
            parameter.zero_()
        model.blocks[0].norm1.weight.fill_(1)
        model.patch_embed.proj.weight[0] = 1  # the first feature of a patch is its brightness
        model.cls_token[..., 1] = 1
        query, key, _ = model.blocks[0].attn.qkv.weight.chunk(3)
        query[0, 1] = key[0, 0] = 10
        x = torch.zeros(1, 3, 32, 32)
        x[:, :, 8:16, 24:32] = 1
        rollout = model.rollout(x)[0]
        assert rollout[1, 3] == rollout.max() > 0.9
        assert rollout.sum() == pytest.approx(1)


class TestStems:
    @pytest.mark.parametrize(
        "stem",
        [
            {"stem": "conv", "stem_channels": (4, 8, 16)},
            {"stem": "conv", "stem_channels": (4, 6, 8, 16)},
            {"stem": "shifted"},
            {"stem": "normed"},
        ],
    )
    @torch.inference_mode()
    def test_every_stem_makes_the_same_patches(self, stem: dict[str, Any]) -> None:
        model = lively(vit_config(**stem))
        assert isinstance(model, ViT)
        assert model.embed(pictures(2, 32, 40)).shape == (2, 1 + 4 * 5, 48)
        assert model(pictures(2, 32, 40)).std(0).max() > 0.01

    @torch.inference_mode()
    def test_shifted_patches_are_those_of_the_paper(self) -> None:
        """As the authors write it (aanna0701/SPT_LSA_ViT): five pictures side by side."""
        embed = PatchEmbed("shifted", 4, 8)
        fill(embed)
        x = pictures(2, 8, 12)
        padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
        moved = [padded[:, :, i : i + 8, j : j + 12] for i in (0, 4) for j in (0, 4)]
        patches = torch.nn.functional.unfold(torch.cat([x, *moved], 1), 4, stride=4)
        normed = embed.shift_norm(patches.transpose(1, 2))
        expected = normed @ embed.proj.weight[:, :, 0, 0].T + embed.proj.bias
        torch.testing.assert_close(embed(x).flatten(2).transpose(1, 2), expected)

    @torch.inference_mode()
    def test_pixels_of_a_patch_are_normed_before_and_after(self) -> None:
        embed = PatchEmbed("normed", 4, 8)
        fill(embed)
        x = pictures(2, 8, 12)
        patches = torch.nn.functional.unfold(x, 4, stride=4).transpose(1, 2)
        mapped = embed.pixel_norm(patches) @ embed.proj.weight[:, :, 0, 0].T + embed.proj.bias
        assert embed.norm is not None
        torch.testing.assert_close(embed(x).flatten(2).transpose(1, 2), embed.norm(mapped))

    def test_what_does_not_fit_is_refused(self) -> None:
        for wrong, message in [
            ({"stem": "pyramid"}, "unknown stem"),
            ({"stem_channels": (8,)}, "a patch stem has no channels"),
            ({"stem": "conv", "stem_channels": (8, 16)}, "need 3 convolutions, not 2"),
            ({"stem": "conv", "patch_size": 12, "image_size": 48}, "a power of two"),
            ({"num_heads": 5}, "d_model 48 must be a multiple of num_heads"),
            ({"d_attention": 50}, "d_attention 50 must be a multiple of num_heads"),
            ({"image_size": 36}, "multiple of patch_size"),
            ({"pooling": "max"}, "unknown pooling"),
        ]:
            with pytest.raises(ValueError, match=message):
                vit_config(**wrong)


def test_a_config_comes_back_from_json() -> None:
    config = vit_config(stem="conv", stem_channels=(4, 8, 16))
    assert ViTConfig(**json.loads(json.dumps(asdict(config)))) == config


@torch.inference_mode()
def test_a_picture_is_judged_alone() -> None:
    model = lively(vit_config())
    x = pictures(5, 32, 32)
    alone = torch.cat([model(picture[None]) for picture in x])
    torch.testing.assert_close(model(x), alone, atol=1e-6, rtol=0)


def test_paths_are_dropped_by_picture_and_only_in_training() -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 2, 3)
    kept = drop(x)
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (kept == kept[:, :1, :1]).all()
    assert kept.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)
    rates = [block.drop_path.p for block in ViT(vit_config(layers=3, drop_path=0.2)).blocks]
    assert rates == [0, 0.1, 0.2]


class TestNames:
    def test_numbers_and_parts(self) -> None:
        names = {"a.#.b.#": "x.#.y.#", "down.#": "up.#+1", "q": "qk/0", "k": "qk/1", "buffer": None}
        theirs = {
            "k.weight": torch.tensor([2.0]),
            "q.weight": torch.tensor([1.0]),
            "a.3.b.12.bias": torch.tensor([3.0]),
            "down.9.weight": torch.tensor([4.0]),
            "buffer": torch.tensor([5.0]),
        }
        ours: dict[str, Tensor] = renamed(theirs, names)
        assert {name: tensor.tolist() for name, tensor in ours.items()} == {
            "qk.weight": [1, 2],
            "x.3.y.12.bias": [3],
            "up.10.weight": [4],
        }

    def test_a_name_that_nobody_knows_stays(self) -> None:
        assert list(renamed({"other.weight": torch.zeros(1)}, {"a": "b"})) == ["other.weight"]

    def test_parts_that_cannot_be_joined(self) -> None:
        theirs = {"q.weight": torch.zeros(2, 3), "k.weight": torch.zeros(2, 4)}
        with pytest.raises(ValueError, match=r"qk.weight would be of \[2, 3\] and \[2, 4\]"):
            renamed(theirs, {"q": "qk/0", "k": "qk/1"})

    def test_torchvisions_old_names(self) -> None:
        state = ViT(vit_config()).state_dict()
        layer = "encoder.layers.encoder_layer_1.mlp"
        old = {f"{layer}.linear_2.weight": state["blocks.1.mlp.fc2.weight"]}
        assert list(from_torchvision(old)) == ["blocks.1.mlp.fc2.weight"]

    def test_what_transformers_does_not_have(self) -> None:
        with pytest.raises(ValueError, match="a class token"):
            transformers_config(replace(vit_config(), pooling="mean"))
