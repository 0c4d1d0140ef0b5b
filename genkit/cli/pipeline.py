"""The one way in which commands go through files: load, run, save, report.

Items are loaded and saved by threads while the network runs in the main one, and reported in
their order. Whatever an item raises is its own: it is reported, and the others are done.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from genkit.errors import GenkitError, InputError, ModelError, RuntimeUnavailableError, first_line

__all__ = ["AHEAD", "THREADS", "Finished", "Steps", "as_input_error", "run_items"]

THREADS = 4
AHEAD = THREADS + 2
"""How many items wait for the network, loaded, and behind it, to be saved; at least."""
GRACE = 0.02
"""Seconds that items which are there wait for more, to make a batch together."""
NAMES = 64
"""How many items are taken from their iterator before they are loaded."""

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Made = TypeVar("Made")
Saved = TypeVar("Saved")


@dataclass(frozen=True)
class Finished(Generic[Saved]):
    """What ``load`` returns for an item for which nothing has to be run."""

    saved: Saved


@dataclass(frozen=True)
class Steps(Generic[Item, Loaded, Made, Saved]):
    """What is done with an item."""

    load: Callable[[Item, bytes | None], Loaded | Finished[Saved]]
    """In a thread: reads and decodes. The bytes are what ``pipe`` returned."""
    run: Callable[[Sequence[Loaded]], Sequence[Made]]
    """In the main thread: a batch through the network, a result an item."""
    save: Callable[[Item, Loaded, Made], Saved]
    """In a thread: encodes and writes."""
    report: Callable[[Item, Saved | InputError], None]
    """In the main thread, in the order of the items: what became of one."""
    pipe: Callable[[Item], bytes | None] = lambda _: None
    """In the main thread, for a thread that waits for a pipe could not be interrupted: reads
    standard input for an item that is there.
    """
    begin: Callable[[], None] = lambda: None
    """Called once, when the first items are being loaded: opens the model."""


def run_items(
    items: Iterable[Item],
    steps: Steps[Item, Loaded, Made, Saved],
    *,
    size: int = 1,
    behind: int = AHEAD,
) -> None:
    """Take items through the steps, in batches of ``size``.

    Items are taken as they come: when no more are waiting, those that are there make a smaller
    batch, so that a list that grows slowly is answered as it grows. A batch that fails is run
    item by item. At most twice ``size`` loaded items are held, or a few more for small sizes,
    and ``behind`` that are saved.

    What an item raises is reported as an InputError. Raises what the iterator of items raises,
    after the items before it, and whatever says that the model or the runtime is of no use.
    """
    pool = ThreadPoolExecutor(THREADS, "items")
    try:
        _Run(items, steps, size, behind, pool).all()
    finally:
        pool.shutdown(cancel_futures=True)


def as_input_error(error: Exception) -> InputError:
    """What an item raised, as the error that is told of it; what was not foreseen has its type.

    Raises the error itself if it is about the model or the runtime, and so about all items.
    """
    if isinstance(error, ModelError | RuntimeUnavailableError):
        raise error
    if isinstance(error, InputError):
        return error
    told = InputError(_message(error), hint=getattr(error, "hint", None))
    told.__cause__ = error
    return told


def _message(error: Exception) -> str:
    if isinstance(error, GenkitError):
        return error.message
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"cannot be used ({type(error).__name__}: {first_line(error)})"


class _Run(Generic[Item, Loaded, Made, Saved]):
    """The items that are under way."""

    def __init__(
        self,
        items: Iterable[Item],
        steps: Steps[Item, Loaded, Made, Saved],
        size: int,
        behind: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._feed, self._steps, self._pool = _Feed(items), steps, pool
        self._size, self._behind = size, behind
        self._loading: deque[tuple[Item, Future[Loaded | Finished[Saved]]]] = deque()
        self._saving: deque[tuple[Item, Future[Saved]]] = deque()

    def all(self) -> None:
        self._load_more(wait=False)
        self._steps.begin()
        while True:
            self._load_more(wait=False)
            if not self._loading:
                self._report_down_to(0)  # nothing is held back while we wait for an item
                self._load_more(wait=True)
            if not self._loading:
                break
            count = min(self._size, len(self._loading))
            self._run([self._loading.popleft() for _ in range(count)])
            self._report_down_to(self._behind)
        self._feed.finish()

    def _load_more(self, *, wait: bool) -> None:
        while len(self._loading) < max(2 * self._size, AHEAD):
            item = self._feed.take(wait=wait and not self._loading)
            if item is None:
                return
            self._loading.append((item[0], self._load(item[0])))

    def _load(self, item: Item) -> Future[Loaded | Finished[Saved]]:
        try:
            piped = self._steps.pipe(item)
        except Exception as error:
            failed: Future[Loaded | Finished[Saved]] = Future()
            failed.set_exception(error)
            return failed
        return self._pool.submit(self._steps.load, item, piped)

    def _run(self, batch: Sequence[tuple[Item, Future[Loaded | Finished[Saved]]]]) -> None:
        """Run what was loaded of a batch and have it saved; errors wait in their places."""
        saving: list[Future[Saved]] = [Future() for _ in batch]
        loaded: list[tuple[int, Loaded]] = []
        for i, (_, future) in enumerate(batch):
            try:
                result = future.result()
            except Exception as error:
                saving[i].set_exception(as_input_error(error))
                continue
            if isinstance(result, Finished):
                saving[i].set_result(result.saved)
            else:
                loaded.append((i, result))
        for i, one, made in self._made(loaded):
            if isinstance(made, InputError):
                saving[i].set_exception(made)
            else:
                saving[i] = self._pool.submit(self._steps.save, batch[i][0], one, made)
        self._saving += [(item, saved) for (item, _), saved in zip(batch, saving, strict=True)]

    def _made(
        self, loaded: Sequence[tuple[int, Loaded]]
    ) -> Iterator[tuple[int, Loaded, Made | InputError]]:
        if not loaded:
            return
        try:
            results = self._steps.run([one for _, one in loaded])
        except Exception as error:
            problem = as_input_error(error)
        else:
            for (i, one), made in zip(loaded, results, strict=True):
                yield i, one, made
            return
        if len(loaded) == 1:
            yield *loaded[0], problem
            return
        for alone in loaded:
            yield from self._made([alone])

    def _report_down_to(self, count: int) -> None:
        # What is done need not wait for what is behind it.
        while self._saving and (len(self._saving) > count or self._saving[0][1].done()):
            item, future = self._saving.popleft()
            try:
                outcome: Saved | InputError = future.result()
            except Exception as error:
                outcome = as_input_error(error)
            self._steps.report(item, outcome)


class _Feed(Generic[Item]):
    """Items that a thread of its own waits for."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._waiting: queue.Queue[tuple[Item] | None] = queue.Queue(NAMES)
        self._ended = False
        self._error: BaseException | None = None
        # A daemon: it may stand in a read that never returns when the program is done.
        threading.Thread(target=self._read, args=(items,), daemon=True).start()

    def take(self, *, wait: bool) -> tuple[Item] | None:
        """The next one; None at the end, or where there is none in time."""
        while not self._ended:
            try:
                # On Windows, Ctrl-C does not end a wait without limit.
                item = self._waiting.get(timeout=1.0 if wait else GRACE)
            except queue.Empty:
                if wait:
                    continue
                return None
            self._ended = item is None
            return item
        return None

    def finish(self) -> None:
        """Raise what went wrong with the iterator of items."""
        if self._error is not None:
            raise self._error

    def _read(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                self._waiting.put((item,))
        except BaseException as error:  # raised where the items are taken
            self._error = error
        finally:
            self._waiting.put(None)
