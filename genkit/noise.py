"""The noise that generators start from: drawn from a seed, walked through, kept in files.

Noise is float32, of the shape that the card of a model tells, and is kept as it was drawn: it
is truncated where it goes into the graph.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from genkit.card import LatentSpec
from genkit.errors import InputError, UsageError

__all__ = ["SEEDS", "Noise", "draw", "read_latents", "slerp", "write_latents"]

Noise = NDArray[np.float32]

SEEDS = 1 << 32
"""Seeds are below this number: NumPy takes no larger ones."""
BOUND = 2.0
"""Where the truncated normal distribution ends, in standard deviations; as in BigGAN."""
PARALLEL = 1e-6
"""The sine of an angle below which two directions are taken for one (or for opposites)."""

# Seeded anew for each picture: that takes 4 us, to make one 100.
_random = np.random.RandomState(0)
_random_lock = Lock()


def draw(seed: int, spec: LatentSpec) -> Noise:
    """The noise of a seed, in the shape that a card asks for.

    The values are those of ``numpy.random.RandomState(seed).standard_normal()``, which NumPy
    promises never to change (NEP 19), in their order, rounded to float32. For a
    ``truncated_normal`` distribution those beyond -2 and 2 are left out and the next ones take
    their place: the distribution that BigGAN draws from (``scipy.stats.truncnorm(-2, 2)``),
    though not the numbers that SciPy makes of the same seed.

    Raises UsageError for a seed below 0 or above 2**32 - 1.
    """
    if not 0 <= seed < SEEDS:
        raise UsageError(f"there is no seed {seed}", hint=f"seeds go from 0 to {SEEDS - 1}")
    count = int(np.prod(spec.shape))
    with _random_lock:
        _random.seed(seed)
        values = _random.standard_normal(count)
        if spec.distribution == "truncated_normal":
            values = values[np.abs(values) <= BOUND]
            while len(values) < count:
                more = _random.standard_normal(count)
                values = np.concatenate([values, more[np.abs(more) <= BOUND]])
    return values[:count].astype(np.float32).reshape(spec.shape)


def slerp(first: Noise, last: Noise, t: float) -> Noise:
    """The noise a share ``t`` of the way from one to another, along the great circle.

    On a straight line it would come closer to the origin than noise ever does (White, Sampling
    Generative Networks, 2016, section 2.1). The ends are met to the bit.
    """
    a, b = first.astype(np.float64).ravel(), last.astype(np.float64).ravel()
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / lengths, -1, 1)) if lengths else 0.0
    if np.sin(angle) < PARALLEL:
        between = (1 - t) * a + t * b
    else:
        between = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return between.astype(np.float32).reshape(first.shape)


def read_latents(path: Path, shape: tuple[int, ...]) -> NDArray[np.floating]:
    """The latents of a .npy file, (n, *shape); they stay on the disk until they are used.

    An array of the shape alone is one latent. Raises InputError for what is no such array.
    """
    try:
        latents: NDArray[np.floating]
        if path.is_file():
            latents = np.lib.format.open_memmap(path, mode="r")
        else:  # a pipe, <(...), is read once and from its beginning
            latents = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # another kind of file, one cut short, or Python objects
        raise InputError(f"{path} is not a .npy file of numbers") from error
    if latents.shape == shape:
        latents = latents[None]
    if latents.shape[1:] != shape or not len(latents):
        expected = ", ".join(["n", *map(str, shape)])
        found = ", ".join(map(str, latents.shape))
        raise InputError(f"{path} holds an array ({found}); the model takes ({expected})")
    if latents.dtype.kind != "f":
        raise InputError(f"{path} holds {latents.dtype}, not floating-point numbers")
    return latents


def write_latents(
    file: BinaryIO, latents: Iterable[Noise], count: int, shape: tuple[int, ...]
) -> None:
    """Write ``count`` latents as a .npy file (count, *shape), one after the other."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, header)
    for latent in latents:
        file.write(np.ascontiguousarray(latent, "<f4").tobytes())
