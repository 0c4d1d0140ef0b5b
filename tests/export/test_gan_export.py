"""Generators as graphs: the same pictures as PyTorch's, whatever else is in the batch."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from genkit.card import LatentSpec
from genkit.errors import ModelError
from genkit.model import Model, open_model
from genkit_export import export_checkpoint, sample
from genkit_export.architectures.biggan_deep import BigGanDeepConfig
from genkit_export.architectures.dcgan import Dcgan, DcganConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.fold import FourConvolutions, FromOnePixel, Scaled, ScaledConv2d, folded
from genkit_export.parity import Graph

from .gans import CONFIGS, DEEP, SMALL, lively

CLASSES = [f"thing {i}" for i in range(10)]


def write_checkpoint(folder: Path, architecture: str, network: sample.Generator) -> Path:
    config = network.config
    card = {
        "task": "sample",
        "name": "tiny",
        "description": "Random pictures",
        "license": "CC0-1.0",
        "latent": sample.latent_section(config, CLASSES[: sample.class_count(config)]),
        "origin": {"data": [], "figures": []},
    }
    path = folder / "checkpoint.safetensors"
    own.write(path, network, own.Description(architecture, asdict(config), card))
    return path


@dataclass(frozen=True)
class Exported:
    network: sample.Generator
    checkpoint: Path
    model: Model

    @property
    def graph(self) -> Path:
        return self.model.graph("generate", "fp32")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports a kind of generator, once for all tests."""

    @functools.cache
    def export(kind: str) -> Exported:
        folder = tmp_path_factory.mktemp("exported")
        architecture, config = CONFIGS[kind]
        network = lively(config)
        checkpoint = write_checkpoint(folder, architecture, network)
        model = open_model(export_checkpoint(checkpoint, folder / "model"))
        return Exported(network, checkpoint, model)

    return export


def arrays(inputs: dict[str, Tensor]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in inputs.items()}


GRAPHS = ("grey gan", "dcgan", "dcgan 28", "progressive", "biggan by truncation", "biggan-deep")
"""What is traced; that folding keeps the pictures is held for all kinds."""


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_checkpoint_becomes_a_folder_whose_pictures_are_pytorchs(
    exported: Any, kind: str
) -> None:
    made = exported(kind)
    graph = Graph(made.graph)
    for batch in (4, 7):  # which the export did not try
        inputs = sample.noise(made.network.config, batch)
        (pictures,) = graph.run(["image"], **arrays(inputs))
        with torch.no_grad():
            expected = (made.network(*inputs.values()).permute(0, 2, 3, 1) + 1) * 127.5
        # Half a level is the rounding; 0.03 is 1e-4 of the range.
        assert np.abs(pictures - expected.clamp(0, 255).numpy()).max() < 0.53
        assert pictures.std() > 10
        assert pictures.dtype == np.uint8
        shape = made.model.card.interface["generate"].outputs[0].shape
        assert pictures.shape == (batch, *shape[1:])


class TestCard:
    def test_inputs_of_a_plain_generator(self, exported: Any) -> None:
        card = exported("dcgan 28").model.card
        interface = card.interface["generate"]
        assert [(v.name, v.dtype, v.shape) for v in interface.inputs] == [
            ("z", "float32", ("batch", 16))
        ]
        assert [(v.name, v.dtype, v.shape) for v in interface.outputs] == [
            ("image", "uint8", ("batch", 28, 28, 3))  # a grey one has three equal channels
        ]
        assert card.latent == LatentSpec((16,), "normal", "latent", ())

    def test_inputs_of_a_generator_by_class_and_truncation(self, exported: Any) -> None:
        card = exported("biggan by truncation").model.card
        assert [(v.name, v.dtype, v.shape) for v in card.interface["generate"].inputs] == [
            ("z", "float32", ("batch", 16)),
            ("class", "int64", ("batch",)),
            ("truncation", "float32", ()),
        ]
        assert card.latent == LatentSpec((16,), "truncated_normal", "both", tuple(CLASSES))

    def test_a_truncation_of_its_own(self) -> None:
        assert sample.latent_section(DEEP, default_truncation=0.5)["default_truncation"] == 0.5
        assert "default_truncation" not in sample.latent_section(DEEP)

    def test_where_truncation_acts(self) -> None:
        """A graph has the input if its norms have statistics for it; all noise can be scaled."""
        for config, where in ((SMALL, "latent"), (DEEP, "both"), (DcganConfig(), "latent")):
            assert sample.latent_section(config)["truncation"] == where
            assert ("truncation" in sample.noise(config, 2)) == (where == "both")


