"""Exports a Transformer for the task translate: a search graph in float32 and one in int8."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .architectures.transformer import Transformer
from .checkpoints.genkit import Description
from .folder import Exported
from .parity import Graph, distance, largest
from .search import beam, greedy
from .search_graph import INPUTS, OUTPUTS, build
from .text_graph import TextGraph

ROLE = "translate"
STEPS = 24


def export(
    model: Transformer, description: Description, folder: Path, report: Callable[[str], None]
) -> Exported:
    """Write the graphs of `model` to `folder`. Raises ModelError if they do not compute what
    PyTorch does.
    """
    suppress = description.card.get("text", {}).get("suppress_ids", ())
    graph = TextGraph(
        ROLE,
        partial(build, model, suppress),
        INPUTS | OUTPUTS,
        lambda graph, shape: _difference(graph, model, suppress, shape),
        "scores",
    )
    return graph.export(description, folder, report)


def _difference(
    graph: Graph, model: Transformer, suppress: Sequence[int], shape: tuple[int, int]
) -> float:
    """The largest difference of the best hypothesis' score, greedy and with a beam of four."""
    source = _sentences(model, *shape)
    expected = {
        1: [found.score for found in greedy(model, source, STEPS, suppress)],
        4: [row[0].score for row in beam(model, source, 4, STEPS, suppress=suppress)],
    }
    differences = []
    for beam_size, scores in expected.items():
        (found,) = graph.run(
            ["scores"],
            input_ids=source.numpy(),
            prefix_ids=source.numpy()[:, :0],
            beam_size=beam_size,
            length_penalty=1.0,
            early_stopping=False,
            min_length=0,
            max_length=[STEPS] * len(source),
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            return_scores=True,
        )
        differences.append(distance(found[:, 0], scores))
    return largest(differences)


def _sentences(model: Transformer, rows: int, length: int) -> Tensor:
    """Random source ids, the rows of different lengths."""
    config = model.config
    random = torch.Generator().manual_seed(rows)
    ids = torch.randint(2, config.pad_id, (rows, length), generator=random)
    for row in range(rows):
        end = length - 1 - row % (length - 1)
        ids[row, end] = config.eos_id
        ids[row, end + 1 :] = config.pad_id
    return ids
