"""Fully connected generators: csinva's and WGAN's, and eriklindernoren's.

Sources: `mnist_gan_mlp` of csinva/gan-vae-pretrained-pytorch (a bare `nn.Sequential`: `0.weight`),
`MLP_G` in `models/mlp.py` of martinarjovsky/WassersteinGAN (`main.0.weight`), and `implementations/
gan/gan.py` of eriklindernoren/PyTorch-GAN (`model.0.weight`), whose `nn.BatchNorm1d(n, 0.8)` sets
the epsilon, though it was meant as a momentum.
"""

import math
from typing import Any

from genkit.errors import InputError
from genkit_export.architectures.gan import LEAK, GanConfig
from genkit_export.read import Checkpoint
from genkit_export.sample import latent_section

from .layout import Loaded, Settings, Tensors, Weights, numbers

PLAIN = ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias")
NORMED = (
    "model.0.bias",
    "model.2.bias",
    "model.3.running_mean",
    "model.5.bias",
    "model.6.running_mean",
    "model.8.bias",
    "model.9.running_mean",
    "model.11.weight",
)
WGAN = "main.0.weight"
CHANNELS = (1, 3, 2, 4)
"""What pictures can have, the likelier first."""
EMBEDDING = "label_emb.weight"


def plain(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """Linear layers with a ReLU between each two. WGAN's authors end without an activation, csinva
    with tanh.
    """
    wgan = any(name.endswith(WGAN) for name in checkpoint.tensors)
    weights = Tensors((f"main.{name}", tensor) for name, tensor in weights.items())
    config = _sizes(weights, checkpoint, settings) | {
        "leak": settings.assume("leak", 0.0),
        "output": settings.assume("output", "none" if wgan else "tanh"),
    }
    return Loaded(config, weights, {"latent": latent_section(GanConfig(**config))})


def normed(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """Linear layers with batch norm and a leaky ReLU between each two."""
    refuse_classes(weights, checkpoint)
    weights = Tensors(
        (name.replace("model.", "main.", 1), tensor) for name, tensor in weights.items()
    )
    config = _sizes(weights, checkpoint, settings) | {
        "norm_eps": settings.assume("norm_eps", 0.8),
        "leak": settings.assume("leak", LEAK),
        "output": settings.assume("output", "tanh"),
    }
    return Loaded(config, weights, {"latent": latent_section(GanConfig(**config))})


def _sizes(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> dict[str, Any]:
    """What the shapes of linear layers tell. Raises InputError for layers that make no picture."""
    named = [weights[f"main.{index}.weight"] for index in numbers(weights, "main.*.weight")]
    linear = [weight for weight in named if weight.dim() == 2]
    if len(linear) < 2 or len(linear[-1]) == 1:
        raise InputError(f"{checkpoint.path} makes no pictures: is it a discriminator?")
    *hidden, pixels = map(len, linear)
    sides = {channels: math.isqrt(pixels // channels) for channels in CHANNELS}
    fits = [channels for channels, side in sides.items() if channels * side**2 == pixels]
    if not fits:
        raise InputError(f"{checkpoint.path} makes {pixels} numbers, which are no square picture")
    # A square of grey is also a square of half the side in four channels.
    tell = settings.read if len(fits) == 1 else settings.assume
    channels = tell("channels", fits[0])
    return {
        "latent": settings.read("latent", linear[0].shape[1]),
        "hidden": tuple(hidden),
        "channels": channels,
        "size": settings.read("size", math.isqrt(pixels // max(channels, 1))),
    }


def refuse_classes(weights: Weights, checkpoint: Checkpoint) -> None:
    """Raises InputError for a generator by class of eriklindernoren."""
    if EMBEDDING in weights:
        raise InputError(
            f"{checkpoint.path} makes pictures by class ({EMBEDDING}: cgan, acgan or sgan of "
            "eriklindernoren/PyTorch-GAN), which genkit has of BigGAN alone"
        )
