"""The networks of CycleGAN and pix2pix: their authors' layout, and the same pictures as a graph."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit import load
from genkit.card import Pad
from genkit.errors import InputError, ModelError
from genkit.images import Picture
from genkit.model import open_model
from genkit_export import cyclegan, export_checkpoint, picture_graph, to_onnx
from genkit_export.architectures.cyclegan import (
    PatchDiscriminator,
    ResnetConfig,
    ResnetGenerator,
    UnetConfig,
    UnetGenerator,
    initialize,
    with_own_statistics,
)
from genkit_export.checkpoints import genkit as own
from genkit_export.parity import Graph

Weights = dict[str, Tensor]


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """A network whose every weight matters: no bias is zero, no norm is one."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        fan = max(parameter[0].numel(), 1) if parameter.dim() > 1 else 25
        with torch.no_grad():
            parameter.normal_(0, fan**-0.5, generator=random)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter += 1
    return network.eval()


def published_resnet(blocks: int) -> dict[str, tuple[int, ...]]:
    """The keys of horse2zebra.pth and its like (64 channels), written out."""
    convs = {"1": (64, 3, 7, 7), "4": (128, 64, 3, 3), "7": (256, 128, 3, 3)}
    for block in range(10, 10 + blocks):
        convs |= {f"{block}.conv_block.{i}": (256, 256, 3, 3) for i in (1, 5)}
    up = 10 + blocks
    turned = {f"{up}": (256, 128, 3, 3), f"{up + 3}": (128, 64, 3, 3)}
    convs[f"{up + 7}"] = (3, 64, 7, 7)
    keys = {f"model.{i}.weight": shape for i, shape in (convs | turned).items()}
    keys |= {f"model.{i}.bias": shape[:1] for i, shape in convs.items()}
    return keys | {f"model.{i}.bias": shape[1:2] for i, shape in turned.items()}


class TestLayout:
    @pytest.mark.parametrize("blocks", [6, 9])
    def test_published_generators(self, blocks: int) -> None:
        assert shapes(ResnetGenerator(ResnetConfig(blocks=blocks))) == published_resnet(blocks)

    def test_the_size_of_the_published_generator(self) -> None:
        network = ResnetGenerator(ResnetConfig())
        assert sum(p.numel() for p in network.parameters()) == 11_378_179

    def test_dropout_moves_the_second_convolution(self) -> None:
        keys = shapes(ResnetGenerator(ResnetConfig(8, 1, dropout=True)))
        assert "model.10.conv_block.6.weight" in keys
        assert "model.10.conv_block.5.weight" not in keys

    def test_batch_norm_takes_the_place_of_the_bias(self) -> None:
        keys = shapes(ResnetGenerator(ResnetConfig(8, 1, norm="batch")))
        assert keys["model.2.running_mean"] == (8,)
        assert "model.1.bias" not in keys
        assert "model.18.bias" in keys  # the last convolution has no norm

    def test_unet_256(self) -> None:
        keys = shapes(UnetGenerator(UnetConfig()))
        prefix = "model.model."
        assert keys[f"{prefix}0.weight"] == (64, 3, 4, 4)
        assert keys[f"{prefix}1.model.1.weight"] == (128, 64, 4, 4)
        assert keys[f"{prefix}1.model.2.running_var"] == (128,)
        assert keys[f"{prefix}1.model.3.model.1.weight"] == (256, 128, 4, 4)
        innermost = f"{prefix}1." + "model.3." * 6
        assert keys[f"{innermost}model.1.weight"] == (512, 512, 4, 4)
        assert keys[f"{innermost}model.3.weight"] == (512, 512, 4, 4)
        assert keys[f"{innermost}model.4.weight"] == (512,)
        assert keys[f"{prefix}3.weight"] == (128, 3, 4, 4)
        assert keys[f"{prefix}3.bias"] == (3,)
        assert f"{prefix}1.model.1.bias" not in keys
        assert sum(p.numel() for p in UnetGenerator(UnetConfig()).parameters()) == 54_413_955

    def test_the_discriminator(self) -> None:
        keys = shapes(PatchDiscriminator())
        weights = {name: shape for name, shape in keys.items() if name.endswith("weight")}
        assert weights == {
            "model.0.weight": (64, 3, 4, 4),
            "model.2.weight": (128, 64, 4, 4),
            "model.5.weight": (256, 128, 4, 4),
            "model.8.weight": (512, 256, 4, 4),
            "model.11.weight": (1, 512, 4, 4),
        }
        assert PatchDiscriminator(4)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)

    def test_a_patch_is_70_pixels_wide(self) -> None:
        network = lively(PatchDiscriminator(4, norm="batch"))
        picture = torch.rand(1, 3, 256, 256, requires_grad=True)
        network(picture)[0, 0, 15, 15].backward()
        assert picture.grad is not None
        rows = picture.grad.abs().sum((0, 1, 3)).nonzero()
        assert int(rows.max() - rows.min()) + 1 == 70

    def test_settings_that_make_no_sense(self) -> None:
        for make in (
            lambda: ResnetConfig(norm="layer"),  # type: ignore[arg-type]
            lambda: ResnetConfig(upsample="cubic"),  # type: ignore[arg-type]
            lambda: UnetConfig(downs=4),
        ):
            with pytest.raises(ValueError, match=r"unknown|at least 5"):
                make()

    def test_the_start(self) -> None:
        torch.manual_seed(0)
        network = UnetGenerator(UnetConfig(16))
        initialize(network)
        weights = network.state_dict()
        assert float(weights["model.model.1.model.1.weight"].std()) == pytest.approx(0.02, rel=0.1)
        assert float(weights["model.model.1.model.2.weight"].mean()) == pytest.approx(1, abs=0.02)
        assert not weights["model.model.3.bias"].any()


