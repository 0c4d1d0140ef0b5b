"""The generators of the literature: their authors' layouts, and what their authors' code computes."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit_export.architectures.biggan import (
    BigGan,
    BigGanConfig,
    BigGanDiscriminator,
    attend,
    initialize,
    tent,
)
from genkit_export.architectures.biggan_deep import BigGanDeep, BigGanDeepConfig
from genkit_export.architectures.dcgan import DcganConfig, DcganDiscriminator
from genkit_export.architectures.gan import Gan, GanConfig, GanDiscriminator
from genkit_export.architectures.progressive import (
    Progressive,
    ProgressiveConfig,
    ProgressiveDiscriminator,
    deviation,
)
from genkit_export.architectures.spectral import (
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    orthogonality,
)

from .gans import DEEP, lively

Weights = dict[str, Tensor]


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def run(network: nn.Module, *inputs: Tensor) -> Tensor:
    with torch.no_grad():
        pictures: Tensor = network(*inputs)
    return pictures


class TestGan:
    def test_the_keys_of_a_published_generator(self) -> None:
        """csinva's for MNIST; there `main.` is missing."""
        config = GanConfig(28, 64, (256, 256), 1, leak=0)
        assert shapes(Gan(config)) == {
            "main.0.weight": (256, 64),
            "main.0.bias": (256,),
            "main.2.weight": (256, 256),
            "main.2.bias": (256,),
            "main.4.weight": (784, 256),
            "main.4.bias": (784,),
        }

    def test_batch_norm_with_the_epsilon_of_a_well_known_mistake(self) -> None:
        """`BatchNorm1d(n, 0.8)` was meant as a momentum."""
        network = lively(GanConfig(8, 10, (16, 24, 32), norm_eps=0.8))
        reference = nn.Sequential(
            nn.Linear(10, 16),
            nn.LeakyReLU(0.2),
            nn.Linear(16, 24),
            nn.BatchNorm1d(24, 0.8),
            nn.LeakyReLU(0.2),
            nn.Linear(24, 32),
            nn.BatchNorm1d(32, 0.8),
            nn.LeakyReLU(0.2),
            nn.Linear(32, 3 * 8 * 8),
            nn.Tanh(),
        ).eval()
        reference.load_state_dict(
            {name.removeprefix("main."): t for name, t in network.state_dict().items()}
        )
        z = torch.randn(4, 10)
        torch.testing.assert_close(run(network, z), run(reference, z).view(4, 3, 8, 8))

    def test_the_discriminator_judges_each_picture(self) -> None:
        network = GanDiscriminator(GanConfig(8, hidden=(16, 24)))
        assert network(torch.zeros(5, 3, 8, 8)).shape == (5,)

    def test_settings_that_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="hidden layer"):
            GanConfig(hidden=())
        with pytest.raises(ValueError, match="unknown output"):
            GanConfig(output="relu")  # type: ignore[arg-type]


def pytorch_example(nz: int, ngf: int, nc: int) -> nn.Sequential:
    """The generator of pytorch/examples, written out."""
    return nn.Sequential(
        nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(ngf * 8),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf * 4),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
        nn.BatchNorm2d(ngf),
        nn.ReLU(True),
        nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


