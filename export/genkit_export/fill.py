"""Exports a BERT for the task fill: a graph in float32 and one in int8."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .architectures.bert import Bert
from .checkpoints.genkit import Description
from .fill_graph import INPUTS, OUTPUTS, VOCABULARY, build
from .folder import Exported
from .parity import Graph, distance
from .quantize import input_ranges
from .text_graph import TextGraph

ROLE = "fill"


def export(
    model: Bert, description: Description, folder: Path, report: Callable[[str], None]
) -> Exported:
    """Write the graphs of `model` to `folder`. Raises ModelError if they do not compute what
    PyTorch does.
    """
    suppress = description.card.get("text", {}).get("suppress_ids", ())
    graph = TextGraph(
        ROLE,
        partial(build, model, suppress),
        INPUTS | OUTPUTS,
        lambda graph, shape: _difference(graph, model, shape),
        "log probabilities",
    )
    return graph.export(description, folder, report)


@torch.inference_mode()
def _difference(graph: Graph, model: Bert, shape: tuple[int, int]) -> float:
    """The largest difference of a token's log probability."""
    ids, positions = _texts(model, *shape)
    expected = model.at(ids, positions).log_softmax(-1)
    (found,) = graph.run(
        ["log_probabilities"],
        input_ids=ids.numpy(),
        positions=positions.numpy(),
        targets=positions.numpy()[:, :0],
        top=1,
    )
    return distance(found, expected)


def _texts(model: Bert, rows: int, length: int) -> tuple[Tensor, Tensor]:
    """Random ids, the rows of different lengths, and two places in each of them."""
    config = model.config
    length = min(length, config.max_positions)
    random = torch.Generator().manual_seed(rows)
    ids = torch.randint(config.vocab_size - 1, (rows, length), generator=random)
    ids += (ids >= config.pad_id).long()  # any token but padding
    positions = []
    for row in range(rows):
        end = length - row % (length - 1)
        ids[row, end:] = config.pad_id
        positions += [(row, 0), (row, end - 1)]
    return ids, torch.tensor(positions)


def calibrate(
    model: Bert, batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, tuple[float, float]]:
    """The range of every product's input, over batches of ids (batch, length) and positions of
    masks (masks, 2); see `quantize.input_ranges`.
    """

    def run(ids: Tensor, positions: Tensor) -> dict[str, Tensor]:
        return {VOCABULARY: model.head(model.encode(ids, positions=positions))}

    return input_ranges(model, run, batches)