def plain_resnet(w: Weights, x: Tensor, blocks: int) -> Tensor:
    """The generator again, from the paper and the keys of the published files, by functions only."""

    def conv(x: Tensor, i: str, padding: int, stride: int = 1) -> Tensor:
        x = F.pad(x, (padding,) * 4, "reflect") if stride == 1 else F.pad(x, (1,) * 4)
        return F.conv2d(x, w[f"model.{i}.weight"], w[f"model.{i}.bias"], stride)

    def norm(x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return (x - mean) / (x.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()

    x = norm(conv(x, "1", 3)).relu()
    x = norm(conv(x, "4", 1, 2)).relu()
    x = norm(conv(x, "7", 1, 2)).relu()
    for i in range(10, 10 + blocks):
        y = norm(conv(x, f"{i}.conv_block.1", 1)).relu()
        x = x + norm(conv(y, f"{i}.conv_block.5", 1))
    for i in (10 + blocks, 13 + blocks):
        # A transposed convolution: zeros between the pixels, the kernel turned around.
        weight, bias = w[f"model.{i}.weight"], w[f"model.{i}.bias"]
        n, c, height, width = x.shape
        spread = x.new_zeros(n, c, 2 * height + 2, 2 * width + 2)
        spread[:, :, 1:-1:2, 1:-1:2] = x
        x = norm(F.conv2d(spread, weight.flip(2, 3).transpose(0, 1), bias)).relu()
    return conv(x, f"{17 + blocks}", 3).tanh()


def plain_unet(w: Weights, x: Tensor, prefix: str, levels: int, outermost: bool = True) -> Tensor:
    """The U-Net again, by functions only; every norm over the picture itself."""

    def norm(x: Tensor, i: int) -> Tensor:
        y = F.batch_norm(
            x, None, None, w[f"{prefix}{i}.weight"], w[f"{prefix}{i}.bias"], training=True
        )
        return y

    def down(x: Tensor, i: int) -> Tensor:
        return F.conv2d(x, w[f"{prefix}{i}.weight"], w.get(f"{prefix}{i}.bias"), 2, 1)

    def up(x: Tensor, i: int) -> Tensor:
        return F.conv_transpose2d(
            x.relu(), w[f"{prefix}{i}.weight"], w.get(f"{prefix}{i}.bias"), 2, 1
        )

    if outermost:
        below = plain_unet(w, down(x, 0), f"{prefix}1.model.", levels - 1, False)
        return up(below, 3).tanh()
    y = down(F.leaky_relu(x, 0.2), 1)
    if levels == 1:
        y = norm(up(y, 3), 4)
    else:
        y = plain_unet(w, norm(y, 2), f"{prefix}3.model.", levels - 1, False)
        y = norm(up(y, 5), 6)
    return torch.cat([x, y], 1)


class TestReference:
    @pytest.mark.parametrize("blocks", [6, 9])
    def test_the_generator_is_the_one_of_the_paper(self, blocks: int) -> None:
        network = lively(ResnetGenerator(ResnetConfig(4, blocks)))
        x = torch.rand(2, 3, 24, 32) * 2 - 1
        with torch.no_grad():
            expected = plain_resnet(network.state_dict(), x, blocks)
            torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=0)

    def test_the_u_net_normalises_by_the_picture_itself(self) -> None:
        network = lively(UnetGenerator(UnetConfig(4, 5)))
        x = torch.rand(1, 3, 64, 96) * 2 - 1
        with torch.no_grad():
            expected = plain_unet(network.state_dict(), x, "model.model.", 5)
            training = network.train()(x)
            torch.testing.assert_close(training, expected, atol=1e-5, rtol=0)
            with_own_statistics(network.eval())
            torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=0)


