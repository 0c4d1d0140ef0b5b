"""Makes a trained network cheaper to run, without changing what it computes.

Batch norm, spectral norm and equalised learning rates become factors of the weights, and transposed
convolutions are written in the form that runs fastest. Weights stay as they are stored, with the
factors beside them: what is exact in half precision stays small in a file, and a session multiplies
both when it opens the graph.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .architectures.biggan_deep import BigGanDeep
from .architectures.progressive import Equalized
from .architectures.spectral import Spectral

FOUR_CONVOLUTIONS_FROM = 128
"""Output channels from which four convolutions are as fast as a transposed one or faster. On one
core, ONNX Runtime took 9.0 ms instead of 10.1 for 256 channels of 16 maps from 4 x 4 to 8 x 8, 10.0
instead of 10.4 for 128, 11.5 instead of 11.1 for 64, and 5.6 instead of 1.4 for 3; one 3 x 3
convolution with four times the channels took twice as long throughout."""
TAPS = ((3, 1), (2, 0))
"""Rows of a kernel of 4 that reach the even and the odd rows of the output, from top to bottom."""


class Scaled(nn.Module):
    """A layer whose weight is multiplied by a factor for each output and followed by a bias."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("scale", scale.detach().clone())
        self.register_buffer("bias", bias.detach().clone())


class ScaledLinear(Scaled):
    """(batch, in) -> (batch, out); the weight is (out, in)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale[:, None], self.bias)


class ScaledConv2d(Scaled):
    """(batch, in, h, w) -> (batch, out, h, w); the weight is (out, in, k, k)."""

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor, padding: int) -> None:
        super().__init__(weight, scale, bias)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        return F.conv2d(x, weight, self.bias, padding=self.padding)

    def enlarged(self, x: Tensor) -> Tensor:
        """What comes of (batch, in, h, w) after every pixel has become four: (batch, out, 2h, 2w).

        Of the three rows of a kernel two see the same pixels, so that four kernels of 2 x 2 do. From
        8 outputs to 256 this took between 0.4 and 0.8 of the time for 16 maps.
        """
        if self.weight.shape[2] != 3:
            raise ValueError("only kernels of 3 are known to see pixels twice")
        weight = self.weight * self.scale[:, None, None, None]
        kernels = [kernel for rows in _merged(weight, 2) for kernel in _merged(rows, 3)]
        return _interleaved(x, kernels, self.bias)


class FromOnePixel(Scaled):
    """A transposed convolution of one pixel, as a matrix product: (batch, in, 1, 1) -> (batch, out,
    k, k); the weight is (in, out, k, k).
    """

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None]
        y = x.flatten(1) @ weight.flatten(1)
        return torch.unflatten(y, 1, self.weight.shape[1:]) + self.bias[:, None, None]


class ScaledConvTranspose2d(Scaled):
    """(batch, in, h, w) -> (batch, out, ...); the weight is (in, out, k, k)."""

    def __init__(
        self, weight: Tensor, scale: Tensor, bias: Tensor, stride: int, padding: int
    ) -> None:
        super().__init__(weight, scale, bias)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None]
        return F.conv_transpose2d(x, weight, self.bias, self.stride, self.padding)


class FourConvolutions(Scaled):
    """A transposed convolution with a kernel of 4, stride 2 and padding 1: (batch, in, h, w) ->
    (batch, out, 2h, 2w); the weight is (in, out, 4, 4).

    Each output pixel is reached by two rows and two columns of the kernel, which ones depends on
    whether its place is even or odd; so four convolutions with kernels of 2 make the pixels of each
    kind, and a depth-to-space puts them together. `relu` belongs to them, where it costs nothing.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor, relu: bool) -> None:
        super().__init__(weight, scale, bias)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.scale[:, None, None]).transpose(0, 1)
        kernels = [weight[:, :, rows][:, :, :, columns] for rows in TAPS for columns in TAPS]
        return _interleaved(x, kernels, self.bias, relu=self.relu)


def _interleaved(
    x: Tensor, kernels: Sequence[Tensor], bias: Tensor, *, relu: bool = False
) -> Tensor:
    """Four convolutions with kernels (out, in, 2, 2), for the pixels in even rows and even columns,
    even and odd, odd and even, odd and odd: (batch, in, h, w) -> (batch, out, 2h, 2w).
    """
    parts = []
    for index, kernel in enumerate(kernels):
        row, column = divmod(index, 2)
        # What is padded for one convolution only, ONNX Runtime makes a part of it.
        part = F.conv2d(F.pad(x, (1 - column, column, 1 - row, row)), kernel, bias)
        parts.append(part.relu() if relu else part)
    return F.pixel_shuffle(torch.stack(parts, 2).flatten(1, 2), 2)