class TestDcgan:
    def test_a_published_state_dict_loads_unchanged(self) -> None:
        reference = pytorch_example(10, 4, 3)
        network = lively(DcganConfig(64, 10, 4))
        weights = network.state_dict()
        reference.load_state_dict({k.removeprefix("main."): t for k, t in weights.items()})
        z = torch.randn(3, 10, 1, 1)
        torch.testing.assert_close(run(network, z), run(reference.eval(), z))
        torch.testing.assert_close(run(network, z[:, :, 0, 0]), run(network, z))

    @pytest.mark.parametrize(("size", "channels", "padding"), [(32, 3, 0), (28, 1, 2)])
    def test_the_small_ones_end_in_a_point(self, size: int, channels: int, padding: int) -> None:
        """csinva's for CIFAR-10 and MNIST: no fifth doubling, and 28 is cut from 32."""
        network = lively(DcganConfig(size, 10, 4, channels, "point"))
        reference = pytorch_example(10, 4, channels)
        reference[12] = nn.ConvTranspose2d(4, channels, 1, 1, padding, bias=False)
        weights = network.state_dict()
        reference.load_state_dict({k.removeprefix("main."): t for k, t in weights.items()})
        z = torch.randn(3, 10, 1, 1)
        expected = run(reference.eval(), z)
        assert expected.shape == (3, channels, size, size)
        torch.testing.assert_close(run(network, z), expected)

    def test_the_generator_of_wgan_has_the_same_tensors_in_the_same_order(self) -> None:
        """martinarjovsky's DCGAN_G for 32 x 32: three doublings, the last of them the head."""
        reference = nn.Sequential()
        initial = "initial:10-16"
        reference.add_module(f"{initial}:convt", nn.ConvTranspose2d(10, 16, 4, 1, 0, bias=False))
        reference.add_module("initial:16:batchnorm", nn.BatchNorm2d(16))
        reference.add_module("initial:16:relu", nn.ReLU(True))
        for before, after in ((16, 8), (8, 4)):
            name = f"pyramid:{before}-{after}"
            reference.add_module(
                f"{name}:convt", nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)
            )
            reference.add_module(f"pyramid:{after}:batchnorm", nn.BatchNorm2d(after))
            reference.add_module(f"pyramid:{after}:relu", nn.ReLU(True))
        reference.add_module("extra-layers-0:4:conv", nn.Conv2d(4, 4, 3, 1, 1, bias=False))
        reference.add_module("extra-layers-0:4:batchnorm", nn.BatchNorm2d(4))
        reference.add_module("extra-layers-0:4:relu", nn.ReLU(True))
        reference.add_module("final:4-3:convt", nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False))
        reference.add_module("final:3:tanh", nn.Tanh())
        network = lively(DcganConfig(32, 10, 4, extra_layers=1))
        names, tensors = reference.state_dict().keys(), network.state_dict().values()
        reference.load_state_dict(dict(zip(names, tensors, strict=True)))
        z = torch.randn(3, 10, 1, 1)
        torch.testing.assert_close(run(network, z), run(reference.eval(), z))

    @pytest.mark.parametrize("size", [28, 32, 64, 128])
    @pytest.mark.parametrize("norm", ["batch", "layer", "none"])
    def test_the_discriminator_sees_the_whole_picture(self, size: int, norm: Any) -> None:
        network = DcganDiscriminator(size, 2, norm=norm)
        assert network(torch.zeros(3, 3, size, size)).shape == (3,)

    def test_the_discriminator_of_the_paper(self) -> None:
        weights = {k: s for k, s in shapes(DcganDiscriminator()).items() if len(s) == 4}
        assert weights == {
            "main.0.weight": (64, 3, 4, 4),
            "main.2.weight": (128, 64, 4, 4),
            "main.5.weight": (256, 128, 4, 4),
            "main.8.weight": (512, 256, 4, 4),
            "main.11.weight": (1, 512, 4, 4),
        }

    def test_settings_that_make_no_sense(self) -> None:
        for make in (
            lambda: DcganConfig(size=48),
            lambda: DcganConfig(head="flat"),  # type: ignore[arg-type]
            lambda: DcganConfig(upsample="cubic"),  # type: ignore[arg-type]
            lambda: DcganDiscriminator(norm="group"),  # type: ignore[arg-type]
        ):
            with pytest.raises(ValueError, match=r"unknown|a side of"):
                make()


