"""Generators of eriklindernoren/PyTorch-GAN for pictures, by the keys and shapes of its code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genkit_export import export_checkpoint, inspect_checkpoint

from .inspecting import assert_refused, settings_in
from .test_layout_junyanz import (
    Weights,
    assert_pictures,
    assert_wrong_shapes_are_refused,
    filled,
)

WIDTH = 4


def resnet_shapes(blocks: int, width: int = WIDTH, channels: int = 3) -> dict[str, tuple[int, ...]]:
    """`G_AB_100.pth` and its like, narrower."""
    up = 10 + blocks
    convs = {
        "1": (width, channels, 7, 7),
        "4": (2 * width, width, 3, 3),
        "7": (4 * width, 2 * width, 3, 3),
        f"{up + 1}": (2 * width, 4 * width, 3, 3),
        f"{up + 5}": (width, 2 * width, 3, 3),
        f"{up + 9}": (channels, width, 7, 7),
    }
    for block in range(10, up):
        convs |= {f"{block}.block.{i}": (4 * width, 4 * width, 3, 3) for i in (1, 5)}
    shapes: dict[str, tuple[int, ...]] = {f"model.{i}.weight": s for i, s in convs.items()}
    return shapes | {f"model.{i}.bias": shape[:1] for i, shape in convs.items()}


def context_encoder_shapes() -> dict[str, tuple[int, ...]]:
    """A quarter as wide; all of its convolutions have biases."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(i: int, *shape: int, norm: int = 0) -> None:
        shapes[f"model.{i}.weight"] = shape
        shapes[f"model.{i}.bias"] = (norm or shape[0],)
        if norm:
            for kind in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"model.{i + 1}.{kind}"] = (norm,)

    conv(0, 16, 3, 4, 4)
    for i, before, after in ((2, 16, 16), (5, 16, 32), (8, 32, 64), (11, 64, 128)):
        conv(i, after, before, 4, 4, norm=after)
    conv(14, 1000, 128, 1, 1)
    for i, before, after in ((15, 1000, 128), (18, 128, 64), (21, 64, 32), (24, 32, 16)):
        conv(i, before, after, 4, 4, norm=after)
    conv(27, 3, 16, 3, 3)
    return shapes


def plain_resnet(w: Weights, x: Tensor, blocks: int) -> Tensor:
    """The generator again, by functions only: pixels are repeated, edges of enlarged ones zero."""

    def conv(x: Tensor, i: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, w[f"model.{i}.weight"], w[f"model.{i}.bias"], stride, padding)

    def reflected(x: Tensor, i: str) -> Tensor:
        side = w[f"model.{i}.weight"].shape[-1] // 2
        return conv(F.pad(x, (side,) * 4, "reflect"), i)

    x = F.instance_norm(reflected(x, "1")).relu()
    for i in ("4", "7"):
        x = F.instance_norm(conv(x, i, 2, 1)).relu()
    for i in range(10, 10 + blocks):
        y = F.instance_norm(reflected(x, f"{i}.block.1")).relu()
        x = x + F.instance_norm(reflected(y, f"{i}.block.5"))
    for i in (11 + blocks, 15 + blocks):
        repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = F.instance_norm(conv(repeated, f"{i}", 1, 1)).relu()
    return reflected(x, f"{19 + blocks}").tanh()


class TestResnet:
    def test_pictures_are_those_of_the_authors(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(1))
        torch.save(weights, tmp_path / "G_AB_100.pth")
        folder = export_checkpoint(tmp_path / "G_AB_100.pth", tmp_path / "model")
        assert_pictures(folder, lambda x: plain_resnet(weights, x, 1), 8)

    @pytest.mark.parametrize("blocks", [6, 9])
    def test_depth_and_width_are_read(self, blocks: int, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(blocks, 6)), tmp_path / "a.pth")
        record = inspect_checkpoint(tmp_path / "a.pth")
        assert (record["layout"], record["task"]) == ("eriklindernoren-resnet", "cyclegan")
        found = settings_in(record)
        assert (found["blocks"], found["width"]) == ((blocks, "read"), (6, "read"))

    def test_one_channel_is_refused(self, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(6, channels=1)), tmp_path / "a.pth")
        assert_refused(tmp_path / "a.pth", "was made for 1 channels")

    @pytest.mark.parametrize("name", ["model.1.weight", "model.17.weight", "model.25.weight"])
    def test_wrong_shapes(self, name: str, tmp_path: Path) -> None:
        assert_wrong_shapes_are_refused(filled(resnet_shapes(6)), name, tmp_path / "a.pth")


def test_a_context_encoder_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(filled(context_encoder_shapes()), tmp_path / "generator.pth")
    assert_refused(tmp_path / "generator.pth", "is a context encoder")
