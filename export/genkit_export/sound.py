"""Whether the numbers of a checkpoint can be those of a trained network."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from genkit.errors import InputError

MEANT = ("output_bias", "head.bias", "head.fc.bias")
"""Biases of the last layer: minus infinity there is a token or a class that is never chosen."""
MEANS, VARIANCES = ("running_mean", "stored_mean"), ("running_var", "stored_var")


def check_numbers(weights: Mapping[str, Tensor], named: Mapping[str, Tensor], path: object) -> None:
    """Raises InputError for weights that are not finite in float32; `named` are the same ones under
    the names of the file, by which it is told.
    """
    for name, tensor in weights.items():
        if (kind := _fault(name, tensor)) is not None:
            theirs = (other for other, one in named.items() if _fault(name, one) is not None)
            raise InputError(
                f"{path}: {next(theirs, name)} holds {kind}",
                hint="the training went wrong: take a checkpoint from before it did",
            )


def _fault(name: str, tensor: Tensor) -> str | None:
    """What a tensor holds that no weight can be."""
    if not tensor.is_floating_point() or not tensor.numel():
        return None
    values = tensor.float()
    if bool(values.isnan().any()):
        return "NaN"
    if name in MEANT:
        values = values.clamp_min(torch.finfo(values.dtype).min)
    if bool(values.isinf().any()):
        return "infinite numbers, or such as float32 does not have"
    return None


def never_ran(tensors: Iterable[tuple[str, Tensor]]) -> bool:
    """Whether the batch norms of a network are as they were made: no batch ever went through, and
    so their statistics are not those of what it makes.
    """
    found = False
    for name, tensor in tensors:
        kind = name.rpartition(".")[2]
        start = 0.0 if kind in MEANS else 1.0 if kind in VARIANCES else None
        if start is not None:
            if bool((tensor != start).any()):
                return False
            found = True
    return found
