"""Generators of eriklindernoren/PyTorch-GAN that make pictures of pictures.

Sources: `GeneratorResNet` in `implementations/cyclegan/models.py`, whose first versions had the
names of junyanz, and `Generator` in `implementations/context_encoder/models.py`.
"""

from typing import Any, NoReturn

from genkit.errors import InputError
from genkit_export.architectures.cyclegan import ResnetConfig
from genkit_export.architectures.vision import CHANNELS
from genkit_export.cyclegan import image_section
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Weights, count
from .names import Names, renamed

RESNET = (
    "model.1.weight",
    "model.4.weight",
    "model.7.weight",
    "model.*.block.1.weight",
    "model.*.block.5.weight",
)
CONTEXT_ENCODER = (
    "model.2.weight",
    "model.5.weight",
    "model.12.running_mean",
    "model.14.weight",
    "model.15.weight",
    "model.16.running_mean",
    "model.27.weight",
)


def resnet(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A generator of residual blocks. Raises InputError for one of other pictures than those of
    three channels: its edges are as wide as there are channels, and so its pictures change size.
    """
    first, blocks = weights["model.1.weight"], count(weights, "model.*.block.1.weight")
    if first.shape[1] != CHANNELS:
        raise InputError(
            f"{checkpoint.path} makes pictures of another size than it gets, for it was made for "
            f"{first.shape[1]} channels: genkit does not have that"
        )
    up = 10 + blocks
    names: Names = {
        "model.#.block.#": "model.#.conv_block.#",
        f"model.{up + 1}": f"model.{up}.2",
        f"model.{up + 5}": f"model.{up + 3}.2",
        f"model.{up + 9}": f"model.{up + 7}",
    }
    config: dict[str, Any] = {
        "width": settings.read("width", first.shape[0]),
        "blocks": settings.read("blocks", blocks),
        "upsample": "resize-zeros",
    }
    image = image_section(ResnetConfig(**config))
    return Loaded(config, renamed(weights, names), {"image": image})


def context_encoder(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> NoReturn:
    """Raises InputError: it makes the inside of a hole of half the picture's side, not a picture."""
    raise InputError(
        f"{checkpoint.path} is a context encoder (eriklindernoren/PyTorch-GAN), which fills only "
        "squares of 64 pixels in pictures of 128: genkit does not have it"
    )
