"""The Fourier transform of pictures as matrix products, which ONNX Runtime runs on every device and
for every size.
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Waves(NamedTuple):
    """What a Fourier transform of one size multiplies with; over the columns of a row, only the
    frequencies that a real picture needs.
    """

    row_cos: Tensor
    row_sin: Tensor  # (h, h)
    cos: Tensor
    sin: Tensor  # (w, w // 2 + 1)
    twice: Tensor
    """How many frequencies each of those stands for: (w // 2 + 1)."""

    @classmethod
    def of(cls, x: Tensor) -> Self:
        """Those for pictures (..., h, w) like x."""
        height, width = x.shape[-2:]
        cos, sin = (wave[:, : width // 2 + 1] for wave in _waves(width, x))
        frequency = torch.arange(width // 2 + 1, device=x.device)
        # All stand for two, but the first and, of an even width, the last.
        alone = (frequency == 0) | (2 * frequency == width)
        return cls(*_waves(height, x), cos, sin, torch.where(alone, 1.0, 2.0).to(x.dtype))


def rfft2(x: Tensor, waves: Waves) -> tuple[Tensor, Tensor]:
    """torch.fft.rfft2(x, norm="ortho") by matrix products: real and imaginary part."""
    cos, sin = waves.row_cos, waves.row_sin
    real, imaginary = x @ waves.cos, -(x @ waves.sin)
    return cos @ real + sin @ imaginary, cos @ imaginary - sin @ real


def irfft2(real: Tensor, imaginary: Tensor, waves: Waves) -> Tensor:
    """torch.fft.irfft2(real + i imaginary, norm="ortho") by matrix products, to the waves' size."""
    cos, sin = waves.row_cos, waves.row_sin
    real, imaginary = cos @ real - sin @ imaginary, cos @ imaginary + sin @ real
    cos, sin = (waves.twice[:, None] * wave.T for wave in (waves.cos, waves.sin))
    return real @ cos - imaginary @ sin


def _waves(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 2 pi j k / length, divided by its root: (length, length)."""
    index = torch.arange(length, device=like.device)
    count = index[-1:] + 1  # the length as a tensor: a free size cannot be traced as a divisor
    turns = (index[:, None] * index[None, :]) % count  # whole turns taken out while exact
    angle = turns.float() * (2 * math.pi) / count
    scale = count.float().rsqrt()
    return (angle.cos() * scale).to(like.dtype), (angle.sin() * scale).to(like.dtype)
