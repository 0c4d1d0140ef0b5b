"""Try to break genkit for a while, and count.

    python tests/campaigns --minutes 60 [--seed 1] [NAME...]

Each trial gives damaged input, a signal, a full disk or a closed descriptor to a command. Printed
are inputs, tracebacks, hangs, crashes, half-written files and lost records: all but the first are
to be zero. `fuzz_checkpoints.py` beside this is the same for the reader of checkpoints.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns import damaged, kills, surroundings
from campaigns.trial import FAULTS, Tally

CAMPAIGNS = {
    "pictures": damaged.damaged_pictures,
    "texts": damaged.odd_texts,
    "models": damaged.damaged_models,
    "kills": kills.killed_batches,
    "descriptors": surroundings.closed_descriptors,
    "disks": surroundings.full_disks,
    "surroundings": surroundings.bare_environment,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.names) - set(CAMPAIGNS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    tallies = {name: Tally() for name in options.names or CAMPAIGNS}
    end = time.monotonic() + 60 * options.minutes
    trial = 0
    while time.monotonic() < end:
        name = list(tallies)[trial % len(tallies)]
        rng = random.Random(f"{options.seed}/{name}/{trial}")
        with tempfile.TemporaryDirectory() as folder:
            before = len(tallies[name].findings)
            CAMPAIGNS[name](Path(folder), rng, tallies[name])
            for finding in tallies[name].findings[before:]:
                print(f"{name}, trial {trial}: {finding}", file=sys.stderr, flush=True)
        trial += 1
    columns = ("commands", "inputs", *FAULTS)
    print(f"{'':12}", *(f"{column:>12}" for column in columns))
    for name, tally in tallies.items():
        print(f"{name:12}", *(f"{tally.counts[column]:12}" for column in columns))
    return int(any(tally.findings for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
