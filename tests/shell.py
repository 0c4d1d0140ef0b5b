"""Running the command line in this process, with streams of the test's own, or in another."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any, NamedTuple

from genkit.cli.app import main
from genkit.streams import Streams


class Run(NamedTuple):
    """How a run ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class TerminalIn(io.BytesIO):
    def isatty(self) -> bool:
        return True


class TerminalOut(io.StringIO):
    def isatty(self) -> bool:
        return True


def genkit(*args: str, stdin: bytes = b"", stderr: io.StringIO | None = None) -> Run:
    """Run the command line here; stderr is a pipe unless a TerminalOut is passed."""
    out, err = io.BytesIO(), io.StringIO() if stderr is None else stderr
    code = main(list(args), Streams(io.BytesIO(stdin), out, err))
    return Run(code, out.getvalue().decode(), err.getvalue())


def python(code: str, *args: str, **options: Any) -> Run:
    """Run Python code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, **options
    )
    return Run(done.returncode, done.stdout, done.stderr)


def process(*args: str, **options: Any) -> Run:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "genkit", *args],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def pipeline(script: str, **options: Any) -> Run:
    """Run a line of bash in which ``genkit`` is the command, with ``pipefail``."""
    definition = f'genkit() {{ "{sys.executable}" -m genkit "$@"; }}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {definition}; {script}"],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    return Run(done.returncode, done.stdout, done.stderr)
