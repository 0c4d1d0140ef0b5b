"""Train the shipped English-German Transformer on Tatoeba and Multi30k.

    python export/recipes/translate.py --data DIR --out DIR [--resume | --init CHECKPOINT]

DIR holds `tatoeba.en-de.tsv.gz` and `multi30k.{train,val,test_2016_flickr}.en-de-fr.tsv.gz`:
gzipped, tab-separated, English first and German second.
"""

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sacrebleu
import torch
import torch.nn.functional as F
from cpu import SmoothedCrossEntropy, use_fast_dropout
from loop import Loop, LoopConfig
from tokenizers import Tokenizer
from torch import Tensor, nn
from translate_data import Corpus, Pair, Variation, batches, encode, pad, train_vocabulary, vary

from genkit_export.architectures.transformer import Transformer, TransformerConfig, marian
from genkit_export.search import greedy


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of "Attention Is All You Need" (base) where it differs."""

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

    learning_rate: float = 1e-3  # 7e-4 at the peak, then falling with 1 / sqrt(step)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9
    weight_decay: float = 0.01  # none
    clip_norm: float = 1.0  # none
    batch_tokens: int = 5000  # 25,000
    multi30k_copies: int = 3
    """How often an epoch sees Multi30k for each time that it sees Tatoeba."""
    held_out_percent: float = 1.0
    longest: int = 128
    """Pairs with more tokens on a side are left out."""
    seed: int = 1
    variation: Variation = field(default_factory=Variation)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=6000, warmup=1000, average=0.9985)
    )

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


def training_batches(
    corpus: Corpus, tokenizer: Tokenizer, hp: Hyperparameters, start: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches, the first `start` of them skipped."""
    pad_id = hp.network().pad_id
    seen = epoch = 0
    while True:
        rng = random.Random(f"{hp.seed}/{epoch}")
        pairs = [vary(pair, corpus.tatoeba, hp.variation, rng) for pair in corpus.tatoeba]
        for _ in range(hp.multi30k_copies):
            pairs += [vary(pair, corpus.multi30k, hp.variation, rng) for pair in corpus.multi30k]
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
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory, bias = model.encode(source), model.padding_bias(source)
        hidden = model.decode(torch.cat([start, target[:, :-1]], 1), memory, bias)
        real = target != pad_id
        # Padding is never predicted, so its row, the last one, takes no part.
        assert model.output_bias is not None
        logits = F.linear(
            hidden[real], model.embedding.weight[:pad_id], model.output_bias[:pad_id]
        )
        loss: Tensor = SmoothedCrossEntropy.apply(logits, target[real], smoothing)
    return loss


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


def cased_bleu(model: Transformer, tokenizer: Tokenizer, pairs: Sequence[Pair]) -> float:
    """sacreBLEU (13a, cased) of greedy translations."""
    hypotheses = translate(model, tokenizer, [source for source, _ in pairs])
    return float(sacrebleu.corpus_bleu(hypotheses, [[target for _, target in pairs]]).score)


def load_vocabulary(out: Path, corpus: Corpus, hp: Hyperparameters) -> Tokenizer:
    path = out / "tokenizer.json"
    if not path.exists():
        texts = [text for pair in corpus.tatoeba + corpus.multi30k for text in pair]
        train_vocabulary(texts, hp.vocab_size, hp.alphabet).save(str(path))
    return Tokenizer.from_file(str(path))


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.read(data, hp.held_out_percent)
    tokenizer = load_vocabulary(out, corpus, hp)
    model = Transformer(hp.network())
    use_fast_dropout(model)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        hp.learning_rate,
        betas=hp.betas,
        eps=hp.eps,
        weight_decay=hp.weight_decay,
        fused=True,
    )
    loop = Loop(out, hp.loop, {"model": model}, {"adam": optimizer}, averaged="model")
    if resume:
        loop.resume()
    stream = training_batches(corpus, tokenizer, hp, loop.step)

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        model.train()
        source, target = next(stream)
        loss = loss_of(model, source, target, hp.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(model.parameters(), hp.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            model.embedding.weight[model.config.pad_id].zero_()
        return {"loss": loss.detach(), "norm": norm, "tokens": float(target.numel())}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        assert isinstance(average, Transformer)
        figures = {
            "tatoeba_bleu": cased_bleu(average, tokenizer, corpus.tatoeba_valid[:500]),
            "multi30k_bleu": cased_bleu(average, tokenizer, corpus.multi30k_valid[:500]),
        }
        for source in ("Where is the train station?", "I don't know what to do.", "Zoë likes 猫 🙂."):
            print(source, "|", *translate(average, tokenizer, [source]), flush=True)
        return sum(figures.values()), figures

    loop.run(take_step, validate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true")
    start.add_argument("--init", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    hp = Hyperparameters()
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
