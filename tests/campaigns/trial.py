"""What the campaigns share: commands in processes of their own, and the tally of how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT = 120.0
CODES = frozenset({0, 1, 2, 3})
"""Exit codes of a command that nobody interrupted."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``code`` is None if it hung and was killed."""

    code: int | None
    out: bytes
    err: bytes


@dataclass
class Tally:
    """Counts of what was tried and of what must never happen, with the findings' details."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def tried(self, inputs: int) -> None:
        self.counts["commands"] += 1
        self.counts["inputs"] += inputs

    def found(self, kind: str, details: str) -> None:
        """Record a fault of a kind, one of ``FAULTS``."""
        self.counts[kind] += 1
        self.findings.append(f"{kind}: {details}")

    def check(self, ended: Ended, details: str, codes: frozenset[int] = CODES) -> bool:
        """Whether a command ended as one may, whatever its input was."""
        if ended.code is None:
            self.found("hangs", details)
        elif b"Traceback (most recent call last)" in ended.err:
            last = ended.err.decode(errors="replace").strip().splitlines()[-1]
            self.found("tracebacks", f"{details}: {last}")
        elif ended.code not in codes:
            self.found("crashes", f"{details}: exit code {ended.code}")
        else:
            return True
        return False


FAULTS = ("tracebacks", "hangs", "crashes", "half files", "lost records")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "genkit", *arguments]


def run(
    arguments: Sequence[str], stdin: bytes = b"", timeout: float = TIMEOUT, **options: Any
) -> Ended:
    """Run ``genkit ARGUMENTS...`` to its end, or kill it after so many seconds."""
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Ended(None, b"", b"")
    return Ended(process.returncode, out, err)


def is_whole(path: Path) -> bool:
    """Whether a picture can be read to its end."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
    except Exception:
        return False
    return True
