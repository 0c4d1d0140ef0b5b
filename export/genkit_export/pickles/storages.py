"""Numbers of a file, and tensors over them that never reach beyond."""

import math

import torch
from torch import Tensor

from .budget import Budget, DamagedError

MOST_DIMENSIONS = 64
VIEW = 256
"""What a tensor takes besides its numbers, in bytes."""


class Storage:
    """Numbers of one type, as bytes: uint8 (n,)."""

    __slots__ = ("data", "dtype")

    def __init__(self, dtype: torch.dtype, data: Tensor) -> None:
        self.dtype, self.data = dtype, data


def whole(value: object, what: str, most: int = 2**63 - 1) -> int:
    """A number that counts something. Raises DamagedError for anything else."""
    if type(value) is not int or not 0 <= value <= most:
        raise DamagedError(f"{what} is no whole number")
    return value


def tensor(
    budget: Budget,
    storage: object,
    offset: object,
    size: object,
    stride: object,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A tensor over a storage. Raises DamagedError where it would end outside of it, or where steps
    of 0 would make very many numbers of a few.
    """
    if type(storage) is not Storage:
        raise DamagedError("a tensor is made from something that holds no numbers")
    dtype = dtype or storage.dtype
    start = whole(offset, "the start of a tensor")
    sizes, strides = _wholes(size), _wholes(stride)
    if len(sizes) != len(strides):
        raise DamagedError("a tensor has more sizes than steps, or fewer")
    held = len(storage.data) // dtype.itemsize
    extent = sum((n - 1) * step for n, step in zip(sizes, strides, strict=True)) + 1
    if start + (extent if all(sizes) else 0) > held:
        raise DamagedError(f"a tensor reaches beyond the {held} numbers that it is made from")
    budget.take(VIEW + max(0, (math.prod(sizes) - held) * dtype.itemsize))
    data = storage.data[: held * dtype.itemsize]
    if data.data_ptr() % dtype.itemsize:  # numbers are aligned; a file need not be
        data = storage.data = storage.data.clone()
        data = data[: held * dtype.itemsize]
    numbers = data.view(dtype)
    return numbers.as_strided(sizes, strides, numbers.storage_offset() + start)


def part(storage: object, view: object) -> Storage:
    """A part of a storage, as older files describe it: (key, start, length)."""
    if type(storage) is not Storage or type(view) is not tuple or len(view) != 3:
        raise DamagedError("a part of a storage is not described")
    start, length = whole(view[1], "the start of a storage"), whole(view[2], "its length")
    itemsize = storage.dtype.itemsize
    if (start + length) * itemsize > len(storage.data):
        raise DamagedError("a part of a storage reaches beyond it")
    return Storage(storage.dtype, storage.data[start * itemsize : (start + length) * itemsize])


def _wholes(values: object) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > MOST_DIMENSIONS:  # type: ignore[arg-type]
        raise DamagedError("a tensor has no shape")
    return tuple(whole(value, "the size of a tensor") for value in values)  # type: ignore[attr-defined]
