"""BigGAN's generators: BigGAN-deep of Hugging Face, and BigGAN, SAGAN and SNGAN of ajbrock.

Sources: huggingface/pytorch-pretrained-BigGAN (`pytorch_pretrained_biggan/model.py` and `config.py`)
and `BigGAN.py` and `layers.py` of ajbrock/BigGAN-PyTorch. Our networks have the same names.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from genkit.errors import InputError, UsageError
from genkit_export.architectures.biggan import START, BigGanConfig
from genkit_export.architectures.biggan_deep import BigGanDeepConfig
from genkit_export.read import Checkpoint
from genkit_export.sample import class_count, latent_section
from genkit_export.sound import MEANS, VARIANCES

from .imagenet import names
from .layout import Loaded, Settings, Tensors, Weights, numbers

DEEP = (
    "embeddings.weight",
    "generator.gen_z.weight_orig",
    "generator.layers.0.bn_0.running_means",
    "generator.conv_to_rgb.weight_orig",
)
BLOCK = "generator.layers.*"
PLAIN = (
    "linear.weight",
    "blocks.0.0.conv1.weight",
    "blocks.0.0.bn1.gain.weight",
    "output_layer.2.weight",
)
IMAGENET, NUMBERS = "imagenet", "numbers"
STATISTICS = {"running_mean": "stored_mean", "running_var": "stored_var"}
INNER_NORM = re.compile(r"(.+)\.bn\.(\w+)")
"""Two of the authors' three kinds of batch norm keep their statistics in a module of their own."""
UNUSED = re.compile(r".+\.(?:accumulation_counter|(?:u|sv)[1-9]\d*)")
"""A counter that is used while statistics are being taken, and the singular vectors after the first,
which nothing divides by."""


def deep(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """BigGAN-deep, with the `config.json` beside it or without. Truncation is an input of its
    graphs: it chooses among the statistics, between two of which genkit mixes linearly. The
    published code gives the nearer of the two the smaller weight; at its own 0, 0.02, ... 1 they
    agree, but for 0.14, 0.28, 0.56, 0.58 and 0.94, where its rounding takes a neighbour.
    """
    at = numbers(weights, f"{BLOCK}.conv_3.weight_orig")
    blocks = [BLOCK.replace("*", str(index)) for index in at]
    before = [weights[f"{block}.bn_0.running_means"].shape[1] for block in blocks]
    after = [len(weights[f"{block}.conv_3.weight_orig"]) for block in blocks]
    # Which blocks double the size is not in the tensors; all published ones take turns.
    doubles = [bool(index % 2) for index in range(len(blocks))]
    told = checkpoint.config.get("layers")
    if told is not None:
        doubles = [bool(block[0]) for block in told]
    size = START * 2 ** sum(doubles)
    classes, embedded = weights["embeddings.weight"].shape[::-1]
    condition = weights["generator.gen_z.weight_orig"].shape[1]
    width = settings.read("channel_width", math.gcd(*before, *after))
    attention = numbers(weights, "generator.layers.*.gamma")
    if len(attention) != 1:
        raise InputError(f"{checkpoint.path} has {len(attention)} layers of attention, not one")
    config: dict[str, Any] = {
        "output_dim": settings.assume("output_dim", size)
        if told is None
        else settings.read("output_dim", size),
        "z_dim": settings.read("z_dim", condition - embedded),
        "class_embed_dim": settings.read("class_embed_dim", embedded),
        "channel_width": width,
        "num_classes": settings.read("num_classes", classes),
        "layers": tuple(
            (double, inputs // width, outputs // width)
            for double, inputs, outputs in zip(doubles, before, after, strict=True)
        ),
        "attention_layer_position": settings.read("attention_layer_position", attention[0]),
        "eps": settings.get("eps", checkpoint.config, 1e-4),
        "n_stats": settings.read("n_stats", len(weights["generator.bn.running_means"])),
    }
    return Loaded(config, weights, {"latent": _latent(BigGanDeepConfig(**config), settings)})


def plain(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """BigGAN-PyTorch's generator, with an embedding that all norms share or without. Raises
    InputError for the variants of its authors that genkit does not have.
    """
    if "blocks.0.0.conv3.weight" in weights:
        raise InputError(
            f"{checkpoint.path} is a BigGAN-deep of ajbrock/BigGAN-PyTorch (BigGANdeep.py), which "
            "genkit does not have: only its BigGAN, and the BigGAN-deep of Hugging Face"
        )
    if not any(name.rpartition(".")[2] in (*MEANS, *VARIANCES) for name in weights):
        raise InputError(
            f"{checkpoint.path} has norms without statistics (norm_style), which genkit does not have"
        )
    if "linear.u0" not in weights:
        raise InputError(
            f"{checkpoint.path} was trained without spectral norm, which genkit's BigGAN has"
        )
    weights = Tensors(
        (_plain_name(name), t) for name, t in weights.items() if not UNUSED.fullmatch(name)
    )
    blocks = numbers(weights, "blocks.*.0.conv1.weight")
    convs = [weights[f"blocks.{index}.0.conv1.weight"] for index in blocks]
    channels = [convs[0].shape[1], *map(len, convs)]
    width = math.gcd(*channels)
    shared = weights.get("shared.weight")
    by_class = weights["blocks.0.0.bn1.gain.weight"]  # (channels, condition) or (classes, channels)
    first = weights["linear.weight"].shape[1]
    hierarchical = shared is not None and by_class.shape[1] > shared.shape[1]
    attention = numbers(weights, "blocks.*.1.theta.weight")
    config: dict[str, Any] = {
        "size": settings.read("size", START * 2 ** len(blocks)),
        "width": settings.read("width", width),
        "multiples": tuple(count // width for count in channels),
        "latent": settings.read("latent", first * (len(blocks) + 1) if hierarchical else first),
        "classes": settings.read("classes", len(by_class if shared is None else shared)),
        "attention": tuple(2 * START * 2**index for index in attention),
        "shared": settings.read("shared", 0 if shared is None else shared.shape[1]),
        "hierarchical": settings.read("hierarchical", hierarchical),
        "norm_eps": settings.assume("norm_eps", 1e-5),
        # The authors make the last norm without their BN_eps.
        "output_norm_eps": settings.assume("output_norm_eps", 1e-5),
        "leak": settings.assume("leak", 0.0),
        "colours": settings.read("colours", len(weights["output_layer.2.weight"])),
        "spectral_eps": settings.assume("spectral_eps", 1e-12),
    }
    return Loaded(config, weights, {"latent": _latent(BigGanConfig(**config), settings)})


def _latent(config: BigGanConfig | BigGanDeepConfig, settings: Settings) -> Mapping[str, Any]:
    """What the card says of the noise. The files have no names of classes, only their order; a
    thousand of them are ImageNet's, and others are called by their numbers.
    """
    classes = class_count(config)
    numbered = [str(number) for number in range(classes)]
    imagenet = names() if classes == len(names()) else ()
    labels = settings.assume("labels", IMAGENET if imagenet else NUMBERS)
    if labels not in (IMAGENET, NUMBERS) or (labels == IMAGENET and not imagenet):
        raise UsageError(f"labels of {classes} classes cannot be {labels!r}")
    return latent_section(config, imagenet if labels == IMAGENET else numbered)


def _plain_name(name: str) -> str:
    """The name of a tensor, as batch norms without a module of their own have it."""
    if found := INNER_NORM.fullmatch(name):
        name = f"{found[1]}.{STATISTICS.get(found[2], found[2])}"
    return name
