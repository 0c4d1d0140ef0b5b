"""The one pipeline: in order, as items come, never more than is needed, and each item by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import pytest

from genkit.cli.pipeline import AHEAD, NAMES, Finished, Steps, run_items
from genkit.errors import InputError, ModelError, UsageError


class Recorder:
    """Steps that do nothing, and what they were called with."""

    def __init__(self, **steps: Any) -> None:
        self.batches: list[list[int]] = []
        self.outcomes: list[tuple[int, Any]] = []
        self.reported = threading.Semaphore(0)
        self._steps = steps

    def _run(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        return [10 * item for item in batch]

    def _report(self, item: int, outcome: Any) -> None:
        self.outcomes.append((item, outcome))
        self.reported.release()

    def __call__(self, items: Iterable[int], **options: int) -> Recorder:
        default: dict[str, Callable[..., Any]] = {
            "load": lambda item, piped: item,
            "run": self._run,
            "save": lambda item, loaded, made: made + 1,
            "report": self._report,
        }
        steps: Steps[int, int, int, int] = Steps(**(default | self._steps))
        run_items(items, steps, **options)
        return self

    @property
    def errors(self) -> dict[int, str]:
        return {i: o.message for i, o in self.outcomes if isinstance(o, InputError)}


def test_items_are_reported_in_order_and_batches_are_full() -> None:
    done = Recorder()(range(20), size=8)
    assert [len(batch) for batch in done.batches] == [8, 8, 4]
    assert list(chain.from_iterable(done.batches)) == list(range(20))
    assert done.outcomes == [(i, 10 * i + 1) for i in range(20)]


ERRORS = [
    (InputError("broken", hint="mend it"), "broken"),
    (UsageError("out/a.png is a folder"), "out/a.png is a folder"),
    (MemoryError("bad alloc"), "does not fit into memory"),
    (OSError(28, "No space left on device", "out/a.png"), "out/a.png: No space left on device"),
    (PermissionError(13, "Permission denied"), "Permission denied"),
    (ValueError("cannot build\ntransform"), "cannot be used (ValueError: cannot build)"),
    (KeyError("x"), "cannot be used (KeyError: 'x')"),
]


@pytest.mark.parametrize(("error", "message"), ERRORS)
@pytest.mark.parametrize("step", ["pipe", "load", "run", "save"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_whatever_an_item_raises_is_its_own(
    step: str, error: Exception, message: str, size: int
) -> None:
    def stumble(*given: Any) -> Any:
        if 5 in (given[0] if isinstance(given[0], list) else [given[0]]):
            raise error
        return given[0]

    done = Recorder(**{step: stumble})(range(20), size=size)
    assert [item for item, _ in done.outcomes] == list(range(20))
    assert done.errors == {5: message}


@pytest.mark.parametrize("step", ["load", "run", "save"])
def test_what_is_wrong_with_the_model_ends_the_run(step: str) -> None:
    def fail(*given: Any) -> Any:
        raise ModelError("no model")

    with pytest.raises(ModelError):
        Recorder(**{step: fail})(range(20))


def test_what_is_finished_is_not_run() -> None:
    def load(item: int, piped: bytes | None) -> Any:
        return Finished(-1) if item % 2 else item

    done = Recorder(load=load)(range(6), size=2)
    assert list(chain.from_iterable(done.batches)) == [0, 2, 4]
    assert done.outcomes == [(0, 1), (1, -1), (2, 21), (3, -1), (4, 41), (5, -1)]


def test_a_pipe_is_read_in_its_turn_in_the_main_thread() -> None:
    threads = []

    def pipe(item: int) -> bytes | None:
        threads.append(threading.current_thread())
        return b"piped" if item == 1 else None

    found = {}
    Recorder(pipe=pipe, load=lambda item, piped: found.setdefault(item, piped) or 0)(range(3))
    assert found == {0: None, 1: b"piped", 2: None}
    assert set(threads) == {threading.main_thread()}


def test_the_model_is_opened_once_while_items_are_loaded() -> None:
    loaded = threading.Semaphore(0)
    opened = []

    def load(item: int, piped: bytes | None) -> int:
        loaded.release()
        return item

    def begin() -> None:
        for _ in range(AHEAD):
            assert loaded.acquire(timeout=20)
        opened.append(True)

    Recorder(load=load, begin=begin)(range(20))
    assert opened == [True]


@pytest.mark.parametrize(("size", "held"), [(1, AHEAD), (10, 20)])
def test_only_so_many_are_held_however_long_the_list(size: int, held: int) -> None:
    lock = threading.Lock()
    named = loaded = run = saved = reported = 0
    most_before = most_behind = 0

    def names() -> Iterator[int]:
        nonlocal named
        for item in range(1000):
            named = item
            yield item

    def load(item: int, piped: bytes | None) -> int:
        nonlocal loaded, most_before
        with lock:
            loaded += 1
            most_before = max(most_before, loaded - run)
        return item

    def run_batch(batch: Sequence[int]) -> Sequence[int]:
        nonlocal run
        with lock:
            run += len(batch)
        assert named <= run + held + NAMES + 1
        return batch

    def save(item: int, *_: int) -> int:
        nonlocal saved, most_behind
        with lock:
            saved += 1
            most_behind = max(most_behind, saved - reported)
        return item

    def report(item: int, outcome: Any) -> None:
        nonlocal reported
        with lock:
            reported += 1

    Recorder(load=load, run=run_batch, save=save, report=report)(names(), size=size)
    assert (loaded, run, saved, reported) == (1000, 1000, 1000, 1000)
    assert most_before <= held
    assert most_behind <= AHEAD + size


def test_what_is_there_is_not_held_back_for_what_is_to_come() -> None:
    done = Recorder()

    def names() -> Iterator[int]:
        yield from range(3)
        for _ in range(3):
            assert done.reported.acquire(timeout=20), "all are answered before the next is there"
        yield 3

    done(names(), size=8)
    assert [len(batch) for batch in done.batches] == [3, 1]


def test_an_error_of_the_list_comes_after_the_items_before_it() -> None:
    def names() -> Iterator[int]:
        yield from range(2)
        raise InputError("cannot read")

    done = Recorder()
    with pytest.raises(InputError, match="cannot read"):
        done(names(), size=8)
    assert len(done.outcomes) == 2


def test_an_interrupt_ends_the_run() -> None:
    def save(item: int, *_: int) -> int:
        if item == 5:
            raise KeyboardInterrupt
        return item

    done = Recorder(save=save)
    with pytest.raises(KeyboardInterrupt):
        done(range(1000))
    assert [item for item, _ in done.outcomes] == list(range(5))
