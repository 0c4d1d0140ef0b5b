"""Eight-bit products for the CPU, with a result that does not depend on what else is in the batch.

Weights are int8, one scale an output channel. Inputs are uint8 with a scale and a zero point fixed
beforehand, from the range that each input took on training text. ONNX Runtime's dynamic form looks
for the range at run time, over the whole batch, so that a sentence's translation changes with its
neighbours; the static form does not, and is as fast. Signed inputs would take a path that is 30
times slower on x86.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from genkit.errors import InputError

from .architectures.transformer import Transformer
from .onnx_builder import MICROSOFT, GraphBuilder

Ranges = Mapping[str, tuple[float, float]]
"""Path of a linear layer -> smallest and largest input that it is to represent."""


@dataclass(frozen=True)
class StaticInt8:
    """Writes x @ weight.T + bias in eight bits (a `transformer_graph.Dense`)."""

    ranges: Ranges

    def __call__(
        self,
        g: GraphBuilder,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        site: str,
    ) -> str:
        if site not in self.ranges:
            raise InputError(
                f"the checkpoint has no range of activations for {site}",
                hint="--precision fp32 needs none",
            )
        low, high = self.ranges[site]
        # Of an input that is always 0, any scale is right.
        scale = np.float32((high - low) / 255) or np.float32(1)
        zero_point = np.uint8(round(-low / float(scale)))
        channel = np.abs(weight).max(1) / np.float32(127)
        channel[channel == 0] = 1
        eight = np.rint(weight / channel[:, None]).astype(np.int8)
        return g(
            "MatMulIntegerToFloat",
            g("QuantizeLinear", x, scale, zero_point),
            # Folded into the graph that uses it (see GraphBuilder.weight).
            g("Transpose", eight, perm=[1, 0]),
            scale, channel, zero_point, None, bias,
            domain=MICROSOFT,
        )  # fmt: skip


def calibrate(
    model: Transformer, batches: Iterable[tuple[Tensor, Tensor]], percentile: float = 99.999
) -> dict[str, tuple[float, float]]:
    """The range of every product's input in a Transformer, over batches of source and target ids
    (see `input_ranges`).
    """

    def run(source: Tensor, target: Tensor) -> dict[str, Tensor]:
        start = torch.full((len(target), 1), model.config.pad_id)
        shifted = torch.cat([start, target[:, :-1]], 1)
        memory, bias = model.encode(source), model.padding_bias(source)
        return {"embedding": model.decode(shifted, memory, bias)}

    return input_ranges(model, run, batches, percentile)


@torch.inference_mode()
def input_ranges(
    model: nn.Module,
    run: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    batches: Iterable[tuple[Tensor, Tensor]],
    percentile: float = 99.999,
) -> dict[str, tuple[float, float]]:
    """The range of every linear layer's input while `run` runs the model on each batch.

    `run` returns the inputs of products that are not linear layers, by the site that they are to
    have. Ranges include zero, and leave out the outermost `100 - percentile` per cent of the values
    on each side, which would cost all others precision.
    """
    model.eval()
    seen: defaultdict[str, list[Tensor]] = defaultdict(list)

    def record(site: str, values: Tensor) -> None:
        seen[site].append(values.flatten()[::7].clone())

    def hook(site: str) -> RemovableHandle:
        module = model.get_submodule(site)
        return module.register_forward_pre_hook(lambda _, args: record(site, args[0]))

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    hooks = [hook(site) for site in linear]
    try:
        for batch in batches:
            for site, values in run(*batch).items():
                record(site, values)
    finally:
        for handle in hooks:
            handle.remove()
    return {site: _range(torch.cat(values), percentile) for site, values in seen.items()}


def _range(values: Tensor, percentile: float) -> tuple[float, float]:
    low, high = np.percentile(values.numpy(), [100 - percentile, percentile])
    return min(float(low), 0.0), max(float(high), 0.0)
