"""Networks of one, two and four channels through the whole path: export, card, graph, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from vision_models import LABELS, vit_config, weights

import genkit
from genkit.images import Picture
from genkit.model import open_model
from genkit.pixels import fit
from genkit_export import export_checkpoint
from genkit_export.architectures.cyclegan import ResnetConfig, ResnetGenerator
from genkit_export.architectures.dcgan import Dcgan, DcganConfig
from genkit_export.architectures.inpaint import Lama, LamaConfig
from genkit_export.architectures.vit import ViT
from genkit_export.colours import from_lab, grey, lightness, outer
from genkit_export.cyclegan import PictureGenerator
from genkit_export.inpaint import Inpainter

from .inspecting import assert_refused, settings_of
from .test_layout_gan import stirred

HEIGHT, WIDTH = 16, 24
RGBA = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)


def picture(alpha: bool = True) -> Picture:
    return Picture(RGBA[..., :3], RGBA[..., 3] if alpha else None)


def mode(channels: int) -> str:
    return {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]


def seen(channels: int, pixels: Any = RGBA) -> Tensor:
    """What Pillow makes of the picture: (1, channels, H, W), 0 to 255."""
    array = np.asarray(Image.fromarray(pixels).convert(mode(channels)), np.float32)
    return torch.tensor(array.reshape(1, *array.shape[:2], channels)).permute(0, 3, 1, 2)


def shown(values: Tensor) -> np.ndarray[Any, Any]:
    """(1, channels, H, W), -1 to 1, as Pillow shows it: (H, W, 4)."""
    bytes_ = ((values[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    image = Image.fromarray(bytes_.squeeze(), mode(bytes_.shape[2]))
    return np.asarray(image.convert("RGBA"))


def resnet(inside: int, outside: int) -> ResnetGenerator:
    config = ResnetConfig(4, 1, in_channels=inside, out_channels=outside)
    return stirred(ResnetGenerator(config))  # type: ignore[return-value]


def assert_same(one: Any, other: Any) -> None:
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 1
    assert other.astype(int).std() > 5, "it shows something"


def made(network: ResnetGenerator, channels: int) -> np.ndarray[Any, Any]:
    """What the module that is traced makes of the picture: (H, W, 3 or 4)."""
    image = torch.tensor(RGBA[None, ..., : outer(channels)])
    with torch.no_grad():
        exact, pixels = PictureGenerator(network)(image)
    assert (exact.round().clamp(0, 255) == pixels).all()
    return pixels[0].numpy()


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("channels", [(1, 1), (1, 3), (3, 1), (2, 2), (4, 4), (3, 4), (4, 1)])
def test_the_edges_of_a_graph_are_as_pillow_has_them(channels: tuple[int, int]) -> None:
    inside, outside = channels
    network = resnet(inside, outside)
    with torch.no_grad():
        # One that does not know alpha sees the colours alone.
        pixels = RGBA if inside in (2, 4) else np.ascontiguousarray(RGBA[..., :3])
        expected = shown(network(seen(inside, pixels) / 127.5 - 1))
    assert_same(made(network, inside), expected[..., : outer(outside)])


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("channels", [1, 4])
def test_of_pictures(channels: int, tmp_path: Path) -> None:
    network = resnet(channels, channels)
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    out = export_checkpoint(tmp_path / "latest_net_G.pth", tmp_path / "model")
    translate = genkit.load("cyclegan", str(out), device="cpu")
    found = translate(picture(alpha=channels == 4))
    expected = made(network, channels)
    assert_same(found.pixels, expected[..., :3])
    large = Picture(np.tile(RGBA[..., :3], (6, 4, 1)))
    tiles = translate(large, tile=64)
    assert tiles.pixels.shape == large.pixels.shape
    if channels == 1:
        assert found.alpha is None
        return
    assert found.alpha is not None and tiles.alpha is not None
    assert_same(found.alpha, expected[..., 3])
    assert tiles.alpha.shape == large.size


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")
def test_of_a_colorization_of_junyanz(tmp_path: Path) -> None:
    """The authors' data is skimage's Lab, and so is their way back."""
    from skimage.color import lab2rgb, rgb2lab

    config = ResnetConfig(4, 1, in_channels=1, out_channels=2, colours="lab")
    network = stirred(ResnetGenerator(config))
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    assert settings_of(tmp_path / "latest_net_G.pth")["colours"] == ("lab", "assumed")
    light = torch.tensor(rgb2lab(RGBA[..., :3])[..., :1], dtype=torch.float32)
    with torch.no_grad():
        colours = network(light.permute(2, 0, 1)[None] / 50 - 1)[0].permute(1, 2, 0) * 110
    expected = lab2rgb(np.concatenate([light.numpy(), colours.numpy()], 2)) * 255
    assert_same(made(network, 3), np.rint(expected).clip(0, 255))  # type: ignore[arg-type]


def test_grey_is_pillows_and_lab_is_skimages() -> None:
    from skimage.color import lab2rgb, rgb2lab

    colours = torch.tensor(RGBA[..., :3]).permute(2, 0, 1)[None]
    np.testing.assert_array_equal(
        grey(colours.float()), seen(1, np.ascontiguousarray(RGBA[..., :3]))
    )
    rgb = colours.float() / 255
    lab = rgb2lab(RGBA[..., :3])
    np.testing.assert_allclose(lightness(rgb)[0, 0], lab[..., 0], atol=1e-3)
    back = from_lab(torch.tensor(lab, dtype=torch.float32).permute(2, 0, 1)[None])
    np.testing.assert_allclose(back[0].permute(1, 2, 0), lab2rgb(lab), atol=1e-4)


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_of_noise(tmp_path: Path) -> None:
    network = stirred(Dcgan(DcganConfig(16, 10, 4, 4)))
    torch.save(_with_layers(network), tmp_path / "netG.pth")
    out = export_checkpoint(tmp_path / "netG.pth", tmp_path / "model")
    from shell import genkit as run

    np.save(tmp_path / "z.npy", np.random.default_rng(1).normal(size=(2, 10)).astype(np.float32))
    done = run(
        "sample", "--model", str(out), "--latents", str(tmp_path / "z.npy"),
        "-o", str(tmp_path / "made"), "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0, done.err
    with torch.no_grad():
        expected = network(torch.tensor(np.load(tmp_path / "z.npy")))
    for index, path in enumerate(sorted((tmp_path / "made").iterdir())):
        with Image.open(path) as image:
            assert image.mode == "RGBA"
            assert_same(np.asarray(image), shown(expected[index : index + 1]))
    sheet = run("sample", "--model", str(out), "-n", "4", "--grid", "-o", str(tmp_path / "s.jpg"))
    assert sheet.code == 0, sheet.err


def _with_layers(network: nn.Module) -> dict[str, Tensor]:
    """The example's smallest network has four layers, and ours of 16 pixels two: with one more that
    changes nothing it would have its names, so it is saved as WGAN's.
    """
    state = network.state_dict()
    names = {
        "main.0": "main.initial:10-8:convt",
        "main.1": "main.initial:8:batchnorm",
        "main.3": "main.pyramid:8-4:convt",
        "main.4": "main.pyramid:4:batchnorm",
        "main.6": "main.final:4-3:convt",
    }
    return {
        f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": t for key, t in state.items()
    }


@pytest.mark.parametrize("channels", [4])
def test_of_classifiers(channels: int, tmp_path: Path) -> None:
    network = ViT(vit_config(channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels))
    network.load_state_dict(weights({k: t.shape for k, t in network.state_dict().items()}))
    torch.save(network.state_dict(), tmp_path / "a.pth")
    out = export_checkpoint(tmp_path / "a.pth", tmp_path / "model", settings={"num_heads": "3"})
    image = open_model(out).card.image
    assert image is not None and image.channels == (4 if channels == 4 else 3)
    side = Image.fromarray(RGBA).resize((32, 32))
    pixels = np.asarray(side if channels == 4 else side.convert("RGB"))
    shot = Picture(pixels[..., :3], pixels[..., 3] if channels == 4 else None)
    (guesses,) = genkit.load("classify", str(out), device="cpu")([shot], top=len(LABELS))
    with torch.no_grad():
        cut = fit(pixels, image.resize)
        expected = network.eval()(seen(channels, cut) / 127.5 - 1).softmax(1)[0]
    found = {guess.label: guess.probability for guess in guesses}
    np.testing.assert_allclose([found[f"class {i}"] for i in range(5)], expected, atol=1e-4)


def test_of_grey_holes(tmp_path: Path) -> None:
    network = stirred(Lama(LamaConfig(8, 2, 1, channels=1)))
    torch.save(network.state_dict(), tmp_path / "a.pth")
    assert settings_of(tmp_path / "a.pth")["channels"] == (1, "read")
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[4:9, 6:14] = True
    mask = torch.tensor(hole)[None, ..., None]
    with torch.no_grad():
        _, result = Inpainter(network)(torch.tensor(RGBA[None, ..., :3]), mask.byte() * 255)  # type: ignore[arg-type]
        x = seen(1, np.ascontiguousarray(RGBA[..., :3])) / 255 * ~mask.permute(0, 3, 1, 2)
        expected = network(torch.cat([x, mask.permute(0, 3, 1, 2).float()], 1))[0, 0] * 255
    found = result[0].numpy()
    assert (found[hole] == found[hole][:, :1]).all(), "what is made is grey"
    assert (found[~hole] == RGBA[..., :3][~hole]).all(), "what was there is kept"
    assert np.abs(expected.numpy()[hole] - found[hole][:, 0]).max() < 1


def test_more_channels_than_pictures_have(tmp_path: Path) -> None:
    torch.save(resnet(5, 3).state_dict(), tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth", "in_channels 5: genkit has pictures of 1 to 4 channels")
    torch.save(Lama(LamaConfig(8, 2, 1, channels=4)).state_dict(), tmp_path / "b.pth")
    assert_refused(tmp_path / "b.pth", "fills pictures of 4 channels: genkit has grey and colours")
