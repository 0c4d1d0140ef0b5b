"""What the files of published generators do not tell, and what genkit does not have, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.model import open_model
from genkit_export import export_checkpoint, inspect_checkpoint
from genkit_export.architectures.cyclegan import (
    ResnetConfig,
    ResnetGenerator,
    UnetConfig,
    UnetGenerator,
)
from genkit_export.architectures.dcgan import Dcgan, DcganConfig
from genkit_export.parity import Graph

from .gans import lively
from .inspecting import assert_refused, settings_of
from .test_layout_biggan import SHARED
from .test_layout_gan import LATENT, RepeatingDcgan, ZooDcgan, below, stirred, zoo_file
from .test_layout_junyanz import assert_pictures, filled, resnet_shapes

ZOO = {"lossCriterion": "MSE"}


class TestAverages:
    """The GAN zoo averages parameters, not the statistics of norms."""

    def zoo(self, monkeypatch: pytest.MonkeyPatch, path: Path, *idle: str) -> None:
        networks = {}
        for index, name in enumerate(("netG", "avgG")):
            weights = below(f"{name}.module", stirred(ZooDcgan(), index))
            for key, tensor in weights.items():
                if name in idle and key.endswith(("running_mean", "running_var")):
                    tensor.fill_(float(key.endswith("var")))
            networks[name] = {key.removeprefix(f"{name}."): t for key, t in weights.items()}
        zoo_file(monkeypatch, path, networks, ZOO)

    def test_one_that_saw_batches_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.zoo(monkeypatch, tmp_path / "a.pt")
        assert settings_of(tmp_path / "a.pt")["part"] == ("avgG.module", "assumed")

    def test_one_that_never_saw_a_batch_is_not(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.zoo(monkeypatch, tmp_path / "a.pt", "avgG")
        assert settings_of(tmp_path / "a.pt")["part"] == ("netG.module", "assumed")
        assert inspect_checkpoint(tmp_path / "a.pt")["notes"] == [
            "no batch ever went through avgG.module, so netG.module is taken"
        ]
        (note,) = inspect_checkpoint(tmp_path / "a.pt", settings={"part": "avgG.module"})["notes"]
        assert note.startswith("no batch ever went through avgG.module: ")

    def test_where_none_did_it_is_said(self, tmp_path: Path) -> None:
        torch.save(ZooDcgan().state_dict(), tmp_path / "a.pt")
        said: list[str] = []
        export_checkpoint(tmp_path / "a.pt", tmp_path / "out", report=said.append)
        assert any("no batch ever went through the network" in line for line in said)


class TestNormsOfKindNone:
    """`--norm none` of junyanz: no norms, and no biases but the last one."""

    @pytest.mark.parametrize(
        ("network", "multiple"),
        [
            (ResnetGenerator(ResnetConfig(4, 1, norm="none")), 8),
            (UnetGenerator(UnetConfig(2, 5, norm="none")), 32),
        ],
    )
    def test_run(self, network: nn.Module, multiple: int, tmp_path: Path) -> None:
        names = set(network.state_dict())
        assert not any("running" in name for name in names)
        torch.save(stirred(network).state_dict(), tmp_path / "latest_net_G.pth")
        assert settings_of(tmp_path / "latest_net_G.pth")["norm"] == ("none", "read")
        out = export_checkpoint(tmp_path / "latest_net_G.pth", tmp_path / "out")
        assert_pictures(out, network, multiple)


class TestSizes:
    @pytest.mark.parametrize("size", [8, 16, 256])
    def test_a_dcgan_of_any_power_of_two(self, size: int) -> None:
        network = Dcgan(DcganConfig(size, 4, 2))
        assert network(torch.zeros(1, 4)).shape == (1, 3, size, size)

    @pytest.mark.parametrize("size", [0, 4, 12, 34, 48])
    def test_no_other(self, size: int) -> None:
        with pytest.raises(ValueError, match="pictures have a side of"):
            DcganConfig(size)

    def test_a_zoo_of_a_loss_without_a_sigmoid_ends_without_tanh(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        network = stirred(ZooDcgan())
        networks = {"netG": below("module", network)}
        zoo_file(monkeypatch, tmp_path / "a.pt", networks, {"lossCriterion": "WGANGP"})
        assert settings_of(tmp_path / "a.pt")["output"] == ("none", "read")
        graph = exported(tmp_path / "a.pt", tmp_path / "out")
        assert isinstance(network, ZooDcgan)
        assert_same(graph, lambda z: network.main(network.formatLayer(z[..., None, None])), LATENT)


class TestInfoGan:
    """The DCGAN of eriklindernoren has its tensors."""

    def test_it_is_told_of(self, tmp_path: Path) -> None:
        torch.save(stirred(RepeatingDcgan()).state_dict(), tmp_path / "a.pth")
        assert settings_of(tmp_path / "a.pth")["codes"] == ((0, 0), "assumed")
        assert "InfoGAN" in inspect_checkpoint(tmp_path / "a.pth")["notes"][0]
        assert inspect_checkpoint(tmp_path / "a.pth", settings={"codes": "4,2"})["notes"] == []
        assert_refused(tmp_path / "a.pth", "codes are two numbers", codes="10,2")

    def test_classes_and_codes_are_what_it_was_trained_on(self, tmp_path: Path) -> None:
        network = stirred(RepeatingDcgan())
        torch.save(network.state_dict(), tmp_path / "a.pth")
        graph = exported(tmp_path / "a.pth", tmp_path / "out", codes="4,2")

        def reference(z: Tensor) -> Tensor:
            noise, labels, codes = z.split([LATENT - 6, 4, 2], 1)
            chosen = F.one_hot(labels.argmax(1), 4).float()
            uniform = torch.distributions.Normal(0, 1).cdf(codes) * 2 - 1
            pictures: Tensor = network(torch.cat([noise, chosen, uniform], 1))
            return pictures

        assert_same(graph, reference, LATENT)


class TestBigGan:
    def test_what_the_file_does_not_tell_is_asked_for(self, tmp_path: Path) -> None:
        torch.save(lively(SHARED).state_dict(), tmp_path / "G.pth")
        found = settings_of(tmp_path / "G.pth", norm_eps="0.01")
        assert found["leak"] == (0.0, "assumed")
        assert found["output_norm_eps"] == (1e-5, "assumed")

    def test_the_last_norm_has_an_epsilon_of_its_own(self) -> None:
        from dataclasses import replace

        from genkit_export.architectures.biggan import BigGan

        eps = replace(SHARED, norm_eps=0.01, output_norm_eps=1e-5, leak=0.2)
        network = BigGan(eps)
        norm, activation, _ = network.output_layer
        assert (norm.eps, activation.negative_slope) == (1e-5, 0.2)
        assert all(m.eps == 0.01 for n, m in network.named_modules() if n.endswith("bn1"))
        assert BigGan(replace(SHARED, norm_eps=0.01)).output_layer[0].eps == 0.01
        block = network.blocks[0][0]
        assert torch.equal(block.activated(torch.tensor([-1.0, 2.0])), torch.tensor([-0.2, 2.0]))

    def test_a_leaky_one_is_what_the_authors_build(self, tmp_path: Path) -> None:
        torch.save(lively(SHARED).state_dict(), tmp_path / "G.pth")
        plain = exported(tmp_path / "G.pth", tmp_path / "plain")
        leaky = exported(tmp_path / "G.pth", tmp_path / "leaky", leak="0.2")
        feeds = {"z": np.ones((1, 12), np.float32), "class": [0]}
        (one,), (other,) = (graph.run(["image"], **feeds) for graph in (plain, leaky))
        assert (one != other).any()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda w: w | {"blocks.0.0.conv3.weight": torch.zeros(1)},
                "is a BigGAN-deep of ajbrock",
            ),
            (
                lambda w: {k: t for k, t in w.items() if "stored" not in k},
                "norms without statistics",
            ),
            (
                lambda w: w | {"output_layer.2.weight": torch.zeros(6, 8, 3, 3)},
                "colours 6: genkit has pictures of 1 to 4 channels",
            ),
        ],
    )
    def test_others_are_refused_by_name(
        self, change: Callable[[Any], Any], message: str, tmp_path: Path
    ) -> None:
        torch.save(change(lively(SHARED).state_dict()), tmp_path / "G.pth")
        assert_refused(tmp_path / "G.pth", message)


@pytest.mark.parametrize("place", ["l1.0", "model.0"])
def test_generators_by_class_of_eriklindernoren(place: str, tmp_path: Path) -> None:
    from .test_layout_gan import eriklindernoren

    network = RepeatingDcgan() if place == "l1.0" else eriklindernoren()
    state = network.state_dict() if place == "l1.0" else below("model", network)
    torch.save({**state, "label_emb.weight": torch.zeros(10, LATENT)}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth", r"by class \(label_emb.weight: cgan, acgan or sgan")


def test_pix2pixhd_and_lama_regular(tmp_path: Path) -> None:
    """One more layer that halves the size, and blocks one number further."""
    weights = filled(resnet_shapes(2))
    moved = {
        name.replace("model.10.conv_block", "model.13.conv_block").replace(
            "model.11.conv_block", "model.14.conv_block"
        ): tensor
        for name, tensor in weights.items()
    }
    torch.save(moved, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth", "3 layers that halve the size, .* pix2pixHD")


class TestLama:
    @pytest.mark.parametrize(
        ("told", "output"),
        [(True, "tanh"), (False, "none"), ("sigmoid", "sigmoid"), ("tanh", "tanh")],
    )
    def test_the_last_activation_is_read(self, told: Any, output: str, tmp_path: Path) -> None:
        from .test_layout_lama import shapes

        weights = {f"generator.{name}": t for name, t in filled(shapes()).items()}
        parameters = {"generator": {"kind": "ffc_resnet", "add_out_act": told}}
        content = {"state_dict": weights, "hyper_parameters": parameters}
        torch.save(content, tmp_path / "best.ckpt")
        assert settings_of(tmp_path / "best.ckpt")["output"] == (output, "read")

    def test_or_assumed_or_from_the_settings_beside_it(self, tmp_path: Path) -> None:
        from .test_layout_lama import shapes

        (tmp_path / "models").mkdir()
        path = tmp_path / "models" / "best.ckpt"
        torch.save(filled(shapes()), path)
        assert settings_of(path)["output"] == ("sigmoid", "assumed")
        (tmp_path / "config.yaml").write_text("generator:\n  kind: x\n  add_out_act: relu # odd\n")
        assert_refused(path, "add_out_act=relu")
        (tmp_path / "config.yaml").write_text("generator:\n  add_out_act: true\n")
        assert settings_of(path)["output"] == ("tanh", "read")

    def test_gates_are_refused_by_name(self, tmp_path: Path) -> None:
        from .test_layout_lama import shapes

        weights = filled(shapes()) | {"model.2.ffc.gate.bias": torch.zeros(2)}
        torch.save(weights, tmp_path / "a.pth")
        assert_refused(tmp_path / "a.pth", "gated convolutions")


def exported(path: Path, out: Path, **given: str) -> Graph:
    folder = export_checkpoint(path, out, settings=given)
    return Graph(open_model(folder).graph("generate", "fp32"))


def assert_same(graph: Graph, reference: Callable[[Tensor], Tensor], latent: int) -> None:
    z = torch.randn(3, latent, generator=torch.Generator().manual_seed(5))
    (found,) = graph.run(["image"], z=z.numpy())
    with torch.no_grad():
        expected = (reference(z).permute(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(found - expected.expand(-1, -1, -1, 3).clamp(0, 255).numpy()).max() < 0.51
    assert found.std() > 10
