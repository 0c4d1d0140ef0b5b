"""What Vision Transformers share: patches, the feed-forward part, stochastic depth."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Stem = Literal["patch", "conv", "shifted", "normed"]
STEMS = ("patch", "conv", "shifted", "normed")
CHANNELS = 3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def check_stem(stem: str, channels: Sequence[int], patch_size: int) -> None:
    """Raises ValueError for a stem that cannot be built."""
    if stem not in STEMS:
        raise ValueError(f"unknown stem {stem!r}")
    if stem != "conv" and channels:
        raise ValueError(f"a {stem} stem has no channels of its own")
    if stem == "conv" and (2 ** _halvings(patch_size) != patch_size or patch_size == 1):
        raise ValueError(
            f"a stem of convolutions needs a power of two, not patches of {patch_size}"
        )
    if stem == "conv" and len(channels) < _halvings(patch_size):
        raise ValueError(
            f"patches of {patch_size} need {_halvings(patch_size)} convolutions, not {len(channels)}"
        )


class PatchEmbed(nn.Module):
    """Pictures (batch, colours, h, w) to patches (batch, width, h / patch_size, w / patch_size).

    - `patch`: a linear map of each patch ("An Image is Worth 16x16 Words", Dosovitskiy et al. 2021).
    - `conv`: 3 x 3 convolutions with batch norm and ReLU, the last log2(patch_size) of them with
      stride 2, and a 1 x 1 convolution ("Early Convolutions Help Transformers See Better", Xiao et
      al. 2021). `channels` are those of the 3 x 3 ones.
    - `shifted`: the picture and its four diagonal shifts by half a patch, a norm and a linear map
      ("Vision Transformer for Small-Size Datasets", Lee et al. 2021, section 3.1).
    - `normed`: a linear map of each patch between two norms (`vit.py` of lucidrains/vit-pytorch,
      after "Dual PatchNorm", Kumar et al. 2023).

    The argument `normed` adds a norm after any of them, as Swin has it.
    """

    def __init__(
        self,
        stem: Stem,
        patch_size: int,
        width: int,
        channels: Sequence[int] = (),
        *,
        normed: bool = False,
        norm_eps: float = 1e-5,
        colours: int = CHANNELS,
    ) -> None:
        super().__init__()
        self.stem, self.patch_size = stem, patch_size
        if stem == "conv":
            self.convs = nn.Sequential(*_convolutions(colours, channels, _halvings(patch_size)))
            self.proj = nn.Conv2d(channels[-1], width, 1)
        elif stem == "shifted":
            self.shift_norm = nn.LayerNorm(5 * colours * patch_size**2, norm_eps)
            self.proj = nn.Conv2d(5 * colours * patch_size**2, width, 1)
        elif stem == "normed":
            self.pixel_norm = nn.LayerNorm(colours * patch_size**2, norm_eps)
            self.proj = nn.Conv2d(colours * patch_size**2, width, 1)
        else:
            self.proj = nn.Conv2d(colours, width, patch_size, patch_size)
        normed = normed or stem == "normed"
        self.norm = nn.LayerNorm(width, norm_eps) if normed else None

    def forward(self, x: Tensor) -> Tensor:
        if self.stem == "conv":
            x = self.convs(x)
        elif self.stem == "shifted":
            patches = F.pixel_unshuffle(_with_shifts(x, self.patch_size // 2), self.patch_size)
            x = self.shift_norm(patches.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        elif self.stem == "normed":
            patches = F.pixel_unshuffle(x, self.patch_size)
            x = self.pixel_norm(patches.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.proj(x)
        if self.norm is not None:
            x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x


class Mlp(nn.Module):
    """Two linear maps with an exact GELU between, the same for every token."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))
        return y


class DropPath(nn.Module):
    """Leaves a branch out for some pictures of a batch while training, and scales it for the others
    ("Deep Networks with Stochastic Depth", Huang et al. 2016).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        shape = (len(x), *(1 for _ in x.shape[1:]))
        keep = torch.rand(shape, device=x.device) >= self.p
        return x * keep.to(x.dtype) / (1 - self.p)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(batch, length, width) -> (batch, heads, length, width / heads)."""
    return x.reshape(-1, x.shape[1], num_heads, x.shape[2] // num_heads).transpose(1, 2)


def drop_rates(highest: float, layers: int) -> list[float]:
    """The chance that a layer is left out: from 0 in the first to the highest in the last."""
    return [highest * i / max(layers - 1, 1) for i in range(layers)]


def initialize(network: nn.Module) -> None:
    """Weights of linear layers from a normal distribution of deviation 0.02, cut at two of them;
    biases zero; convolutions as PyTorch has them.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _halvings(patch_size: int) -> int:
    return int(math.log2(patch_size))


def _convolutions(before: int, channels: Sequence[int], halvings: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, after in enumerate(channels):
        stride = 2 if i >= len(channels) - halvings else 1
        conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    return layers


def _with_shifts(x: Tensor, by: int) -> Tensor:
    """(batch, 3, h, w) -> (batch, 15, h, w): the pictures, and moved to the four corners."""
    height, width = x.shape[2:]
    padded = F.pad(x, (by, by, by, by))
    corners = [(top, left) for top in (0, 2 * by) for left in (0, 2 * by)]
    moved = [padded[:, :, top : top + height, left : left + width] for top, left in corners]
    return torch.cat([x, *moved], 1)
