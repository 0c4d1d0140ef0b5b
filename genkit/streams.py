"""Standard input, output and error, files written whole, and progress.

The only module that knows about terminals and file descriptors. stdout carries data and
nothing else; everything said to a person goes to stderr.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from genkit.errors import GenkitError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Streams", "atomic_file", "captured_output", "flush_c", "json_line"]

PROGRAM = "genkit"


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
        """The streams of this process. One that was closed (``genkit <&-``) is empty."""
        return cls(
            stdin=_binary(sys.stdin, "rb"),
            stdout=_binary(sys.stdout, "wb"),
            stderr=sys.stderr if sys.stderr is not None else open(os.devnull, "w"),
        )

    # Data

    def write(self, data: bytes | str) -> None:
        """Write data to stdout; text is written as UTF-8."""
        self.stdout.write(data.encode() if isinstance(data, str) else data)

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
        """Where ``-o`` says: a file written whole or not at all, or stdout for None and ``-``."""
        if path is None or str(path) == "-":
            yield self.stdout
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
        line = f"{label}: {message}"
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
    """
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON has no NaN and no infinity
        text = json.dumps(_finite(record), ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    """A value with null for the numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at ``path`` whole when the block ends, or not at all.

    It is written beside its place and renamed. A link keeps pointing where it did, and the
    permissions of a file that is replaced are kept. What is not a plain file (a pipe,
    ``/dev/null``) is written directly. Raises UsageError if the place cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except OSError:
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder", hint="name a file, or - for standard output")
    if mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as file:
            yield file
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        with file:
            yield file
        if mode is not None:
            part.chmod(stat.S_IMODE(mode))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Catch whatever is written to stdout and stderr while the block runs.

    Libraries that print by themselves (ONNX Runtime's providers do, to both) must not reach
    a pipe: this holds for Python's streams and, below them, for file descriptors 1 and 2. The
    block is given a function that returns what was caught so far.
    """
    import tempfile

    with tempfile.TemporaryFile(buffering=0) as sink:

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


def _binary(stream: TextIO | None, mode: str) -> BinaryIO:
    """The bytes under a text stream; nothing at all in place of a stream that was closed."""
    return open(os.devnull, mode) if stream is None else stream.buffer  # type: ignore[return-value]


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
