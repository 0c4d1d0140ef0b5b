"""Muon: gradient descent for matrices whose steps are orthogonal.

`torch.optim.Muon` takes no convolutions, and works in bfloat16, which most processors emulate.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


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
            rate, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                gradient = weight.grad.flatten(1)
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(gradient)
                state["momentum"].mul_(momentum).add_(gradient)
                direction = orthogonal(gradient.add(state["momentum"], alpha=momentum))
                size = rate
                if group["rms"] is not None:
                    size *= group["rms"] * max(direction.shape) ** 0.5
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(direction.view(weight.shape), alpha=-size)


def orthogonal(x: Tensor, iterations: int = 5) -> Tensor:
    """A matrix (rows, columns) with its singular values brought to about one, by the Newton-Schulz
    iteration of the author's code: they end between 0.7 and 1.2, which is near enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    y = x.T if x.shape[0] > x.shape[1] else x
    y = y / (y.norm() + 1e-7)
    for _ in range(iterations):
        square = y @ y.T
        y = torch.addmm(y, torch.addmm(square, square, square, beta=b, alpha=c), y, beta=a)
    return y.T.contiguous() if x.shape[0] > x.shape[1] else y
