"""Standard input, output and error, files written whole, and progress.

The only module that knows about terminals and file descriptors. stdout carries data and
nothing else; everything said to a person goes to stderr.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from genkit.errors import GenkitError
from genkit.writing import atomic_file, is_stdout

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Streams", "captured_output", "flush_c", "json_line", "printable"]

PROGRAM = "genkit"
_capturing = RLock()
# Marks of direction let a name look like another one, and U+2028 breaks a line as well.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
UNPRINTABLE_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
"""Of text that has lines and columns, in whatever language."""
UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON may hold raw, and a terminal or an older reader takes for more than a character."""
CLOSED = OSError(errno.EBADF, "it is closed", "standard output")


@dataclass
class Streams:
    """The three streams of the process and how much to say on the third.

    Tests pass their own streams, so that every mix of pipes and terminals can be had without
    a terminal. ``verbosity`` is the number of ``-v`` less the number of ``-q``.
    """

    stdin: BinaryIO
    stdout: BinaryIO
    stderr: TextIO
    verbosity: int = 0
    _live: Console | None = field(default=None, init=False, repr=False)

    @classmethod
    def of_process(cls) -> Streams:
        """The streams of this process.

        A standard input that was closed (``genkit <&-``) is empty, and so is what is said to a
        closed standard error. Whatever is written to a closed standard output is an OSError.
        """
        for descriptor in (0, 1, 2):  # or a file that is opened would stand in their place
            if not _is_open(descriptor):
                os.open(os.devnull, os.O_RDWR)
        if sys.stdout is None:
            sys.stdout = _ClosedText()  # help and version are written there by Typer
        return cls(
            stdin=open(os.devnull, "rb") if sys.stdin is None else cast(BinaryIO, sys.stdin.buffer),
            stdout=cast(BinaryIO, sys.stdout.buffer),
            stderr=sys.stderr if sys.stderr is not None else open(os.devnull, "w"),
        )

    # Data

    def write(self, data: bytes | str) -> None:
        """Write data to stdout; text is written as UTF-8, and on a terminal without what would
        control it. Bytes are written as they are.
        """
        if isinstance(data, str):
            if self.stdout.isatty():
                data = printable(data, lines=True)
            data = data.encode("utf-8", "surrogateescape")
        self.stdout.write(data)

    def write_json(self, record: Mapping[str, Any]) -> None:
        """Write one record as a line of JSON."""
        self.stdout.write(json_line(record))

    def flush(self) -> None:
        """Hand over what was written to whoever reads it."""
        self.stdout.flush()

    def discard(self) -> None:
        """Send the rest of stdout nowhere, after its reader went away or its disk filled up.

        Without this Python complains on stderr when it empties its buffers at the end.
        """
        with suppress(OSError):  # a stream in memory has no descriptor, and needs none
            descriptor = self.stdout.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)

    @contextmanager
    def output(self, path: Path | None) -> Iterator[BinaryIO]:
        """Where ``-o`` says: a file written whole or not at all, or stdout for None, ``-`` and
        ``/dev/stdout``. It takes text; on a terminal, what would control it is escaped.
        """
        if path is None or is_stdout(str(path)):
            yield cast(BinaryIO, _Tame(self.stdout)) if self.stdout.isatty() else self.stdout
            self.stdout.flush()
        else:
            with atomic_file(path) as file:
                yield file

    # Words

    def error(self, message: str, hint: str | None = None) -> None:
        """Say what went wrong; -q does not hide it."""
        self._say(message)
        if hint:
            self._say(hint, label="hint")

    def report(self, error: GenkitError, source: str | None = None) -> None:
        """Say an error of ours, after the name of the input that it is about."""
        self.error(f"{source}: {error.message}" if source else error.message, error.hint)

    def warn(self, message: str) -> None:
        """Say something that the user should know, unless -q."""
        if self.verbosity >= 0:
            self._say(message, label=f"{PROGRAM}: warning")

    def tell(self, message: str) -> None:
        """Say something that was asked for or is waited for, unless -q."""
        if self.verbosity >= 0:
            self._say(message)

    def note(self, message: str) -> None:
        """Say something that is of interest at -v."""
        if self.verbosity >= 1:
            self._say(message)

    def _say(self, message: str, label: str = PROGRAM) -> None:
        line = f"{label}: {printable(message)}"
        if self._live is not None:
            self._live.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            # A reader of stderr that went away is no reason to stop.
            with suppress(BrokenPipeError):
                print(line, file=self.stderr, flush=True)

    @contextmanager
    def progress(
        self, what: str, total: float | None, unit: str | None = None
    ) -> Iterator[Callable[[float], None]]:
        """A progress bar while the block runs; the block calls what it is given to advance.

        With a ``unit`` it tells how many are done a second. Drawn on stderr, and only when that is a terminal and -q was not said.
        """
        if self.verbosity < 0 or not self.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield lambda _: None
            return
        # 36 ms to import: more than a short command takes, so it waits for the terminal.
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        columns = [*Progress.get_default_columns(), TextColumn("{task.fields[rate]}")]
        bar = Progress(*columns, console=Console(file=self.stderr), transient=True)
        begun = time.monotonic()
        done = 0.0
        with bar:
            task = bar.add_task(what, total=total, rate="")

            def advance(amount: float) -> None:
                nonlocal done
                done += amount
                rate = f"{done / (time.monotonic() - begun):.1f} {unit}/s" if unit else ""
                bar.update(task, advance=amount, rate=rate)

            self._live = bar.console
            try:
                yield advance
            finally:
                self._live = None


