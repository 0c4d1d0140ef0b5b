"""Greedy and beam search in plain PyTorch: what the exported graph must reproduce.

Written to be read, not to be fast: every step decodes the whole prefix again. The beam search is
that of Hugging Face `generate`: twice as many candidates as beams, finished hypotheses scored by
log probability / length ** length_penalty (the end token counts). A sentence is done when no
running hypothesis can still beat its worst finished one or, with `early_stopping` (which is what
CTranslate2 and fairseq do), as soon as it has as many finished ones as beams.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .architectures.transformer import Transformer


@dataclass(frozen=True)
class Hypothesis:
    """One translation: token ids without the start token, and its normalised score."""

    tokens: tuple[int, ...]
    score: float


class _Scorer:
    """Log probabilities of next tokens for source ids (batch, source)."""

    def __init__(self, model: Transformer, source: Tensor, suppress: Sequence[int]) -> None:
        self.model = model
        self.impossible = sorted({model.config.pad_id, *suppress})
        self.memory, self.bias = model.encode(source), model.padding_bias(source)

    def __call__(self, prefix: Tensor) -> Tensor:
        """For prefixes (rows, length), the start token first, one for each source or all of the
        only one -> (rows, vocab_size).
        """
        memory = self.memory.expand(len(prefix), -1, -1)
        bias = self.bias.expand(len(prefix), -1, -1, -1)
        hidden = self.model.decode(prefix, memory, bias)[:, -1]
        logits = self.model.project(hidden).float()
        logits[:, self.impossible] = -torch.inf
        return logits.log_softmax(-1)


@torch.inference_mode()
def greedy(
    model: Transformer, source: Tensor, max_length: int, suppress: Sequence[int] = ()
) -> list[Hypothesis]:
    """The likeliest next token, again and again, for source ids (batch, source). Padding and the
    tokens in `suppress` are never generated.
    """
    config = model.config
    log_probs = _Scorer(model, source, suppress)
    prefix = torch.full((len(source), 1), config.pad_id)
    total = torch.zeros(len(source))
    done = torch.zeros(len(source), dtype=torch.bool)
    for _ in range(max_length):
        best, token = log_probs(prefix).max(-1)
        total += best.masked_fill(done, 0.0)
        token = token.masked_fill(done, config.pad_id)
        prefix = torch.cat([prefix, token[:, None]], 1)
        done |= token == config.eos_id
        if done.all():
            break
    rows = [tuple(t for t in row if t != config.pad_id) for row in prefix[:, 1:].tolist()]
    return [
        Hypothesis(row, score / max(len(row), 1))
        for row, score in zip(rows, total.tolist(), strict=True)
    ]


@torch.inference_mode()
def beam(
    model: Transformer,
    source: Tensor,
    beam_size: int,
    max_length: int,
    length_penalty: float = 1.0,
    early_stopping: bool = False,
    suppress: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """The `beam_size` best hypotheses of every source row (batch, source), best first."""
    found = []
    for row in source:
        log_probs = _Scorer(model, row[row != model.config.pad_id][None], suppress)
        found.append(_beam_row(log_probs, beam_size, max_length, length_penalty, early_stopping))
    return found


def _beam_row(
    log_probs: _Scorer,
    beam_size: int,
    max_length: int,
    length_penalty: float,
    early_stopping: bool,
) -> list[Hypothesis]:
    config = log_probs.model.config
    running: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[Hypothesis] = []
    for length in range(1, max_length + 1):
        prefix = torch.tensor([[config.pad_id, *tokens] for tokens, _ in running])
        totals = log_probs(prefix) + torch.tensor([score for _, score in running])[:, None]
        best, index = totals.flatten().topk(2 * beam_size)
        candidates = [
            ((*running[i // config.vocab_size][0], i % config.vocab_size), score)
            for score, i in zip(best.tolist(), index.tolist(), strict=True)
        ]
        running = []
        for rank, (tokens, score) in enumerate(candidates):
            if tokens[-1] == config.eos_id or length == max_length:
                if rank < beam_size:
                    finished.append(Hypothesis(tokens, score / length**length_penalty))
            elif len(running) < beam_size:
                running.append((tokens, score))
        finished = sorted(finished, key=lambda h: -h.score)[:beam_size]
        if len(finished) == beam_size and (
            early_stopping
            or not running
            or running[0][1] / length**length_penalty <= finished[-1].score
        ):
            break
    return finished
