"""genkit against the `fill-mask` pipeline of transformers and OpenVINO: same weights, same lines.

    python tests/benchmarks/fill.py --model DIR --text FILE [--rounds 5]

DIR is a model folder with its checkpoint. FILE has one sentence a line, 1,000 or more different
ones; one word of each is masked. What is timed is text in, the five likeliest answers with their
probabilities out; all engines use the same tokeniser. Each engine has a process of its own; they
take turns, round by round, and the table shows medians. The pipeline is measured with several batch
sizes, OpenVINO in full precision and in bfloat16, and their best ones count. OpenVINO is left out
if it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))  # where helpers of the tests lie
from references import bert_twin, fill_pipeline, load_bert

Answers = list[list[tuple[str, float]]]
"""For each line its answers and their probabilities, best first."""
Run = Callable[[Sequence[str]], Answers]

CASES = {1: 40, 8: 20, 64: 5, 1000: 1}
"""Lines of a call -> different calls that are timed."""
TOP = 5
MASK = "[MASK]"
BATCH = 32
"""Lines that OpenVINO runs together."""
CLOSE = 0.01
"""How far probabilities of the same answer may be apart: more, and other work was done."""


def run_genkit(folder: Path, precision: str) -> Run:
    import genkit

    fill = genkit.load("fill", str(folder), device="cpu", precision=precision)

    def run(texts: Sequence[str]) -> Answers:
        found = fill.fill(texts, top=TOP)
        return [[(a.text, a.probability) for a in one.masks[0]] for one in found]  # type: ignore[union-attr]

    return run


def run_transformers(folder: Path, batch: int) -> Run:
    import torch

    torch.set_num_threads(2)
    pipeline = fill_pipeline(load_bert(folder), Tokenizer.from_file(str(folder / "tokenizer.json")))

    def run(texts: Sequence[str]) -> Answers:
        found = pipeline(list(texts), top_k=TOP, batch_size=batch)
        # For one text the pipeline leaves out the outer list.
        lists = found if len(texts) > 1 else [found]
        return [[(one["token_str"], one["score"]) for one in answers] for answers in lists]

    return run


def run_openvino(folder: Path, precision: str) -> Run:
    """transformers' model converted, on lines of like length together."""
    import openvino
    import torch

    network = load_bert(folder)
    example = {name: torch.ones(2, 8, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    model = openvino.convert_model(bert_twin(network, "sdpa"), example_input=example)
    settings = {
        "INFERENCE_NUM_THREADS": 2,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    compiled = openvino.compile_model(model, "CPU", settings)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    mask, pad = tokenizer.token_to_id(MASK), network.config.pad_id

    def run(texts: Sequence[str]) -> Answers:
        rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        results: Answers = [[] for _ in rows]
        for begin in range(0, len(order), BATCH):
            chosen = order[begin : begin + BATCH]
            width = len(rows[chosen[-1]])
            ids = np.array([rows[i] + [pad] * (width - len(rows[i])) for i in chosen])
            found = compiled({"input_ids": ids, "attention_mask": (ids != pad).astype(np.int64)})
            logits = found[0][ids == mask]
            powers = np.exp(logits - logits.max(1, keepdims=True))
            shares = powers / powers.sum(1, keepdims=True)
            best = np.argpartition(-shares, TOP)[:, :TOP]
            for i, tokens, share in zip(chosen, best, shares, strict=True):
                ranked = sorted(tokens.tolist(), key=lambda token: -share[token])
                words = tokenizer.decode_batch([[token] for token in ranked])
                results[i] = list(zip(words, share[ranked].tolist(), strict=True))
        return results

    return run


def serve(connection: Connection, make: Callable[..., Run], arguments: tuple[Any, ...]) -> None:
    """A worker process: times what it is asked to, and returns the last answers."""
    run = make(*arguments)
    while True:
        try:
            calls = connection.recv()
        except EOFError:  # the benchmark is over
            return
        start = time.perf_counter()
        for texts in calls:
            answers = run(texts)
        connection.send(((time.perf_counter() - start) / len(calls), answers))


class Engine:
    """An engine in a process of its own."""

    def __init__(self, name: str, make: Callable[..., Run], *arguments: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, make, arguments), daemon=True).start()

    def time(self, calls: Sequence[Sequence[str]]) -> tuple[float, Answers]:
        """Seconds a call, on average, and the answers of the last one."""
        self._connection.send(calls)
        result: tuple[float, Answers] = self._connection.recv()
        return result


def masked(sentence: str, chance: random.Random) -> str | None:
    """A sentence with one word hidden; None if it has no two words."""
    words = list(re.finditer(r"[A-Za-z]+", sentence))
    if len(words) < 2:
        return None
    word = chance.choice(words)
    return sentence[: word.start()] + MASK + sentence[word.end() :]


def measure(engines: Sequence[Engine], lines: Sequence[str], count: int, rounds: int) -> None:
    """Print the row of calls with ``count`` lines: lines a second, and ratios."""
    times: dict[str, list[float]] = {engine.name: [] for engine in engines}
    reference: Answers = []
    calls = [lines[i * count : (i + 1) * count] for i in range(CASES[count])]
    for turn in range(rounds + 1):  # the first one warms up
        for engine in engines:
            seconds, answers = engine.time(calls)
            if turn:
                times[engine.name].append(seconds)
            elif engine.name == "genkit fp32":
                reference = answers
            elif reference and not engine.name.endswith(("int8", "bf16")):
                check(engine.name, answers, reference)
    rates = {name: count / statistics.median(values) for name, values in times.items()}
    best = {
        other: max((rate for name, rate in rates.items() if name.startswith(other)), default=0.0)
        for other in ("genkit", "pipeline", "OpenVINO")
    }
    cells = "".join(f"{rate:>14,.0f}" for rate in rates.values())
    ratios = [best["genkit"] / rate if rate else float("nan") for rate in list(best.values())[1:]]
    print(f"{count:>5}{cells}{ratios[0]:>11.2f}x{ratios[1]:>10.2f}x", flush=True)


def check(name: str, answers: Answers, reference: Answers) -> None:
    """Fail if an engine of full precision does not answer what genkit does in full precision."""
    worst = max(
        abs(ours[0][1] - theirs[0][1]) for ours, theirs in zip(reference, answers, strict=True)
    )
    if worst > CLOSE:
        raise SystemExit(f"{name} gives other probabilities: {worst:.3f} apart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder with its checkpoint")
    parser.add_argument("--text", type=Path, required=True, help="a sentence a line")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    chance = random.Random(0)
    sentences = dict.fromkeys(options.text.read_text(encoding="utf-8").splitlines())
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    longest = load_bert(options.model).config.max_positions
    lines = [
        line
        for sentence in sentences
        if (line := masked(sentence, chance)) and len(tokenizer.encode(line).ids) <= longest
    ]
    needed = max(count * calls for count, calls in CASES.items())
    if len(lines) < needed:
        parser.error(f"{options.text} has {len(lines)} sentences to use; {needed:,} are needed")

    from genkit.model import open_model

    precisions = open_model(options.model).card.graph_files("fill")
    engines = [
        Engine(f"genkit {precision}", run_genkit, options.model, precision)
        for precision in ("fp32", "int8")
        if precision in precisions
    ]
    engines += [
        Engine(f"pipeline {batch}", run_transformers, options.model, batch) for batch in (1, 8, 32)
    ]
    if importlib.util.find_spec("openvino"):
        engines += [
            Engine(f"OpenVINO {precision}", run_openvino, options.model, precision)
            for precision in ("f32", "bf16")
        ]
    print("Lines a second, by lines a call. Last columns: how many times as many genkit's best")
    print("precision does as the best pipeline and OpenVINO do.\n")
    names = "".join(f"{engine.name:>14}" for engine in engines)
    print(f"lines{names}    pipeline   OpenVINO")
    for count in CASES:
        measure(engines, lines, count, options.rounds)


if __name__ == "__main__":
    main()
