"""Checkpoints of junyanz/pytorch-CycleGAN-and-pix2pix, by the keys and shapes of published files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genkit.errors import InputError, UsageError
from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint, picture_graph
from genkit_export.export import inspect
from genkit_export.parity import Graph

from .inspecting import assert_refused
from .test_cyclegan import plain_resnet, plain_unet

Weights = dict[str, Tensor]
WIDTH = 4


def filled(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Weights:
    """Random weights; scales of norms around 1."""
    random = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes.items():
        fan = max(int(np.prod(shape[1:])), 1) if len(shape) > 1 else 25
        out[name] = torch.randn(shape, generator=random) * fan**-0.5
        if len(shape) == 1 and name.endswith("weight"):
            out[name] += 1
        if name.endswith("running_var"):
            out[name] = out[name].abs() + 0.5
    return out


def resnet_shapes(blocks: int, width: int = WIDTH, second: int = 5) -> dict[str, tuple[int, ...]]:
    """`horse2zebra.pth` and its like, narrower. With dropout the second convolution is the sixth."""
    convs = {
        "1": (width, 3, 7, 7),
        "4": (2 * width, width, 3, 3),
        "7": (4 * width, 2 * width, 3, 3),
        f"{17 + blocks}": (3, width, 7, 7),
    }
    for block in range(10, 10 + blocks):
        for i in (1, second):
            convs[f"{block}.conv_block.{i}"] = (4 * width, 4 * width, 3, 3)
    turned = {
        f"{10 + blocks}": (4 * width, 2 * width, 3, 3),
        f"{13 + blocks}": (2 * width, width, 3, 3),
    }
    shapes = {f"model.{i}.weight": shape for i, shape in (convs | turned).items()}
    shapes |= {f"model.{i}.bias": shape[:1] for i, shape in convs.items()}
    return shapes | {f"model.{i}.bias": shape[1:2] for i, shape in turned.items()}


def old_statistics(blocks: int) -> Weights:
    """What PyTorch 0.3 stored of instance norms."""
    norms = [("2", WIDTH), ("5", 2 * WIDTH), ("8", 4 * WIDTH)]
    norms += [(f"{10 + b}.conv_block.{i}", 4 * WIDTH) for b in range(blocks) for i in (2, 6)]
    norms += [(f"{11 + blocks}", 2 * WIDTH), (f"{14 + blocks}", WIDTH)]
    out: Weights = {}
    for name, size in norms:
        out[f"model.{name}.running_mean"] = torch.randn(size)
        out[f"model.{name}.running_var"] = torch.rand(size) + 0.5
        out[f"model.{name}.num_batches_tracked"] = torch.tensor(3)
    return out


def unet_shapes(downs: int, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    """`latest_net_G.pth` of pix2pix: levels inside each other, batch norms, no biases."""
    channels = [width * min(2**i, 8) for i in range(downs)]
    shapes: dict[str, tuple[int, ...]] = {
        "model.model.0.weight": (width, 3, 4, 4),
        "model.model.3.weight": (2 * width, 3, 4, 4),
        "model.model.3.bias": (3,),
    }
    prefix = "model.model.1.model."
    for level in range(1, downs):
        outer, inner = channels[level - 1], channels[level]
        innermost = level == downs - 1
        up = 3 if innermost else 5
        norms = [(up + 1, outer)] + ([] if innermost else [(2, inner)])
        shapes[f"{prefix}1.weight"] = (inner, outer, 4, 4)
        shapes[f"{prefix}{up}.weight"] = (inner if innermost else 2 * inner, outer, 4, 4)
        for i, size in norms:
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{prefix}{i}.{name}"] = (size,)
        prefix += "3.model."
    return shapes


def settings(path: Path, **options: Any) -> dict[str, Any]:
    record = inspect_checkpoint(path, **options)
    return {one["name"]: one["value"] for one in record["settings"]}


def assert_pictures(folder: Path, reference: Callable[[Tensor], Tensor], multiple: int) -> None:
    """Several sizes; half a level is the rounding."""
    graph = Graph(open_model(folder).graph("generate", "fp32"))
    for height, width in ((1, 2), (3, 1)):
        image = picture_graph.noise(1, height * multiple, width * multiple, 3)
        (result,) = graph.run(["result"], image=image.numpy())
        with torch.no_grad():
            x = image.permute(0, 3, 1, 2).float() / 127.5 - 1
            expected = (reference(x).permute(0, 2, 3, 1) + 1) * 127.5
        assert np.abs(result - expected.numpy()).max() < 0.5 + 1e-4 * 255
        assert result.std() > 10


def assert_wrong_shapes_are_refused(weights: Weights, name: str, path: Path) -> None:
    """Of one of the tensors."""
    for shape in ((), (3,), (5, 5, 5, 5)):
        torch.save(weights | {name: torch.zeros(shape)}, path)
        assert_refused(path)


class TestResnet:
    def test_an_old_file_gives_the_pictures_of_its_authors(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(1))
        content = {f"module.{n}": t for n, t in (weights | old_statistics(1)).items()}
        path = tmp_path / "latest_net_G.pth"
        torch.save(content, path, _use_new_zipfile_serialization=False)
        folder = export_checkpoint(path, tmp_path / "model")
        assert_pictures(folder, lambda x: plain_resnet(weights, x, 1), 8)
        card = open_model(folder).card
        assert (card.name, card.license) == ("latest_net_G", "unknown")
        assert card.origin["layout"] == "junyanz-resnet"

    @pytest.mark.parametrize("blocks", [6, 9])
    @pytest.mark.parametrize("width", [4, 12])
    def test_depth_and_width_are_read(self, blocks: int, width: int, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(blocks, width)), tmp_path / "a.pth")
        found = settings(tmp_path / "a.pth")
        assert (found["blocks"], found["width"], found["dropout"]) == (blocks, width, False)

    def test_the_published_size(self, tmp_path: Path) -> None:
        shapes = resnet_shapes(9, 64)
        torch.save({n: torch.zeros(s, dtype=torch.half) for n, s in shapes.items()}, tmp_path / "a")
        assert inspect_checkpoint(tmp_path / "a")["parameters"] == 11_378_179

    def test_dropout_layers(self, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(6, second=6)), tmp_path / "a.pth")
        assert settings(tmp_path / "a.pth")["dropout"] is True

    def test_batch_norm(self, tmp_path: Path) -> None:
        shapes = {n: s for n, s in resnet_shapes(6).items() if n[-4:] != "bias" or "model.23" in n}
        weights = filled(shapes)
        for name, tensor in old_statistics(6).items():
            path = name.rpartition(".")[0]
            weights |= {name: tensor}
            if name.endswith("running_mean"):
                weights |= {f"{path}.weight": tensor, f"{path}.bias": tensor}
        torch.save(weights, tmp_path / "a.pth")
        assert settings(tmp_path / "a.pth")["norm"] == "batch"

    def test_the_anti_aliased_one_is_refused_by_name(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(6)) | {"model.7.filt": torch.ones(8, 1, 3, 3)}
        torch.save(weights, tmp_path / "a.pth")
        with pytest.raises(InputError, match="is the anti-aliased generator of CUT"):
            inspect_checkpoint(tmp_path / "a.pth")

    def test_one_of_several_networks(self, tmp_path: Path) -> None:
        content = {
            f"netG_{side}.{name}": tensor
            for seed, side in enumerate("AB")
            for name, tensor in filled(resnet_shapes(6, 4 + seed), seed).items()
        }
        torch.save(content | {"netD_A.model.0.weight": torch.zeros(4, 3, 4, 4)}, tmp_path / "a.pth")
        assert settings(tmp_path / "a.pth")["part"] == "netG_A"
        assert settings(tmp_path / "a.pth", settings={"part": "netG_B"})["width"] == 5
        with pytest.raises(UsageError, match="no such part") as raised:
            inspect_checkpoint(tmp_path / "a.pth", settings={"part": "netD_A"})
        assert raised.value.hint == "one of: netG_A, netG_B"

    def test_a_running_average_goes_before_the_network(self, tmp_path: Path) -> None:
        weights = filled(resnet_shapes(6))
        content = {"g": weights, "g_ema": weights, "epoch": 4}
        torch.save(content, tmp_path / "a.pth")
        assert settings(tmp_path / "a.pth")["part"] == "g_ema"

    def test_a_square_as_the_authors_test_script_makes_it(self, tmp_path: Path) -> None:
        torch.save(filled(resnet_shapes(6)), tmp_path / "a.pth")
        assert inspect(tmp_path / "a.pth").loaded.card["image"]["resize"] == {"mode": "none"}
        given = {"size": "256", "license": "BSD-2-Clause"}
        card = inspect(tmp_path / "a.pth", given=given).loaded.card
        assert card["image"]["resize"]["mode"] == "stretch"
        assert card["image"]["resize"]["size"] == [256, 256]
        assert card["license"] == "BSD-2-Clause"

    @pytest.mark.parametrize("name", ["model.4.weight", "model.1.weight", "model.17.bias"])
    def test_wrong_shapes(self, name: str, tmp_path: Path) -> None:
        assert_wrong_shapes_are_refused(filled(resnet_shapes(6)), name, tmp_path / "a.pth")


class TestUnet:
    def test_the_statistics_are_those_of_the_picture(self, tmp_path: Path) -> None:
        weights = filled(unet_shapes(5))
        torch.save(weights, tmp_path / "facades.pth")
        folder = export_checkpoint(tmp_path / "facades.pth", tmp_path / "model")
        assert_pictures(folder, lambda x: plain_unet(weights, x, "model.model.", 5), 64)

    @pytest.mark.parametrize("downs", [5, 7, 8])
    def test_depth_and_width_are_read(self, downs: int, tmp_path: Path) -> None:
        torch.save(filled(unet_shapes(downs, 6)), tmp_path / "a.pth")
        found = settings(tmp_path / "a.pth")
        assert (found["downs"], found["width"], found["norm"]) == (downs, 6, "batch")
