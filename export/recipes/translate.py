"""Train the shipped translation models, from scratch or from another one's weights.

    python export/recipes/translate.py --data DIR --out DIR [--languages en-de] [--resume | --init CHECKPOINT]

The data folder holds `tatoeba.en-{de,fr}.tsv.gz` and
`multi30k.{train,val,test_2016_flickr}.en-de-fr.tsv.gz`, and for German may hold
`software-and-manuals.en-de.tsv.gz`, `handbooks.en-de.tsv.gz` and `dictionary.en-de.tsv.gz`: gzipped,
tab-separated, English first. The output folder ends with `checkpoint.safetensors`,
`tokenizer.json` and the exported model in `model`, measured. A model of the same pair the other
way round is a good `--init`: it has the vocabulary and knows the words.
"""

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.optim import Optimizer

from cpu import SmoothedCrossEntropy, use_fast_dropout
from genkit.card import CARD
from genkit_export import export_checkpoint
from genkit_export.architectures.transformer import Transformer, TransformerConfig, marian
from genkit_export.checkpoints import genkit as own
from genkit_export.measure_text import complete
from genkit_export.quantize import calibrate
from genkit_export.read import read
from genkit_export.search import greedy
from loop import Loop, LoopConfig, descend
from muon import Muon
from options import recipe_options, use_all_cores
from precision import autocast, hardware
from translate_card import card_of, figures_of
from translate_corpus import Corpus, Languages, Pair
from translate_data import batches, encode, pad, train_vocabulary
from translate_quality import cased_bleu, show, table
from translate_variation import Variation, vary

VARIATION = Variation()
SAMPLES = {
    "en": ("Hello.", "File not found", "Please send @1 to @2 before 5 o'clock."),
    "de": ("Hallo.", "Datei nicht gefunden", "Bitte schicken Sie @1 vor 5 Uhr an @2."),
    "fr": ("Bonjour.", "Fichier introuvable", "Envoyez @1 à @2 avant 5 heures, s'il vous plaît."),
}
"""Translated for the log at every validation."""
BEGINNING = "init.json"
"""In the folder of a run: what it began with."""
LOOP = LoopConfig(steps=4600, warmup=200, decay=0.8, average=0.9985)


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of "Attention Is All You Need" (base) where it differs."""

    languages: Languages = ("en", "de")
    vocab_size: int = 8000  # 37,000
    alphabet: int = 160
    """Characters with a token of their own; all others are spelled in bytes."""
    d_model: int = 256  # 512
    encoder_layers: int = 6
    decoder_layers: int = 2  # 6; a shallow decoder answers faster, a deep encoder makes up for it
    num_heads: int = 4  # 8
    d_ff: int = 1024  # 2048
    max_positions: int = 256
    dropout: float = 0.1
    label_smoothing: float = 0.1

    muon_rate: float = 1e-3
    """Of the matrices in the layers, which Muon trains. Adam has the rest."""
    learning_rate: float = 1e-3  # 7e-4 at the peak, then falling with 1 / sqrt(step)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9
    weight_decay: float = 0.01  # none
    clip_norm: float = 1.0  # none
    batch_tokens: int = 6000  # 25,000
    multi30k_copies: int = 2
    """How often an epoch sees Multi30k for each time that it sees Tatoeba."""
    phrase_copies: int = 8
    """How often it sees the phrases."""
    software_pairs: int = 80_000
    """How many pairs of software and manuals an epoch draws, of handbooks, of the dictionary."""
    handbook_pairs: int = 6_000
    dictionary_pairs: int = 25_000
    longest: int = 128
    """Pairs with more tokens on a side are left out."""
    calibration_pairs: int = 2000
    seed: int = 1
    variation: Variation = VARIATION
    loop: LoopConfig = LOOP

    def network(self) -> TransformerConfig:
        return marian(
            self.vocab_size,
            d_model=self.d_model,
            encoder_layers=self.encoder_layers,
            decoder_layers=self.decoder_layers,
            num_heads=self.num_heads,
            d_ff=self.d_ff,
            dropout=self.dropout,
            max_positions=self.max_positions,
        )


def mixture(corpus: Corpus, hp: Hyperparameters, rng: random.Random) -> list[Pair]:
    """The pairs of an epoch: all of everyday language, and a part of the rest."""
    drawn = (
        corpus.tatoeba + hp.multi30k_copies * corpus.multi30k + hp.phrase_copies * corpus.phrases
    )
    for pairs, count in (
        (corpus.software, hp.software_pairs),
        (corpus.handbooks, hp.handbook_pairs),
        (corpus.dictionary, hp.dictionary_pairs),
    ):
        drawn += rng.sample(pairs, min(count, len(pairs)))
    return drawn


def training_batches(
    corpus: Corpus, tokenizer: Tokenizer, hp: Hyperparameters, start: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches, the first `start` of them skipped."""
    pad_id = hp.network().pad_id
    seen = epoch = 0
    while True:
        rng = random.Random(f"{hp.seed}/{epoch}")
        drawn = mixture(corpus, hp, rng)
        pairs = [vary(pair, corpus.tatoeba, hp.variation, rng) for pair in drawn]
        rows = [row for row in encode(tokenizer, pairs) if max(map(len, row)) <= hp.longest]
        for batch in batches(rows, hp.batch_tokens, pad_id, rng):
            seen += 1
            if seen > start:
                yield batch
        epoch += 1


