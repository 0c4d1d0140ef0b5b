"""Files written whole or not at all, and nothing left behind by a process that was killed.

A file is written under a short random name beside its place, and renamed. While that goes on
the file is locked: whoever finds such a name without its lock has found what a killed process
left, and removes it. SIGTERM and SIGHUP remove what is begun before the process ends.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from genkit.errors import UsageError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows: what killed processes left stays
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

__all__ = [
    "atomic_file",
    "clean_up_on_signals",
    "descriptor_of",
    "is_stdout",
    "is_there",
    "removed_if_killed",
]

PARTIAL = re.compile(r"\.genkit-[0-9a-f]{12}\.part")
MOST_LINKS = 40
"""Of a chain of links: the limit of Linux."""

_lock = threading.RLock()  # a signal can arrive in the thread that holds it
_begun: set[Path] = set()
"""Files and folders that are to be removed if the process is told to end."""
_swept: set[Path] = set()
_ending = False


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at ``path`` whole when the block ends, or not at all.

    A link keeps pointing where it did, and the permissions of a file that is replaced are
    kept. A descriptor of this process (``/dev/stdout``, ``/dev/fd/3``) is written to where it
    stands, and what is not a plain file (a pipe, ``/dev/null``) is written directly. Raises
    UsageError if the place cannot be written; an OSError of the writing itself names ``path``.
    """
    try:
        number = descriptor_of(path)
        mode = None if number is not None else _mode(path)
        if mode is not None and stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a folder", hint="name a file, or - for standard output")
        target = Path(os.path.realpath(path))
        of_a_process = os.path.realpath(path.parent).startswith("/proc/")
        direct = number is not None or of_a_process or not (mode is None or stat.S_ISREG(mode))
        part = None if direct else _begin(target.parent)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _refusal(path, error) from error
    if part is None:
        try:
            opened = os.dup(number) if number is not None else os.open(path, _IN_PLACE)
        except OSError as error:
            raise _refusal(path, error) from error
        with io.BufferedWriter(_Named(opened, path)) as file:
            yield file
        return
    place, opened = part
    try:
        with io.BufferedWriter(_Named(opened, path)) as file:
            yield file
            file.flush()
            if mode is not None:
                place.chmod(stat.S_IMODE(mode))
            if os.name == "posix":  # before the lock goes with the file, or it might be swept
                _rename(place, target, path)
        if os.name != "posix":
            _rename(place, target, path)
    finally:
        with _lock, suppress(OSError):
            _begun.discard(place)
            place.unlink(missing_ok=True)


def is_there(path: Path) -> bool:
    """Whether there is a plain file that is not a descriptor of this process."""
    try:
        return path.is_file() and descriptor_of(path) is None
    except (OSError, ValueError):
        return False


def descriptor_of(path: Path) -> int | None:
    """The descriptor of this process that a path stands for: 1 for ``/dev/stdout``, 3 for
    ``/dev/fd/3`` or ``/proc/self/fd/3``; None for all other paths.

    To open such a path is to open its file once more, at its beginning: what others wrote to
    the descriptor would be overwritten.
    """
    with suppress(OSError, ValueError):  # a place that cannot be reached, a NUL in the name
        for _ in range(MOST_LINKS):
            parent = os.path.realpath(path.parent)
            own = rf"/dev/fd|/proc/(self|{os.getpid()})(/task/\d+)?/fd"
            if path.name.isdecimal() and re.fullmatch(own, parent):
                return int(path.name)
            path = Path(parent, path.name)
            path = Path(parent, path.readlink())  # an error where there is no link
    return None


def is_stdout(output: str) -> bool:
    """Whether ``-o`` says standard output: by ``-``, or by a name that the system has for it."""
    return output == "-" or descriptor_of(Path(output)) == 1


@contextmanager
def removed_if_killed(folder: Path) -> Iterator[None]:
    """Remove a temporary folder too, if SIGTERM or SIGHUP ends the process in the block."""
    import shutil  # noqa: F401 - used when it is too late to import anything

    with _lock:
        _begun.add(folder)
    try:
        yield
    finally:
        with _lock:
            _begun.discard(folder)


def clean_up_on_signals() -> None:
    """Let SIGTERM and SIGHUP remove what is begun, and then end the process as they always do.

    For a program, not for a library. A thread waits for them: the main one may be in a run of a
    graph for minutes. A signal that is ignored (``nohup``) stays so.
    """
    if os.name != "posix":
        return
    import ctypes
    import signal

    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    if not numbers:
        return

    def end(number: int) -> None:
        global _ending
        with _lock:
            _ending = True  # nothing new is begun
            for path in list(_begun):
                if path.is_dir():
                    sys.modules["shutil"].rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        path.unlink()
            # What signal() of Python does, the main thread alone may do.
            ctypes.CDLL(None).signal(number, None)
            os.kill(os.getpid(), number)

    def wait() -> None:
        while received := os.read(reader, 1):
            if received[0] in numbers:
                end(received[0])

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)  # what is done, the thread does
    threading.Thread(target=wait, name="signals", daemon=True).start()


def _begin(folder: Path) -> tuple[Path, int]:
    """A new file in a folder, which is locked, and its descriptor."""
    while True:
        with _lock:
            if _ending:
                raise OSError("the process is ending")
            _sweep(folder)
            place = folder / f".genkit-{os.urandom(6).hex()}.part"
            try:
                opened = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
            except FileExistsError:
                continue
            _begun.add(place)
        if not HAS_LOCKS:
            return place, opened
        with suppress(OSError):  # a file system without locks: such files are not swept either
            flock(opened, LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(place.stat(), os.fstat(opened)):
                return place, opened
        os.close(opened)  # it was swept before it was locked
        with _lock:
            _begun.discard(place)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; once in a process."""
    if not HAS_LOCKS or folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if PARTIAL.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_unlocked(Path(entry.path))


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        opened = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            flock(opened, LOCK_EX | LOCK_NB)
            path.unlink()
        finally:
            os.close(opened)


def _rename(place: Path, target: Path, path: Path) -> None:
    try:
        place.replace(target)
    except OSError as error:
        raise _refusal(path, error) from error


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _refusal(path: Path, error: OSError | ValueError) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error)
    return UsageError(f"cannot write {path}: {reason}")


class _Named(io.FileIO):
    """A file whose errors tell what it is called."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            error.filename = str(self._path)
            raise


_BINARY = getattr(os, "O_BINARY", 0)
_IN_PLACE = os.O_WRONLY | os.O_TRUNC | _BINARY
