"""Generators of convolutions: DCGAN in four layouts, and WGAN's.

Sources: `dcgan/main.py` of pytorch/examples (`main.0.weight`, ...), whose names are our own;
csinva/gan-vae-pretrained-pytorch, which has it for 32 and 28 pixels; `DCGAN_G` and `DCGAN_G_nobn`
in `models/dcgan.py` of martinarjovsky/WassersteinGAN (`main.initial:100-512:convt.weight`, until
the end of 2018 with dots for the colons); `models/networks/DCGAN_nets.py` of facebookresearch/
pytorch_GAN_zoo; and `implementations/dcgan/dcgan.py` of eriklindernoren/PyTorch-GAN, whose
`nn.BatchNorm2d(n, 0.8)` sets the epsilon, though it was meant as a momentum.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from genkit_export.architectures.dcgan import START, DcganConfig
from genkit_export.architectures.upconv import DOUBLINGS, UpconvConfig
from genkit_export.read import Checkpoint
from genkit_export.sample import latent_section

from .gan import refuse_classes
from .layout import Loaded, Settings, Tensors, Weights, count, numbers
from .zoo import output, settings_of

KEYS = (
    "main.0.weight",
    "main.1.running_mean",
    "main.3.weight",
    "main.4.running_mean",
    "main.6.weight",
    "main.7.running_mean",
    "main.9.weight",
)
WGAN = ("main.initial:*-*:convt.weight", "main.pyramid:*-*:convt.weight")
WGAN_DOTS = ("main.initial.*-*.convt.weight", "main.pyramid.*-*.convt.weight")
ZOO = (
    "formatLayer.weight",
    "main.batchNorm0.running_mean",
    "main.convTranspose1.weight",
    "main.outlayer.weight",
)
UPCONV = (
    "l1.0.weight",
    "conv_blocks.0.running_mean",
    "conv_blocks.3.running_mean",
    "conv_blocks.7.running_mean",
    "conv_blocks.9.weight",
)
ZOO_NAMED = re.compile(r"main\.(convTranspose|batchNorm)(\d+)\.(\w+)")
ORDER = ("initial", "pyramid", "extra-layers", "final")
NAMED = re.compile(
    r"main\.(?P<part>[a-z-]+?)(?:-(?P<extra>\d+))?[.:](?:\d+-)?(?P<channels>\d+)[.:]"
    r"(?P<kind>convt|conv|batchnorm)\.(?P<tensor>\w+)"
)
"""A tensor of WGAN's: its part, which of the extra layers, and the channels that come out."""


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The generator of PyTorch's example, and the small ones of csinva."""
    return _load(weights, settings)


def wgan(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """WGAN's generator, with batch norm or without."""
    named = {name: found for name in weights if (found := NAMED.fullmatch(name))}
    batch_norm = any(found["kind"] == "batchnorm" for found in named.values())
    places = sorted({_place(found) for found in named.values()})
    step = 3 if batch_norm else 2  # with the activation
    renamed: Weights = Tensors()
    for name, tensor in weights.items():
        if found := named.get(name):
            index = places.index(_place(found)) * step + (found["kind"] == "batchnorm")
            name = f"main.{index}.{found['tensor']}"
        renamed[name] = tensor
    extra = len({found["extra"] for found in named.values()} - {None})
    fields = {
        "batch_norm": settings.read("batch_norm", batch_norm),
        "extra_layers": settings.read("extra_layers", extra),
    }
    return _load(renamed, settings, fields)


def zoo(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The DCGAN of the GAN zoo. Raises InputError for one that takes attributes."""
    last = output(settings_of(checkpoint), settings, "tanh")
    layers = count(weights, "main.convTranspose*.weight")
    names = {
        "formatLayer.weight": "main.0.weight",
        "main.outlayer.weight": f"main.{3 * (layers + 1)}.weight",
    }
    renamed: Weights = Tensors()
    for name, tensor in weights.items():
        if found := ZOO_NAMED.fullmatch(name):
            index = 3 * int(found[2]) + (found[1] == "batchNorm")
            name = f"main.{index}.{found[3]}"
        renamed[names.get(name, name)] = tensor
    return _load(renamed, settings, {"output": last})


def upconv(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The generator of eriklindernoren, which repeats pixels to enlarge."""
    refuse_classes(weights, checkpoint)
    first, last = weights["l1.0.weight"], weights["conv_blocks.9.weight"]
    latent = settings.read("latent", first.shape[1])
    codes = settings.assume("codes", (0, 0))
    if codes == (0, 0):
        settings.notes.append(
            "an InfoGAN has the same tensors: for one with ten classes and two codes, which would be "
            "drawn from a normal distribution with the rest, add --set codes=10,2"
        )
    side = math.isqrt(len(first) // len(weights["conv_blocks.0.running_mean"]))
    config: dict[str, Any] = {
        "size": settings.read("size", side * 2**DOUBLINGS),
        "latent": latent,
        "codes": codes,
        "width": settings.read("width", last.shape[1]),
        "channels": settings.read("channels", len(last)),
        "norm_eps": settings.assume("norm_eps", 0.8),
        "leak": settings.assume("leak", 0.2),
    }
    return Loaded(config, weights, {"latent": latent_section(UpconvConfig(**config))})


def _load(weights: Weights, settings: Settings, fields: Mapping[str, Any] | None = None) -> Loaded:
    """A generator under the names of PyTorch's example."""
    fields = fields or {}
    convs = [weights[f"main.{index}.weight"] for index in numbers(weights, "main.*.weight")]
    convs = [weight for weight in convs if weight.dim() == 4]
    first, last = convs[0], convs[-1]
    doublings = len(convs) - 2 - fields.get("extra_layers", 0)
    channels = settings.read("channels", last.shape[1])
    # A transposed convolution with a kernel of 4 doubles the size too.
    point = last.shape[2] == 1
    side = START * 2 ** (doublings + (not point))
    config = {
        "latent": settings.read("latent", first.shape[0]),
        "width": settings.read("width", last.shape[0]),
        "channels": channels,
        "head": settings.read("head", "point" if point else "transposed"),
        "size": _small_size(side, channels, settings) if point else settings.read("size", side),
        **fields,
    }
    return Loaded(config, weights, {"latent": latent_section(DcganConfig(**config))})


def _small_size(side: int, channels: int, settings: Settings) -> int:
    """Of networks that end in a kernel of one pixel: its padding, which makes 28 pixels of 32, is
    not in the file. MNIST's has it and is grey, the one for grey CIFAR-100 has not.
    """
    return settings.assume("size", 28 if (side, channels) == (32, 1) else side)


def _place(found: re.Match[str]) -> tuple[int, int, int]:
    """Where a layer of WGAN's stands. In the pyramid, channels become fewer on the way."""
    return ORDER.index(found["part"]), int(found["extra"] or 0), -int(found["channels"])
