"""LaMa's generator (advimman/lama): a Lightning checkpoint, a plain state dict, or TorchScript.

Source: `FFCResNetGenerator` in its `saicinpainting/training/modules/ffc.py`. Our network has the
same names. Discriminators and losses, which a Lightning checkpoint holds too, are left out.
"""

import re
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
SETTING = re.compile(r"generator\b.*\badd_out_act(\._val)?$")
"""The name of the setting in a Lightning checkpoint, its values plain or OmegaConf's."""
LINE = re.compile(r"^\s+add_out_act:\s*([^\s#]+)", re.MULTILINE)
ACTIVATIONS = {"sigmoid": "sigmoid", "tanh": "tanh", "true": "tanh", "false": "none"}
"""`add_out_act` -> ours."""


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The generator of LaMa, LaMa-Fourier or Big-LaMa."""
    if any(".lfu." in name for name in weights):
        raise InputError(
            f"{checkpoint.path} has local Fourier units (enable_lfu), which genkit does not have"
        )
    if any(".gate." in name for name in weights):
        raise InputError(
            f"{checkpoint.path} has gated convolutions (gated), which genkit does not have"
        )
    first = weights["model.1.ffc.convl2l.weight"]
    channels = first.shape[1] - 1
    if channels not in (1, 3):
        raise InputError(
            f"{checkpoint.path} fills pictures of {channels} channels: genkit has grey and colours"
        )
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
        "channels": settings.read("channels", channels),
        "output": _output(checkpoint, settings),
    }
    return Loaded(config, weights, {"image": image_section(LamaConfig(**config))})


def _output(checkpoint: Checkpoint, settings: Settings) -> str:
    """The activation at the end (`add_out_act`), as the training's settings in the file or in the
    `config.yaml` of the folder tell. Raises InputError for one that genkit does not have.
    """
    told = [value for name, value in checkpoint.values.items() if SETTING.search(name)]
    for folder in (checkpoint.path.parent, checkpoint.path.parent.parent):
        if not told and (folder / "config.yaml").is_file():
            told = LINE.findall((folder / "config.yaml").read_text("utf-8", "replace"))
    if not told:
        return settings.assume("output", "sigmoid")
    output = ACTIVATIONS.get(str(told[0]).strip("'\"").lower())
    if output is None:
        raise InputError(
            f"{checkpoint.path} ends with add_out_act={told[0]}, which genkit does not have"
        )
    return settings.read("output", output)
