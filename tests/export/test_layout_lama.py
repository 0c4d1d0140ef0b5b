"""Checkpoints of LaMa, in all containers that are about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.card import Pad
from genkit.errors import InputError
from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.inpaint import LamaConfig
from genkit_export.inpaint import image_section
from genkit_export.parity import Graph
from genkit_export.picture_graph import noise

WIDTH, DOWNS, BLOCKS = 8, 2, 1
Weights = dict[str, Tensor]


def shapes(
    width: int = WIDTH, downs: int = DOWNS, blocks: int = BLOCKS
) -> dict[str, tuple[int, ...]]:
    """The keys of `generator.` in Big-LaMa's `best.ckpt`, of any size."""
    out: dict[str, tuple[int, ...]] = {}

    def norm(name: str, size: int) -> None:
        for kind in ("weight", "bias", "running_mean", "running_var"):
            out[f"model.{name}.{kind}"] = (size,)

    sizes = [width * 2**i for i in range(downs + 1)]
    far = sizes[-1] * 3 // 4
    near = sizes[-1] - far
    out["model.1.ffc.convl2l.weight"] = (width, 4, 7, 7)
    norm("1.bn_l", width)
    for i in range(downs):
        last = i == downs - 1
        before, after = sizes[i], near if last else sizes[i + 1]
        out[f"model.{2 + i}.ffc.convl2l.weight"] = (after, before, 3, 3)
        norm(f"{2 + i}.bn_l", after)
        if last:
            out[f"model.{2 + i}.ffc.convl2g.weight"] = (far, before, 3, 3)
            norm(f"{2 + i}.bn_g", far)
    for block in range(2 + downs, 2 + downs + blocks):
        for conv in ("conv1", "conv2"):
            path = f"{block}.{conv}"
            out[f"model.{path}.ffc.convl2l.weight"] = (near, near, 3, 3)
            out[f"model.{path}.ffc.convl2g.weight"] = (far, near, 3, 3)
            out[f"model.{path}.ffc.convg2l.weight"] = (near, far, 3, 3)
            half, spectral = far // 2, f"{path}.ffc.convg2g"
            out[f"model.{spectral}.conv1.0.weight"] = (half, far, 1, 1)
            norm(f"{spectral}.conv1.1", half)
            out[f"model.{spectral}.fu.conv_layer.weight"] = (far, far, 1, 1)
            norm(f"{spectral}.fu.bn", far)
            out[f"model.{spectral}.conv2.weight"] = (far, half, 1, 1)
            norm(f"{path}.bn_l", near)
            norm(f"{path}.bn_g", far)
    at = 3 + downs + blocks
    for i in reversed(range(downs)):
        out[f"model.{at}.weight"] = (sizes[i + 1], sizes[i], 3, 3)
        out[f"model.{at}.bias"] = (sizes[i],)
        norm(f"{at + 1}", sizes[i])
        at += 3
    out[f"model.{at + 1}.weight"], out[f"model.{at + 1}.bias"] = (3, width, 7, 7), (3,)
    return out


def filled(shapes: dict[str, tuple[int, ...]]) -> Weights:
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            weights[name] = torch.randn(shape, generator=random) * (2 / np.prod(shape[1:])) ** 0.5
        elif name.endswith(("weight", "var")):
            weights[name] = torch.rand(shape, generator=random) * 0.6 + 0.7
        else:
            weights[name] = torch.randn(shape, generator=random) * 0.2
    return weights


