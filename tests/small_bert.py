"""Small BERTs with weights that exercise everything: no bias is zero, no norm is one.

Their words are a few everyday ones and, in pieces, all that has no letter but a to z.
"""

from dataclasses import asdict
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from genkit_export import export_checkpoint
from genkit_export.architectures.bert import Bert, BertConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.fill import calibrate

VOCABULARY = 300
PAD, MASK = 0, 4
SPECIAL = 5
"""How many tokens are special: the first ones."""
WORDS = """the a man woman dog cat moon barked sang all night day is was playing guitar piano
on in stage house . , ! ? ' - ##ing ##ed ##s""".split()
TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    *WORDS, *(c for c in ascii_lowercase if c != "a"), *(f"##{c}" for c in ascii_lowercase if c != "s"),
]  # fmt: skip
TOKENS += [f"word{i}" for i in range(VOCABULARY - len(TOKENS))]


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


def tokenizer() -> Tokenizer:
    """Lower case, words in pieces, `[CLS]` before and `[SEP]` after."""
    ids = {token: i for i, token in enumerate(TOKENS)}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.decoder = decoders.WordPiece("##")
    backend.add_special_tokens(TOKENS[:SPECIAL])
    return backend


def write_checkpoint(folder: Path, model: Bert, name: str = "small", **text: Any) -> Path:
    """Write a checkpoint that describes itself; `text` changes fields of the card's section."""
    folder.mkdir(parents=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    card = {
        "task": "fill",
        "name": name,
        "description": "Random words",
        "license": "CC0-1.0",
        "tags": [],
        "text": {
            "tokenizer": {"source": "tokenizer.json"},
            "pad_id": PAD,
            "mask_id": MASK,
            "suppress_ids": list(range(SPECIAL)),
            "max_positions": model.config.max_positions,
            **text,
        },
        "origin": {"data": [], "figures": []},
    }
    ranges = calibrate(model, [masked_rows(24, 20, model.config, 1)])
    description = own.Description("bert", asdict(model.config), card, ranges)
    own.write(folder / "checkpoint.safetensors", model, description)
    return folder / "checkpoint.safetensors"


def halved(model: Bert) -> Bert:
    """The network that a half-precision checkpoint holds."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


def write_model(folder: Path, model: Bert) -> Path:
    """Write a model folder `folder`, and its checkpoint beside it."""
    checkpoint = write_checkpoint(folder.with_name(f"{folder.name}.checkpoint"), model)
    return export_checkpoint(checkpoint, folder)