def _merged(kernel: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The two rows (or columns) of sums that even and odd pixels see of a kernel's three."""
    first, middle, last = kernel.unbind(axis)
    even = torch.stack([first, middle + last], axis)
    odd = torch.stack([first + middle, last], axis)
    return even, odd


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode that computes the same with fewer operations."""
    network = deepcopy(network).eval()
    with torch.no_grad():
        _fold_children(network)
        if isinstance(network, BigGanDeep):
            _keep_three_outputs(network)
    return network


def _keep_three_outputs(network: BigGanDeep) -> None:
    """Leave out those outputs of the last convolution that no picture shows."""
    last = network.generator.conv_to_rgb
    assert isinstance(last, ScaledConv2d)
    network.generator.conv_to_rgb = ScaledConv2d(
        last.weight[:3], last.scale[:3], last.bias[:3], last.padding
    )


def _fold_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential) and _has_norm_or_transposed(child):
            setattr(module, name, nn.Sequential(*_fold_sequence(list(_flat(child)))))
        elif isinstance(child, Spectral | Equalized):
            setattr(module, name, _fold_factor(child))
        else:
            _fold_children(child)


def _has_norm_or_transposed(sequence: nn.Sequential) -> bool:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ConvTranspose2d)
    return any(isinstance(layer, kinds) for layer in sequence)


def _flat(sequence: nn.Sequential) -> Iterator[nn.Module]:
    for layer in sequence:
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer)
        else:
            yield layer


def _fold_factor(layer: Spectral | Equalized) -> nn.Module:
    """A layer with one factor for the whole weight."""
    if isinstance(layer, Equalized):
        plain: nn.Module = layer.module
        weight, factor = layer.module.weight, torch.tensor(layer.constant)
    else:
        plain, weight, factor = layer, layer.raw(), 1 / layer.sigma()
    bias = getattr(plain, "bias", None)
    if bias is None:
        bias = torch.zeros(len(weight))
    elif isinstance(layer, Equalized):
        bias = bias * factor
    scale = factor.expand(len(weight))
    if isinstance(plain, nn.Conv2d):
        return ScaledConv2d(weight, scale, bias, plain.padding[0])  # type: ignore[arg-type]
    return ScaledLinear(weight, scale, bias)


def _fold_sequence(layers: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """The layers, with norms multiplied into what stands before them. A transposed convolution that
    comes first sees one pixel, the noise.
    """
    position = 0
    while position < len(layers):
        layer = layers[position]
        first = position == 0
        position += 1
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            yield layer
            continue
        shuffle = None
        if isinstance(_at(layers, position), nn.PixelShuffle):
            shuffle = layers[position]
            position += 1
        norm = _at(layers, position)
        scale, bias = _affine(layer, norm, 4 if shuffle else 1)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            position += 1
        relu = isinstance(_at(layers, position), nn.ReLU)
        if isinstance(layer, nn.ConvTranspose2d):
            new = _transposed(layer, scale, bias, relu, first=first)
            if isinstance(new, FourConvolutions) and relu:
                position += 1
        elif isinstance(layer, nn.Conv2d):
            new = ScaledConv2d(layer.weight, scale, bias, layer.padding[0])  # type: ignore[arg-type]
        else:
            new = ScaledLinear(layer.weight, scale, bias)
        yield new
        if shuffle:
            yield shuffle


def _at(layers: Sequence[nn.Module], position: int) -> nn.Module | None:
    return layers[position] if position < len(layers) else None


def _affine(
    layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, norm: nn.Module | None, repeats: int
) -> tuple[Tensor, Tensor]:
    """Factor and bias for each output of a layer with the norm that follows it, if one does. A
    pixel shuffle between them gives each channel of the norm `repeats` outputs.
    """
    count = layer.weight.shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
    own = torch.zeros(count) if layer.bias is None else layer.bias
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        return torch.ones(count), own
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    scale, shift = (value.repeat_interleave(repeats) for value in (scale, shift))
    return scale, own * scale + shift


def _transposed(
    layer: nn.ConvTranspose2d, scale: Tensor, bias: Tensor, relu: bool, *, first: bool
) -> nn.Module:
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    assert isinstance(padding, int)
    if first and padding == 0:
        return FromOnePixel(layer.weight, scale, bias)
    if (kernel, stride, padding) == (4, 2, 1) and len(scale) >= FOUR_CONVOLUTIONS_FROM:
        return FourConvolutions(layer.weight, scale, bias, relu)
    return ScaledConvTranspose2d(layer.weight, scale, bias, stride, padding)
