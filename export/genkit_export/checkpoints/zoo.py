"""What the files of facebookresearch/pytorch_GAN_zoo have in common.

They hold the generator `netG`, its average `avgG` and a pickled object `config` with the settings
of the training (`models/base_GAN.py`).
"""

from collections.abc import Mapping
from typing import Any

from genkit.errors import InputError
from genkit_export.read import Checkpoint

from .layout import Settings

CONFIG = "config."
LOSS = "lossCriterion"
WITH_SIGMOID = ("MSE", "DCGAN")


def settings_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The settings of the training; none for a file of tensors only. Raises InputError for a
    generator by attributes, which takes more than noise.
    """
    config = {
        name.removeprefix(CONFIG): value
        for name, value in checkpoint.values.items()
        if name.startswith(CONFIG)
    }
    if config.get("categoryVectorDim"):
        raise InputError(
            f"{checkpoint.path} was trained with attributes (AC-GAN), which genkit does not have"
        )
    return config


def output(config: Mapping[str, Any], settings: Settings, default: str) -> str:
    """The activation at the end, which follows from the loss (`base_loss_criterions.py`): those
    with a sigmoid in the discriminator have tanh. The default is for files that tell no loss.
    """
    loss = config.get(LOSS)
    if loss is None:
        return settings.assume("output", default)
    return settings.read("output", "tanh" if loss in WITH_SIGMOID else "none")
