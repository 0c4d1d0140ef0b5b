"""Muon: gradient descent for matrices whose steps are orthogonal.

`torch.optim.Muon` takes no convolutions, and works in bfloat16, which most processors emulate.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from precision import HALF


class Muon(Optimizer):
    """Steps along the orthogonal factor of the momentum of each weight (outputs, ...), all that
    belongs to an output being a row ("Muon: An optimizer for hidden layers in neural networks",
    Jordan 2024). For hidden layers alone: embeddings, heads, biases and norms need another.

    A step has a spectral norm of the learning rate; or, with `rms`, a root mean square of that
    times the learning rate: with 0.2, rates and decays made for Adam hold ("Muon is Scalable for
    LLM Training", Liu et al. 2025, section 2.2).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        rms: float | None = None,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "rms": rms}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.flatten(1).shape].append(weight)
            for shape, weights in alike.items():
                self._step(group, shape, weights)

    def _step(
        self, group: dict[str, Any], shape: torch.Size, weights: Sequence[nn.Parameter]
    ) -> None:
        """Of weights that are matrices of one shape: in one go, which spares a GPU many launches."""
        gradients, momenta = [], []
        for weight in weights:
            assert weight.grad is not None
            gradients.append(weight.grad.flatten(1))
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(gradients[-1])
            momenta.append(state["momentum"])
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, gradients)
        updates = torch._foreach_add(gradients, momenta, alpha=group["momentum"])
        if gradients[0].is_cuda:
            directions = orthogonal(torch.stack(updates)).unbind()
        else:  # where products of a stack are slower, and those of bfloat16 quicker if it has them
            half = torch.bfloat16 if HALF else torch.float32
            directions = tuple(orthogonal(update.to(half)) for update in updates)
        size = group["lr"]
        if group["rms"] is not None:
            size *= group["rms"] * max(shape) ** 0.5
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for weight, direction in zip(weights, directions, strict=True):
            weight.add_(direction.view(weight.shape).to(weight.dtype), alpha=-size)


def orthogonal(x: Tensor, iterations: int = 5) -> Tensor:
    """Matrices (..., rows, columns) with their singular values brought to about one, by the
    Newton-Schulz iteration of the author's code: they end between 0.7 and 1.2, which is near enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    y = x.mT if tall else x
    y = y / (torch.linalg.matrix_norm(y, keepdim=True) + 1e-7)
    for _ in range(iterations):
        square = y @ y.mT
        y = a * y + (b * square + c * square @ square) @ y
    return y.mT.contiguous() if tall else y
