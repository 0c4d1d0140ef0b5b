"""Console blocks: finding their commands, running them, and comparing what they print.

A block runs unless a comment before it says why not::

    <!-- not run: needs the network -->
    ```console
    $ genkit export hf:google/vit-base-patch16-224
    ```

All blocks of a page run in one temporary folder, in order, so that a block may use what an earlier
one wrote. It holds `photo.jpg`, and `photos/`, with the same. A line `...` in a block stands for any
lines, and a number with a decimal point may differ by 2 %: processors round differently.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genkit.cli.app import main
from genkit.streams import Streams

__all__ = ["Step", "matches", "refresh", "steps"]

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPH = ROOT / "tests" / "data" / "pictures" / "cat.jpg"
SHELL = f'set -o pipefail; genkit() {{ "{sys.executable}" -m genkit "$@"; }}; '
OPTIONAL = ("jq",)
"""Programs that need not be installed; where one is not, its commands are left as they are."""
TOLERANCE = 0.02
"""How much a number may differ, relative to the larger of it and 1."""

_BLOCK = re.compile(
    r"(?P<not_run><!-- not run: [^\n]+ -->\n)?```console\n(?P<body>.*?)^```$", re.S | re.M
)
_SHELL_SIGNS = re.compile(r"[|<>&;$`*~]")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Step:
    """One command of a console block and what the page says that it prints."""

    command: str
    output: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """The commands of all blocks of a page that are to be run."""
    blocks = (match for match in _BLOCK.finditer(text) if not match["not_run"])
    return [step for match in blocks for step in _parse(match["body"])]


def refresh(text: str) -> str:
    """The text with the output of every command that no longer prints it replaced."""
    if not steps(text):
        return text
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)

        def rerun(match: re.Match[str]) -> str:
            if match["not_run"]:
                return match[0]
            return f"```console\n{_rerun(_parse(match['body']), folder)}```"

        return _BLOCK.sub(rerun, text)


def prepare(folder: Path) -> None:
    """Put the files that every page may use into a folder."""
    shutil.copy(PHOTOGRAPH, folder / "photo.jpg")
    (folder / "photos").mkdir()
    shutil.copy(PHOTOGRAPH, folder / "photos" / "cat.jpg")


def run(command: str, folder: Path) -> tuple[str, ...]:
    """The lines that a command prints, messages among them.

    A command that is genkit alone runs in this process, which saves half of the time.
    """
    words = shlex.split(command, comments=True)
    with _surroundings(folder):
        if words[:1] == ["genkit"] and not _SHELL_SIGNS.search(command):
            printed = _run_here(words[1:])
        else:
            done = subprocess.run(
                ["bash", "-c", SHELL + command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=120,
            )
            printed = done.stdout
    return tuple(printed.decode().replace(str(ROOT), "~/genkit").splitlines())


def _run_here(arguments: list[str]) -> bytes:
    out = io.BytesIO()
    messages = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
    main(arguments, Streams(io.BytesIO(), out, messages))
    return out.getvalue()


@contextmanager
def _surroundings(folder: Path) -> Iterator[None]:
    """The folder, and an environment that is the same for everybody."""
    paths = [str(ROOT), str(ROOT / "export"), *filter(None, [os.environ.get("PYTHONPATH")])]
    before, here = dict(os.environ), Path.cwd()
    os.environ.update(
        {
            "PYTHONPATH": os.pathsep.join(paths),
            "GENKIT_DEVICE": "cpu",
            "GENKIT_MODELS": "",
            "XDG_DATA_HOME": str(folder / ".data"),
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
    )
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def matches(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether a command printed what the page says."""
    if not expected:
        return not printed
    if expected[0] == "...":
        rest = expected[1:]
        return any(matches(rest, printed[start:]) for start in range(len(printed) + 1))
    return bool(printed) and _alike(expected[0], printed[0]) and matches(expected[1:], printed[1:])


def _alike(expected: str, printed: str) -> bool:
    if _NUMBER.sub("#", expected) != _NUMBER.sub("#", printed):
        return False
    pairs = zip(_NUMBER.findall(expected), _NUMBER.findall(printed), strict=True)
    return all(
        abs(float(a) - float(b)) <= TOLERANCE * max(1.0, abs(float(a)), abs(float(b)))
        for a, b in pairs
    )


def _parse(body: str) -> Iterator[Step]:
    """The commands of a block; a command that ends with a backslash goes on in the next line."""
    command: str | None = None
    output: list[str] = []
    for line in body.splitlines():
        if command is not None and command.endswith("\\"):
            command += f"\n{line}"
        elif line.startswith("$ "):
            if command is not None:
                yield Step(command, tuple(output))
            command, output = line[2:], []
        else:
            output.append(line)
    if command is not None:
        yield Step(command, tuple(output))


def _rerun(
    listed: Iterator[Step], folder: Path, execute: Callable[..., tuple[str, ...]] = run
) -> str:
    lines = []
    for step in listed:
        if any(name in step.command.split() and not shutil.which(name) for name in OPTIONAL):
            printed = step.output
        else:
            printed = execute(step.command, folder)
        kept = step.output if matches(step.output, printed) else printed
        lines += [f"$ {step.command}", *kept]
    return "".join(f"{line}\n" for line in lines)
