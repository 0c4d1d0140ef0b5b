"""Damaged pictures, texts and model folders, through the commands that read them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from campaigns.mutations import line, mutate, pictures
from campaigns.trial import Tally, is_whole, run

FILES = 24
"""How many damaged pictures a command gets."""


def damaged_pictures(folder: Path, rng: random.Random, tally: Tally) -> None:
    """A folder of damaged pictures among sound ones, through a command that reads pictures."""
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir()
    seeds = pictures(rng)
    names = []
    for index in range(FILES):
        name, data = rng.choice(list(seeds.items()))
        names.append(f"{index:02}-{name}")
        data = data if index % 6 == 0 else mutate(data, rng)
        (inputs / names[-1]).write_bytes(data)
    arguments = rng.choice(
        (
            ["classify", "-r", str(inputs), "--json"],
            ["classify", "-r", str(inputs), "--json", "--attention", str(outputs)],
            ["cyclegan", "-r", str(inputs), "-o", str(outputs), "--json"],
            ["inpaint", "-r", str(inputs), "--box", "4,4,8,8", "-o", str(outputs), "--json"],
        )
    )
    ended = run(arguments)
    tally.tried(FILES)
    if not tally.check(ended, " ".join(arguments[:1] + arguments[4:5]), frozenset({0, 1})):
        return
    records = [json.loads(text) for text in ended.out.decode().splitlines()]
    if len(records) != FILES:
        tally.found("lost records", f"{arguments[0]}: {len(records)} of {FILES}")
    for path in outputs.rglob("*") if outputs.exists() else ():
        if path.is_file() and not is_whole(path):
            tally.found("half files", f"{arguments[0]}: {path.name}")


def odd_texts(folder: Path, rng: random.Random, tally: Tally) -> None:
    """Lines of odd text, through a filter: a line in is a line out."""
    lines = [line(rng) for _ in range(40)]
    arguments = rng.choice(
        (
            ["translate", "--beam-size", "1"],
            ["translate", "--json"],
            ["fill", "--top", "1"],
            ["fill", "--json"],
            ["fill", "--score"],
        )
    )
    ended = run(arguments, b"\n".join(lines) + b"\n")
    tally.tried(len(lines))
    if not tally.check(ended, " ".join(arguments), frozenset({0, 1})):
        return
    out = ended.out.split(b"\n")[:-1]
    if arguments[1:] == ["--json"]:
        numbers = [json.loads(text)["line"] for text in out]
        complete = sorted(set(numbers)) == list(range(1, len(lines) + 1))
    else:
        complete = arguments[0] == "fill" or len(out) == len(lines)
    if not complete:
        tally.found("lost records", f"{' '.join(arguments)}: {len(out)} lines of {len(lines)}")


SMALL = ("classify/vit", "sample/dcgan", "cyclegan/summer2winter", "translate/en-de")


def damaged_models(folder: Path, rng: random.Random, tally: Tally) -> None:
    """A model folder whose card, graph or tokenizer was damaged."""
    weights = Path(__file__).parents[2] / "weights"
    task, name = rng.choice(SMALL).split("/")
    model = folder / task / name
    shutil.copytree(
        weights / task / name, model, ignore=shutil.ignore_patterns("checkpoint*", "*.jpg")
    )
    victim = rng.choice(sorted(model.iterdir()) + 3 * [model / "model.json"])
    victim.write_bytes(mutate(victim.read_bytes(), rng))
    environment = {"GENKIT_MODELS": str(folder)}
    use = {
        "classify": ["classify", "--model", str(model), "-"],
        "cyclegan": ["cyclegan", "--model", str(model), "-", "-o", "-"],
        "sample": ["sample", "--model", str(model), "-n", "1", "-o", "-"],
        "translate": ["translate", "--model", str(model), "Good morning."],
    }[task]
    picture = pictures(rng)["rgb.png"]
    for arguments in (["models", "list"], ["models", "verify", str(model)], use):
        ended = run(arguments, picture, env=_environment(environment))
        tally.tried(1)
        tally.check(ended, f"{task} {victim.name}: {arguments[0]} {arguments[1]}")


def _environment(extra: dict[str, str]) -> dict[str, str]:
    import os

    return {**os.environ, **extra}
