"""DeepFill v2: Yu et al., "Free-Form Image Inpainting with Gated Convolution" (2019).

Two networks of gated convolutions. The first makes a guess at what is in the holes. The second has
two branches: one of dilated convolutions, and one in which every place is put together from known
patches that look like its surroundings (Yu et al., "Generative Image Inpainting with Contextual
Attention", 2018, section 4.1).

It computes what the `Generator` of nipponjo/deepfillv2-pytorch does, in its `model/networks.py`
and, with `tensorflow`, in its `model/networks_tf.py`. There the attention convolves each picture of
a batch with kernels cut out of it, and takes the holes of the first picture for those of all. Here
it is matrix products of patches, for pictures of any number and size, each with its own holes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPNESS = 10
SHORTEST = 1e-4
"""Length of a patch, at least, that scores are divided by."""
FIRST, REST = slice(None, -1), slice(1, None)


@dataclass(frozen=True)
class DeepFillConfig:
    """The size of the published networks."""

    width: int = 48
    fuse: bool = True
    """Whether a patch scores better if its neighbours do."""
    tensorflow: bool = False
    """Strides and smaller pictures as TensorFlow has them, for weights that come from there."""

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be a multiple of."""
        return 8


class DeepFill(nn.Module):
    """(batch, 4, h, w), the picture from 0 to 1 with holes of 0 and the holes, which are 1 ->
    (batch, 3, h, w), from 0 to 1.
    """

    def __init__(self, config: DeepFillConfig) -> None:
        super().__init__()
        self.config = config
        half, full, double = config.width // 2, config.width, 2 * config.width

        def shrink(channels: int, first: int, second: int) -> list[nn.Module]:
            return [
                GatedConv(channels, half, 5),
                GatedConv(half, first, stride=2, late=config.tensorflow),
                GatedConv(first, full),
                GatedConv(full, second, stride=2, late=config.tensorflow),
                GatedConv(second, double),
            ]

        def grow(channels: int) -> list[nn.Module]:
            return [
                GatedConv(channels, double),
                GatedConv(double, double),
                GatedConv(double, full, up=True),
                GatedConv(full, full),
                GatedConv(full, half, up=True),
                GatedConv(half, full // 4),
                nn.Conv2d(full // 4, 3, 3, padding=1),
                nn.Tanh(),
            ]

        def dilated() -> list[nn.Module]:
            return [GatedConv(double, double, dilation=dilation) for dilation in (1, 2, 4, 8, 16)]

        self.coarse = nn.Sequential(*shrink(5, full, double), *dilated(), *grow(double))
        self.dilated = nn.Sequential(*shrink(3, half, full), *dilated())
        self.matched = nn.Sequential(*shrink(3, half, double), GatedConv(double, double, relu=True))
        self.pasted = nn.Sequential(GatedConv(double, double), GatedConv(double, double))
        self.joined = nn.Sequential(*grow(2 * double))

    def forward(self, x: Tensor) -> Tensor:
        hole = x[:, 3:]
        picture = (2 * x[:, :3] - 1) * (1 - hole)
        # The channel of ones is where the authors' other networks have a sketch.
        guess = self.coarse(torch.cat([picture, torch.ones_like(hole), hole], 1))
        guessed = guess * hole + picture
        matched = contextual_attention(
            self.matched(guessed), hole, fuse=self.config.fuse, tensorflow=self.config.tensorflow
        )
        y: Tensor = self.joined(torch.cat([self.dilated(guessed), self.pasted(matched)], 1))
        return (y + 1) / 2


class GatedConv(nn.Conv2d):
    """A convolution with half of its channels for what passes, half for how much of it does."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        up: bool = False,
        relu: bool = False,
        late: bool = False,
    ) -> None:
        """`up` doubles the sides before; `late` has all zeros of a stride of 2 behind the end,
        which is TensorFlow's "same" for even sides.
        """
        padding = 0 if late else dilation * (kernel - 1) // 2
        super().__init__(
            channels_in, 2 * channels_out, kernel, stride, padding=padding, dilation=dilation
        )
        self.up = up
        self.relu = relu
        self.late = late

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.interpolate(x, scale_factor=2.0)
        if self.late:
            x = F.pad(x, (0, 1, 0, 1))
        features, gates = super().forward(x).chunk(2, 1)
        features = features.relu() if self.relu else F.elu(features)
        return features * gates.sigmoid()


def contextual_attention(x: Tensor, hole: Tensor, *, fuse: bool, tensorflow: bool) -> Tensor:
    """Put features (n, c, h, w) together anew from their own patches of 4 x 4 that have no hole
    nearby -> (n, c, h, w). Holes (n, 1, 4 h, 4 w) are 1, all else is 0.

    Patches are compared at half size, by 3 x 3 pixels. As many numbers as there are pixels at half
    size, squared, are in memory at a time.
    """
    smaller = _nearest if tensorflow else _every
    small = smaller(x, 2)
    height, width = small.shape[-2:]
    looks = _surroundings(small)
    lengths = looks.square().sum(1, keepdim=True).sqrt().clamp_min(SHORTEST)
    scores = (looks / lengths).transpose(1, 2) @ looks  # (n, from, to)
    if fuse:
        scores = _fused(scores, height, width)
    known = F.max_pool2d(smaller(hole, 8), 3, 1, 1).flatten(2).transpose(1, 2) == 0
    shares = (scores * known * SHARPNESS).softmax(1) * known
    # Each pixel lies in four patches.
    return _paste(_patches(x) @ shares, height, width) / 4


def _every(x: Tensor, step: int) -> Tensor:
    """Every second pixel, or every eighth."""
    return x[:, :, ::step, ::step]


def _nearest(x: Tensor, step: int) -> Tensor:
    """As many pixels, from the first to the last (TensorFlow's `align_corners`)."""
    rows, columns = (_places(side // step, step, x.device) for side in x.shape[-2:])
    return x.index_select(2, rows).index_select(3, columns)


def _places(count: int, step: int, device: torch.device) -> Tensor:
    """`count` whole numbers from 0 to `step * count` - 1. Ties fall as floats round, and so they
    are counted from both ends, as by torch.linspace.
    """
    to = torch.arange(count, device=device)
    last = to[-1:]  # as a tensor: a free size cannot be traced as a divisor
    end = (step * last + step - 1).float()
    distance = end / last.clamp_min(1).float()
    place = torch.where(2 * to < last.clamp_min(1), distance * to, end - distance * (last - to))
    return (place + 0.5).floor().long()


def _surroundings(x: Tensor) -> Tensor:
    """The 3 x 3 pixels around each, zero beyond the edges: (n, 9 c, h w)."""
    height, width = x.shape[-2:]
    x = F.pad(x, (1, 1, 1, 1))
    shifted = [x[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return torch.cat(shifted, 1).flatten(2)


def _fused(scores: Tensor, height: int, width: int) -> Tensor:
    """Scores (n, from, to), added to those of both neighbours in the row, then in the column."""
    scores = _with_next(scores)
    turned = scores.reshape(-1, height, width, height, width).permute(0, 2, 1, 4, 3)
    scores = _with_next(turned.flatten(3, 4).flatten(1, 2))
    turned = scores.reshape(-1, width, height, width, height).permute(0, 2, 1, 4, 3)
    return turned.flatten(3, 4).flatten(1, 2)


def _with_next(scores: Tensor) -> Tensor:
    padded = F.pad(scores, (1, 1, 1, 1))
    return padded[:, :-2, :-2] + scores + padded[:, 2:, 2:]


def _patches(x: Tensor) -> Tensor:
    """Patches of 4 x 4 from every second pixel on, zero beyond the edges: (n, 16 c, h w / 4)."""
    squares = F.pixel_unshuffle(F.pad(x, (1, 1, 1, 1)), 2)
    corners = [squares[:, :, rows, columns] for rows in (FIRST, REST) for columns in (FIRST, REST)]
    return torch.cat(corners, 1).flatten(2)


def _paste(patches: Tensor, height: int, width: int) -> Tensor:
    """The sum of patches (n, 16 c, height width) where they were taken from: (n, c, h, w)."""
    top_left, top_right, bottom_left, bottom_right = (
        corner.reshape(*corner.shape[:2], height, width) for corner in patches.chunk(4, 1)
    )
    squares = F.pad(top_left, (0, 1, 0, 1)) + F.pad(top_right, (1, 0, 0, 1))
    squares = squares + F.pad(bottom_left, (0, 1, 1, 0)) + F.pad(bottom_right, (1, 0, 1, 0))
    return F.pixel_shuffle(squares, 2)[:, :, 1:-1, 1:-1]
