"""Train the shipped English BERT to fill masks.

    python export/recipes/fill.py --data DIR --out DIR [--resume | --init CHECKPOINT]

The data folder holds `english.txt.gz`: gzipped English, a sentence a line. The output folder ends
with `checkpoint.safetensors`, `tokenizer.json` and the exported model in `model`, measured.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, IterableDataset

from cpu import SmoothedCrossEntropy, use_fast_dropout
from fill_data import (
    ENDS,
    MASK,
    PAD,
    SPECIAL,
    Masking,
    Rows,
    Variation,
    batches,
    continuations,
    epoch_of,
    mask,
    read_lines,
    train_vocabulary,
)
from fill_quality import LINES, Quality, show, table, validation_batches
from genkit.runtime.devices import default_threads
from genkit_export import export_checkpoint
from genkit_export.architectures.bert import Bert, BertConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.fill import calibrate
from loop import Loop, LoopConfig, descend
from muon import Muon
from options import recipe_options, use_all_cores
from precision import autocast, hardware
from translate_corpus import HELD_OUT_PERCENT

MASKING = Masking(rate=0.25)
VARIATION = Variation()
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOOP = LoopConfig(steps=4650, warmup=150, decay=0.95, average=0.998, validate_every=1000)
EXAMPLES = (
    "The [MASK] barked all night.",
    "A man is playing the [MASK] on the stage.",
    "She drank a cup of [MASK] in the morning.",
)


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of "BERT" (base) where it differs."""

    vocab_size: int = 8192  # 30,522
    alphabet: int = 200
    """Characters of the vocabulary; all others are unknown."""
    lowercase: bool = True
    d_model: int = 256  # 768
    layers: int = 8  # 12
    num_heads: int = 4  # 12
    d_ff: int = 1024  # 3072
    max_positions: int = 128  # 512
    dropout: float = 0.05  # 0.1
    """The data is seen nine times, never with the same masks: little is learned by heart."""

    muon_rate: float = 3e-3
    """Of the matrices in the layers, which Muon trains. Adam has the rest."""
    learning_rate: float = 1.2e-3  # 1e-4
    betas: tuple[float, float] = (0.9, 0.98)  # 0.9, 0.999
    eps: float = 1e-6
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    batch_tokens: int = 24_000  # 128,000
    calibration_batches: int = 8
    validation_lines: int = LINES
    seed: int = 1
    masking: Masking = MASKING  # a rate of 0.15
    variation: Variation = VARIATION
    loop: LoopConfig = LOOP

    def network(self, vocab_size: int) -> BertConfig:
        return BertConfig(
            vocab_size,
            d_model=self.d_model,
            layers=self.layers,
            num_heads=self.num_heads,
            d_ff=self.d_ff,
            dropout=self.dropout,
            max_positions=self.max_positions,
            segments=1,
            pad_id=PAD,
        )


class Stream(IterableDataset[Tensor]):
    """Batches as PyTorch's loader wants them."""

    def __init__(self, source: Callable[[], Iterator[Tensor]]) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Tensor]:
        return self.source()