def json_line(record: Mapping[str, Any]) -> bytes:
    """One record as a line of JSON in UTF-8.

    A file name that is no UTF-8 has its stray bytes as lone surrogates; they are written as
    JSON's own escapes (``\\udcff``), so the line stays valid and the name can be told again.
    JSON has no infinite numbers and no NaN: they are null.
    """
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(record), ensure_ascii=False)
    text = UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return (text + "\n").encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str, *, lines: bool = False) -> str:
    """Text with escapes (``\\x1b``) in place of what would control a terminal, so that a file's
    name cannot. With ``lines`` it may have line ends and tabs.
    """
    return (UNPRINTABLE_IN_LINES if lines else UNPRINTABLE).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


@contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Catch whatever is written to stdout and stderr while the block runs.

    Libraries that print by themselves (ONNX Runtime's providers do, to both) must not reach
    a pipe: this holds for Python's streams and, below them, for file descriptors 1 and 2. The
    block is given a function that returns what was caught so far.

    The streams are those of the whole process: one block runs at a time (or within another, in
    the same thread), and what other threads write meanwhile is caught as well. Where nothing can
    be written to, neither memory nor a temporary folder, what is caught is lost.
    """
    with _capturing, _sink() as sink:

        def caught() -> str:
            flush_c()
            sink.seek(0)
            return sink.read().decode("utf-8", "replace")

        flush_c()
        saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2) if _is_open(descriptor)}
        text = io.TextIOWrapper(sink, "utf-8", write_through=True)
        try:
            for descriptor in saved:
                os.dup2(sink.fileno(), descriptor)
            with redirect_stdout(text), redirect_stderr(text):
                yield caught
        finally:
            flush_c()
            text.detach()
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
                os.close(copy)


def _sink() -> io.FileIO:
    """A file without a name: in memory where the system has such files, so that no temporary
    folder is needed (a container may have none that can be written to).
    """
    with suppress(OSError):
        if sys.platform == "linux":
            return io.FileIO(os.memfd_create(PROGRAM), "r+")
    import tempfile

    try:
        opened, name = tempfile.mkstemp()
    except OSError:
        return io.FileIO(os.devnull, "r+")
    with suppress(OSError):  # Windows removes no file that is open
        Path(name).unlink()
    return io.FileIO(opened, "r+")


class _Closed(io.RawIOBase):
    """A standard output that was closed: nothing can be written to it."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if data:
            raise CLOSED
        return 0


class _ClosedText(io.TextIOBase):
    buffer = _Closed()

    def write(self, text: str) -> int:
        return self.buffer.write(text)


class _Tame:
    """Takes lines of text for a terminal, and escapes what would control it."""

    def __init__(self, terminal: BinaryIO) -> None:
        self._terminal = terminal
        self.flush = terminal.flush

    def isatty(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        text = printable(data.decode("utf-8", "surrogateescape"), lines=True)
        return self._terminal.write(text.encode("utf-8", "surrogateescape"))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def flush_c() -> None:
    """Empty the buffers of the C library, which lie below those of Python."""
    if os.name == "posix":
        import ctypes

        ctypes.CDLL(None).fflush(None)
