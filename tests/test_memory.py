"""Going on where memory does not suffice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from genkit.memory import in_parts


@pytest.mark.parametrize("room", [1, 2, 3, 100])
def test_as_much_at_a_time_as_fits_and_nothing_for_what_never_does(room: int) -> None:
    tried: list[int] = []

    def work(items: Sequence[int]) -> list[str]:
        tried.append(len(items))
        if len(items) > room or 5 in items:
            raise MemoryError
        return [str(item) for item in items]

    assert in_parts(work, range(8), "lost") == ["0", "1", "2", "3", "4", "lost", "6", "7"]
    assert tried[0] == 8


def test_nothing_at_all() -> None:
    assert in_parts(lambda items: [], [], "lost") == []


def test_other_errors_are_passed_on() -> None:
    def work(items: Sequence[int]) -> list[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parts(work, [1, 2], 0)