def loss_of(model: Transformer, source: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Label-smoothed cross-entropy a target token, for source and target ids (batch, length)."""
    pad_id = model.config.pad_id
    start = torch.full((len(target), 1), pad_id)
    with autocast("cpu"):
        memory, bias = model.encode(source), model.padding_bias(source)
        hidden = model.decode(torch.cat([start, target[:, :-1]], 1), memory, bias)
        real = target != pad_id
        # Padding is never predicted, so its row, the last one, takes no part.
        assert model.output_bias is not None
        logits = F.linear(hidden[real], model.embedding.weight[:pad_id], model.output_bias[:pad_id])
        loss: Tensor = SmoothedCrossEntropy.apply(logits, target[real], smoothing)
    return loss


def optimizers_of(model: Transformer, hp: Hyperparameters) -> dict[str, Optimizer]:
    """Muon for the matrices inside the layers, Adam for the embeddings and all that is no matrix."""
    matrices = [
        p for p in (*model.encoder.parameters(), *model.decoder.parameters()) if p.dim() > 1
    ]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = Muon(matrices, hp.muon_rate, weight_decay=hp.weight_decay, rms=0.2)
    adam = torch.optim.AdamW(
        rest,
        hp.learning_rate,
        betas=hp.betas,
        eps=hp.eps,
        weight_decay=hp.weight_decay,
        fused=True,
    )
    return {"muon": muon, "adam": adam}


def translate(model: Transformer, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Greedy translations, in order."""
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = [""] * len(rows)
    for begin in range(0, len(order), 128):
        chosen = order[begin : begin + 128]
        source = pad([rows[i] for i in chosen], model.config.pad_id)
        found = greedy(model, source, max_length=int(1.5 * source.shape[1]) + 10)
        for i, hypothesis in zip(chosen, found, strict=True):
            out[i] = tokenizer.decode(list(hypothesis.tokens))
    return out


def load_vocabulary(out: Path, corpus: Corpus, hp: Hyperparameters, init: Path | None) -> Tokenizer:
    """The run's vocabulary: the one it began with, that of `init`, or a new one."""
    path = out / "tokenizer.json"
    if init:
        shutil.copyfile(init.parent / "tokenizer.json", path)
    elif not path.exists():
        texts = [text for pair in corpus.tatoeba + corpus.multi30k for text in pair]
        train_vocabulary(texts, hp.vocab_size, hp.alphabet).save(str(path))
    return Tokenizer.from_file(str(path))


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.read(data, hp.languages)
    tokenizer = load_vocabulary(out, corpus, hp, init)
    model = Transformer(hp.network())
    if init:
        own.load_weights(init, model)
        (out / BEGINNING).write_text(json.dumps(beginning(init)), encoding="utf-8")
    use_fast_dropout(model)
    optimizers = optimizers_of(model, hp)
    loop = Loop(out, hp.loop, {"model": model}, optimizers, averaged="model")
    if resume:
        loop.resume()
    stream = training_batches(corpus, tokenizer, hp, loop.step)

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        model.train()
        source, target = next(stream)
        loss = loss_of(model, source, target, hp.label_smoothing)
        norm = descend(optimizers.values(), loss, hp.clip_norm)
        with torch.no_grad():
            model.embedding.weight[model.config.pad_id].zero_()
        return {"loss": loss.detach(), "norm": norm}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        assert isinstance(average, Transformer)
        greedily = partial(translate, average, tokenizer)
        figures = {
            "tatoeba_bleu": cased_bleu(greedily, corpus.tatoeba_valid[:500]),
            "multi30k_bleu": cased_bleu(greedily, corpus.multi30k_valid[:500]),
        }
        for source in SAMPLES[hp.languages[0]]:
            print(source, "|", *translate(average, tokenizer, [source]), flush=True)
        return sum(figures.values()), figures

    loop.run(take_step, validate)
    best = Transformer(hp.network())
    best.load_state_dict(torch.load(out / "best.pt", weights_only=True))
    finish(best.eval(), out, corpus, tokenizer, hp, loop.seconds)


def beginning(init: Path) -> dict[str, Any]:
    """What a card tells of the checkpoint that a run began with."""
    checkpoint = read(init)
    description = own.describe(checkpoint)
    assert description is not None
    origin = description.card["origin"]
    return {
        "name": description.card["name"],
        "sha256": checkpoint.sha256,
        "minutes": origin["minutes"],
        "init": origin.get("init"),
    }


def finish(
    model: Transformer,
    out: Path,
    corpus: Corpus,
    tokenizer: Tokenizer,
    hp: Hyperparameters,
    seconds: float,
) -> None:
    """Calibrate, write the checkpoint, export it, and measure what was exported: how good it is,
    and what the text around it has to know.
    """
    path = out / "checkpoint.safetensors"
    rng = random.Random(hp.seed)
    rows = encode(tokenizer, rng.sample(mixture(corpus, hp, rng), hp.calibration_pairs))
    ranges = calibrate(
        model, batches(rows, hp.batch_tokens, hp.network().pad_id, random.Random(hp.seed))
    )
    lines = map(json.loads, (out / "log.jsonl").read_text(encoding="utf-8").splitlines())
    curve = [line for line in lines if "tatoeba_bleu" in line]
    begun = out / BEGINNING
    origin = {
        "init": json.loads(begun.read_text(encoding="utf-8")) if begun.exists() else None,
        "arguments": asdict(hp),
        "minutes": round(seconds / 60),
        "hardware": hardware("2 CPU cores"),
        "curve": curve,
    }
    card = card_of(hp.network(), hp.languages, corpus, origin)
    description = own.Description("transformer", asdict(hp.network()), card, ranges)
    own.write(path, model, description)
    export_checkpoint(path, out / "model", overwrite=True, report=print)
    pairs = rng.sample(corpus.multi30k_valid, 120) + rng.sample(corpus.tatoeba_valid, 120)
    complete(out / "model", [source for source, _ in pairs], print)
    text = json.loads((out / "model" / CARD).read_text(encoding="utf-8"))["text"]
    card["text"] |= {"longest": text["longest"], "doubtful": text["doubtful"]}
    results = table(str(out / "model"), corpus, hp.languages)
    print(show(results))
    card["origin"]["figures"] = figures_of(results)
    own.write(path, model, replace(description, card=card))
    export_checkpoint(path, out / "model", overwrite=True)


def main() -> None:
    parser = recipe_options(__doc__, LOOP.steps)
    pairs = [f"{a}-{b}" for other in ("de", "fr") for a, b in (("en", other), (other, "en"))]
    parser.add_argument("--languages", choices=pairs, default="en-de", help="source and target")
    parser.add_argument("--learning-rate", type=float, default=Hyperparameters.learning_rate)
    options = parser.parse_args()
    use_all_cores()
    source, target = options.languages.split("-")
    hp = Hyperparameters(
        languages=(source, target),
        learning_rate=options.learning_rate,
        loop=replace(LOOP, steps=options.steps, minutes=options.minutes),
    )
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
