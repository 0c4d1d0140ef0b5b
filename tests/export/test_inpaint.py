"""Networks that fill holes: the smooth fill, LaMa's layout and Fourier transform, and the graphs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genkit.model import open_model
from genkit_export import export_checkpoint, inpaint
from genkit_export.architectures.fourier import Waves, irfft2, rfft2
from genkit_export.architectures.inpaint import (
    FourierUnit,
    Gated,
    GatedConfig,
    Lama,
    LamaConfig,
    smooth_fill,
)
from genkit_export.checkpoints import genkit as own
from genkit_export.parity import Graph
from genkit_export.picture_graph import noise

SMALL = LamaConfig(width=8, downs=2, blocks=1)
SMALL_GATED = GatedConfig(
    widths=(4, 6, 8), blocks=(1, 2), dilations=(1, 2), levels=3, relaxations=2
)


def lively(network: nn.Module) -> nn.Module:
    """A network whose every weight matters: no bias is zero, no norm is one."""
    random = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=random)
        elif name.endswith(("weight", "var")):
            tensor.uniform_(0.7, 1.3, generator=random)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.2, generator=random)
    return network.eval()


class TestFourier:
    @pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 5), (12, 6), (65, 65)])
    def test_forward_and_back(self, size: tuple[int, int]) -> None:
        x = torch.randn(2, 3, *size)
        waves = Waves.of(x)
        real, imaginary = rfft2(x, waves)
        expected = torch.fft.rfft2(x, norm="ortho")
        torch.testing.assert_close(real, expected.real, atol=1e-5, rtol=0)
        torch.testing.assert_close(imaginary, expected.imag, atol=1e-5, rtol=0)
        torch.testing.assert_close(irfft2(real, imaginary, waves), x, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5)])
    def test_back_from_a_spectrum_of_no_picture(self, size: tuple[int, int]) -> None:
        """After the convolution it has imaginary parts where that of a picture has none."""
        shape = (2, 3, size[0], size[1] // 2 + 1)
        real, imaginary = torch.randn(shape), torch.randn(shape)
        waves = Waves.of(torch.empty(size))
        expected = torch.fft.irfft2(torch.complex(real, imaginary), size, norm="ortho")
        torch.testing.assert_close(irfft2(real, imaginary, waves), expected, atol=1e-5, rtol=0)

    def test_the_unit_orders_its_channels_as_the_authors_do(self) -> None:
        unit = lively(FourierUnit(3))
        x = torch.randn(2, 3, 6, 7)
        spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        pairs = torch.stack((spectrum.real, spectrum.imag), dim=-1)
        pairs = pairs.permute(0, 1, 4, 2, 3).reshape(2, 6, 6, 4)
        with torch.no_grad():
            pairs = torch.relu(unit.bn(unit.conv_layer(pairs)))  # type: ignore[operator]
            pairs = pairs.view(2, 3, 2, 6, 4).permute(0, 1, 3, 4, 2).contiguous()
            expected = torch.fft.irfftn(
                torch.view_as_complex(pairs), s=(6, 7), dim=(-2, -1), norm="ortho"
            )
            torch.testing.assert_close(unit(x, Waves.of(x)), expected, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def big() -> dict[str, Tensor]:
    with torch.device("meta"):
        return Lama(LamaConfig()).state_dict()


class TestLayout:
    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("1.ffc.convl2l.weight", (64, 4, 7, 7)),
            ("1.bn_l.running_mean", (64,)),
            ("2.ffc.convl2l.weight", (128, 64, 3, 3)),
            ("4.ffc.convl2l.weight", (128, 256, 3, 3)),
            ("4.ffc.convl2g.weight", (384, 256, 3, 3)),
            ("4.bn_g.weight", (384,)),
            ("5.conv1.ffc.convg2l.weight", (128, 384, 3, 3)),
            ("5.conv1.ffc.convg2g.conv1.0.weight", (192, 384, 1, 1)),
            ("5.conv1.ffc.convg2g.conv1.1.running_var", (192,)),
            ("5.conv1.ffc.convg2g.fu.conv_layer.weight", (384, 384, 1, 1)),
            ("5.conv1.ffc.convg2g.fu.bn.weight", (384,)),
            ("22.conv2.ffc.convg2g.conv2.weight", (384, 192, 1, 1)),
            ("24.weight", (512, 256, 3, 3)),
            ("25.running_mean", (256,)),
            ("30.weight", (128, 64, 3, 3)),
            ("34.weight", (3, 64, 7, 7)),
            ("34.bias", (3,)),
        ],
    )
    def test_keys_of_big_lama(
        self, big: dict[str, Tensor], key: str, shape: tuple[int, ...]
    ) -> None:
        assert tuple(big[f"model.{key}"].shape) == shape

    def test_the_size_of_big_lama(self) -> None:
        with torch.device("meta"):
            count = sum(p.numel() for p in Lama(LamaConfig()).parameters())
        assert round(count / 1e6) == 51

    def test_a_pixel_sees_the_whole_picture(self) -> None:
        network = lively(Lama(SMALL))
        x = torch.rand(1, 4, 96, 96, requires_grad=True)
        network(x)[0, 0, 5, 5].backward()
        assert x.grad is not None
        assert (x.grad[0, :3, -8:, -8:] != 0).any()


class TestSmoothFill:
    def test_what_is_known_stays(self) -> None:
        picture, known = torch.rand(2, 3, 32, 64), (torch.rand(2, 1, 32, 64) > 0.5).float()
        filled = smooth_fill(picture * known, known, 4, 2)
        assert torch.equal(filled * known, picture * known)

    def test_one_colour_is_filled_with_itself(self) -> None:
        known = torch.ones(1, 1, 32, 32)
        known[..., 3:29, 2:30] = 0
        picture = torch.full((1, 3, 32, 32), 0.25)
        torch.testing.assert_close(smooth_fill(picture * known, known, 5, 2), picture)

    @pytest.mark.parametrize("levels", [1, 3])
    def test_far_from_everything_it_is_the_mean(self, levels: int) -> None:
        """Two levels of 32 pixels leave no known one in the middle."""
        known = torch.zeros(1, 1, 32, 32)
        known[..., 0, :] = 1
        picture = torch.zeros(1, 1, 32, 32)
        picture[..., 0, :16] = 1
        assert float(smooth_fill(picture, known, levels, 0)[0, 0, 28, 16]) == pytest.approx(0.5)

    def test_relaxing_makes_a_slope_straight(self) -> None:
        slope = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
        known = torch.ones(1, 1, 32, 32)
        known[..., 8:24] = 0
        errors = [
            float((smooth_fill(slope * known, known, 4, count) - slope).abs().max())
            for count in (0, 4, 16)
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 0.02

    def test_nothing_known(self) -> None:
        filled = smooth_fill(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), 2, 2)
        assert torch.equal(filled, torch.zeros(1, 3, 8, 8))


class TestGated:
    def test_an_untrained_correction_is_small_beside_the_fill(self) -> None:
        network = Gated(SMALL_GATED)
        nn.init.constant_(network.last.bias, 0.125)
        x = torch.rand(1, 4, 16, 24)
        x[:, 3:] = (x[:, 3:] > 0.5).float()
        with torch.no_grad():
            smooth = smooth_fill(x[:, :3], 1 - x[:, 3:], 3, 2)
            torch.testing.assert_close(network(x), smooth + 0.125)

    def test_a_pixel_in_a_box_of_200_sees_beyond_its_edges(self) -> None:
        config = GatedConfig(widths=(4, 4, 4, 4))
        network = lively(Gated(config))
        x = torch.rand(1, 4, 512, 512)
        x[:, 3:] = 0
        x[:, 3:, 156:356, 156:356] = 1
        x.requires_grad_(True)
        network(x)[0, 0, 256, 256].backward()
        assert x.grad is not None
        assert (x.grad[0, :3, 120:150, 120:150] != 0).any()
        assert (x.grad[0, :3, 360:390, 360:390] != 0).any()


@pytest.mark.parametrize(
    ("architecture", "network", "sizes"),
    [
        # Sizes that the export did not try; of LaMa with spectra of odd and even width.
        ("lama", Lama(SMALL), ((24, 88), (72, 40))),
        ("gated", Gated(SMALL_GATED), ((8, 88), (72, 40))),
    ],
    ids=["lama", "gated"],
)
def test_a_checkpoint_becomes_a_folder_whose_pictures_are_pytorchs(
    architecture: str, network: Lama | Gated, sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    lively(network).half().float()
    card = {
        "task": "inpaint",
        "name": "tiny",
        "description": "A random network",
        "license": "CC0-1.0",
        "image": inpaint.image_section(network.config),
        "origin": {"data": [], "figures": []},
    }
    checkpoint = tmp_path / "checkpoint.safetensors"
    own.write(checkpoint, network, own.Description(architecture, asdict(network.config), card))
    model = open_model(export_checkpoint(checkpoint, tmp_path / "model"))
    interface = model.card.interface["inpaint"]
    assert [value.name for value in interface.inputs] == ["image", "mask"]
    assert interface.inputs[1].shape == ("batch", "height", "width", 1)

    graph = Graph(model.graph("inpaint", "fp32"))
    for size in sizes:
        image, mask = noise(2, *size, 3), noise(2, *size, 1)
        (result,) = graph.run(["result"], image=image.numpy(), mask=mask.numpy())
        with torch.no_grad():
            exact, _ = inpaint.Inpainter(network)(image, mask)
        assert np.abs(result - exact.clamp(0, 255).numpy()).max() < 0.51
        outside = mask[..., 0].numpy() <= 127
        np.testing.assert_array_equal(result[outside], image.numpy()[outside])
        assert result[~outside].std() > 2
