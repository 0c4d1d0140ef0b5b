"""Small networks with weights that exercise everything: no bias is zero, no norm is one."""

import torch
from torch import Tensor, nn

from genkit_export.architectures.transformer import Transformer, TransformerConfig, marian

VOCABULARY = 300


def small_config(**overrides: object) -> TransformerConfig:
    sizes = {
        "d_model": 64,
        "num_heads": 4,
        "d_ff": 128,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "max_positions": 64,
    }
    return marian(VOCABULARY, **(sizes | overrides))


def perturbed(
    config: TransformerConfig, seed: int = 1, eos_bias: float = 4.0, sharpness: float = 4.0
) -> Transformer:
    """A random Transformer whose outputs vary and whose sentences end somewhere in the middle."""
    torch.manual_seed(seed)
    model = Transformer(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "embedding.weight":
                continue
            if parameter.dim() == 2:
                sharp = "query" in name or "key" in name
                nn.init.xavier_uniform_(parameter, gain=sharpness if sharp else 2.5)
                if "contract" in name:  # SiLU's positive mean would drown what varies
                    parameter -= parameter.mean(1, keepdim=True)
            elif name.endswith("norm.weight"):
                parameter.uniform_(0.7, 1.3)
            else:
                parameter.uniform_(-0.05, 0.05)
        # Tied embeddings make a random network repeat its last token; flipped signs cure that.
        last = model.decoder[-1].feed_residual.norm.weight
        last *= torch.where(torch.rand(len(last)) < 0.5, -2.0, 2.0)
        if model.output_bias is not None:
            model.output_bias[config.eos_id] = eos_bias
    return model


def sentences(rows: int, longest: int, config: TransformerConfig, seed: int = 0) -> Tensor:
    """Random source ids of different lengths, each row ended and padded."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, config.pad_id, (rows, longest), generator=random)
    for row in range(1, rows):
        end = int(torch.randint(1, longest, (), generator=random))
        ids[row, end + 1 :] = config.pad_id
        ids[row, end] = config.eos_id
    ids[0, -1] = config.eos_id
    return ids
