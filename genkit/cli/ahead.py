"""Pictures read ahead of the network, in batches, from a list that may still be growing."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

from genkit.cli.pictures import AHEAD, THREADS
from genkit.errors import UsageError
from genkit.files import Source
from genkit.streams import Streams

__all__ = ["batches_ahead"]

GRACE = 0.02
"""Seconds that pictures which are there wait for more, to make a batch together."""
NAMES = 64
"""How many names are read ahead of the pictures."""

Loaded = TypeVar("Loaded")
Batches = Iterator[list[tuple[Source, "Future[Loaded]"]]]


@contextmanager
def batches_ahead(
    streams: Streams,
    sources: Iterable[Source],
    load: Callable[[Source, bytes | None], Loaded],
    size: int,
) -> Iterator[Batches[Loaded]]:
    """Batches of ``size`` pictures, in order, while ``load`` reads the next ones in threads.

    Names are taken as they come. When no more are waiting, the pictures that are there make a
    smaller batch: a list that grows slowly is answered as it grows. A failed picture keeps its
    place, and its error. At most twice ``size`` pictures are held, or a few more for small sizes.
    Raises UsageError where there are no sources at all, and whatever their iterator raises, after
    the pictures before it.
    """
    pool = ThreadPoolExecutor(THREADS, "pictures")
    ahead = _Ahead(streams, _Names(sources), lambda *job: pool.submit(load, *job), size)
    try:
        ahead.fill(patient=False)  # what is there is read while the caller opens the model
        yield ahead.batches()
    finally:
        pool.shutdown(cancel_futures=True)


class _Ahead(Generic[Loaded]):
    def __init__(
        self,
        streams: Streams,
        names: _Names,
        submit: Callable[[Source, bytes | None], Future[Loaded]],
        size: int,
    ) -> None:
        self._streams, self._names, self._submit, self._size = streams, names, submit, size
        self._loading: deque[tuple[Source, Future[Loaded]]] = deque()

    def fill(self, *, patient: bool) -> None:
        """Begin to load what is named; wait for a name only if ``patient`` and idle."""
        while len(self._loading) < max(2 * self._size, AHEAD):
            source = self._names.take(wait=patient and not self._loading)
            if source is None:
                return
            # Read here: a thread of the pool that waits for a pipe could not be interrupted.
            piped = self._streams.stdin.read() if source.path is None else None
            self._loading.append((source, self._submit(source, piped)))

    def batches(self) -> Batches[Loaded]:
        while True:
            self.fill(patient=True)
            if not self._loading:
                self._names.finish()
                return
            count = min(self._size, len(self._loading))
            yield [self._loading.popleft() for _ in range(count)]


class _Names:
    """Sources that a thread of its own waits for."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._waiting: queue.Queue[Source | None] = queue.Queue(NAMES)
        self._ended = self._any = False
        self._error: BaseException | None = None
        # A daemon: it may stand in a read that never returns when the program is done.
        threading.Thread(target=self._read, args=(sources,), daemon=True).start()

    def take(self, *, wait: bool) -> Source | None:
        """The next one; None at the end, or where there is none in time."""
        while not self._ended:
            try:
                # On Windows, Ctrl-C does not end a wait without limit.
                source = self._waiting.get(timeout=1.0 if wait else GRACE)
            except queue.Empty:
                if wait:
                    continue
                return None
            self._ended = source is None
            self._any |= source is not None
            return source
        return None

    def finish(self) -> None:
        """Raise what went wrong with the names."""
        if self._error is not None:
            raise self._error
        if not self._any:
            raise UsageError("no pictures are named", hint="name files or folders, or - for a pipe")

    def _read(self, sources: Iterable[Source]) -> None:
        try:
            for source in sources:
                self._waiting.put(source)
        except BaseException as error:  # raised where the names are taken
            self._error = error
        finally:
            self._waiting.put(None)
