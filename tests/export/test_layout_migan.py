"""Checkpoints of MI-GAN, in both spellings of its authors' code and as TorchScript."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.migan import MiGan, MiGanConfig
from genkit_export.parity import Graph
from genkit_export.picture_graph import noise

from .inspecting import assert_refused, settings_of
from .test_layout_lama import torchscript

SIZE, WIDTH, MOST = 16, 4, 8
Weights = dict[str, Tensor]
SMOOTH = torch.tensor([1.0, 3, 3, 1]).outer(torch.tensor([1.0, 3, 3, 1])) / 64


def shapes(
    size: int = SIZE, width: int = WIDTH, most: int = MOST, *, old: bool = False
) -> dict[str, tuple[int, ...]]:
    """The keys of `migan_512_places2.pt`, of any size; the old code put zeros between pixels by a
    convolution.
    """
    out: dict[str, tuple[int, ...]] = {}

    def conv(name: str, *shape: int, biased: bool = True) -> None:
        out[f"{name}.weight"] = shape
        if biased:
            out[f"{name}.bias"] = shape[:1]

    def separable(name: str, before: int, after: int) -> None:
        conv(f"{name}.conv1", before, 1, 3, 3)
        conv(f"{name}.conv2", after, before, 1, 1, biased=False)

    def doubled(name: str, channels: int, at: int) -> None:
        conv(f"{name}.filter", channels, 1, 4, 4, biased=False)
        if old:
            conv(f"{name}.insert_zeros", channels, 1, 2, 2, biased=False)
        else:
            out[f"{name}.filter_const"] = (1, 1, at, at)

    at = size
    while at >= 4:
        channels, below = (min(width * size // s, most) for s in (at, max(at // 2, 4)))
        encoder, synthesis = f"encoder.b{at}", f"synthesis.b{at}"
        if at == size:
            conv(f"{encoder}.fromrgb", channels, 4, 1, 1)
        separable(f"{encoder}.conv1", channels, channels)
        separable(f"{encoder}.conv2", channels, below)
        separable(f"{synthesis}.conv1", below, channels)
        separable(f"{synthesis}.conv2", channels, channels)
        conv(f"{synthesis}.torgb", 3, channels, 1, 1)
        if at > 4:
            conv(f"{encoder}.conv2.downsample.filter", channels, 1, 4, 4, biased=False)
            doubled(f"{synthesis}.conv1.upsample", channels, at)
            doubled(f"{synthesis}.upsample", 3, at)
            for i in (1, 2):
                out[f"{synthesis}.conv{i}.noise_const"] = (at, at)
                out[f"{synthesis}.conv{i}.noise_strength"] = ()
        at //= 2
    return out


def filled(shapes: dict[str, tuple[int, ...]]) -> Weights:
    """Random weights, but for what is constant in the authors' code."""
    random = torch.Generator().manual_seed(0)
    corner = torch.tensor([[1.0, 0], [0, 0]])
    weights = {}
    for name, shape in shapes.items():
        tensor = torch.randn(shape, generator=random)
        if name.endswith("filter_const"):
            tensor = corner.repeat(1, 1, shape[2] // 2, shape[3] // 2)
        elif name.endswith("insert_zeros.weight"):
            tensor = corner.repeat(shape[0], 1, 1, 1)
        elif name.endswith("filter.weight"):
            tensor = (4 if "upsample" in name else 1) * SMOOTH.expand(shape)
        elif name.endswith(("bias", "strength")):
            tensor = 0.2 * tensor
        elif not name.endswith("noise_const"):
            tensor = tensor * (1.5 / np.prod(shape[1:])) ** 0.5
        weights[name] = tensor
    return weights


def plain_migan(w: Weights, x: Tensor, size: int = SIZE) -> Tensor:
    """The generator from its authors' code, by functions only: what is doubled gets zeros between
    its pixels, and beyond its edges, and is convolved.
    """

    def conv(x: Tensor, name: str, padding: int = 0, stride: int = 1) -> Tensor:
        weight = w[f"{name}.weight"]
        groups = x.shape[1] if weight.shape[1] == 1 < x.shape[1] else 1
        return F.conv2d(x, weight, w.get(f"{name}.bias"), stride, padding, 1, groups)

    def act(x: Tensor) -> Tensor:
        return (F.leaky_relu(x, 0.2) * 2**0.5).clamp(-256, 256)

    def doubled(x: Tensor, name: str) -> Tensor:
        spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        spread[..., ::2, ::2] = x
        return conv(F.pad(spread, (2, 1, 2, 1)), f"{name}.filter")

    def separable(x: Tensor, name: str) -> Tensor:
        x = act(conv(x, f"{name}.conv1", 1))
        if f"{name}.downsample.filter.weight" in w:
            x = conv(x, f"{name}.downsample.filter", 1, 2)
        x = conv(x, f"{name}.conv2")
        if f"{name}.upsample.filter.weight" in w:
            x = doubled(x, f"{name}.upsample")
        if f"{name}.noise_const" in w:
            x = x + w[f"{name}.noise_const"] * w[f"{name}.noise_strength"]
        return act(x)

    sizes = [size >> i for i in range(size.bit_length() - 2)]
    kept = {}
    x = act(conv(x, f"encoder.b{size}.fromrgb"))
    for at in sizes:
        kept[at] = separable(x, f"encoder.b{at}.conv1")
        x = separable(kept[at], f"encoder.b{at}.conv2")
    picture = torch.zeros(())
    for at in reversed(sizes):
        name = f"synthesis.b{at}"
        x = separable(separable(x, f"{name}.conv1") + kept[at], f"{name}.conv2")
        if at > 4:
            picture = doubled(picture, f"{name}.upsample")
        picture = picture + conv(x, f"{name}.torgb")
    return picture


def test_pictures_are_those_of_the_authors(tmp_path: Path) -> None:
    """Their masks are 1 where a pixel is known, their pictures from -1 to 1."""
    weights = filled(shapes())
    torch.save(weights, tmp_path / "migan.pt")
    folder = export_checkpoint(tmp_path / "migan.pt", tmp_path / "model")
    model = open_model(folder)
    resize = model.card.image.resize if model.card.image else None
    assert resize is not None
    assert (resize.mode, resize.size) == ("stretch", (SIZE, SIZE))
    image, mask = noise(4, SIZE, SIZE, 3), noise(4, SIZE, SIZE, 1)
    graph = Graph(model.graph("inpaint", "fp32"))
    (result,) = graph.run(["result"], image=image.numpy(), mask=mask.numpy())

    known = (mask <= 127).float().permute(0, 3, 1, 2)
    x = image.permute(0, 3, 1, 2).float() * 2 / 255 - 1
    with torch.no_grad():
        made = plain_migan(weights, torch.cat([known - 0.5, x * known], 1))
    made = (made * 0.5 + 0.5).clamp(0, 1)
    expected = (made * (1 - known) + (x * 0.5 + 0.5) * known).permute(0, 2, 3, 1) * 255
    assert np.abs(result - expected.numpy()).max() < 0.5 + 1e-4 * 255
    hole = mask[..., 0].numpy() > 127
    np.testing.assert_array_equal(result[~hole], image.numpy()[~hole])
    assert 10 < result[hole].mean() < 245
    assert result[hole].std() > 10


def test_both_spellings_are_the_same_network(tmp_path: Path) -> None:
    for old in (False, True):
        torch.save(filled(shapes(old=old)), tmp_path / f"{old}.pt")
    first, second = (inspect_checkpoint(tmp_path / f"{old}.pt") for old in (False, True))
    assert first["layout"] == second["layout"] == "migan"
    assert first["parameters"] == second["parameters"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(tmp_path: Path) -> None:
    torchscript(filled(shapes()), tmp_path / "migan_traced.pt")
    record = inspect_checkpoint(tmp_path / "migan_traced.pt")
    assert (record["layout"], record["task"]) == ("migan", "inpaint")


@pytest.mark.parametrize(("size", "width"), [(256, 128), (512, 64)])
def test_the_published_sizes(size: int, width: int, tmp_path: Path) -> None:
    """32768 channels and pixels of a side, but no more than 512 channels."""
    content = filled(shapes(size, width, 512))
    torch.save({name: tensor.half() for name, tensor in content.items()}, tmp_path / "a.pt")
    found = settings_of(tmp_path / "a.pt")
    names = ("size", "width", "most_channels")
    assert [found[name] for name in names] == [(size, "read"), (width, "read"), (512, "read")]


@pytest.mark.parametrize("name", ["encoder.b8.conv2.downsample", "synthesis.b16.upsample"])
def test_other_filters_are_refused(name: str, tmp_path: Path) -> None:
    weights = filled(shapes())
    weights[f"{name}.filter.weight"] = weights[f"{name}.filter.weight"] + 0.01
    torch.save(weights, tmp_path / "a.pt")
    assert_refused(tmp_path / "a.pt", r"filters other than \(1, 3, 3, 1\)")


def test_the_network_is_of_one_size() -> None:
    assert MiGanConfig(16, 4, 8).sizes == (16, 8, 4)
    assert [MiGanConfig().channels(size) for size in (512, 128, 64, 4)] == [64, 256, 512, 512]
    assert MiGan(MiGanConfig(16, 4, 8))(torch.rand(2, 4, 16, 16)).shape == (2, 3, 16, 16)
    for size in (4, 48):
        with pytest.raises(ValueError, match="a power of two"):
            MiGanConfig(size)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder.b16.conv1.conv1.weight", (5, 1, 3, 3)),
        ("synthesis.b8.conv1.noise_const", (7, 7)),
        ("synthesis.b8.conv1.upsample.filter.weight", (3,)),
        ("encoder.b2.conv1.conv1.weight", (3, 1, 3, 3)),
        ("encoder.b32.conv1.conv1.weight", (4, 1, 3, 3)),
    ],
)
def test_wrong_shapes(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.save(filled(shapes()) | {name: torch.zeros(shape)}, tmp_path / "a.pt")
    assert_refused(tmp_path / "a.pt")