def plain_progressive(w: Weights, z: Tensor, scales: int, fade: float = 0.0) -> Tensor:
    """The generator of the GAN zoo again, by functions only."""

    def layer(x: Tensor, name: str) -> Tensor:
        weight, bias = w[f"{name}.module.weight"], w[f"{name}.module.bias"]
        constant = (2 / weight[0].numel()) ** 0.5
        if weight.dim() == 2:
            return (x @ weight.T + bias) * constant  # the bias is scaled as well
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2) * constant

    def norm(x: Tensor) -> Tensor:
        return x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = F.leaky_relu(layer(norm(z), "formatLayer"), 0.2)
    x = norm(x.view(len(z), -1, 4, 4))
    x = norm(F.leaky_relu(layer(x, "groupScale0.0"), 0.2))
    coarse = x
    for scale in range(scales - 1):
        coarse = layer(x, f"toRGBLayers.{scale}")
        x = double(x)
        for i in (0, 1):
            x = norm(F.leaky_relu(layer(x, f"scaleLayers.{scale}.{i}"), 0.2))
    fine = layer(x, f"toRGBLayers.{scales - 1}")
    return fine if not fade else fade * double(coarse) + (1 - fade) * fine


class TestProgressive:
    def test_the_keys_of_a_published_generator(self) -> None:
        """celebaHQ at 256."""
        keys = shapes(Progressive(ProgressiveConfig()))
        assert keys["formatLayer.module.weight"] == (8192, 512)
        assert keys["groupScale0.0.module.weight"] == (512, 512, 3, 3)
        assert keys["scaleLayers.3.0.module.weight"] == (256, 512, 3, 3)
        assert keys["scaleLayers.5.1.module.bias"] == (64,)
        assert keys["toRGBLayers.6.module.weight"] == (3, 64, 1, 1)
        assert len([k for k in keys if k.startswith("toRGBLayers")]) == 14
        assert ProgressiveConfig().size == 256

    @pytest.mark.parametrize(("level", "fade"), [(3, 0.0), (2, 0.0), (3, 0.3)])
    def test_it_computes_what_the_published_one_does(self, level: int, fade: float) -> None:
        network = lively(ProgressiveConfig((16, 16, 8), 16))
        z = torch.randn(2, 16)
        with torch.no_grad():
            found = network(z, level, fade)
        expected = plain_progressive(network.state_dict(), z, level, fade)
        assert found.shape == (2, 3, 2 ** (level + 1), 2 ** (level + 1))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    def test_a_new_scale_begins_as_what_was_there(self) -> None:
        network = lively(ProgressiveConfig((16, 16, 8), 16))
        z = torch.randn(2, 16)
        with torch.no_grad():
            before = F.interpolate(network(z, 2), scale_factor=2)
            torch.testing.assert_close(network(z, 3, 1.0), before)
        judge = ProgressiveDiscriminator(ProgressiveConfig((16, 16, 8), 16))
        pictures = torch.rand(4, 3, 16, 16)
        with torch.no_grad():
            torch.testing.assert_close(judge(pictures, 3, 1.0), judge(F.avg_pool2d(pictures, 2), 2))

    def test_a_group_without_variety_has_no_deviation(self) -> None:
        same = torch.rand(1, 3, 4, 4).expand(8, 3, 4, 4)
        assert float(deviation(same).max()) < 2e-4
        varied = torch.randn(8, 64, 4, 4)
        assert float(deviation(varied).mean()) == pytest.approx(0.92, abs=0.05)
        assert not deviation(varied[:1]).any()

    def test_settings_that_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="two scales"):
            ProgressiveConfig((16,))
        with pytest.raises(ValueError, match="unknown output"):
            ProgressiveConfig(output="sigmoid")  # type: ignore[arg-type]