def plain_lama(w: Weights, x: Tensor) -> Tensor:
    """The generator from its authors' code, by functions only, with PyTorch's own transforms."""

    def norm(x: Tensor, name: str) -> Tensor:
        parts = [w[f"model.{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts).relu()

    def conv(x: Tensor, name: str, stride: int = 1, padding: int = 1) -> Tensor:
        weight = w[f"model.{name}.weight"]
        if weight.shape[-1] > 1 and padding:
            x = F.pad(x, (padding,) * 4, "reflect")
        return F.conv2d(x, weight, w.get(f"model.{name}.bias"), stride)

    def spectral(x: Tensor, name: str) -> Tensor:
        x = norm(conv(x, f"{name}.conv1.0"), f"{name}.conv1.1")
        spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        pairs = torch.stack((spectrum.real, spectrum.imag), 2).flatten(1, 2)
        pairs = norm(conv(pairs, f"{name}.fu.conv_layer"), f"{name}.fu.bn").unflatten(1, (-1, 2))
        back = torch.fft.irfftn(
            torch.complex(pairs[:, :, 0], pairs[:, :, 1]), x.shape[-2:], (-2, -1), norm="ortho"
        )
        return conv(x + back, f"{name}.conv2")

    def layer(near: Tensor, far: Tensor, name: str) -> tuple[Tensor, Tensor]:
        local = conv(near, f"{name}.ffc.convl2l") + conv(far, f"{name}.ffc.convg2l")
        wide = conv(near, f"{name}.ffc.convl2g") + spectral(far, f"{name}.ffc.convg2g")
        return norm(local, f"{name}.bn_l"), norm(wide, f"{name}.bn_g")

    x = norm(conv(x, "1.ffc.convl2l", padding=3), "1.bn_l")
    for i in range(2, 1 + DOWNS):
        x = norm(conv(x, f"{i}.ffc.convl2l", 2), f"{i}.bn_l")
    last = f"{1 + DOWNS}"
    near = norm(conv(x, f"{last}.ffc.convl2l", 2), f"{last}.bn_l")
    far = norm(conv(x, f"{last}.ffc.convl2g", 2), f"{last}.bn_g")
    for block in range(2 + DOWNS, 2 + DOWNS + BLOCKS):
        near2, far2 = layer(*layer(near, far, f"{block}.conv1"), f"{block}.conv2")
        near, far = near + near2, far + far2
    x, at = torch.cat([near, far], 1), 3 + DOWNS + BLOCKS
    for _ in range(DOWNS):
        weight, bias = w[f"model.{at}.weight"], w[f"model.{at}.bias"]
        x = norm(F.conv_transpose2d(x, weight, bias, 2, 1, 1), f"{at + 1}")
        at += 3
    return conv(x, f"{at + 1}", padding=3).sigmoid()


def lightning(weights: Weights, path: Path) -> None:
    """With what else is in it: a discriminator, a loss, the trainer's state."""
    state = {f"generator.{name}": tensor for name, tensor in weights.items()}
    state |= {f"generator.model.{i}.bn_l.num_batches_tracked": torch.tensor(9) for i in (1, 2, 3)}
    state["discriminator.model0.0.weight"] = torch.zeros(8, 3, 4, 4)
    state["loss_resnet_pl.impl.conv1.weight"] = torch.zeros(8, 3, 7, 7)
    torch.save({"epoch": 39, "state_dict": state, "optimizer_states": [{"lr": 1e-3}]}, path)


class Module(nn.Module):
    """A tree of modules with given tensors, which can be scripted."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        parts: dict[str, Weights] = {}
        for name, tensor in weights.items():
            first, _, rest = name.partition(".")
            if rest:
                parts.setdefault(first, {})[rest] = tensor
            else:
                self.register_buffer(first, tensor)
        for name, inner in parts.items():
            self.add_module(name, Module(inner))

    def forward(self, x: Tensor) -> Tensor:
        return x


def torchscript(weights: Weights, path: Path) -> None:
    """As `big-lama.pt`: the generator inside of what prepares the picture."""
    named = {f"model.generator.{name}": tensor for name, tensor in weights.items()}
    torch.jit.script(Module(named)).save(str(path))


CONTAINERS: dict[str, Callable[[Weights, Path], Any]] = {
    "best.ckpt": lightning,
    "big-lama.pt": torchscript,
    "generator.pth": torch.save,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_recognised(name: str, tmp_path: Path) -> None:
    CONTAINERS[name](filled(shapes()), tmp_path / name)
    record = inspect_checkpoint(tmp_path / name)
    assert (record["layout"], record["task"]) == ("lama", "inpaint")
    found = {one["name"]: one["value"] for one in record["settings"]}
    assert (found["width"], found["downs"], found["blocks"]) == (WIDTH, DOWNS, BLOCKS)
    assert found["global_share"] == 0.75


def test_a_folder_of_the_authors(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    lightning(filled(shapes()), tmp_path / "models" / "best.ckpt")
    assert inspect_checkpoint(tmp_path)["layout"] == "lama"


def test_pictures_are_those_of_the_authors(tmp_path: Path) -> None:
    weights = filled(shapes())
    lightning(weights, tmp_path / "best.ckpt")
    folder = export_checkpoint(tmp_path / "best.ckpt", tmp_path / "model", name="big-lama")
    model = open_model(folder)
    assert model.card.image is not None
    assert model.card.image.pad == Pad(8, "symmetric", "bottom_right", 8)  # pad_out_to_modulo: 8
    graph = Graph(model.graph("inpaint", "fp32"))
    for size in ((24, 40), (40, 16)):
        image, mask = noise(1, *size, 3), noise(1, *size, 1)
        (result,) = graph.run(["result"], image=image.numpy(), mask=mask.numpy())
        hole = (mask > 127).float().permute(0, 3, 1, 2)
        x = image.permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            made = plain_lama(weights, torch.cat([x * (1 - hole), hole], 1))
        expected = (made * hole + x * (1 - hole)).permute(0, 2, 3, 1) * 255
        assert np.abs(result - expected.numpy()).max() < 0.5 + 1e-4 * 255
        assert result[mask[..., 0].numpy() > 127].std() > 2


def test_big_lama_is_padded_as_by_its_authors() -> None:
    section = image_section(LamaConfig())
    assert section["pad"] == {
        "mode": "symmetric",
        "multiple": 8,
        "side": "bottom_right",
        "smallest": 16,
    }


def test_big_lama_has_its_size(tmp_path: Path) -> None:
    content = {n: torch.zeros(s, dtype=torch.half) for n, s in shapes(64, 3, 18).items()}
    torch.save(content, tmp_path / "big.pth")
    assert round(inspect_checkpoint(tmp_path / "big.pth")["parameters"] / 1e6) == 51


def test_local_fourier_units_are_refused_by_name(tmp_path: Path) -> None:
    key = "model.4.conv1.ffc.convg2g.lfu.conv_layer.weight"
    torch.save(filled(shapes()) | {key: torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="enable_lfu"):
        inspect_checkpoint(tmp_path / "a.pth")
