"""A graph that is ready to run, and the threads that run it: opened, closed, forked."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from genkit.errors import InputError, RuntimeUnavailableError, first_line
from genkit.runtime import library
from genkit.runtime.devices import Device

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Closing", "Session", "Workers", "check_numbers"]

# What ONNX Runtime says when it is out of memory, on the CPU and on CUDA.
OUT_OF_MEMORY = re.compile(r"bad.?alloc|failed to allocate|out of memory", re.IGNORECASE)
T = TypeVar("T")
R = TypeVar("R")


class Closing:
    """Something that holds sessions and threads until it is closed.

        with genkit.load("translate") as translate:
            ...

    Closing it twice does no harm; using it afterwards is a ValueError, as with files.
    """

    def close(self) -> None:
        """Give back the sessions and threads that it holds."""
        for part in vars(self).values():
            if isinstance(part, Closing):
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Session(Closing):
    """A graph that is ready to run, in any number of threads.

    ``reopen`` makes a session like the first one: in a process that was forked, where the
    threads of the first one are missing. Without it, running the graph there is an error.
    """

    def __init__(
        self,
        session: Any,
        device: Device,
        precision: str,
        threads: int,
        reason: str,
        reopen: Callable[[], Any] | None = None,
    ) -> None:
        self._session = session
        self._reopen = reopen
        self._forked = False
        self._lock = Lock()
        self.device = str(device)
        self.precision = precision
        self.threads = threads
        self.reason = reason
        """Why it runs on this device, for a person at -v."""
        self.inputs: tuple[str, ...] = tuple(spec.name for spec in session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(spec.name for spec in session.get_outputs())
        _open_sessions.add(self)

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[np.ndarray[Any, Any]]:
        """Run the graph; returns the named outputs, or all of them, in order.

        Raises MemoryError where ONNX Runtime cannot have the memory that it needs, InputError
        where the network overflows or its weights are broken, RuntimeUnavailableError in a forked process that cannot open the graph anew, ValueError
        after ``close``.
        """
        wanted = self.outputs if outputs is None else outputs
        session = self._session
        if session is None:
            session = self._anew()
        try:
            result: list[np.ndarray[Any, Any]] = session.run(list(wanted), dict(feeds))
        except Exception as error:  # ONNX Runtime's have no base of their own
            if OUT_OF_MEMORY.search(str(error)):
                raise MemoryError(first_line(error)) from error
            raise
        check_numbers(result)
        return result

    def release(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Give back the memory that runs have left in the arenas, by a run that is small.

        After a run that failed for want of memory ONNX Runtime keeps all that it had got. Whoever
        goes on with less calls this first, with the smallest feeds that the graph takes.
        """
        options = library.onnxruntime().RunOptions()
        options.log_severity_level = library.LOG_NOTHING
        kind, _, index = self.device.partition(":")
        arenas = "cpu:0" if kind != "cuda" else f"cpu:0;gpu:{index or 0}"
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
        session = self._session
        with suppress(Exception):  # ONNX Runtime's have no base; at worst nothing is given back
            session.run(list(self.outputs), dict(feeds), options)

    def close(self) -> None:
        """Give back the session's memory and threads, after the runs that go on."""
        self._session, self._forked = None, False

    def leave_parent(self) -> None:
        """Take no further notice of the session of the process that this one was forked from."""
        if self._session is not None:
            # Its destructor would wait for threads that only the parent has.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session, self._forked = None, True
        self._lock = Lock()

    def _anew(self) -> Any:
        with self._lock:
            if self._session is not None:
                return self._session
            if not self._forked:
                raise ValueError("this model was closed")
            if self._reopen is None:
                raise RuntimeUnavailableError(
                    f"a model that runs on {self.device} cannot be used after a fork",
                    hint="load it in the new process",
                )
            self._session = self._reopen()
            return self._session

    @property
    def summary(self) -> str:
        """The device, why it is this one, the precision and the threads: for people to read."""
        return f"{self.device} ({self.reason}), {self.precision}, {self.threads} thread(s)"


def check_numbers(results: Sequence[NDArray[Any]]) -> None:
    """Raises InputError for results that are no numbers. Infinities may be meant: a token that is
    never chosen has minus infinity.
    """
    for result in results:
        if result.dtype.kind == "f" and (result != result).any():
            raise InputError(
                "the model gives no numbers (NaN) for this",
                hint="its weights are broken, or too large for this precision",
            )


class Workers(Closing):
    """Threads that work off what they are given, in order; a forked process has its own."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = Lock()
        self._closed = False
        self._begin()

    def submit(self, function: Callable[..., R], *args: Any) -> Future[R]:
        """Have a function called in one of the threads."""
        if self._closed:
            raise ValueError("this model was closed")
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._begin()
        return self._pool.submit(function, *args)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results of calls with each item, in order; if one raises, no more are begun."""
        futures = [self.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Wait for what is being worked on, begin nothing else, and end the threads."""
        self._closed = True
        if self._process == os.getpid():
            self._pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="genkit")
        self._process = os.getpid()


_open_sessions: WeakSet[Session] = WeakSet()


def _after_fork() -> None:
    for session in list(_open_sessions):
        session.leave_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
