"""A folder that takes its place whole or not at all, whatever happens meanwhile.

It is made under a hidden name beside its place, and the two folders change places in one step: a
killed export leaves nothing that could be taken for a model, and of two exports into one folder the
last one stays, whole.
"""

import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genkit.card import CARD
from genkit.card_json import read_card
from genkit.errors import CardError, UsageError
from genkit.writing import removed_if_killed

PREFIX = ".genkit-export-"
OUTDATED = 60.0
"""Seconds after which the folder of an export that does not run any more is removed."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
TRIES = 5


@contextmanager
def new_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when all went well.

    What an earlier export made there goes; what no export made (pictures, the checkpoint itself)
    stays. A link keeps pointing where it did. Raises UsageError if something is there already and
    is not to be overwritten, or if the place cannot be written.
    """
    _refuse_taken(out, overwrite)
    place = Path(os.path.realpath(out))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place.parent))
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from error
    folder.chmod(0o755)
    lock = _lock(folder)
    try:
        _sweep(place.parent)
        with removed_if_killed(folder):
            yield folder
        _refuse_taken(out, overwrite)  # of two exports into one place, the second has come late
        _flush(folder)
        if place.is_dir() and (os.path.ismount(place) or Path.cwd().is_relative_to(place)):
            _fill(place, folder)
        else:
            _swap(place, folder)
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_taken(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; the output of an export is a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"{out} is not empty", hint="choose another folder, or add --overwrite")


def _swap(place: Path, folder: Path) -> None:
    """Put a folder in the place of another one, with what is kept of that."""
    for _ in range(TRIES):
        if not place.exists():
            with suppress(OSError):  # another export was quicker
                folder.rename(place)
                return
        else:
            _keep(place, folder)
            if _exchange(place, folder):
                return
            old = Path(tempfile.mkdtemp(prefix=f".{place.name}.old-", dir=place.parent))
            place.rename(old)  # onto the empty folder
            try:
                folder.rename(place)
            except OSError:
                with suppress(OSError):
                    old.rename(place)
                continue
            shutil.rmtree(old, ignore_errors=True)
            return
    raise UsageError(f"cannot replace {place}", hint="does another export write to it?")


def _fill(place: Path, folder: Path) -> None:
    """Move a folder's files into one that must stay where it is: the working directory of the
    shell, or a mount. Its card comes last, and meanwhile there is none.
    """
    outdated = _made_before(place)
    (place / CARD).unlink(missing_ok=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == CARD):
        outdated.discard(path.name)
        path.replace(place / path.name)
    for name in outdated:
        (place / name).unlink(missing_ok=True)


def _keep(place: Path, folder: Path) -> None:
    """Give a new folder what is in an old one and was not made by an export."""
    gone = _made_before(place)
    for path in place.iterdir():
        target = folder / path.name
        if path.name in gone or target.exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, target, symlinks=True, copy_function=_copy)
        else:
            _copy(str(path), str(target))


def _copy(source: str, target: str) -> None:
    """The same file under another name, or a copy where there are no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _made_before(place: Path) -> set[str]:
    """The files that an earlier export made, as far as its card tells."""
    try:
        return {CARD, *read_card(place / CARD).files()}
    except CardError:
        return {CARD}


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step, where the system can do that (Linux)."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = os.fsencode(one), os.fsencode(other)
    return rename is not None and not rename(
        AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE
    )


def _flush(folder: Path) -> None:
    """Have the files on the disk before the folder takes its place."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _lock(folder: Path) -> int | None:
    """Tell others that a folder is in use, as long as this process lives."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _sweep(parent: Path) -> None:
    """Remove what exports left that were killed."""
    if sys.platform == "win32":
        return
    import fcntl

    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < OUTDATED:
                continue
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is in use
            pass
        finally:
            os.close(descriptor)
