"""Checkpoints of generators from noise, by the keys, shapes and containers of published files."""

from __future__ import annotations

import itertools
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genkit.errors import InputError, UsageError
from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.parity import Graph

from .inspecting import settings_in
from .test_gan_networks import plain_progressive, pytorch_example

Weights = dict[str, Tensor]
Reference = Callable[[Tensor], Tensor]
LATENT = 10


def stirred(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that exercise everything: no bias is zero, no norm is one."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=random)
        if name.endswith("running_var"):
            values = values.abs() + 0.5
        elif tensor.dim() == 1:
            values = values * 0.2 + (name.endswith("weight") or 0)
        else:
            values *= 2 * tensor[0].numel() ** -0.5
        tensor.copy_(values)
    return network.eval()


def save_old(content: object, path: Path) -> None:
    """In the container from before PyTorch 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


def below(name: str, network: nn.Module) -> Weights:
    return {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}


def csinva_dcgan(channels: int, padding: int) -> nn.Module:
    network = pytorch_example(LATENT, 4, channels)
    network[12] = nn.ConvTranspose2d(4, channels, 1, 1, padding, bias=False)
    return stirred(network)


def wgan(extra: int, norm: bool) -> nn.Module:
    """DCGAN_G, or DCGAN_G_nobn, of WGAN's authors for 32 x 32."""
    layers: list[tuple[str, nn.Module]] = []

    def add(part: str, conv: nn.Module, before: int, after: int, kind: str = "convt") -> None:
        name = f"{part}:{before}-{after}" if kind == "convt" else f"{part}:{after}"
        layers.append((f"{name}:{kind}", conv))
        if norm:
            layers.append((f"{part}:{after}:batchnorm", nn.BatchNorm2d(after)))
        layers.append((f"{part}:{after}:relu", nn.ReLU()))

    add("initial", nn.ConvTranspose2d(LATENT, 16, 4, 1, 0, bias=False), LATENT, 16)
    for before in (16, 8):
        conv = nn.ConvTranspose2d(before, before // 2, 4, 2, 1, bias=False)
        add("pyramid", conv, before, before // 2)
    for index in range(extra):
        add(f"extra-layers-{index}", nn.Conv2d(4, 4, 3, 1, 1, bias=False), 4, 4, "conv")
    layers.append(("final:4-3:convt", nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False)))
    layers.append(("final:3:tanh", nn.Tanh()))
    return stirred(nn.Sequential(OrderedDict(layers)))


def linear(*sizes: int, end: nn.Module) -> nn.Module:
    """csinva's generator, and WGAN's MLP_G."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return stirred(nn.Sequential(*layers[:-1], end))


def eriklindernoren() -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(LATENT, 8), nn.LeakyReLU(0.2)]
    for before, after in ((8, 12), (12, 16), (16, 24)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after, 0.8), nn.LeakyReLU(0.2)]
    return stirred(nn.Sequential(*layers, nn.Linear(24, 3 * 8 * 8), nn.Tanh()))


class ZooDcgan(nn.Module):
    """The DCGAN of the GAN zoo with a depth of two, 32 x 32."""

    def __init__(self) -> None:
        super().__init__()
        self.formatLayer = nn.ConvTranspose2d(LATENT, 16, 4, 1, 0, bias=False)
        layers: list[tuple[str, nn.Module]] = [("batchNorm0", nn.BatchNorm2d(16))]
        layers.append(("relu0", nn.ReLU()))
        for index, before in ((1, 16), (2, 8)):
            conv = nn.ConvTranspose2d(before, before // 2, 4, 2, 1, bias=False)
            layers.append((f"convTranspose{index}", conv))
            layers.append((f"batchNorm{index}", nn.BatchNorm2d(before // 2)))
            layers.append((f"relu{index}", nn.ReLU()))
        layers.append(("outlayer", nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False)))
        self.main = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        pictures: Tensor = self.main(self.formatLayer(x))
        return pictures.tanh()


class RepeatingDcgan(nn.Module):
    """eriklindernoren's for 16 x 16."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(LATENT, 16 * 4**2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(16),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 16, 3, stride=1, padding=1),
            nn.BatchNorm2d(16, 0.8),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 8, 3, stride=1, padding=1),
            nn.BatchNorm2d(8, 0.8),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 1, 3, stride=1, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        pictures: Tensor = self.conv_blocks(self.l1(z).view(-1, 16, 4, 4))
        return pictures


def zoo_file(
    monkeypatch: pytest.MonkeyPatch,
    path: Path,
    networks: dict[str, Weights],
    settings: dict[str, Any],
) -> None:
    """As `BaseGAN.save` writes it: with an object of a class that no reader has."""
    with monkeypatch.context() as patch:
        for name in ("models", "models.utils", "models.utils.config"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        kind = type("BaseConfig", (), {"__module__": "models.utils.config"})
        sys.modules["models.utils.config"].BaseConfig = kind  # type: ignore[attr-defined]
        config = kind()
        vars(config).update(settings)
        save_old({"config": config, **networks}, path)


def progressive(module: str, latent: int = LATENT, seed: int = 0) -> Weights:
    """The names of celebaHQ_s6, with three scales and fewer channels."""
    shapes: dict[str, tuple[int, ...]] = {"formatLayer": (16 * 8, latent)}
    shapes["groupScale0.0"] = (8, 8, 3, 3)
    for scale, (before, after) in enumerate([(8, 8), (8, 4)]):
        shapes[f"scaleLayers.{scale}.0"] = (after, before, 3, 3)
        shapes[f"scaleLayers.{scale}.1"] = (after, after, 3, 3)
    for scale, depth in enumerate([8, 8, 4]):
        shapes[f"toRGBLayers.{scale}"] = (3, depth, 1, 1)
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}{module}.weight"] = torch.randn(shape, generator=random)
        weights[f"{name}{module}.bias"] = torch.randn(shape[:1], generator=random) * 2
    return weights


def assert_pictures(folder: Path, reference: Reference, latent: int = LATENT) -> None:
    """The same pictures, to the byte but for what lies between two."""
    graph = Graph(open_model(folder).graph("generate", "fp32"))
    for batch in (1, 4):
        z = torch.randn(batch, latent, generator=torch.Generator().manual_seed(batch))
        (pictures,) = graph.run(["image"], z=z.numpy())
        with torch.no_grad():
            made = reference(z).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
        expected = ((made + 1) * 127.5).clamp(0, 255).numpy()
        assert pictures.shape == expected.shape
        assert np.abs(pictures - expected).max() < 0.5 + 1e-4 * 255
        assert pictures.std() > 10


def of_pixels(network: nn.Module) -> Reference:
    return lambda z: network(z[:, :, None, None])


class TestDcgan:
    def test_the_example_of_pytorch(self, tmp_path: Path) -> None:
        network = stirred(pytorch_example(LATENT, 4, 3))
        torch.save(below("module.main", network), tmp_path / "netG_epoch_24.pth")
        record = inspect_checkpoint(tmp_path / "netG_epoch_24.pth")
        assert (record["layout"], record["task"]) == ("pytorch-dcgan", "sample")
        assert settings_in(record) == {
            "part": ("module", "read"),
            "channels": (3, "read"),
            "latent": (LATENT, "read"),
            "width": (4, "read"),
            "head": ("transposed", "read"),
            "size": (64, "read"),
            "license": ("unknown", "assumed"),
        }
        folder = export_checkpoint(tmp_path / "netG_epoch_24.pth", tmp_path / "out")
        assert_pictures(folder, of_pixels(network))

    @pytest.mark.parametrize(
        ("channels", "padding", "given"), [(1, 2, None), (3, 0, None), (1, 0, {"size": "32"})]
    )
    def test_the_small_ones(
        self, channels: int, padding: int, given: dict[str, str] | None, tmp_path: Path
    ) -> None:
        """Whether a grey one has 28 or 32 pixels is a padding, which is not in the file."""
        network = csinva_dcgan(channels, padding)
        save_old(OrderedDict(below("main", network)), tmp_path / "a.pth")
        record = inspect_checkpoint(tmp_path / "a.pth")
        size = 28 if channels == 1 else 32
        assert settings_in(record)["size"] == (size, "assumed")
        assert settings_in(record)["head"] == ("point", "read")
        folder = export_checkpoint(tmp_path / "a.pth", tmp_path / "out", settings=given)
        assert_pictures(folder, of_pixels(network))

    def test_one_that_repeats_pixels(self, tmp_path: Path) -> None:
        network = stirred(RepeatingDcgan())
        torch.save(network.state_dict(), tmp_path / "a.pth")
        record = inspect_checkpoint(tmp_path / "a.pth")
        assert record["layout"] == "eriklindernoren-dcgan"
        assert settings_in(record)["size"] == (16, "read")
        assert settings_in(record)["norm_eps"] == (0.8, "assumed")
        assert_pictures(export_checkpoint(tmp_path / "a.pth", tmp_path / "out"), network)

    def test_its_discriminator_is_of_no_layout(self, tmp_path: Path) -> None:
        layers = {0: (4, 3), 2: (8, 4), 5: (16, 8), 8: (32, 16), 11: (1, 32)}
        weights = {f"main.{i}.weight": torch.zeros(*s, 4, 4) for i, s in layers.items()}
        torch.save(weights, tmp_path / "netD.pth")
        with pytest.raises(InputError, match="of no layout"):
            inspect_checkpoint(tmp_path / "netD.pth")


class TestWgan:
    @pytest.mark.parametrize(
        ("colon", "layout", "extra", "norm"), [(":", "wgan", 1, True), (".", "wgan-old", 2, False)]
    )
    def test_both_spellings(
        self, colon: str, layout: str, extra: int, norm: bool, tmp_path: Path
    ) -> None:
        network = wgan(extra, norm)
        weights = below("main", network)
        assert "main.extra-layers-0:4:conv.weight" in weights
        spelled = {name.replace(":", colon): tensor for name, tensor in weights.items()}
        save_old(spelled, tmp_path / "netG_epoch_4.pth")
        record = inspect_checkpoint(tmp_path / "netG_epoch_4.pth")
        assert record["layout"] == layout
        found = settings_in(record)
        assert found["extra_layers"] == (extra, "read")
        assert found["batch_norm"] == (norm, "read")
        assert found["size"] == (32, "read")
        folder = export_checkpoint(tmp_path / "netG_epoch_4.pth", tmp_path / "out")
        assert_pictures(folder, of_pixels(network))


class TestLinear:
    def test_csinvas(self, tmp_path: Path) -> None:
        network = linear(LATENT, 12, 8, 28 * 28, end=nn.Tanh())
        save_old(network.state_dict(), tmp_path / "G--300.ckpt")
        record = inspect_checkpoint(tmp_path / "G--300.ckpt")
        assert record["layout"] == "linear-gan"
        found = settings_in(record)
        assert (found["size"], found["channels"]) == ((28, "read"), (1, "assumed"))
        assert found["output"] == ("tanh", "assumed")
        folder = export_checkpoint(tmp_path / "G--300.ckpt", tmp_path / "out")
        assert_pictures(folder, lambda z: network(z).view(-1, 1, 28, 28))

    def test_wgans_ends_without_an_activation(self, tmp_path: Path) -> None:
        network = linear(LATENT, 12, 12, 12, 3 * 8 * 8, end=nn.Identity())
        torch.save(below("main", network), tmp_path / "netG.pth")
        found = settings_in(inspect_checkpoint(tmp_path / "netG.pth"))
        assert found["output"] == ("none", "assumed")
        folder = export_checkpoint(tmp_path / "netG.pth", tmp_path / "out")
        assert_pictures(folder, lambda z: network(z).view(-1, 3, 8, 8))

    def test_the_epsilon_that_was_meant_as_a_momentum(self, tmp_path: Path) -> None:
        network = eriklindernoren()
        torch.save({"generator": below("model", network)}, tmp_path / "gan.pt")
        record = inspect_checkpoint(tmp_path / "gan.pt")
        assert record["layout"] == "eriklindernoren-gan"
        assert settings_in(record)["norm_eps"] == (0.8, "assumed")
        folder = export_checkpoint(tmp_path / "gan.pt", tmp_path / "out")
        assert_pictures(folder, lambda z: network(z).view(-1, 3, 8, 8))

    def test_what_makes_no_pictures(self, tmp_path: Path) -> None:
        for pixels, message in ((1, "a discriminator"), (51, "no square picture")):
            network = linear(LATENT, 8, 8, pixels, end=nn.Sigmoid())
            torch.save(network.state_dict(), tmp_path / "D--300.ckpt")
            with pytest.raises(InputError, match=message):
                inspect_checkpoint(tmp_path / "D--300.ckpt")


class TestZoo:
    PROGRESSIVE: dict[str, Any] = {
        "depthScale0": 8,
        "depthOtherScales": [8, 4],
        "leakyReluLeak": 0.2,
        "perChannelNormalization": True,
        "alpha": 0,
        "equalizedlR": True,
        "attribKeysOrder": None,
        "categoryVectorDim": 0,
        "lossCriterion": "WGANGP",
    }

    @pytest.mark.parametrize(
        ("module", "layout"), [(".module", "zoo-progressive"), ("", "zoo-progressive-old")]
    )
    def test_progressive(
        self, module: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The average is taken, not the network it is of."""
        average = progressive(module)
        networks = {
            "netG": progressive(module, seed=1),
            "netD": {f"decisionLayer{module}.weight": torch.zeros(1, 8)},
            "avgG": average,
        }
        path = tmp_path / "celebaHQ_s6_i80000.pth"
        zoo_file(monkeypatch, path, networks, self.PROGRESSIVE)
        record = inspect_checkpoint(path)
        assert record["layout"] == layout
        found = settings_in(record)
        assert found["part"] == ("avgG", "assumed")
        assert found["size"] == (16, "read")
        assert found["leakyReluLeak"] == (0.2, "read")
        assert found["output"] == ("none", "read")
        if not module:  # of the two, only the names differ
            folder = export_checkpoint(path, tmp_path / "out")
            named = progressive(".module")
            assert_pictures(folder, lambda z: plain_progressive(named, z, 3))

    def test_without_equalized_layers(self, tmp_path: Path) -> None:
        """A file of tensors only tells nothing of the training; what is usual can be overridden."""
        weights = progressive(".module")
        torch.save(weights, tmp_path / "a.pth")
        found = settings_in(inspect_checkpoint(tmp_path / "a.pth"))
        assert found["equalizedlR"] == (True, "assumed")
        plain = dict(weights)
        for name in weights:
            fan = weights[f"{name.rpartition('.')[0]}.weight"][0].numel()
            plain[name] = weights[name] * (2 / fan) ** 0.5
        torch.save(plain, tmp_path / "b.pth")
        folder = export_checkpoint(
            tmp_path / "b.pth", tmp_path / "out", settings={"equalizedlR": "no"}
        )
        assert_pictures(folder, lambda z: plain_progressive(weights, z, 3))

    @pytest.mark.parametrize(
        ("changed", "message"),
        [({"categoryVectorDim": 4}, "AC-GAN"), ({"alpha": 0.25}, "the middle of training")],
    )
    def test_what_takes_more_than_noise_or_is_not_done(
        self,
        changed: dict[str, Any],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        networks = {"netG": progressive(".module")}
        zoo_file(monkeypatch, tmp_path / "a.pth", networks, self.PROGRESSIVE | changed)
        with pytest.raises(InputError, match=message):
            inspect_checkpoint(tmp_path / "a.pth")

    def test_dcgan(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        network = stirred(ZooDcgan())
        config = {"dimG": 4, "depth": 2, "categoryVectorDim": 0, "lossCriterion": "DCGAN"}
        path = tmp_path / "a.pth"
        zoo_file(monkeypatch, path, {"netG": below("module", network)}, config)
        record = inspect_checkpoint(path)
        assert record["layout"] == "zoo-dcgan"
        assert settings_in(record)["output"] == ("tanh", "read")
        assert_pictures(export_checkpoint(path, tmp_path / "out"), of_pixels(network))
        zoo_file(
            monkeypatch,
            path,
            {"netG": below("module", network)},
            config | {"lossCriterion": "WGANGP"},
        )
        assert settings_in(inspect_checkpoint(path))["output"] == ("none", "read")


def test_a_setting_that_cannot_be(tmp_path: Path) -> None:
    torch.save(below("main", csinva_dcgan(1, 2)), tmp_path / "a.pth")
    with pytest.raises(UsageError, match="size is a whole number"):
        inspect_checkpoint(tmp_path / "a.pth", settings={"size": "small"})
    with pytest.raises(InputError, match="a side of 28, or 8, 16, 32"):
        inspect_checkpoint(tmp_path / "a.pth", settings={"size": "30"})
