"""MI-GAN as its authors publish it for use: `migan_512_places2.pt` and its like, or TorchScript.

Source: `Generator` in `lib/model_zoo/migan_inference.py` of Picsart-AI-Research/MI-GAN, in both of
its versions, and `scripts/demo.py`, which says what the network gets: masks with 1 for what is known.
Networks as they are trained (`.pkl`) have other names; `scripts/export_inference_model.py` makes
these of them.
"""

from typing import Any

from genkit_export.architectures.migan import SMALLEST, MiGanConfig
from genkit_export.inpaint import image_section
from genkit_export.read import Checkpoint

from .layout import Loaded, Settings, Weights, numbers

KEYS = (
    "encoder.b4.conv1.conv1.weight",
    "encoder.b*.fromrgb.weight",
    "synthesis.b4.torgb.weight",
    "synthesis.b*.conv1.noise_const",
)
ZEROS = (".filter_const", ".insert_zeros.weight")
"""What puts zeros between the pixels of what is doubled: constants."""
NOISE, STRENGTH = ".noise_const", ".noise_strength"
DOUBLED = ".upsample.filter.weight"


def load(weights: Weights, checkpoint: Checkpoint, settings: Settings) -> Loaded:
    """The generator of 256 or 512 pixels."""
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
    ours: Weights = {}
    for name, tensor in weights.items():
        if name.endswith(NOISE):
            path = name.removesuffix(NOISE)
            ours[f"{path}.noise"] = tensor * weights[f"{path}{STRENGTH}"]
        elif name.endswith(DOUBLED):  # a convolution there, a transposed one here
            ours[name] = tensor.flip(2, 3)
        elif not name.endswith((STRENGTH, *ZEROS)):
            ours[name] = tensor
    return Loaded(config, ours, {"image": image_section(MiGanConfig(**config))})
