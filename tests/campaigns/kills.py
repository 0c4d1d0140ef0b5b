"""Commands that are killed at a random moment, and begun again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from campaigns.mutations import pictures
from campaigns.trial import Tally, command, is_whole, run

INPUTS = 12
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def killed_batches(folder: Path, rng: random.Random, tally: Tally) -> None:
    """A batch command is killed; whatever lies there is whole, and a second run completes it."""
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir()
    for index in range(INPUTS):
        (inputs / f"{index:02}.png").write_bytes(pictures(rng)["rgb.png"])
    (folder / "lines.txt").write_text("Good morning. I am tired.\n" * 60, encoding="utf-8")
    arguments, expected = rng.choice(
        (
            (["cyclegan", "-r", str(inputs), "-o", str(outputs)], INPUTS),
            (["inpaint", "-r", str(inputs), "--box", "4,4,8,8", "-o", str(outputs)], INPUTS),
            (["sample", "-n", str(INPUTS), "--model", "dcgan", "-o", str(outputs)], INPUTS),
            (["classify", "-r", str(inputs), "--attention", str(outputs)], INPUTS),
            (
                ["translate", "-i", str(folder / "lines.txt"), "-o", str(outputs / "lines.txt")],
                1,
            ),
        )
    )
    if arguments[0] == "translate":
        outputs.mkdir()
    with subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        time.sleep(rng.uniform(0.1, 4))
        sent = rng.choice(SIGNALS)
        process.send_signal(sent)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            tally.found("hangs", f"{arguments[0]} after {sent.name}")
            return
    tally.tried(INPUTS)
    if b"Traceback" in err:
        tally.found("tracebacks", f"{arguments[0]} after {sent.name}")
    _look(outputs, f"{arguments[0]} after {sent.name}", tally)
    if sent != signal.SIGKILL and list(outputs.rglob(".*")):
        tally.found("half files", f"{arguments[0]}: leftovers after {sent.name}")
    ended = run(arguments)
    tally.tried(INPUTS)
    if tally.check(ended, f"{arguments[0]} again after {sent.name}", frozenset({0})):
        done = [path for path in outputs.rglob("*") if path.is_file()]
        if len([path for path in done if not path.name.startswith(".")]) < expected:
            tally.found("lost records", f"{arguments[0]} again: {len(done)} of {expected}")
    _look(outputs, f"{arguments[0]} again", tally)


def _look(outputs: Path, details: str, tally: Tally) -> None:
    for path in outputs.rglob("*") if outputs.exists() else ():
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix == ".txt":
            text = path.read_text(encoding="utf-8")
            if text.count("\n") != 60:
                tally.found("half files", f"{details}: {path.name}")
        elif path.suffix in {".png", ".jpg"} and not is_whole(path):
            tally.found("half files", f"{details}: {path.name}")
