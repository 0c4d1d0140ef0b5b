"""Small BERTs with weights that exercise everything: no bias is zero, no norm is one."""

import torch
from torch import Tensor, nn

from genkit_export.architectures.bert import Bert, BertConfig

VOCABULARY = 300
PAD, MASK = 0, 4
SPECIAL = 5
"""Tokens of the vocabulary that are special: the first ones."""


def small_config(**overrides: object) -> BertConfig:
    sizes: dict[str, object] = {
        "vocab_size": VOCABULARY,
        "d_model": 64,
        "num_heads": 4,
        "d_ff": 128,
        "layers": 2,
        "max_positions": 48,
    }
    return BertConfig(**(sizes | overrides))  # type: ignore[arg-type]


def perturbed(config: BertConfig, seed: int = 1) -> Bert:
    """A random BERT whose predictions depend on what is around."""
    torch.manual_seed(seed)
    model = Bert(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("embeddings.") and parameter.dim() == 2:
                parameter.normal_(std=0.3)
            elif parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter, gain=1.5)
            elif name.endswith("norm.weight"):
                parameter.uniform_(0.7, 1.3)
            else:
                parameter.uniform_(-0.2, 0.2)
        model.embeddings.words.weight[config.pad_id].zero_()
    return model


def masked_rows(
    rows: int, longest: int, config: BertConfig, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Random ids (rows, longest) of different lengths, padded, with one or two masks in a row; and
    where the masks are (masks, 2).
    """
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(SPECIAL, config.vocab_size, (rows, longest), generator=random)
    for row in range(rows):
        length = longest - row % (longest - 2)
        ids[row, length:] = config.pad_id
        ids[row, torch.randint(length, (1 + row % 2,), generator=random)] = MASK
    return ids, (ids == MASK).nonzero()
