"""Full disks, closed descriptors, no home and no temporary folder."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campaigns.mutations import pictures
from campaigns.trial import Ended, Tally, command, is_whole, run

SMALL_DISK = 96 * 1024


def closed_descriptors(folder: Path, rng: random.Random, tally: Tally) -> None:
    """A command whose standard streams are closed, or a device that is full."""
    picture = folder / "a.png"
    picture.write_bytes(pictures(rng)["rgb.png"])
    arguments = rng.choice(
        (
            ["translate", "Good morning."],
            ["translate"],
            ["fill", "He is [MASK]."],
            ["classify", str(picture)],
            ["sample", "--model", "dcgan", "-n", "1", "-o", str(folder / "s.png")],
            ["cyclegan", str(picture), "-o", str(folder / "c.png")],
            ["models", "list"],
        )
    )
    endings = [rng.choice(("", f"{n}>&-", f"{n}>/dev/full")) for n in (1, 2)]
    endings.append(rng.choice(("", "0<&-", "</dev/null")))
    script = " ".join(['exec "$@"', *endings])
    try:
        done = subprocess.run(
            ["bash", "-c", script, "bash", *command(*arguments)],
            input=b"Good night.\n",
            capture_output=True,
            timeout=120,
        )
        ended = Ended(done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        ended = Ended(None, b"", b"")
    tally.tried(1)
    tally.check(ended, f"{arguments[0]} {' '.join(endings)}")


def full_disks(folder: Path, rng: random.Random, tally: Tally) -> None:
    """A batch that fills its disk: what lies there is whole. Needs the right to mount."""
    inputs = folder / "in"
    inputs.mkdir()
    for index in range(20):
        (inputs / f"{index:02}.png").write_bytes(pictures(rng)["rgb.png"])
    with small_disk() as disk:
        if disk is None:
            return
        arguments = rng.choice(
            (
                ["cyclegan", "-r", str(inputs), "-o", str(disk / "out")],
                ["sample", "-n", "40", "--model", "dcgan", "-o", str(disk / "out")],
                ["inpaint", "-r", str(inputs), "--box", "1,1,9,9", "-o", str(disk / "out")],
            )
        )
        ended = run(arguments)
        tally.tried(20)
        tally.check(ended, f"{arguments[0]} on a full disk")
        for path in (disk / "out").rglob("*"):
            if path.is_file() and not is_whole(path):
                tally.found("half files", f"{arguments[0]} on a full disk: {path.name}")


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A file system of a few pages; None where it cannot be mounted."""
    with tempfile.TemporaryDirectory() as name:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", name],
            capture_output=True,
        )
        if mounted.returncode:
            yield None
            return
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def bare_environment(folder: Path, rng: random.Random, tally: Tally) -> None:
    """No HOME, a HOME that is no folder, no temporary folder, a folder that is read-only."""
    home = rng.choice((None, "/proc", "/nonexistent", str(folder)))
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    environment |= {} if home is None else {"HOME": home}
    environment |= {"TMPDIR": rng.choice(("/proc", "/nonexistent", str(folder)))}
    picture = folder / "a.png"
    picture.write_bytes(pictures(rng)["rgb.png"])
    arguments = rng.choice(
        (
            ["translate", "Good morning."],
            ["classify", str(picture)],
            ["models", "list"],
            ["info"],
            ["cyclegan", str(picture), "-o", rng.choice(("/proc/x.png", str(folder / "o.png")))],
            ["translate", "--model", "~nosuchuser/m", "x"],
        )
    )
    ended = run(arguments, env=environment)
    tally.tried(1)
    tally.check(ended, f"{arguments[0]} HOME={home}")
