"""What a fresh process costs, as a ratio to importing ONNX Runtime and nothing else.

    python tests/benchmarks/startup.py [--rounds 15]

The commands take turns; the table shows medians of wall time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

GENKIT = [sys.executable, "-m", "genkit"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import onnxruntime": [sys.executable, "-c", "import onnxruntime"],
    "genkit --version": [*GENKIT, "--version"],
    "genkit --help": [*GENKIT, "--help"],
    "genkit translate 'Good morning.'": [*GENKIT, "translate", "Good morning."],
    "... --beam-size 1": [*GENKIT, "translate", "--beam-size", "1", "Good morning."],
}
REFERENCE = "import onnxruntime"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    # Some shells set it; it changes what reading and writing cost.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment["ORT_DISABLE_TELEMETRY"] = "1"  # as genkit sets it
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(options.rounds + 1):  # the first one warms up
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            if turn:
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:34}{seconds * 1e3:7.0f} ms{seconds / medians[REFERENCE]:7.2f}x")


if __name__ == "__main__":
    main()