class TestGraph:
    @pytest.mark.parametrize("kind", ["dcgan", "biggan by truncation"])
    def test_a_picture_does_not_depend_on_its_neighbours(self, exported: Any, kind: str) -> None:
        made = exported(kind)
        graph = Graph(made.graph)
        inputs = arrays(sample.noise(made.network.config, 6))
        truncation = {name: value for name, value in inputs.items() if not value.ndim}
        rows = {name: value for name, value in inputs.items() if value.ndim}
        (together,) = graph.run(["image"], **inputs)
        order = [5, 3, 1, 0, 2, 4]
        shuffled = {name: value[order] for name, value in rows.items()}
        (found,) = graph.run(["image"], **shuffled, **truncation)
        assert np.array_equal(found, together[order])
        for row in range(6):  # kernels for one row may round otherwise, by a level at most
            alone = {name: value[row : row + 1] for name, value in rows.items()}
            (found,) = graph.run(["image"], **alone, **truncation)
            assert np.abs(found[0].astype(int) - together[row]).max() <= 1

    @pytest.mark.parametrize("kind", ["dcgan", "biggan-deep"])
    def test_norms_are_gone(self, exported: Any, kind: str) -> None:
        graph = onnx.load(exported(kind).graph).graph
        operators = {node.op_type for node in graph.node}
        assert not operators & {"BatchNormalization", "ReduceL2", "Div"}
        assert not [t.name for t in graph.initializer if re.search("weight_[uv]", t.name)]

    def test_the_graph_is_as_small_as_its_checkpoint(self, tmp_path: Path) -> None:
        """Norms are factors beside the weights, so that these stay in half precision."""
        checkpoint = write_checkpoint(tmp_path, "dcgan", lively(DcganConfig(32, 64, 64)))
        folder = export_checkpoint(checkpoint, tmp_path / "m")
        size = (folder / "generate.fp32.onnx").stat().st_size
        assert size < checkpoint.stat().st_size * 1.02 + 50_000

    def test_the_graph_tells_nothing_of_the_machine(self, exported: Any) -> None:
        assert b".py" not in exported("dcgan").graph.read_bytes()

    def test_it_is_compared_with_the_network_and_not_with_what_was_made_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wrong(network: nn.Module) -> nn.Module:
            network = folded(network)
            network.main[0].bias += 0.1  # type: ignore[index, operator, union-attr]
            return network

        monkeypatch.setattr(sample, "folded", wrong)
        checkpoint = write_checkpoint(tmp_path, "gan", lively(CONFIGS["gan"][1]))
        with pytest.raises(ModelError, match="does not compute what PyTorch does"):
            export_checkpoint(checkpoint, tmp_path / "model")
        assert not (tmp_path / "model").exists()


class TestFold:
    @pytest.mark.parametrize("kind", CONFIGS)
    def test_it_computes_the_same(self, kind: str) -> None:
        network = lively(CONFIGS[kind][1])
        inputs = sample.noise(network.config, 3).values()
        with torch.no_grad():
            torch.testing.assert_close(
                folded(network)(*inputs), network(*inputs), atol=2e-5, rtol=1e-5
            )

    def test_the_network_itself_stays(self) -> None:
        network = lively(SMALL)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        folded(network)
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, before[name])

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (3, 5)])
    @pytest.mark.parametrize("relu", [False, True])
    def test_four_convolutions_are_a_transposed_one(
        self, height: int, width: int, relu: bool
    ) -> None:
        layer = nn.ConvTranspose2d(3, 5, 4, 2, 1)
        scale = torch.rand(5) + 0.5
        assert layer.bias is not None
        new = FourConvolutions(layer.weight, scale, layer.bias * scale, relu)
        x = torch.randn(2, 3, height, width)
        with torch.no_grad():
            expected = layer(x) * scale[:, None, None]
            expected = expected.relu() if relu else expected
            torch.testing.assert_close(new(x), expected)

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (3, 5)])
    def test_enlarging_first_needs_kernels_of_two(self, height: int, width: int) -> None:
        layer = nn.Conv2d(3, 5, 3, padding=1)
        assert layer.bias is not None
        new = ScaledConv2d(layer.weight, torch.ones(5), layer.bias, 1)
        x = torch.randn(2, 3, height, width)
        with torch.no_grad():
            expected = layer(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
            torch.testing.assert_close(new.enlarged(x), expected)
        with pytest.raises(ValueError, match="kernels of 3"):
            ScaledConv2d(torch.ones(5, 3, 1, 1), torch.ones(5), torch.ones(5), 0).enlarged(x)

    def test_noise_is_one_pixel(self) -> None:
        layer = nn.ConvTranspose2d(6, 5, 4, bias=False)
        new = FromOnePixel(layer.weight, torch.ones(5), torch.zeros(5))
        z = torch.randn(2, 6, 1, 1)
        with torch.no_grad():
            torch.testing.assert_close(new(z), layer(z))

    def test_wide_layers_become_four_convolutions_and_narrow_ones_stay(self) -> None:
        network = folded(Dcgan(DcganConfig(64, 16, 64)))
        kinds = [type(layer).__name__ for layer in network.main if isinstance(layer, Scaled)]  # type: ignore[union-attr]
        assert kinds == [
            "FromOnePixel",
            "FourConvolutions",  # 512 to 256
            "FourConvolutions",  # 256 to 128
            "ScaledConvTranspose2d",  # 128 to 64
            "ScaledConvTranspose2d",  # 64 to 3
        ]

    def test_pictures_have_only_the_outputs_that_are_shown(self) -> None:
        network = folded(lively(BigGanDeepConfig(**vars(DEEP))))
        assert len(network.generator.conv_to_rgb.weight) == 3  # type: ignore[union-attr, arg-type]
