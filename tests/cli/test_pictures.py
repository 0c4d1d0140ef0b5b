"""What commands for pictures share: reading, running and writing overlap; one bad input is no more than that."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from shell import TerminalIn, TerminalOut

from genkit.cli.pictures import AHEAD, Batch, Work, find_jobs, read_picture, run_jobs
from genkit.errors import ModelError, UsageError
from genkit.files import Source, find_sources
from genkit.images import Picture, decode, encode
from genkit.provenance import hash_of
from genkit.streams import Streams
from genkit.targets import Job, plan

BATCH = Batch(quality=None, overwrite=False, json=False)


def streams(stdin: bytes = b"") -> Streams:
    return Streams(io.BytesIO(stdin), io.BytesIO(), io.StringIO())


def grey(value: int) -> Picture:
    return Picture(np.full((4, 6, 3), value, np.uint8))


def negative(picture: Picture) -> Picture:
    return Picture(255 - picture.pixels)


def record(source: Source) -> dict[str, Any]:
    return {"model": "negative", "precision": "auto"}


WORK = Work(read_picture, lambda: negative, record, lambda: "fp32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with twenty pictures in `in`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for i in range(20):
        (tmp_path / "in" / f"{i:02}.png").write_bytes(encode(grey(i), "png"))
    return tmp_path


def jobs(*names: str, output: str | None = "out") -> list[Job]:
    return plan(find_sources(names), output, None)


def value(path: Path) -> int:
    return int(decode(path.read_bytes()).pixels[0, 0, 0])


def run(jobs: list[Job], **changes: Any) -> tuple[int, list[Any], str]:
    """Exit code, JSON records and messages."""
    said = streams()
    batch = Batch(None, overwrite=changes.pop("overwrite", False), json=True)
    code = 0
    try:
        run_jobs(said, jobs, changes.pop("work", WORK), batch)
    except typer.Exit as leave:
        code = leave.exit_code
    records = [json.loads(line) for line in said.stdout.getvalue().splitlines()]  # type: ignore[attr-defined]
    return code, records, said.stderr.getvalue()  # type: ignore[attr-defined]


class TestRuns:
    def test_a_folder(self, folder: Path) -> None:
        code, records, err = run(jobs("in"))
        assert (code, err) == (0, "")
        assert [r["input"] for r in records] == [f"in/{i:02}.png" for i in range(20)]
        assert records[3] == {
            "input": "in/03.png",
            "output": "out/03.png",
            "width": 6,
            "height": 4,
            "kept": False,
            "made": {
                "format": "png",
                "input": hash_of((folder / "in" / "03.png").read_bytes()),
                "model": "negative",
                "precision": "fp32",
            },
            "warnings": [],
            "error": None,
        }
        assert [value(folder / "out" / f"{i:02}.png") for i in range(20)] == list(
            range(255, 235, -1)
        )

    def test_a_broken_input_does_not_stop_the_others(self, folder: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
        (folder / "in" / "05.png").write_bytes(encode(Picture(noise), "png")[:999])
        (folder / "in" / "06.png").write_text("hello")
        code, records, err = run(jobs("in", "no.png"))
        assert code == 1
        failed = [(r["input"], r["output"]) for r in records if r["error"]]
        assert failed == [("in/05.png", None), ("in/06.png", None), ("no.png", None)]
        assert len(list((folder / "out").iterdir())) == 18
        lines = err.splitlines()
        assert lines[0].startswith("genkit: in/05.png: truncated PNG (")
        assert lines[1] == "genkit: in/06.png: is not a PNG, JPEG, WebP, TIFF or GIF picture"
        assert lines[2] == "genkit: no.png: No such file or directory"
        assert all(r.keys() == records[0].keys() for r in records)

    def test_a_second_run_does_what_is_missing(self, folder: Path) -> None:
        run(jobs("in"))
        (folder / "out" / "07.png").unlink()
        (folder / "out" / "08.png").write_bytes(encode(grey(99), "png"))
        code, records, _ = run(jobs("in"))
        assert code == 0
        assert [r["input"] for r in records if not r["kept"]] == ["in/07.png"]
        assert value(folder / "out" / "08.png") == 99
        code, records, _ = run(jobs("in"), overwrite=True)
        assert not any(r["kept"] for r in records)
        assert value(folder / "out" / "08.png") == 247

    def test_what_was_kept_is_said(self, folder: Path) -> None:
        run(jobs("in/00.png"))
        said = streams()
        run_jobs(said, jobs("in/00.png"), WORK, BATCH)
        assert said.stderr.getvalue() == (  # type: ignore[attr-defined]
            "genkit: kept 1 that were there already; --overwrite replaces them\n"
        )

    def test_a_model_is_not_opened_when_all_is_done(self, folder: Path) -> None:
        def unwanted() -> Callable[[Picture], Picture]:
            raise AssertionError

        run(jobs("in"))
        assert run(jobs("in"), work=Work(read_picture, unwanted))[0] == 0

    def test_a_missing_model_ends_the_run(self, folder: Path) -> None:
        def missing() -> Callable[[Picture], Picture]:
            raise ModelError("no model")

        with pytest.raises(ModelError):
            run(jobs("in"), work=Work(read_picture, missing))
        assert not (folder / "out").exists()

    def test_pipes(self, folder: Path) -> None:
        said = streams(encode(grey(5), "png"))
        run_jobs(said, jobs("-", output=None), WORK, BATCH)
        data = said.stdout.getvalue()  # type: ignore[attr-defined]
        assert data.startswith(b"\x89PNG")
        assert decode(data).pixels.max() == 250

    def test_an_interrupted_run_leaves_only_whole_files(self, folder: Path) -> None:
        seen = iter(range(20))

        def interrupted(picture: Picture) -> Picture:
            if next(seen) == 10:
                raise KeyboardInterrupt
            return negative(picture)

        with pytest.raises(KeyboardInterrupt):
            run(jobs("in"), work=Work(read_picture, lambda: interrupted))
        names = sorted(path.name for path in (folder / "out").iterdir())
        assert names == [f"{i:02}.png" for i in range(len(names))]
        assert 0 < len(names) <= 10

    def test_reading_is_ahead_of_the_network_but_not_without_end(self, folder: Path) -> None:
        read = threading.Semaphore(0)
        count = 0

        def load(source: Any, piped: Any) -> Picture:
            nonlocal count
            count += 1
            read.release()
            return read_picture(source, piped)

        def opened() -> Callable[[Picture], Picture]:
            for _ in range(AHEAD):  # all of these are read before the model is there
                assert read.acquire(timeout=20)
            assert count == AHEAD
            return negative

        assert run(jobs("in"), work=Work(load, opened))[0] == 0
        assert count == 20

    def test_progress_tells_how_many_a_second(self, folder: Path) -> None:
        terminal = TerminalOut()
        run_jobs(Streams(io.BytesIO(), io.BytesIO(), terminal), jobs("in"), WORK, BATCH)
        assert "images/s" in terminal.getvalue()


class TestJobs:
    @pytest.fixture
    def find(self, folder: Path) -> Iterator[Callable[..., list[Job]]]:
        def find(*names: str, said: Streams | None = None, **changes: Any) -> list[Job]:
            options: dict[str, Any] = {
                "files_from": None,
                "null": False,
                "recursive": False,
                "output": "out",
                "kind": None,
                "json": False,
            }
            return find_jobs(said or streams(), names, **(options | changes))

        return find

    def test_a_list_of_files(self, find: Callable[..., list[Job]], folder: Path) -> None:
        (folder / "list").write_bytes(b"in/01.png\nin/02.png\n")
        assert [str(j.source) for j in find("x.png", files_from="list")] == [
            "x.png",
            "in/01.png",
            "in/02.png",
        ]
        piped = find(said=streams(b"a\nb.png\0c.png\0"), files_from="-", null=True)
        assert [str(j.source) for j in piped] == ["a\nb.png", "c.png"]

    @pytest.mark.parametrize("name", ["jpg", "JPEG", "jpeg"])
    def test_formats_have_their_usual_names(
        self, find: Callable[..., list[Job]], name: str
    ) -> None:
        assert find("a.png", kind=name)[0].kind == "jpeg"

    @pytest.mark.parametrize(
        ("names", "changes", "message"),
        [
            ([], {}, "no pictures are named"),
            (["a.png"], {"null": True}, "-0 says how --files-from is read"),
            (["a.png"], {"kind": "gif"}, "unknown format 'gif'"),
            (["-"], {"files_from": "-"}, "cannot hold both a picture and the list"),
            (["a.png"], {"output": None, "json": True}, "both a picture and JSON"),
        ],
    )
    def test_what_makes_no_sense(
        self, find: Callable[..., list[Job]], names: list[str], changes: Any, message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            find(*names, **changes)

    def test_a_result_does_not_replace_the_list(
        self, find: Callable[..., list[Job]], folder: Path
    ) -> None:
        (folder / "list").write_bytes(b"in/01.png\n")
        with pytest.raises(UsageError, match="would replace its input list"):
            find(files_from="list", output="list", kind="png")

    def test_terminals_are_refused(self, find: Callable[..., list[Job]]) -> None:
        with pytest.raises(UsageError, match="a terminal cannot show a picture"):
            terminal: Any = TerminalIn()
            find("a.png", output=None, said=Streams(io.BytesIO(), terminal, io.StringIO()))
        with pytest.raises(UsageError, match="standard input is a terminal"):
            find("-", said=Streams(TerminalIn(), io.BytesIO(), io.StringIO()))
