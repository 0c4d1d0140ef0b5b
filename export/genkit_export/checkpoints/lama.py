"""LaMa's generator (advimman/lama): a Lightning checkpoint, a plain state dict, or TorchScript.

Source: `FFCResNetGenerator` in its `saicinpainting/training/modules/ffc.py`. Our network has the
same names. Discriminators and losses, which a Lightning checkpoint holds too, are left out.
"""

from typing import Any

from genkit.errors import InputError
from genkit_export.architectures.inpaint import LamaConfig
from genkit_export.inpaint import image_section
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Weights, count

KEYS = (
    "model.1.ffc.convl2l.weight",
    "model.2.ffc.convl2l.weight",
    "model.*.conv1.ffc.convg2g.conv1.0.weight",
    "model.*.conv2.ffc.convg2g.fu.conv_layer.weight",
)


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The generator of LaMa, LaMa-Fourier or Big-LaMa."""
    if any(".lfu." in name for name in weights):
        raise InputError(
            f"{checkpoint.path} has local Fourier units (enable_lfu), which genkit does not have"
        )
    first = weights["model.1.ffc.convl2l.weight"]
    downs = count(weights, "model.*.ffc.convl2l.weight") - 1
    near = weights[f"model.{downs + 1}.ffc.convl2l.weight"].shape[0]
    wide = weights.get(f"model.{downs + 1}.ffc.convl2g.weight")
    far = 0 if wide is None else wide.shape[0]
    config: dict[str, Any] = {
        "width": settings.read("width", first.shape[0]),
        "downs": settings.read("downs", downs),
        "blocks": settings.read("blocks", count(weights, "model.*.conv1.ffc.convl2l.weight")),
        "global_share": settings.read("global_share", far / (near + far)),
        "most_channels": settings.read("most_channels", near + far),
    }
    return Loaded(config, weights, {"image": image_section(LamaConfig(**config))})
