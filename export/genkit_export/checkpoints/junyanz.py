"""Generators of junyanz/pytorch-CycleGAN-and-pix2pix (`latest_net_G.pth` and the like).

Source: `ResnetGenerator` and `UnetGenerator` in its `models/networks.py`. Our networks have the same
names. Files from before PyTorch 0.4 also hold running statistics of instance norms, which nothing
uses (`__patch_instance_norm_state_dict` in `models/base_model.py`).
"""

from collections.abc import Mapping
from typing import Any

from genkit.errors import InputError
from genkit_export.architectures.cyclegan import ResnetConfig, UnetConfig
from genkit_export.cyclegan import image_section
from genkit_export.read import Checkpoint
from genkit_export.resizing import resized

from .layout import Loaded, Settings, Weights, count, numbers

RESNET = (
    "model.1.weight",
    "model.4.weight",
    "model.7.weight",
    "model.*.conv_block.1.weight",
)
UNET = (
    "model.model.0.weight",
    "model.model.1.model.1.weight",
    "model.model.1.model.3.model.1.weight",
    "model.model.3.weight",
)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def resnet(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A generator of residual blocks, of CycleGAN or pix2pix."""
    if any(name.endswith(".filt") for name in weights):
        raise InputError(
            f"{checkpoint.path} is the anti-aliased generator of CUT (resnet_9blocks with antialias), "
            "which genkit does not have"
        )
    first, blocks = weights["model.1.weight"], count(weights, "model.*.conv_block.1.weight")
    begin = numbers(weights, "model.*.conv_block.1.weight")[0]
    if begin != 10:
        raise InputError(
            f"{checkpoint.path} has {begin // 3 - 1} layers that halve the size, and junyanz' "
            "generator 2: it is one of pix2pixHD (which LaMa calls regular), which genkit does not "
            "have"
        )
    last = weights.get(f"model.{17 + blocks}.weight")
    config: dict[str, Any] = {
        "width": settings.read("width", first.shape[0]),
        "blocks": settings.read("blocks", blocks),
        "norm": settings.read("norm", _norm(weights, "model.2.weight", "model.1.bias")),
        "dropout": settings.read("dropout", not count(weights, "model.*.conv_block.5.weight")),
        "upsample": "transposed",
        **_channels(first.shape[1], 3 if last is None else last.shape[0], settings),
    }
    image = image_section(ResnetConfig(**config))
    return Loaded(
        config, _without_statistics(weights, config), {"image": _resized(image, settings)}
    )


def unet(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A U-Net of pix2pix. It was trained, and is meant to be run, with the statistics of the
    picture itself: see `with_own_statistics`.
    """
    first, prefix, downs = weights["model.model.0.weight"], "model.model.1.", 1
    while any(name.startswith(prefix) for name in weights):
        prefix, downs = f"{prefix}model.3.", downs + 1
    # The innermost level has its way up where the others have the next level.
    downs -= 1
    level = "model.model.1.model."
    config: dict[str, Any] = {
        "width": settings.read("width", first.shape[0]),
        "downs": settings.read("downs", downs),
        "norm": settings.read("norm", _norm(weights, f"{level}2.weight", f"{level}1.bias")),
        **_channels(first.shape[1], weights["model.model.3.weight"].shape[1], settings),
    }
    image = image_section(UnetConfig(**config))
    return Loaded(
        config, _without_statistics(weights, config), {"image": _resized(image, settings)}
    )


def _norm(weights: Weights, scale: str, bias: str) -> str:
    """Batch norm has scales, instance norm follows layers with a bias, and with neither there is no
    norm.
    """
    if scale in weights:
        return "batch"
    return "instance" if bias in weights else "none"


def _channels(inside: int, outside: int, settings: Settings) -> Mapping[str, Any]:
    """What goes in and comes out. One channel to two is the authors' colorization."""
    found = {
        "in_channels": settings.read("in_channels", inside),
        "out_channels": settings.read("out_channels", outside),
    }
    if (inside, outside) == (1, 2):
        return {**found, "colours": settings.assume("colours", "lab")}
    return found


def _without_statistics(weights: Weights, config: Mapping[str, Any]) -> Weights:
    """Instance norms have none."""
    if config["norm"] == "batch":
        return weights
    return {name: t for name, t in weights.items() if name.rpartition(".")[2] not in STATISTICS}


def _resized(image: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """The authors' test script stretches pictures to a square of 256; any size is better, which is
    its `--preprocess none`.
    """
    size = settings.assume("size", 0)
    if not size:
        return image
    return {**image, "resize": resized("stretch", (size, size))}
