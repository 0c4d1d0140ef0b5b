"""How good an exported model is at filling masks, on lines that it has not seen.

python export/recipes/fill_quality.py --data DIR --model NAME|DIR
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from fill_data import CLS, SEP, Masking, Rows, continuations, mask, pad, read_lines
from genkit.masked import MaskedModel, Query
from genkit.model import find
from genkit.runtime import RuntimeOptions
from genkit.tasks.fill import Filler

LINES = 2000
"""Held-out lines that masks are drawn in."""
SCORED = 300
"""Held-out lines whose pseudo-perplexity is measured."""
ALL_MASKED = Masking(mask=1.0, replace=0.0)
"""For measuring: 15 % of the tokens, all of them really masked."""


@dataclass(frozen=True)
class Quality:
    """Of an exported graph: per cent of masked tokens that were the likeliest or among the five
    likeliest, and exp of the mean loss of a token that alone is masked.
    """

    top1: float
    top5: float
    pseudo_perplexity: float


def validation_batches(
    tokenizer: Tokenizer, texts: Sequence[str], longest: int, rows: int = 64
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Ids with masks, positions (masks, 2) and what they hide (masks,); the same in every run."""
    encoded = Rows.encode(tokenizer, texts)
    lines = sorted(([CLS, *encoded[i][:longest], SEP] for i in range(len(encoded))), key=len)
    generator = torch.Generator().manual_seed(0)
    continues = continuations(tokenizer)
    out = []
    for begin in range(0, len(lines), rows):
        ids = pad(lines[begin : begin + rows])
        masked, positions = mask(ids, ALL_MASKED, continues, generator)
        if len(positions):
            out.append((masked, positions, ids[positions[:, 0], positions[:, 1]]))
    return out


def measure(model: str, texts: Sequence[str], precision: str, lines: int = LINES) -> Quality:
    """The quality of a model's graph of one precision on the CPU."""
    found = find("fill", model)
    assert found.card.text is not None
    options = RuntimeOptions("cpu", precision)
    tokenizer = Tokenizer.from_file(str(found.file(found.card.text.tokenizer.source)))
    longest = found.card.text.max_positions - 2
    queries = [
        Query(tuple(i for i in ids[row].tolist() if i), column, (target,))
        for ids, positions, targets in validation_batches(tokenizer, texts[:lines], longest)
        for (row, column), target in zip(positions.tolist(), targets.tolist(), strict=True)
    ]
    answers = list(MaskedModel(found, "fill", options).ask(queries, top=5))
    ranks = [
        answer.tokens.index(query.targets[0]) if query.targets[0] in answer.tokens else 5
        for query, answer in zip(queries, answers, strict=True)
    ]
    scored = Filler(found, options).score(texts[: min(SCORED, lines)])
    loss = -sum(one.score for one in scored) / sum(one.tokens for one in scored)
    return Quality(
        top1=100 * sum(rank == 0 for rank in ranks) / len(ranks),
        top5=100 * sum(rank < 5 for rank in ranks) / len(ranks),
        pseudo_perplexity=math.exp(loss),
    )


def table(model: str, texts: Sequence[str], lines: int = LINES) -> dict[str, Quality]:
    """Precision -> quality, for all graphs of a model."""
    precisions = find("fill", model).card.graphs["fill"]
    return {precision: measure(model, texts, precision, lines) for precision in precisions}


def show(results: Mapping[str, Quality]) -> str:
    """The table as Markdown."""
    lines = ["| graph | top 1, % | top 5, % | pseudo-perplexity |", "|---|---|---|---|"]
    lines += [
        f"| {precision} | {q.top1:.2f} | {q.top5:.2f} | {q.pseudo_perplexity:.2f} |"
        for precision, q in results.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--model", required=True, help="name or folder of the model")
    options = parser.parse_args()
    print(show(table(options.model, read_lines(options.data)[1])))


if __name__ == "__main__":
    main()
