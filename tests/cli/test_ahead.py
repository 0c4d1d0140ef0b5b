"""Reading ahead in batches: in order, as names come, and never more than is needed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from genkit.cli.ahead import NAMES, batches_ahead
from genkit.cli.pictures import AHEAD
from genkit.errors import InputError, UsageError
from genkit.files import Source
from genkit.streams import Streams

STREAMS = Streams(io.BytesIO(b"piped"), io.BytesIO(), io.StringIO())


def sources(count: int) -> list[Source]:
    return [Source(Path(str(i)), Path(str(i))) for i in range(count)]


def number(source: Source, piped: bytes | None) -> int:
    return int(str(source.path))


def test_batches_are_in_order_and_full() -> None:
    with batches_ahead(STREAMS, sources(20), number, 8) as batches:
        found = [[future.result() for _, future in batch] for batch in batches]
    assert [len(batch) for batch in found] == [8, 8, 4]
    assert list(chain.from_iterable(found)) == list(range(20))


def test_a_failed_picture_keeps_its_place() -> None:
    def load(source: Source, piped: bytes | None) -> int:
        if str(source) == "1":
            raise InputError("broken")
        return number(source, piped)

    with batches_ahead(STREAMS, sources(3), load, 8) as batches:
        (batch,) = batches
    assert [str(source) for source, _ in batch] == ["0", "1", "2"]
    assert isinstance(batch[1][1].exception(), InputError)


def test_the_picture_in_the_pipe_is_read_in_its_turn() -> None:
    both = [*sources(1), Source(None, Path("stdin"))]
    with batches_ahead(STREAMS, both, lambda _, piped: piped, 8) as batches:
        assert [future.result() for _, future in next(batches)] == [None, b"piped"]


@pytest.mark.parametrize(("size", "held"), [(1, AHEAD), (10, 20)])
def test_only_so_many_are_held_however_long_the_list(size: int, held: int) -> None:
    named = loaded = 0
    most = 0

    def names() -> Iterator[Source]:
        nonlocal named
        for source in sources(1000):
            named += 1
            yield source

    def load(source: Source, piped: bytes | None) -> int:
        nonlocal loaded
        with lock:
            loaded += 1
        return number(source, piped)

    lock = threading.Lock()
    taken = 0
    with batches_ahead(STREAMS, names(), load, size) as batches:
        for batch in batches:
            taken += len(batch)
            for _, future in batch:
                future.result()
            most = max(most, loaded - taken + len(batch))
            assert named <= taken + held + NAMES + 1
    assert (taken, loaded) == (1000, 1000)
    assert most <= held


def test_what_is_there_is_not_held_back_for_what_is_to_come() -> None:
    more = threading.Event()

    def names() -> Iterator[Source]:
        yield from sources(3)
        assert more.wait(20)
        yield from sources(2)

    with batches_ahead(STREAMS, names(), number, 8) as batches:
        assert len(next(batches)) == 3
        more.set()
        assert len(next(batches)) == 2
        assert list(batches) == []


def test_an_error_of_the_list_comes_after_the_pictures_before_it() -> None:
    def names() -> Iterator[Source]:
        yield from sources(2)
        raise InputError("cannot read")

    with batches_ahead(STREAMS, names(), number, 8) as batches:
        assert len(next(batches)) == 2
        with pytest.raises(InputError, match="cannot read"):
            next(batches)


def test_no_names_at_all() -> None:
    with (
        batches_ahead(STREAMS, [], number, 8) as batches,
        pytest.raises(UsageError, match="no pictures are named"),
    ):
        next(batches)
