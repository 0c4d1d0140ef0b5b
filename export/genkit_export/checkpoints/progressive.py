"""Progressive GAN's generator, of facebookresearch/pytorch_GAN_zoo.

Source: `models/networks/progressive_conv_net.py` and `custom_layers.py`, whose names are our own.
Older files lack the `module` in them, which `loadStateDictCompatible` puts in.
"""

from typing import Any

from genkit.errors import InputError
from genkit_export.architectures.progressive import START, ProgressiveConfig
from genkit_export.read import Checkpoint
from genkit_export.sample import latent_section

from .layout import Loaded, Settings, Tensors, Weights, numbers
from .zoo import output, settings_of

KEYS = (
    "formatLayer.module.weight",
    "groupScale0.0.module.weight",
    "scaleLayers.0.0.module.weight",
    "toRGBLayers.1.module.weight",
)
OLD_KEYS = tuple(key.replace(".module", "") for key in KEYS)


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A generator that has all its scales. Raises InputError for one that takes attributes, or is
    about to get a scale.
    """
    training = settings_of(checkpoint)
    if training.get("alpha"):
        raise InputError(
            f"{checkpoint.path} is from the middle of training: its last scale is mixed with the one "
            f"before (alpha {training['alpha']})"
        )
    weights = Tensors((_with_module(name), tensor) for name, tensor in weights.items())
    first = weights["formatLayer.module.weight"]
    scales = numbers(weights, "scaleLayers.*.0.module.weight")
    grown = [len(weights[f"scaleLayers.{scale}.0.module.weight"]) for scale in scales]
    config: dict[str, Any] = {
        "depths": (len(first) // START**2, *grown),
        "latent": settings.read("latent", first.shape[1]),
        "channels": settings.read("channels", len(weights["toRGBLayers.0.module.weight"])),
        "leak": settings.get("leakyReluLeak", training, 0.2),
        "pixel_norm": settings.get("perChannelNormalization", training, True),
        "output": output(training, settings, "none"),
    }
    if not settings.get("equalizedlR", training, True):
        weights = Tensors((name, t / _constant(weights, name)) for name, t in weights.items())
    filled = ProgressiveConfig(**config)
    settings.read("size", filled.size)
    return Loaded(config, weights, {"latent": latent_section(filled)})


def _with_module(name: str) -> str:
    """The name of a tensor, as newer files have it."""
    layer, _, tensor = name.rpartition(".")
    return name if layer.endswith(".module") else f"{layer}.module.{tensor}"


def _constant(weights: Weights, name: str) -> float:
    """What our layers multiply by; to be undone for those that were trained without."""
    weight = weights[f"{name.rpartition('.')[0]}.weight"]
    return float((2 / weight[0].numel()) ** 0.5)
