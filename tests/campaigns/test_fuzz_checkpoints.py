"""A few seconds of the campaign, and that it finds what there is to find."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from .fuzz_checkpoints import attempt_of
from .workers import ACCEPTED, DEAD, HANG, MEMORY, REFUSED, TRACEBACK, run


def test_checkpoints(tmp_path: Path) -> None:
    figures = run(attempt_of(3, tmp_path), seconds=60, inputs=400)
    assert not figures.findings
    assert figures.counts.total() == 400
    assert figures.counts[ACCEPTED] > 20
    assert figures.counts[REFUSED] > 200


def test_an_input_is_made_again(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "input.pt").unlink(missing_ok=True)
        attempt_of(3, tmp_path)(17)
        data = (tmp_path / "input.pt").read_bytes()
        attempt_of(3, tmp_path)(18)
        assert data != (tmp_path / "input.pt").read_bytes()
        attempt_of(3, tmp_path)(17)
        assert data == (tmp_path / "input.pt").read_bytes()


@pytest.mark.parametrize("kind", [TRACEBACK, HANG, MEMORY, DEAD])
def test_faults_are_found(kind: str) -> None:
    def attempt(number: int) -> bool:
        if number == 2:
            match kind:
                case "tracebacks":
                    raise KeyError(number)
                case "hangs":
                    time.sleep(100)
                case "over memory":
                    raise MemoryError
                case "dead processes":
                    os._exit(3)
        return number % 2 == 0

    figures = run(attempt, seconds=60, inputs=5, patience=0.5, report=lambda text: None)
    assert [finding[:2] for finding in figures.findings] == [(2, kind)]
    assert (figures.counts[ACCEPTED], figures.counts[REFUSED]) == (2, 2)