CONFIGS: dict[str, tuple[str, Any, Any]] = {
    "resnet": ("cyclegan", ResnetConfig(4, 2), ResnetGenerator),
    "resize": ("cyclegan", ResnetConfig(4, 1, upsample="resize"), ResnetGenerator),
    "unet": ("pix2pix", UnetConfig(4, 5), UnetGenerator),
}


def write_checkpoint(folder: Path, architecture: str, network: Any) -> Path:
    card = {
        "task": "cyclegan",
        "name": "tiny",
        "description": "A random generator",
        "license": "CC0-1.0",
        "image": cyclegan.image_section(network.config),
        "origin": {"data": [], "figures": []},
    }
    description = own.Description(architecture, asdict(network.config), card)
    path = folder / "checkpoint.safetensors"
    own.write(path, network, description)
    return path


class TestExport:
    @pytest.mark.parametrize("kind", CONFIGS)
    def test_a_checkpoint_becomes_a_folder_whose_pictures_are_pytorchs(
        self, tmp_path: Path, kind: str
    ) -> None:
        architecture, config, make = CONFIGS[kind]
        network = lively(make(config)).half().float()
        checkpoint = write_checkpoint(tmp_path, architecture, network)
        said: list[str] = []
        folder = export_checkpoint(checkpoint, tmp_path / "model", report=said.append)
        model = open_model(folder)
        assert model.card.architecture == architecture
        assert "pixels differ from PyTorch's by at most" in "\n".join(said)
        assert "bf16" in "\n".join(said)
        differences = model.card.export["differences"]["generate"]
        assert ("bf16" in differences) == (model.card.default_precision.get("openvino") == "bf16")
        interface = model.card.interface["generate"]
        assert interface.inputs[0].shape == ("batch", "height", "width", 3)
        assert interface.outputs[0].shape == ("batch", "height", "width", 3)
        assert [v.dtype for v in (*interface.inputs, *interface.outputs)] == ["uint8"] * 2

        # A size and a batch that the export did not try; half a level is the rounding.
        image = picture_graph.noise(2, 32, 96, 3)
        (result,) = Graph(model.graph("generate", "fp32")).run(["result"], image=image.numpy())
        if kind == "unet":
            with_own_statistics(network)
        with torch.no_grad():
            x = image.permute(0, 3, 1, 2).float() / 127.5 - 1
            expected = (network(x).permute(0, 2, 3, 1) + 1) * 127.5
        assert np.abs(result - expected.numpy()).max() < 0.51
        assert result.std() > 10

    @pytest.mark.parametrize("size", [(68, 100), (64, 92), (70, 99), (6, 20)])
    def test_the_grid_of_the_network_starts_where_the_authors_has_it(
        self, tmp_path: Path, size: tuple[int, int]
    ) -> None:
        """They run multiples of 4 as they are; anything else is filled up at its end."""
        network = lively(ResnetGenerator(ResnetConfig(4, 1))).half().float()
        folder = export_checkpoint(write_checkpoint(tmp_path, "cyclegan", network), tmp_path / "m")
        pixels = picture_graph.noise(1, *size, 3)[0].numpy()
        result = load("cyclegan", str(folder), device="cpu", threads=1)(Picture(pixels)).pixels
        height, width = size
        more = max(-height % 4, 8 - height), max(-width % 4, 8 - width)
        padded = np.pad(pixels, ((0, max(more[0], 0)), (0, max(more[1], 0)), (0, 0)), "reflect")
        with torch.no_grad():
            x = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
            expected = (network(x)[0].permute(1, 2, 0) + 1) * 127.5
        assert np.abs(result - expected.clamp(0, 255).numpy()[:height, :width]).max() < 0.51

    def test_a_checkpoint_that_states_an_older_padding(self, tmp_path: Path) -> None:
        network = lively(ResnetGenerator(ResnetConfig(4, 1)))
        path = write_checkpoint(tmp_path, "cyclegan", network)
        stated = own.describe(own.read(path))
        assert stated is not None
        old = {"multiple": 8, "mode": "reflect", "side": "both"}
        card = {**stated.card, "image": {"resize": {"mode": "none"}, "pad": old}}
        own.write(path, network, own.Description("cyclegan", stated.config, card))
        image = open_model(export_checkpoint(path, tmp_path / "m")).card.image
        assert image is not None
        assert image.pad == Pad(4, "reflect", "bottom_right", 8)

    def test_the_smallest_picture(self, tmp_path: Path) -> None:
        network = lively(ResnetGenerator(ResnetConfig(4, 1)))
        folder = export_checkpoint(write_checkpoint(tmp_path, "cyclegan", network), tmp_path / "m")
        graph = Graph(open_model(folder).graph("generate", "fp32"))
        assert graph.run(["result"], image=np.zeros((1, 8, 8, 3)))[0].shape == (1, 8, 8, 3)

    def test_the_graph_tells_nothing_of_the_machine(self, tmp_path: Path) -> None:
        network = lively(ResnetGenerator(ResnetConfig(4, 1)))
        folder = export_checkpoint(write_checkpoint(tmp_path, "cyclegan", network), tmp_path / "m")
        data = (folder / "generate.fp32.onnx").read_bytes()
        assert b".py" not in data
        model = onnx.load_from_string(data)
        assert [value.name for value in model.graph.output] == ["result"]

    def test_the_graph_is_as_small_as_its_checkpoint(self, tmp_path: Path) -> None:
        """Weights that came in half precision stay in it."""
        network = lively(ResnetGenerator(ResnetConfig(16, 1)))
        checkpoint = write_checkpoint(tmp_path, "cyclegan", network)
        folder = export_checkpoint(checkpoint, tmp_path / "m")
        size = (folder / "generate.fp32.onnx").stat().st_size
        assert size < checkpoint.stat().st_size + 10_000

    def test_a_graph_that_computes_something_else_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Off(Graph):
            def run(self, outputs: Any, **inputs: Any) -> Any:
                exact, result = super().run(outputs, **inputs)
                return [exact + 1, result]

        monkeypatch.setattr(to_onnx, "Graph", Off)
        network = lively(ResnetGenerator(ResnetConfig(4, 1)))
        with pytest.raises(ModelError, match="does not compute what PyTorch does"):
            export_checkpoint(write_checkpoint(tmp_path, "cyclegan", network), tmp_path / "m")
        assert not (tmp_path / "m").exists()

    def test_a_configuration_that_does_not_fit(self, tmp_path: Path) -> None:
        network = ResnetGenerator(ResnetConfig(4, 1))
        checkpoint = write_checkpoint(tmp_path, "cyclegan", network)
        config = json.loads(json.dumps(asdict(network.config) | {"norm": "layer"}))
        own.write(
            checkpoint,
            network,
            own.Description("cyclegan", config, {"task": "cyclegan", "name": "a"}),
        )
        with pytest.raises(InputError, match="its configuration does not fit: unknown norm"):
            export_checkpoint(checkpoint, tmp_path / "m")
