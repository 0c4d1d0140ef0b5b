"""MI-GAN as its authors publish it for use: `migan_512_places2.pt` and its like, or TorchScript.

Source: `Generator` in `lib/model_zoo/migan_inference.py` of Picsart-AI-Research/MI-GAN, in both of
its versions, and `scripts/demo.py`, which says what the network gets: masks with 1 for what is known.
Networks as they are trained (`.pkl`) have other names; `scripts/export_inference_model.py` makes
these of them.
"""

from typing import Any

import torch
from torch import Tensor

from genkit.errors import InputError
from genkit_export.architectures.migan import GAIN, SMALLEST, smoothing
from genkit_export.read import Checkpoint
from genkit_export.resizing import resized

from .layout import Loaded, Settings, Tensors, Weights, numbers

KEYS = (
    "encoder.b4.conv1.conv1.weight",
    "encoder.b*.fromrgb.weight",
    "synthesis.b4.torgb.weight",
    "synthesis.b*.conv1.noise_const",
)
ZEROS = (".filter_const", ".insert_zeros.weight")
"""What puts zeros between the pixels of what is doubled."""
FILTER = ".filter.weight"
SMOOTHED = smoothing(1, 3, 3, 1)
"""The kernel of what is halved, and a quarter of that of what is doubled."""
NOISE, STRENGTH = ".noise_const", ".noise_strength"
TO_RGB = ".torgb."
"""What is not activated."""


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The generator of 256 or 512 pixels. Raises InputError for one with filters of its own."""
    sizes = numbers(weights, "encoder.b*.conv1.conv1.weight")
    config: dict[str, Any] = {
        "size": settings.read("size", sizes[-1]),
        "width": settings.read(
            "width", weights[f"encoder.b{sizes[-1]}.conv1.conv1.weight"].shape[0]
        ),
        "most_channels": settings.read(
            "most_channels", weights[f"encoder.b{SMALLEST}.conv1.conv1.weight"].shape[0]
        ),
    }
    ours: Weights = Tensors()
    for name, tensor in weights.items():
        if name.endswith(FILTER):
            _check(name, tensor, checkpoint)
        elif name.endswith(NOISE):
            path = name.removesuffix(NOISE)
            strength = GAIN * float(weights[f"{path}{STRENGTH}"].sum())  # a single number
            ours[f"{path}.noise"] = tensor.float() * strength
        elif not name.endswith((STRENGTH, *ZEROS)):
            ours[name] = tensor if TO_RGB in name else tensor.float() * GAIN
    size = config["size"]
    return Loaded(config, ours, {"image": {"resize": resized("stretch", (size, size))}})


def _check(name: str, tensor: Tensor, checkpoint: Checkpoint) -> None:
    """Filters are constants of the authors' code, which their files hold all the same."""
    expected = SMOOTHED * (4 if ".upsample." in name else 1)
    if tensor.shape[1:] != (1, 4, 4) or not torch.allclose(tensor.float(), expected, atol=1e-4):
        raise InputError(
            f"{checkpoint.path} has filters other than (1, 3, 3, 1) ({name}), which genkit does not "
            "have"
        )