def plain_biggan(w: Weights, z: Tensor, y: Tensor, config: BigGanConfig) -> Tensor:
    """The generator of BigGAN-PyTorch in evaluation mode again, by functions only."""

    def normal(name: str) -> Tensor:
        matrix = w[f"{name}.weight"].flatten(1)
        v = F.normalize(w[f"{name}.u0"] @ matrix)
        u = F.normalize(v @ matrix.T)
        return w[f"{name}.weight"] / (v @ matrix.T @ u.T)[0, 0]

    def conv(x: Tensor, name: str) -> Tensor:
        weight = normal(name)
        return F.conv2d(x, weight, w.get(f"{name}.bias"), padding=weight.shape[2] // 2)

    def norm(x: Tensor, name: str, y: Tensor) -> Tensor:
        mean, var = w[f"{name}.stored_mean"], w[f"{name}.stored_var"]
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        if config.shared:
            gain, bias = y @ normal(f"{name}.gain").T, y @ normal(f"{name}.bias").T
        else:
            gain, bias = w[f"{name}.gain.weight"][y], w[f"{name}.bias.weight"][y]
        return x * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    blocks = config.blocks
    conditions = [w["shared.weight"][y] if config.shared else y] * blocks
    if config.hierarchical:
        z, *rest = z.chunk(blocks + 1, 1)
        conditions = [torch.cat([conditions[0], part], 1) for part in rest]
    x = (z @ normal("linear").T + w["linear.bias"]).view(len(z), -1, 4, 4)
    for i in range(blocks):
        name = f"blocks.{i}.0"
        h = conv(double(norm(x, f"{name}.bn1", conditions[i]).relu()), f"{name}.conv1")
        h = conv(norm(h, f"{name}.bn2", conditions[i]).relu(), f"{name}.conv2")
        x = h + conv(double(x), f"{name}.conv_sc")
        name = f"blocks.{i}.1"
        if f"{name}.gamma" in w:
            n, _, height, width = x.shape
            theta = conv(x, f"{name}.theta").view(n, -1, height * width)
            phi = F.max_pool2d(conv(x, f"{name}.phi"), 2).view(n, -1, height * width // 4)
            g = F.max_pool2d(conv(x, f"{name}.g"), 2).view(n, -1, height * width // 4)
            beta = torch.bmm(theta.transpose(1, 2), phi).softmax(-1)
            seen = torch.bmm(g, beta.transpose(1, 2)).view(n, -1, height, width)
            x = w[f"{name}.gamma"] * conv(seen, f"{name}.o") + x
    last = "output_layer.0"
    scale = w[f"{last}.gain"] / (w[f"{last}.stored_var"] + 1e-5).sqrt()
    shift = w[f"{last}.bias"] - w[f"{last}.stored_mean"] * scale
    x = (x * scale[:, None, None] + shift[:, None, None]).relu()
    return conv(x, "output_layer.2").tanh()


class TestBigGan:
    def test_the_keys_of_the_published_generator(self) -> None:
        """128 x 128, 96 channels, with hierarchical noise and a shared embedding."""
        with torch.device("meta"):
            network = BigGan(
                BigGanConfig(128, 96, (), 120, 1000, attention=(64,), shared=128, hierarchical=True)
            )
        keys = shapes(network)
        assert keys["shared.weight"] == (1000, 128)
        assert keys["linear.weight"] == (16 * 96 * 16, 20)
        assert keys["linear.u0"] == (1, 16 * 96 * 16)
        assert keys["linear.sv0"] == (1,)
        assert keys["blocks.0.0.conv1.weight"] == (1536, 1536, 3, 3)
        assert keys["blocks.4.0.conv_sc.weight"] == (96, 192, 1, 1)
        assert keys["blocks.0.0.bn1.gain.weight"] == (1536, 148)
        assert keys["blocks.0.0.bn1.gain.u0"] == (1, 1536)
        assert keys["blocks.2.0.bn2.stored_mean"] == (384,)
        assert keys["blocks.3.1.theta.weight"] == (24, 192, 1, 1)
        assert keys["blocks.3.1.gamma"] == ()
        assert keys["output_layer.0.gain"] == (96,)
        assert keys["output_layer.2.weight"] == (3, 96, 3, 3)

    def test_the_keys_of_the_one_for_cifar(self) -> None:
        keys = shapes(BigGan(BigGanConfig()))
        assert keys["linear.weight"] == (256 * 16, 128)
        assert keys["blocks.2.0.bn2.bias.weight"] == (10, 256)
        assert keys["output_layer.2.weight"] == (3, 256, 3, 3)

    @pytest.mark.parametrize("hierarchical", [False, True])
    def test_it_computes_what_the_published_one_does(self, hierarchical: bool) -> None:
        shared = 8 if hierarchical else 0
        network = lively(
            BigGanConfig(
                width=8,
                multiples=(4, 4, 2, 1),
                latent=16,
                attention=(16,),
                shared=shared,
                hierarchical=hierarchical,
            )
        )
        z, label = torch.randn(3, 16), torch.tensor([1, 9, 0])
        expected = plain_biggan(network.state_dict(), z, label, network.config)  # type: ignore[arg-type]
        found = run(network, z, label)
        assert float(found.std()) > 0.1
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_statistics_follow_the_truncation(self) -> None:
        config = BigGanConfig(width=4, multiples=(2, 1), size=8, latent=8, statistics=3)
        by_row = [lively(BigGanConfig(width=4, multiples=(2, 1), size=8, latent=8)) for _ in "abc"]
        network = lively(config)
        for row, single in enumerate(by_row):
            weights = network.state_dict()
            single.load_state_dict(
                {name: t[row] if "stored" in name else t for name, t in weights.items()}
            )
        z, label = torch.randn(2, 8), torch.tensor([3, 4])
        for row, single in enumerate(by_row):
            expected = run(single, z, label)
            torch.testing.assert_close(run(network, z, label, torch.tensor(row / 2)), expected)
        with pytest.raises(ValueError, match="need a truncation"):
            run(network, z, label)

    def test_training_moves_the_statistics_of_truncation_1(self) -> None:
        network = lively(BigGanConfig(width=4, multiples=(2, 1), size=8, latent=8, statistics=3))
        norm = network.blocks[0][0].bn1  # type: ignore[index]
        before = norm.stored_mean.clone()
        run(network.train(), torch.randn(4, 8), torch.arange(4))
        assert torch.equal(norm.stored_mean[:2], before[:2])
        assert not torch.equal(norm.stored_mean[2], before[2])

    def test_the_discriminator_knows_the_class(self) -> None:
        network = BigGanDiscriminator(8, 10, (1, 2, 4), (True, True, False), attention=(16,))
        initialize(network)
        pictures = torch.randn(1, 3, 32, 32).expand(10, 3, 32, 32)
        verdicts = run(network, pictures, torch.arange(10))
        assert verdicts.shape == (10,)
        assert float(verdicts.std()) > 0
        assert "blocks.0.1.gamma" in network.state_dict()  # attention at 16 x 16

    def test_settings_that_make_no_sense(self) -> None:
        for fields in (
            {"size": 48},
            {"size": 64, "multiples": (4, 4)},
            {"hierarchical": True},
            {"hierarchical": True, "shared": 8, "latent": 10},
        ):
            with pytest.raises(ValueError, match=r"multiples|do not make|shared|equal parts"):
                BigGanConfig(**fields)  # type: ignore[arg-type]


@pytest.fixture
def published_deep(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of pytorch-pretrained-biggan, without its downloader and what that needs."""
    found = importlib.util.find_spec("pytorch_pretrained_biggan")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("pytorch-pretrained-biggan is not installed")
    package = types.ModuleType("pytorch_pretrained_biggan")
    package.__path__ = list(found.submodule_search_locations)
    downloader = types.ModuleType("pytorch_pretrained_biggan.file_utils")
    downloader.cached_path = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, downloader.__name__, downloader)
    model = importlib.import_module("pytorch_pretrained_biggan.model")
    yield model
    for name in ("model", "config"):
        sys.modules.pop(f"pytorch_pretrained_biggan.{name}", None)


class TestBigGanDeep:
    def test_it_computes_what_the_published_one_does(self, published_deep: Any) -> None:
        network = lively(DEEP)
        config = published_deep.BigGANConfig(**vars(DEEP))
        reference = published_deep.BigGAN(config).eval()
        weights = network.state_dict()
        reference.load_state_dict(weights)  # the same keys and shapes
        z, label = torch.randn(3, 8), torch.tensor([4, 0, 2])
        one_hot = F.one_hot(label, 5).float()
        for truncation in (0.4, 0.5, 1.0):  # in between, the published code mixes the wrong way
            expected = run(reference, z, one_hot, truncation)  # type: ignore[arg-type]
            found = run(network, z, label, torch.tensor(truncation))
            assert float(found.std()) > 0.1
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_the_published_128(self) -> None:
        with torch.device("meta"):
            network = BigGanDeep(BigGanDeepConfig())
        keys = shapes(network)
        assert keys["embeddings.weight"] == (128, 1000)
        assert keys["generator.gen_z.weight_orig"] == (32768, 256)
        assert keys["generator.layers.0.bn_0.running_means"] == (51, 2048)
        assert keys["generator.layers.8.snconv1x1_theta.weight_orig"] == (32, 256, 1, 1)
        assert keys["generator.layers.10.conv_3.weight_u"] == (128,)
        assert keys["generator.conv_to_rgb.weight_orig"] == (128, 128, 3, 3)
        assert sum(p.numel() for p in network.parameters()) == pytest.approx(50.4e6, rel=0.01)

    def test_settings_that_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="do not make pictures of 256"):
            BigGanDeepConfig(output_dim=256)
        with pytest.raises(ValueError, match="two rows"):
            BigGanDeepConfig(n_stats=1)


class TestParts:
    @pytest.mark.parametrize(
        "layer", [SpectralConv2d(4, 6, 3), SpectralLinear(8, 5), SpectralEmbedding(7, 5)]
    )
    def test_the_largest_singular_value_becomes_one(self, layer: Any) -> None:
        layer.train()
        for _ in range(100):
            layer.sigma()
        with torch.no_grad():
            values = torch.linalg.svdvals(layer.normalized().flatten(1))
        assert float(values[0]) == pytest.approx(1, abs=1e-3)
        before = layer.u0.clone()
        layer.eval().sigma()
        assert torch.equal(layer.u0, before)

    def test_orthogonal_filters_cost_nothing(self) -> None:
        layer = nn.Conv2d(4, 6, 3)
        nn.init.orthogonal_(layer.weight)
        assert orthogonality(layer).item() == pytest.approx(0, abs=1e-4)
        with torch.no_grad():
            layer.weight[1] = layer.weight[0]
        assert orthogonality(layer).item() == pytest.approx(2, rel=1e-4)  # both of the pair
        tall = nn.Linear(3, 8)
        products = tall.weight @ tall.weight.T
        expected = (products * (1 - torch.eye(8))).square().sum()
        torch.testing.assert_close(orthogonality(tall), expected)

    def test_a_tent_interpolates(self) -> None:
        torch.testing.assert_close(tent(torch.tensor(0.5), 3), torch.tensor([0.0, 1, 0]))
        torch.testing.assert_close(tent(torch.tensor(0.9), 3), torch.tensor([0.0, 0.2, 0.8]))
        for truncation in (0.14, 0.28, 0.56, 0.58, 0.94):
            weights = tent(torch.tensor(truncation), 51)
            assert float(weights[round(truncation * 50)]) == pytest.approx(1, abs=1e-4)

    def test_attention_averages_what_looks_alike(self) -> None:
        """With keys that are all the same, every place sees the mean."""
        theta, phi, g = torch.rand(2, 2, 4, 6), torch.ones(2, 2, 4, 6), torch.rand(2, 5, 4, 6)
        mean = F.max_pool2d(g, 2).mean((2, 3), keepdim=True)
        torch.testing.assert_close(attend(theta, phi, g), mean.expand(2, 5, 4, 6))
