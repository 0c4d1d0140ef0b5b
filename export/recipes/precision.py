"""The precision that training computes in, by what the processor does well."""

import torch

from genkit.runtime.devices import bfloat16_units

HALF = torch.cuda.is_available() or bool(bfloat16_units())
"""Whether products of bfloat16 are quicker than of float32: where a CPU emulates them, they take
four times as long."""


def autocast(device: str, *, enabled: bool = True) -> torch.autocast:
    """Products in bfloat16, where it is quick."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=enabled and HALF)


def hardware(device: str) -> str:
    """What a model's card says of a run."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return f"{name}, {'bfloat16 autocast' if HALF else 'float32'}"
