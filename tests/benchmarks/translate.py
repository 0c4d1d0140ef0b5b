"""genkit against CTranslate2 and Hugging Face `generate`: same weights, same sentences, one run.

    python tests/benchmarks/translate.py --text FILE [--model DIR] [--rounds 5]

FILE has one English sentence a line, 2,000 or more different ones of mixed length. What is timed is
text in, text out; all engines use the same tokeniser. Each engine has a process of its own, so that
their thread pools do not disturb one another; they take turns, round by round, and the table shows
medians. CTranslate2 is measured with several settings, and its best one counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))  # where helpers of the tests lie
from references import (
    EN_DE,
    UNK,
    convert_to_ctranslate2,
    load_transformer,
    marian_twin,
)

Run = Callable[[Sequence[str], int], list[str]]
"""Sentences and a beam size to translations."""

LONGEST = 250


@dataclass(frozen=True)
class Case:
    """How many sentences a call has, with what beam, and how many different calls are timed."""

    sentences: int
    beam_size: int
    calls: int


CASES = (
    Case(1, 1, 40), Case(8, 1, 10), Case(64, 1, 4), Case(2000, 1, 1),
    Case(1, 4, 40), Case(8, 4, 10), Case(64, 4, 4), Case(2000, 4, 1),
)  # fmt: skip
SAMPLE = 200
"""Of 2,000 sentences Hugging Face translates every tenth; its time is multiplied."""
SLOW_TURNS = 2
"""It also takes fewer turns than the others, and of small cases the first four calls."""


def run_genkit(folder: Path, precision: str) -> Run:
    import genkit

    translate = genkit.load("translate", str(folder), precision=precision)
    return lambda texts, beam_size: translate(texts, beam_size=beam_size, length_penalty=1.0)


def run_ctranslate2(folder: Path, converted: Path, workers: int, batch: int) -> Run:
    """With `workers` single-threaded workers, or one worker on two threads for `workers` 1."""
    import ctranslate2

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    translator = ctranslate2.Translator(
        str(converted), compute_type="int8",
        inter_threads=workers, intra_threads=2 // workers,
    )  # fmt: skip

    def run(texts: Sequence[str], beam_size: int) -> list[str]:
        rows = [encoding.tokens for encoding in tokenizer.encode_batch(list(texts))]
        size = min(batch, -(-len(rows) // workers))
        results = translator.translate_batch(
            rows, beam_size=beam_size, max_batch_size=size, max_decoding_length=LONGEST
        )
        ids = [[tokenizer.token_to_id(t) for t in found.hypotheses[0]] for found in results]
        return tokenizer.decode_batch(ids)

    return run


def run_transformers(folder: Path) -> Run:
    import torch

    torch.set_num_threads(2)
    network = load_transformer(folder)
    model = marian_twin(network, [UNK, network.config.pad_id])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pad = model.config.pad_token_id

    def run(texts: Sequence[str], beam_size: int) -> list[str]:
        rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        out = [""] * len(rows)
        for begin in range(0, len(order), 64):
            chosen = order[begin : begin + 64]
            width = len(rows[chosen[0]])
            ids = np.array([rows[i] + [pad] * (width - len(rows[i])) for i in chosen])
            found = model.generate(
                input_ids=torch.from_numpy(ids),
                attention_mask=torch.from_numpy(ids != pad).long(),
                num_beams=beam_size, do_sample=False, max_new_tokens=LONGEST,
            )  # fmt: skip
            for i, text in zip(chosen, tokenizer.decode_batch(found.tolist()), strict=True):
                out[i] = text
        return out

    return run


def serve(connection: Connection, make: Callable[..., Run], arguments: tuple[Any, ...]) -> None:
    """A worker process: times what it is asked to."""
    run = make(*arguments)
    while True:
        try:
            calls, beam_size = connection.recv()
        except EOFError:  # the benchmark is over
            return
        start = time.perf_counter()
        for texts in calls:
            run(texts, beam_size)
        connection.send((time.perf_counter() - start) / len(calls))


class Engine:
    """An engine in a process of its own."""

    def __init__(self, name: str, make: Callable[..., Run], *arguments: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, make, arguments), daemon=True).start()

    def time(self, calls: Sequence[Sequence[str]], beam_size: int) -> float:
        """Seconds a call, on average over calls with different sentences."""
        self._connection.send((calls, beam_size))
        seconds: float = self._connection.recv()
        return seconds


def measure(engines: Sequence[Engine], sentences: Sequence[str], case: Case, rounds: int) -> None:
    """Print a case's row: milliseconds a call, and ratios."""
    times: dict[str, list[float]] = {engine.name: [] for engine in engines}
    count = case.sentences
    calls = [list(sentences[i * count : (i + 1) * count]) for i in range(case.calls)]
    for turn in range(rounds + 1):  # the first one warms up
        for engine in engines:
            mine, factor = calls, 1
            if engine.name == "transformers":
                if count > SAMPLE:
                    factor = count // SAMPLE
                    mine = [calls[0][::factor]]
                else:
                    mine = calls[:4]
                if turn > SLOW_TURNS:
                    continue
            seconds = engine.time(mine, case.beam_size)
            if turn:
                times[engine.name].append(seconds * factor)
    medians = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    best = min(value for name, value in medians.items() if name.startswith("CTranslate2"))
    ours = medians["genkit int8"]
    cells = "".join(f"{value:>14,.1f}" for value in medians.values())
    print(
        f"{case.sentences:>9}{case.beam_size:>5}{cells}"
        f"{best / ours:>13.2f}x{medians['transformers'] / ours:>12.1f}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="English, a sentence a line")
    parser.add_argument("--model", type=Path, default=EN_DE)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = options.text.read_text(encoding="utf-8").splitlines()
    sentences = list(dict.fromkeys(line for line in lines if line.strip()))
    if len(sentences) < 2000:
        parser.error(f"{options.text} has {len(sentences)} different sentences; 2,000 are needed")

    with tempfile.TemporaryDirectory() as scratch:
        converted = Path(scratch) / "ctranslate2"
        tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
        convert_to_ctranslate2(load_transformer(options.model), tokenizer, converted, "int8")
        engines = [
            Engine("genkit int8", run_genkit, options.model, "int8"),
            Engine("genkit fp32", run_genkit, options.model, "fp32"),
            Engine("CTranslate2 a", run_ctranslate2, options.model, converted, 2, 32),
            Engine("CTranslate2 b", run_ctranslate2, options.model, converted, 2, 64),
            Engine("CTranslate2 c", run_ctranslate2, options.model, converted, 1, 64),
            Engine("transformers", run_transformers, options.model),
        ]
        print("Milliseconds for all sentences. CTranslate2 int8: a, b: two workers of one thread,")
        print("batches of 32 and 64; c: one worker of two threads. Last columns: how much longer")
        print("than genkit int8 the best CTranslate2 and Hugging Face take.\n")
        names = "".join(f"{engine.name:>14}" for engine in engines)
        print(f"sentences beam{names}   CTranslate2  transformers")
        for case in CASES:
            measure(engines, sentences, case, options.rounds)


if __name__ == "__main__":
    main()
