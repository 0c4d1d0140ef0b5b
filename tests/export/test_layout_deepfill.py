"""DeepFill v2: its attention, and checkpoints of both of its published classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.deepfill import (
    DeepFill,
    DeepFillConfig,
    contextual_attention,
)
from genkit_export.export import inspect
from genkit_export.parity import Graph
from genkit_export.picture_graph import noise
from genkit_export.to_onnx import trace

from .inspecting import assert_refused, settings_in

WIDTH = 8
FUSE = "stage2.contextual_attention.fuse_weight"
Weights = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

DILATIONS = {"conv_bn2": 2, "conv_bn3": 4, "conv_bn4": 8, "conv_bn5": 16}
DILATED = ["conv_bn1", *DILATIONS]
GROW = ["up_block1.conv1_upsample.conv", "up_block1.conv2"]
GROW += ["up_block2.conv1_upsample.conv", "up_block2.conv2", "conv_to_rgb"]


def shapes(width: int = WIDTH) -> Shapes:
    """The keys of `networks.Generator`, of any width."""
    out: Shapes = {}
    half, double = width // 2, 2 * width

    def conv(name: str, before: int, after: int, kernel: int = 3) -> None:
        channels = after if after == 3 else 2 * after
        out[f"{name}.conv.weight"] = (channels, before, kernel, kernel)
        out[f"{name}.conv.bias"] = (channels,)

    def shrink(prefix: str, channels: int, first: int, second: int) -> None:
        conv(f"{prefix}conv1", channels, half, 5)
        conv(f"{prefix}down_block1.conv1_downsample", half, first)
        conv(f"{prefix}down_block1.conv2", first, width)
        conv(f"{prefix}down_block2.conv1_downsample", width, second)
        conv(f"{prefix}down_block2.conv2", second, double)

    def grow(prefix: str) -> None:
        sizes = [double, width, width, half, width // 4, 3]
        for name, before, after in zip(GROW, sizes, sizes[1:], strict=False):
            conv(f"{prefix}{name}", before, after)

    shrink("stage1.", 5, width, double)
    for name in (*DILATED, "conv_bn6", "conv_bn7"):
        conv(f"stage1.{name}", double, double)
    grow("stage1.")
    shrink("stage2.conv_", 3, half, width)
    shrink("stage2.ca_", 3, half, double)
    for name in (*(f"conv_{one}" for one in DILATED), "ca_conv_bn1", "ca_conv_bn4", "ca_conv_bn5"):
        conv(f"stage2.{name}", double, double)
    conv("stage2.conv_bn6", 2 * double, double)
    conv("stage2.conv_bn7", double, double)
    grow("stage2.")
    return out


def numbered() -> dict[str, str]:
    """The layers of `networks_tf.Generator`, as `networks.Generator` calls them."""
    shrink = ["conv1", "down_block1.conv1_downsample", "down_block1.conv2"]
    shrink += ["down_block2.conv1_downsample", "down_block2.conv2"]
    theirs = ["conv1", "conv2_downsample", "conv3", "conv4_downsample", "conv5", "conv6"]
    theirs += ["conv7_atrous", "conv8_atrous", "conv9_atrous", "conv10_atrous", "conv11", "conv12"]
    theirs += ["conv13_upsample.conv", "conv14", "conv15_upsample.conv", "conv16", "conv17"]
    all_of_it = [*shrink, *DILATED, "conv_bn6", "conv_bn7", *GROW]
    pairs = dict(zip(theirs, (f"stage1.{name}" for name in all_of_it), strict=True))
    for i, (name, ours) in enumerate(zip(theirs, all_of_it, strict=True), 1):
        if i <= 10:
            pairs[f"x{name}"] = f"stage2.conv_{ours}"
        else:
            pairs[f"all{name}"] = f"stage2.{ours}"
        if i <= 6:
            pairs[f"pm{name}"] = f"stage2.ca_{ours}"
    return pairs | {"pmconv9": "stage2.ca_conv_bn4", "pmconv10": "stage2.ca_conv_bn5"}


def filled(shapes: Shapes) -> Weights:
    random = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=random)
        * ((4 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.2)
        for name, shape in shapes.items()
    }


def published(weights: Weights, tensorflow: bool) -> Weights:
    """The tensors under the names of one of both classes."""
    if not tensorflow:
        return weights | {FUSE: torch.eye(3).view(1, 1, 3, 3)}
    return {
        f"{theirs}.conv.{kind}": weights[f"{ours}.conv.{kind}"]
        for theirs, ours in numbered().items()
        for kind in ("weight", "bias")
    }


def same(x: Tensor, kernel: int, stride: int, dilation: int = 1) -> Tensor:
    """TensorFlow's "SAME", from the formulas of its documentation."""
    pads: list[int] = []
    for side in reversed(x.shape[-2:]):
        missing = (-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 - side
        pads += [max(missing, 0) // 2, max(missing, 0) - max(missing, 0) // 2]
    return F.pad(x, pads)


def smaller(x: Tensor, times: int, tensorflow: bool) -> Tensor:
    if not tensorflow:
        return F.interpolate(x, scale_factor=1 / times, mode="nearest")
    for axis in (2, 3):
        side = x.shape[axis]
        places = torch.linspace(0, side - 1, side // times).add(0.5).floor().long()
        x = x.index_select(axis, places)
    return x


def plain_attention(x: Tensor, hole: Tensor, fuse: bool, tensorflow: bool) -> Tensor:
    """Contextual attention as published: convolutions with the picture's patches for kernels."""
    channels = x.shape[1]
    small, holes = smaller(x, 2, tensorflow), smaller(hole, 8, tensorflow)
    height, width = small.shape[-2:]
    known = F.unfold(holes, 3, padding=1).mean(1).eq(0).float().view(-1, height * width, 1, 1)
    out = []
    for whole, half, mask in zip(x[:, None], small[:, None], known, strict=True):
        kernels = F.unfold(half, 3, padding=1)[0].T.reshape(-1, channels, 3, 3)
        norm = kernels.square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-4)
        scores = F.conv2d(half, kernels / norm, padding=1)
        if fuse:
            eye = torch.eye(3).view(1, 1, 3, 3)
            image = scores.view(1, 1, height * width, height * width)
            image = F.conv2d(image, eye, padding=1).view(1, height, width, height, width)
            image = image.permute(0, 2, 1, 4, 3).reshape(1, 1, height * width, height * width)
            image = F.conv2d(image, eye, padding=1).view(1, width, height, width, height)
            scores = image.permute(0, 2, 1, 4, 3).reshape(1, height * width, height, width)
        shares = F.softmax(scores * mask * 10, 1) * mask
        pieces = F.unfold(whole, 4, padding=1, stride=2)[0].T.reshape(-1, channels, 4, 4)
        out.append(F.conv_transpose2d(shares, pieces, stride=2, padding=1) / 4)
    return torch.cat(out)


def plain_deepfill(w: Weights, picture: Tensor, hole: Tensor, tensorflow: bool) -> Tensor:
    """The generator from its authors' code, by functions only, with the keys of `networks`; the
    picture, and what comes out, from -1 to 1.
    """

    def conv(x: Tensor, name: str) -> Tensor:
        weight, bias = w[f"{name}.conv.weight"], w[f"{name}.conv.bias"]
        kernel, stride = weight.shape[-1], 2 if name.endswith("downsample") else 1
        dilation = DILATIONS.get(name.removeprefix("stage2.conv_").removeprefix("stage1."), 1)
        if "upsample" in name:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        if tensorflow:
            x = F.conv2d(same(x, kernel, stride, dilation), weight, bias, stride, 0, dilation)
        else:
            x = F.conv2d(x, weight, bias, stride, dilation * (kernel - 1) // 2, dilation)
        if len(bias) == 3:
            return x
        features, gates = x.chunk(2, 1)
        passes = F.relu if name == "stage2.ca_conv_bn1" else F.elu
        return passes(features) * torch.sigmoid(gates)

    def convs(x: Tensor, prefix: str, *names: str) -> Tensor:
        for name in names:
            x = conv(x, prefix + name)
        return x

    shrink = ["conv1", "down_block1.conv1_downsample", "down_block1.conv2"]
    shrink += ["down_block2.conv1_downsample", "down_block2.conv2"]
    grow = ["conv_bn6", "conv_bn7", *GROW]
    masked, ones = picture * (1 - hole), torch.ones_like(picture)[:, :1]
    guess = convs(torch.cat([masked, ones, ones * hole], 1), "stage1.", *shrink, *DILATED, *grow)
    x = guess.tanh() * hole + masked * (1 - hole)
    far = convs(x, "stage2.conv_", *shrink, *DILATED)
    x = convs(x, "stage2.ca_", *shrink, "conv_bn1")
    x = plain_attention(x, hole, not tensorflow, tensorflow)
    x = convs(x, "stage2.ca_", "conv_bn4", "conv_bn5")
    return convs(torch.cat([far, x], 1), "stage2.", *grow).tanh()


def some_holes(batch: int, height: int, width: int) -> Tensor:
    """A box for each picture, at different places: (batch, 1, height, width). Small ones have none."""
    hole = torch.zeros(batch, 1, height, width)
    for i in range(batch):
        hole[i, :, 9 + 8 * i : height // 2 + 8 * i, 5 : width // 3 + 8 * i] = 1
    return hole


class TestAttention:
    @pytest.mark.parametrize("tensorflow", [False, True])
    @pytest.mark.parametrize("fuse", [False, True])
    @pytest.mark.parametrize("size", [(2, 2), (8, 12), (14, 10), (6, 22)])
    def test_it_is_that_of_the_authors(
        self, size: tuple[int, int], fuse: bool, tensorflow: bool
    ) -> None:
        x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)) / 4
        hole = some_holes(2, 4 * size[0], 4 * size[1])
        expected = plain_attention(x, hole, fuse, tensorflow)
        found = contextual_attention(x, hole, fuse=fuse, tensorflow=tensorflow)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert found.std() > 0.01

    @pytest.mark.parametrize("fuse", [False, True])
    def test_nothing_is_taken_from_holes(self, fuse: bool) -> None:
        x, hole = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 64, 64)
        x[:, :, 8:], hole[:, :, 32:] = 100, 1
        found = contextual_attention(x, hole, fuse=fuse, tensorflow=False)
        assert float(found[:, :, 8:].min()) > 0
        assert float(found.max()) < 1 + 1e-5

    def test_all_is_hole(self) -> None:
        found = contextual_attention(
            torch.rand(1, 3, 4, 4), torch.ones(1, 1, 16, 16), fuse=True, tensorflow=False
        )
        assert torch.equal(found, torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("tensorflow", [False, True])
def test_what_is_read_and_what_is_assumed(tensorflow: bool, tmp_path: Path) -> None:
    weights = published({n: torch.zeros(s) for n, s in shapes(48).items()}, tensorflow)
    torch.save({"G": weights}, tmp_path / "states_places2.pth")
    record = inspect_checkpoint(tmp_path / "states_places2.pth")
    assert record["layout"] == ("deepfill-tensorflow" if tensorflow else "deepfill")
    assert (record["architecture"], record["task"]) == ("deepfill", "inpaint")
    found = settings_in(record)
    assert found["width"] == (48, "read")
    assert found["fuse"] == ((False, "assumed") if tensorflow else (True, "read"))
    assert record["parameters"] == sum(np.prod(shape) for shape in shapes(48).values())


class Attention(nn.Module):
    """The attention that converted files have, of features a quarter as large as a picture."""

    def forward(self, picture: Tensor, hole: Tensor) -> Tensor:
        x = picture[:, :, ::4, ::4]
        return contextual_attention(x, hole, fuse=False, tensorflow=True)


def test_the_graph_of_converted_attention_is_for_every_size(tmp_path: Path) -> None:
    def inputs(batch: int, height: int, width: int) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(0)
        picture = torch.randn(batch, 3, height, width, generator=random) / 4
        return {"picture": picture, "hole": some_holes(batch, height, width)}

    axes = {0: "batch", 2: "height", 3: "width"}
    onnx.save(trace(Attention(), inputs(2, 16, 24), ["found"], axes), tmp_path / "a.onnx")
    graph = Graph(tmp_path / "a.onnx")
    for shape in ((1, 8, 8), (1, 56, 40), (2, 40, 72)):
        feeds = inputs(*shape)
        (found,) = graph.run(["found"], **feeds)
        expected = plain_attention(feeds["picture"][:, :, ::4, ::4], feeds["hole"], False, True)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("tensorflow", [False, True])
def test_the_network_is_that_of_the_authors(tensorflow: bool, tmp_path: Path) -> None:
    weights = filled(shapes())
    torch.save({"G": published(weights, tensorflow)}, tmp_path / "a.pth")
    loaded = inspect(tmp_path / "a.pth").loaded
    network = DeepFill(DeepFillConfig(**loaded.config))
    network.load_state_dict(loaded.weights)
    for height, width in ((8, 8), (40, 72)):
        picture, hole = torch.rand(1, 3, height, width), some_holes(1, height, width)
        with torch.no_grad():
            found = network(torch.cat([picture * (1 - hole), hole], 1))
            expected = plain_deepfill(weights, 2 * picture - 1, hole, tensorflow)
        torch.testing.assert_close(2 * found - 1, expected, atol=1e-5, rtol=0)
        assert found.std() > 0.02


def test_pictures_are_those_of_the_authors(tmp_path: Path) -> None:
    weights = filled(shapes())
    training: dict[str, Any] = {
        "G": published(weights, tensorflow=False),
        "D": {"conv1.conv_sn.weight": torch.zeros(8, 4, 5, 5)},
        "G_optim": {"state": {0: {"exp_avg": torch.zeros(16)}}, "param_groups": [{"lr": 1e-4}]},
        "n_iter": 500,
    }
    torch.save(training, tmp_path / "states.pth")
    model = open_model(export_checkpoint(tmp_path / "states.pth", tmp_path / "model"))
    assert model.card.image is not None
    assert model.card.image.pad is not None
    assert model.card.image.pad.multiple == 8
    graph = Graph(model.graph("inpaint", "fp32"))
    for batch, height, width in ((1, 32, 24), (1, 56, 40), (2, 40, 72)):
        image, hole = noise(batch, height, width, 3), some_holes(batch, height, width)
        mask = (hole * 255).to(torch.uint8).permute(0, 2, 3, 1)
        (result,) = graph.run(["result"], image=image.numpy(), mask=mask.numpy())
        picture = image.permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            made = plain_deepfill(weights, picture, hole, tensorflow=False)
        expected = ((made + 1) * 127.5).permute(0, 2, 3, 1).numpy()
        inside = mask[..., 0].numpy() > 127
        np.testing.assert_array_equal(result[~inside], image.numpy()[~inside])
        assert np.abs(result[inside] - expected[inside]).max() < 0.5 + 1e-4 * 255
        assert result[inside].std() > 2


def test_another_way_to_fuse_is_refused(tmp_path: Path) -> None:
    weights = published(filled(shapes()), tensorflow=False)
    torch.save({"G": weights | {FUSE: torch.ones(1, 1, 3, 3)}}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth", "fuses scores")
