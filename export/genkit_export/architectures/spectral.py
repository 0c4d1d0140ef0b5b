"""Layers whose weight is divided by its largest singular value, in the two forms that are published.

Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def doubled(x: Tensor) -> Tensor:
    """Every pixel (batch, channels, h, w) becomes four, in the type of x: autocast knows better and
    makes it float32.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.interpolate(x, scale_factor=2)


class Enlarging(nn.Module):
    """A convolution that can be asked to enlarge first. The exporter has a cheaper form of the two."""

    def enlarged(self, x: Tensor) -> Tensor:
        """What comes of (batch, in, h, w) after every pixel has become four: (batch, out, 2h, 2w)."""
        y: Tensor = self(doubled(x))
        return y


class Spectral(nn.Module):
    """What the layers below share: `sigma()`, the divisor of their weight."""

    weight: Tensor

    def sigma(self) -> Tensor:
        """The largest singular value of the weight as (out, rest), a scalar."""
        raise NotImplementedError

    def raw(self) -> Tensor:
        """The weight that is trained and stored."""
        return self.weight

    def normalized(self) -> Tensor:
        """The weight that is used."""
        return self.raw() / self.sigma()


class Iterated(Spectral):
    """A singular vector `u0` that one power iteration a pass brings closer, in evaluation too (there
    it is not stored); the layout of BigGAN-PyTorch. `sv0` only tells the last value.
    """

    u0: Tensor
    sv0: Tensor
    eps: float

    def prepare(self, eps: float) -> None:
        """Add the buffers."""
        self.register_buffer("u0", torch.randn(1, len(self.weight)))
        self.register_buffer("sv0", torch.ones(1))
        self.eps = eps

    def sigma(self) -> Tensor:
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)  # (out, rest)
            with torch.no_grad():
                v = F.normalize(self.u0 @ matrix, eps=self.eps)
                u = F.normalize(v @ matrix.T, eps=self.eps)
            value = (v @ matrix.T @ u.T).squeeze()
        if self.training:
            with torch.no_grad():
                self.u0.copy_(u)
                self.sv0.fill_(value)
        return value


class SpectralConv2d(nn.Conv2d, Iterated, Enlarging):
    """A convolution (batch, in, h, w) -> (batch, out, h, w): kernels are 1 or 3."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, eps: float = 1e-12
    ) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.prepare(eps)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.normalized(), self.bias, padding=self.padding)


class SpectralLinear(nn.Linear, Iterated):
    """(batch, in) -> (batch, out)."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, eps: float = 1e-12) -> None:
        super().__init__(inputs, outputs, bias)
        self.prepare(eps)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.normalized(), self.bias)


class SpectralEmbedding(nn.Embedding, Iterated):
    """Indices (batch,) -> (batch, width)."""

    def __init__(self, count: int, width: int, *, eps: float = 1e-12) -> None:
        super().__init__(count, width)
        self.prepare(eps)

    def forward(self, index: Tensor) -> Tensor:
        return F.embedding(index, self.normalized())


class Stored(Spectral):
    """Both singular vectors as training left them; the layout of `torch.nn.utils.spectral_norm`.
    For networks that are run and not trained.
    """

    weight_orig: Tensor
    weight_u: Tensor
    weight_v: Tensor

    def prepare(self) -> None:
        """Rename the weight as published, and add the vectors."""
        original = self.weight.detach()
        del self.weight
        self.weight_orig = nn.Parameter(original)
        self.register_buffer("weight_u", F.normalize(torch.randn(len(original)), dim=0))
        self.register_buffer(
            "weight_v", F.normalize(torch.randn(original.flatten(1).shape[1]), dim=0)
        )

    def raw(self) -> Tensor:
        return self.weight_orig

    def sigma(self) -> Tensor:
        return self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v)


class StoredConv2d(nn.Conv2d, Stored, Enlarging):
    """A convolution (batch, in, h, w) -> (batch, out, h, w): kernels are 1 or 3."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.prepare()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.normalized(), self.bias, padding=self.padding)


class StoredLinear(nn.Linear, Stored):
    """(batch, in) -> (batch, out)."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.prepare()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.normalized(), self.bias)


def orthogonality(network: nn.Module) -> Tensor:
    """BigGAN's regulariser: the squared products of different filters of a layer, summed over all
    convolutions and linear layers (Brock et al. 2018, equation 3). A scalar.
    """
    total = torch.zeros((), device=next(network.parameters()).device)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            matrix = module.weight.flatten(1)
            # The products of rows and those of columns have the same sum of squares.
            wide = matrix.shape[0] < matrix.shape[1]
            products = matrix @ matrix.T if wide else matrix.T @ matrix
            own = matrix.square().sum(1)  # of each row with itself
            total = total + products.square().sum() - own.square().sum()
    return total
