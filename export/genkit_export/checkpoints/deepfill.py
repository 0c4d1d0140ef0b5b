"""Generators of DeepFill v2 by nipponjo/deepfillv2-pytorch: `{"G": state_dict}`, with or without what
its training saves beside it.

Source: `Generator` in its `model/networks.py`, and in its `model/networks_tf.py` for files whose
weights were converted from the TensorFlow ones of JiahuiYu/generative_inpainting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch

from genkit.errors import InputError
from genkit_export.architectures.deepfill import DeepFillConfig
from genkit_export.inpaint import image_section
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Weights

FUSE = "stage2.contextual_attention.fuse_weight"
KEYS = (
    "stage1.conv1.conv.weight",
    "stage2.ca_conv_bn1.conv.weight",
    FUSE,
)
CONVERTED = (
    "conv2_downsample.conv.weight",
    "xconv7_atrous.conv.weight",
    "pmconv6.conv.weight",
    "allconv13_upsample.conv.conv.weight",
)

Layers = Mapping[str, Sequence[str]]
"""The parts of our network, and the names of their layers in a file."""

SHRINK = (
    "conv1",
    "down_block1.conv1_downsample",
    "down_block1.conv2",
    "down_block2.conv1_downsample",
    "down_block2.conv2",
)
DILATED = ("conv_bn1", "conv_bn2", "conv_bn3", "conv_bn4", "conv_bn5")
GROW = (
    "conv_bn6",
    "conv_bn7",
    "up_block1.conv1_upsample.conv",
    "up_block1.conv2",
    "up_block2.conv1_upsample.conv",
    "up_block2.conv2",
    "conv_to_rgb",
)
LAYERS: Layers = {
    "coarse": [f"stage1.{name}" for name in (*SHRINK, *DILATED, *GROW)],
    "dilated": [f"stage2.conv_{name}" for name in (*SHRINK, *DILATED)],
    "matched": [f"stage2.ca_{name}" for name in (*SHRINK, "conv_bn1")],
    "pasted": ["stage2.ca_conv_bn4", "stage2.ca_conv_bn5"],
    "joined": [f"stage2.{name}" for name in GROW],
}
NUMBERED = (
    "conv1 conv2_downsample conv3 conv4_downsample conv5 conv6 conv7_atrous conv8_atrous conv9_atrous "
    "conv10_atrous conv11 conv12 conv13_upsample.conv conv14 conv15_upsample.conv conv16 conv17"
).split()
CONVERTED_LAYERS: Layers = {
    "coarse": NUMBERED,
    "dilated": [f"x{name}" for name in NUMBERED[:10]],
    "matched": [f"pm{name}" for name in NUMBERED[:6]],
    "pasted": ["pmconv9", "pmconv10"],
    "joined": [f"all{name}" for name in NUMBERED[10:]],
}


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A generator trained, or trained on, in PyTorch."""
    if not torch.equal(weights[FUSE].float(), torch.eye(3).expand(1, 1, 3, 3)):
        raise InputError(f"{checkpoint.path} fuses scores in a way that genkit does not have")
    config = DeepFillConfig(
        width=settings.read("width", weights["stage1.conv1.conv.weight"].shape[0]),
        fuse=settings.read("fuse", True),
    )
    rest = {name: tensor for name, tensor in weights.items() if name != FUSE}
    return _loaded(config, rest, LAYERS)


def converted(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """A generator trained in TensorFlow. Its authors fuse scores, the class that the converted
    files are made for does not.
    """
    config = DeepFillConfig(
        width=settings.read("width", weights["conv1.conv.weight"].shape[0]),
        fuse=settings.assume("fuse", False),
        tensorflow=True,
    )
    return _loaded(config, weights, CONVERTED_LAYERS)


def _loaded(config: DeepFillConfig, weights: Weights, layers: Layers) -> Loaded:
    ours = {
        f"{name}.conv.{kind}": f"{part}.{i}.{kind}"
        for part, names in layers.items()
        for i, name in enumerate(names)
        for kind in ("weight", "bias")
    }
    named = {ours.get(name, name): tensor for name, tensor in weights.items()}
    return Loaded(asdict(config), named, {"image": image_section(config)})
