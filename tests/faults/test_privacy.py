"""Nothing is written outside of what was asked for, and nobody is told of anything.

ONNX Runtime 1.31 keeps a device id and a database of events in the user's cache and asks for a host
of Microsoft's, unless that was turned off before it was imported.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import genkit

ROOT = Path(genkit.__file__).parents[1]
SWITCH = "ORT_DISABLE_TELEMETRY"
CALLS = "trace=connect,sendto,sendmsg,sendmmsg"
# Read by the name service for users and not for hosts.
LOCAL = "/var/run/nscd/socket"
USE = """
import genkit
for task, given in (("translate", ["Yes."]), ("sample", [1])):
    with genkit.load(task, threads=1) as use:
        assert list(use(given))
"""


def prefix(trace: Path) -> list[str]:
    """What a command runs under: a network without routes and a record of who is asked for, as
    far as this machine has them.
    """
    found = []
    if (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "-rn", "true"], stderr=subprocess.DEVNULL).returncode
    ):
        found += ["unshare", "-rn"]
    if (
        shutil.which("strace")
        and not subprocess.run(
            ["strace", "-qq", "-o", os.devnull, "true"], stderr=subprocess.DEVNULL
        ).returncode
    ):
        found += ["strace", "-f", "-qq", "-e", CALLS, "-e", "signal=none", "-o", str(trace)]
    return found


@pytest.mark.parametrize(
    ("command", "already"),
    [
        pytest.param(["-m", "genkit", "fill", "The ___ barked."], None, id="the command"),
        pytest.param(["-c", USE], "0", id="the library"),
        pytest.param(["-c", "import genkit_export.parity"], None, id="the export"),
    ],
)
def test_nothing_is_written_and_nobody_is_asked(
    command: list[str], already: str | None, tmp_path: Path
) -> None:
    home, temporary, trace = (tmp_path / name for name in ("home", "temporary", "trace"))
    home.mkdir()
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    environment.pop(SWITCH, None)  # set by this process, which imported genkit
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    if already is not None:
        environment[SWITCH] = already
    done = subprocess.run(
        [*prefix(trace), sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) + list(temporary.rglob("*")) == []
    if trace.exists():
        asked = [line for line in trace.read_text().splitlines() if LOCAL not in line]
        assert asked == []


def imported(path: Path) -> list[str]:
    """The packages that a file imports, in the order of its lines."""
    nodes = [node for node in ast.walk(ast.parse(path.read_bytes())) if hasattr(node, "lineno")]
    names: list[str] = []
    for node in sorted(nodes, key=lambda node: node.lineno):
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.partition(".")[0])
    return names


def test_whoever_imports_onnxruntime_imported_genkit_before() -> None:
    inside = {ROOT / "genkit", ROOT / "export" / "genkit_export"}  # importing these is enough
    users = 0
    for path in [*(ROOT / "export").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        if b"import onnxruntime" not in path.read_bytes() or inside & set(path.parents):
            continue
        names = imported(path)
        if "onnxruntime" not in names:
            continue
        users += 1
        before = names[: names.index("onnxruntime")]
        assert {"genkit", "genkit_export"} & set(before), path
    assert users > 2