def loaded(source: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
    """The batches of a source; for a GPU another process makes them, or it would wait for them."""
    workers: dict[str, Any] = {"num_workers": 1, "prefetch_factor": 32} if DEVICE == "cuda" else {}
    return iter(DataLoader(Stream(source), batch_size=None, **workers))


def training_batches(
    rows: Rows, ends: frozenset[int], hp: Hyperparameters, start: int
) -> Iterator[Tensor]:
    """Endless batches of ids (batch, length), the first `start` of them skipped."""
    seen = epoch = 0
    while True:
        rng = random.Random(f"{hp.seed}/{epoch}")
        varied = epoch_of(rows, hp.variation, hp.max_positions - 2, ends, rng)
        for ids in batches(varied, hp.batch_tokens, rng):
            seen += 1
            if seen > start:
                yield ids
        epoch += 1


def loss_of(model: Bert, ids: Tensor, masked: Tensor, positions: Tensor) -> Tensor:
    """Cross-entropy a masked token, for ids (batch, length) before and after masking."""
    target = ids[positions[:, 0], positions[:, 1]]
    with autocast(DEVICE):
        loss: Tensor = SmoothedCrossEntropy.apply(model.at(masked, positions), target, 0.0)
    return loss


def optimizers_of(model: Bert, hp: Hyperparameters) -> dict[str, Optimizer]:
    """Muon for the matrices inside the network, Adam for the embeddings and all that is no matrix;
    weight decay for matrices alone, as in the authors' code.
    """
    matrices = [p for p in (*model.encoder.parameters(), *model.head.parameters()) if p.dim() > 1]
    groups = [
        {"params": [p for p in model.embeddings.parameters() if p.dim() > 1]},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    muon = Muon(matrices, hp.muon_rate, weight_decay=hp.weight_decay, rms=0.2)
    adam = torch.optim.AdamW(
        groups,
        hp.learning_rate,
        betas=hp.betas,
        eps=hp.eps,
        weight_decay=hp.weight_decay,
        fused=True,
    )
    return {"muon": muon, "adam": adam}


@torch.inference_mode()
def accuracy(model: Bert, valid: Sequence[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
    """Per cent of masked tokens that are the likeliest, and among the five likeliest."""
    first = five = count = 0
    for ids, positions, target in valid:
        best = model.at(ids.to(DEVICE), positions.to(DEVICE)).topk(5).indices.cpu()
        hits = best == target[:, None]
        first, five = first + int(hits[:, 0].sum()), five + int(hits.sum())
        count += len(target)
    return {"top1": 100 * first / count, "top5": 100 * five / count}


@torch.inference_mode()
def answers(model: Bert, tokenizer: Tokenizer, text: str) -> list[str]:
    """The five likeliest tokens at each mask of a text."""
    ids = torch.tensor([tokenizer.encode(text).ids], device=DEVICE)
    best = model.at(ids, (ids == MASK).nonzero()).topk(5).indices
    return [tokenizer.id_to_token(token) for token in best.flatten().tolist()]


def load_vocabulary(
    out: Path, texts: Sequence[str], hp: Hyperparameters, init: Path | None
) -> Tokenizer:
    """The run's vocabulary: the one it began with, that of `init`, or a new one."""
    path = out / "tokenizer.json"
    if init:
        shutil.copyfile(init.parent / "tokenizer.json", path)
    elif not path.exists():
        train_vocabulary(texts, hp.vocab_size, hp.alphabet, lowercase=hp.lowercase).save(str(path))
    return Tokenizer.from_file(str(path))


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    out.mkdir(parents=True, exist_ok=True)
    lines, held = read_lines(data)
    tokenizer = load_vocabulary(out, lines, hp, init)
    network = hp.network(tokenizer.get_vocab_size())
    model = Bert(network)
    if init:
        own.load_weights(init, model)
    if DEVICE == "cpu":
        use_fast_dropout(model)
    model.to(DEVICE)
    optimizers = optimizers_of(model, hp)
    loop = Loop(out, hp.loop, {"model": model}, optimizers, averaged="model")
    if resume:
        loop.resume()
    rows = Rows.encode(tokenizer, lines)
    ends = frozenset(i for end in ENDS if (i := tokenizer.token_to_id(end)) is not None)
    stream = loaded(partial(training_batches, rows, ends, hp, loop.step))
    continues = continuations(tokenizer)
    valid = validation_batches(tokenizer, held[: hp.validation_lines], hp.max_positions - 2)

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        model.train()
        ids = next(stream)
        masked, positions = mask(ids, hp.masking, continues)
        if not len(positions):  # a batch of one short row can be without
            return {"loss": 0.0, "norm": 0.0}
        loss = loss_of(model, *(tensor.to(DEVICE) for tensor in (ids, masked, positions)))
        norm = descend(optimizers.values(), loss, hp.clip_norm)
        return {"loss": loss.detach(), "norm": norm}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        assert isinstance(average, Bert)
        figures = accuracy(average, valid)
        for text in EXAMPLES:
            print(text, "|", *answers(average, tokenizer, text), flush=True)
        return figures["top1"], figures

    loop.run(take_step, validate)
    best = Bert(network)
    best.load_state_dict(torch.load(out / "best.pt", weights_only=True, map_location="cpu"))
    finish(best.eval(), out, rows, held, tokenizer, hp, loop.seconds)


def finish(
    model: Bert,
    out: Path,
    rows: Rows,
    held: Sequence[str],
    tokenizer: Tokenizer,
    hp: Hyperparameters,
    seconds: float,
) -> None:
    """Calibrate, write the checkpoint, export it, and measure what was exported."""
    path = out / "checkpoint.safetensors"
    card = card_of(hp, seconds)
    ranges = calibrate(model, calibration(rows, tokenizer, hp))
    description = own.Description("bert", asdict(model.config), card, ranges)
    own.write(path, model, description)
    export_checkpoint(path, out / "model", overwrite=True, report=print)
    results = table(str(out / "model"), held, hp.validation_lines)
    print(show(results))
    card["origin"]["figures"] = figures_of(results)
    own.write(path, model, replace(description, card=card))
    export_checkpoint(path, out / "model", overwrite=True)


def calibration(
    rows: Rows, tokenizer: Tokenizer, hp: Hyperparameters
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of training text with masks, as the model meets them when it is used."""
    stream = training_batches(rows, frozenset(), hp, 0)
    generator = torch.Generator().manual_seed(hp.seed)
    masking = Masking(mask=1.0, replace=0.0)
    continues = continuations(tokenizer)
    for _ in range(hp.calibration_batches):
        yield mask(next(stream), masking, continues, generator)


def card_of(hp: Hyperparameters, seconds: float) -> dict[str, Any]:
    """What the model's card says besides what the export finds out."""
    return {
        "task": "fill",
        "name": "english",
        "description": "English words into gaps: everyday sentences, reviews, news, definitions",
        "license": "research and education only (Multi30k, NLTK corpora); Tatoeba is CC BY 2.0",
        "tags": ["default"],
        "text": {
            "tokenizer": {"source": "tokenizer.json"},
            "pad_id": PAD,
            "mask_id": MASK,
            "suppress_ids": list(range(len(SPECIAL))),
            "max_positions": hp.max_positions,
        },
        "origin": {
            "recipe": "export/recipes/fill.py",
            "arguments": asdict(hp),
            "minutes": round(seconds / 60),
            "hardware": hardware(DEVICE if DEVICE == "cuda" else f"{default_threads()} CPU cores"),
            "data": [
                {
                    "name": "Tatoeba, English (manythings.org/anki, 2018 and 2019)",
                    "license": "CC BY 2.0",
                },
                {
                    "name": "Multi30k, English captions (multi30k/dataset)",
                    "license": "non-commercial research and education",
                },
                {
                    "name": "NLTK: Brown, movie reviews, subjectivity, state of the union, "
                    "inaugural addresses, ABC, web text",
                    "license": "research use",
                },
                {
                    "name": "WordNet 3.0, glosses and examples",
                    "license": "WordNet 3.0 license",
                },
            ],
            "held_out": f"{HELD_OUT_PERCENT} %, by a hash of the lower-cased line",
            "figures": [],
        },
    }


def figures_of(results: Mapping[str, Quality]) -> list[dict[str, Any]]:
    """The card's figures, in the order of the table that `fill_quality.py` prints."""
    return [
        {"measure": measure, "on": on, "value": round(value, 2), "precision": precision}
        for precision, quality in results.items()
        for measure, on, value in (
            ("masked tokens, top 1, %", "held-out lines, 15 % masked", quality.top1),
            ("masked tokens, top 5, %", "held-out lines, 15 % masked", quality.top5),
            ("pseudo-perplexity", "held-out lines, one token masked", quality.pseudo_perplexity),
        )
    ]


def main() -> None:
    parser = recipe_options(__doc__, LOOP.steps)
    parser.add_argument("--learning-rate", type=float, default=Hyperparameters.learning_rate)
    parser.add_argument("--batch-tokens", type=int, default=Hyperparameters.batch_tokens)
    parser.add_argument("--dropout", type=float, default=Hyperparameters.dropout)
    parser.add_argument("--whole-words", action="store_true", help="mask all pieces of a word")
    options = parser.parse_args()
    use_all_cores()
    hp = Hyperparameters(
        learning_rate=options.learning_rate,
        batch_tokens=options.batch_tokens,
        dropout=options.dropout,
        masking=replace(MASKING, whole_words=options.whole_words),
        loop=replace(LOOP, steps=options.steps, minutes=options.minutes),
    )
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
