"""``genkit classify``: files, folders, lists and pipes, with a model that tells colours apart."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import colour_model
import numpy as np
import pytest
from shell import TerminalIn, TerminalOut, genkit, pipeline

from genkit.cli.app import main
from genkit.images import Picture, decode, encode
from genkit.streams import Streams


class Run(NamedTuple):
    code: int
    out: str
    err: str


Genkit = Callable[..., Run]
RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)
SURE = "0.998532"
"""How sure the model is of one of these."""
UNSURE = "0.000734"


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def png(colour: Any, height: int = 12, width: int = 20) -> bytes:
    return encode(Picture(np.full((height, width, 3), colour, np.uint8)), "png")


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genkit:
    colour_model.write_model(models / "classify" / "colours")
    monkeypatch.chdir(tmp_path)
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE}.items():
        Path(f"{name}.png").write_bytes(png(colour))
    Path("broken.png").write_bytes(png(RED)[:50])

    def run(*args: str, stdin: bytes = b"", terminal: bool = False) -> Run:
        out, err = Terminal() if terminal else io.BytesIO(), io.StringIO()
        code = main(["classify", "--device", "cpu", *args], Streams(io.BytesIO(stdin), out, err))
        return Run(code, out.getvalue().decode(), err.getvalue())

    return run


def records(run: Run) -> list[Any]:
    return [json.loads(line) for line in run.out.splitlines()]


class TestColumns:
    def test_tabs_in_a_pipe(self, run: Genkit) -> None:
        done = run("red.png", "blue.png", "--top", "2")
        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines() == [
            f"{SURE}\tred\tred.png",
            f"{UNSURE}\tgreen\tred.png",
            f"{SURE}\tblue\tblue.png",
            f"{UNSURE}\tred\tblue.png",
        ]

    def test_aligned_on_a_terminal(self, run: Genkit) -> None:
        done = run("red.png", "blue.png", "--top", "1", terminal=True)
        assert done.out == f"{SURE}  red    red.png\n{SURE}  blue   blue.png\n"

    def test_tabs_on_request(self, run: Genkit) -> None:
        done = run("red.png", "--top", "1", "--tsv", terminal=True)
        assert done.out == f"{SURE}\tred\tred.png\n"

    def test_a_file_is_no_terminal(self, run: Genkit) -> None:
        assert run("red.png", "--top=1", "-o", "rows", terminal=True) == (0, "", "")
        assert Path("rows").read_text() == f"{SURE}\tred\tred.png\n"

    def test_five_labels_or_as_many_as_there_are(self, run: Genkit) -> None:
        assert len(run("red.png").out.splitlines()) == 3

    def test_names_with_tabs_and_line_breaks_stay_in_their_column(self, run: Genkit) -> None:
        Path("a\tb\nc.png").write_bytes(png(RED))
        assert run("a\tb\nc.png", "--top", "1").out == f"{SURE}\tred\ta\\tb\\nc.png\n"
        (record,) = records(run("a\tb\nc.png", "--json"))
        assert record["input"] == "a\tb\nc.png"

    @pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="bytes in names")
    def test_names_that_are_no_utf8_stay_as_they_are(self, run: Genkit) -> None:
        name = os.fsdecode(b"\xff.png")
        Path(name).write_bytes(png(RED))
        out = io.BytesIO()
        main(["classify", name, "--top", "1"], Streams(io.BytesIO(), out, io.StringIO()))
        assert out.getvalue().endswith(b"\tred\t\xff.png\n")

    @pytest.mark.skipif(os.name != "posix", reason="bash")
    def test_they_are_made_for_sort_awk_and_cut(self, run: Genkit) -> None:
        script = "genkit classify --device cpu *e*n.png green.png red.png --top 1"
        done = pipeline(f"{script} 2>/dev/null | sort -gr | cut -f 2 | uniq -c")
        assert done.out.split() == ["1", "red", "2", "green"]


class TestJson:
    def test_the_keys(self, run: Genkit) -> None:
        done = run("red.png", "broken.png", "no.png", "blue.png", "--json", "--top", "2")
        assert done.code == 1
        first, broken, missing, last = records(done)
        assert first == {
            "input": "red.png",
            "width": 20,
            "height": 12,
            "labels": [
                {"label": "red", "probability": float(SURE)},
                {"label": "green", "probability": float(UNSURE)},
            ],
            "attention": None,
            "error": None,
        }
        assert missing == dict.fromkeys(first) | {
            "input": "no.png",
            "error": "No such file or directory",
        }
        assert broken.keys() == first.keys()
        assert broken["error"].startswith("truncated PNG (")
        assert last["labels"][0]["label"] == "blue"
        assert done.err.splitlines() == [
            f"genkit: broken.png: {broken['error']}",
            "genkit: no.png: No such file or directory",
        ]

    def test_threshold(self, run: Genkit) -> None:
        (record,) = records(run("red.png", "--json", "--threshold", "0.5"))
        assert [guess["label"] for guess in record["labels"]] == ["red"]
        assert records(run("red.png", "--json", "--threshold", "1"))[0]["labels"] == []
        assert run("red.png", "--threshold", "1") == (0, "", "")


class TestInputs:
    def test_a_picture_in_a_pipe(self, run: Genkit) -> None:
        done = run("-", "red.png", "--top", "1", stdin=png(GREEN))
        assert done.out == f"{SURE}\tgreen\t-\n{SURE}\tred\tred.png\n"
        assert records(run("-", "--json", stdin=b"hello"))[0]["input"] == "-"

    def test_folders(self, run: Genkit) -> None:
        Path("in/sub").mkdir(parents=True)
        for name in ("in/b.png", "in/a.png", "in/sub/c.png"):
            Path(name).write_bytes(png(RED))
        done = run("in", "--top", "1")
        assert [row.split("\t")[2] for row in done.out.splitlines()] == ["in/a.png", "in/b.png"]
        assert len(run("-r", "in", "--top", "1").out.splitlines()) == 3

    @pytest.mark.parametrize(
        ("stdin", "options"),
        [(b"red.png\r\n\nin\nblue.png", []), (b"red.png\0in\0blue.png\0", ["-0"])],
    )
    def test_a_list(self, run: Genkit, stdin: bytes, options: list[str]) -> None:
        Path("in").mkdir()
        Path("in/x.png").write_bytes(png(RED))
        expected = ["green.png", "red.png", "in/x.png", "blue.png"]
        done = run("green.png", "--files-from", "-", *options, "--json", stdin=stdin)
        assert [record["input"] for record in records(done)] == expected
        Path("list").write_bytes(stdin)
        done = run("green.png", "--files-from", "list", *options, "--json")
        assert [record["input"] for record in records(done)] == expected

    def test_a_list_of_nothing_but_errors(self, run: Genkit) -> None:
        Path("empty").mkdir()
        done = run("--files-from", "-", "--json", stdin=b"a\0b\nempty\n-\n" + b"x" * 5000)
        assert [record["error"] for record in records(done)] == [
            "its name has a NUL byte",
            "holds no pictures",
            "No such file or directory",
            "File name too long",
        ]
        assert done.code == 1

    def test_many_pictures_in_order(self, run: Genkit) -> None:
        names = [f"{i:03}.png" for i in range(100)]
        for i, name in enumerate(names):
            Path(name).write_bytes(png([RED, GREEN, BLUE][i % 3], 8 + i % 5, 8 + i % 7))
        Path("050.png").write_bytes(b"")
        found = records(run(*names, "--json", "--top", "1", "--batch", "7"))
        assert [record["input"] for record in found] == names
        labels = [record["labels"][0]["label"] if record["labels"] else None for record in found]
        assert labels == [
            None if i == 50 else colour_model.LABELS[i % 3] for i in range(len(names))
        ]


class TestLabels:
    def test_other_names(self, run: Genkit) -> None:
        Path("names").write_bytes("\ufeffrot\r\nhell grün\r\nblau\n\n".encode())
        done = run("green.png", "--labels", "names", "--top", "1")
        assert done.out == f"{SURE}\thell grün\tgreen.png\n"

    @pytest.mark.parametrize(
        ("text", "code", "message"),
        [
            (b"a\nb\n", 2, "names has 2 labels, colours tells 3 apart"),
            (b"a\n\nb\nc\n", 2, "names has a blank line between its labels"),
            (b"", 2, "names is empty"),
            (b"\xff", 2, "names is not UTF-8"),
            (None, 1, "names: No such file or directory"),
        ],
    )
    def test_refusals(self, run: Genkit, text: bytes | None, code: int, message: str) -> None:
        if text is not None:
            Path("names").write_bytes(text)
        done = run("red.png", "--labels", "names")
        assert (done.code, done.out) == (code, "")
        assert message in done.err


class TestAttention:
    def test_one_picture(self, run: Genkit) -> None:
        pixels = np.full((12, 20, 3), 60, np.uint8)
        pixels[:6, 10:16] = 200
        Path("a.png").write_bytes(encode(Picture(pixels), "png"))
        (record,) = records(run("a.png", "--attention", "map.png", "--json"))
        assert record["attention"] == "map.png"
        light = decode(Path("map.png").read_bytes()).pixels.astype(int).sum(-1)
        assert light.shape == (12, 20)
        assert light[2, 13] > 2 * light[9, 6]

    def test_several(self, run: Genkit) -> None:
        Path("in/sub").mkdir(parents=True)
        for name in ("in/a.png", "in/sub/b.png"):
            Path(name).write_bytes(png(RED))
        Path("in/broken.png").write_bytes(b"")
        done = run("-r", "in", "--attention", "in/maps", "--json")
        assert done.code == 1
        written = ["in/maps/a.png", None, "in/maps/sub/b.png"]
        assert [record["attention"] for record in records(done)] == written
        assert sorted(str(p) for p in Path("in/maps").rglob("*.png")) == written[::2]
        again = run("-r", "in", "--attention", "in/maps", "--top", "1")
        assert len(again.out.splitlines()) == 2, "maps are no inputs"
        assert "kept 2 that were there already; --overwrite replaces them" in again.err

    def test_of_a_list(self, run: Genkit) -> None:
        run("--files-from", "-", "--attention", "maps", "--batch", "2", stdin=b"red.png\nblue.png")
        assert sorted(path.name for path in Path("maps").iterdir()) == ["blue.png", "red.png"]

    def test_what_is_there_is_kept_unless_it_is_to_be_replaced(self, run: Genkit) -> None:
        Path("map.png").write_bytes(b"mine")
        assert run("red.png", "--attention", "map.png").out.count("\n") == 3
        assert Path("map.png").read_bytes() == b"mine"
        assert run("red.png", "--attention", "map.png", "--overwrite").err == ""
        assert decode(Path("map.png").read_bytes()).size == (12, 20)

    def test_a_model_that_cannot_tell(self, run: Genkit, models: Path) -> None:
        colour_model.write_model(models / "classify" / "blind", attention=False)
        done = run("red.png", "--model", "blind", "--attention", "map.png")
        assert done.code == 2
        assert done.err == "genkit: blind cannot show where it looks\n"
        assert run("red.png", "--model", "blind", "--top", "1").out == f"{SURE}\tred\tred.png\n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ([], "no pictures are named"),
            (["--files-from", "-"], "no pictures are named"),
            (["red.png", "--json", "--tsv"], "--json and --tsv are both given"),
            (["red.png", "--overwrite"], "--overwrite is for the pictures of --attention"),
            (["red.png", "--attention", "-"], "standard output is for the labels"),
            (["red.png", "blue.png", "--attention", "a.png"], "2 pictures cannot go into the file"),
            (["red.png", "-0"], "-0 says how --files-from is read"),
            (["-", "--files-from", "-"], "cannot hold both a picture and the list"),
            (["-", "-"], "- is named twice"),
            (["red.png", "--top", "0"], "0 is not in the range"),
            (["red.png", "--threshold", "2"], "2.0 is not in the range"),
            (["red.png", "--batch", "0"], "0 is not in the range"),
            (["red.png", "--precision", "int8"], "colours has no int8 graph"),
        ],
    )
    def test_what_makes_no_sense(self, run: Genkit, args: list[str], message: str) -> None:
        done = run(*args)
        assert (done.code, done.out) == (2, "")
        assert message in done.err

    def test_a_list_that_is_not_there(self, run: Genkit) -> None:
        assert run("--files-from", "no") == (1, "", "genkit: no: No such file or directory\n")

    def test_a_terminal_is_no_picture(self, run: Genkit) -> None:
        err = io.StringIO()
        assert main(["classify", "-"], Streams(TerminalIn(), io.BytesIO(), err)) == 2
        assert err.getvalue().startswith("genkit: standard input is a terminal, not a picture\n")

    def test_without_a_model(self, models: Path) -> None:
        done = genkit("classify", "red.png")
        assert done.code == 3
        assert done.err.startswith("genkit: no model for classify\nhint: looked in ")


class TestTalk:
    def test_what_it_runs_on_is_said_on_request(self, run: Genkit) -> None:
        said = run("red.png", "-v", "--threads", "1").err
        assert said == "genkit: colours on cpu (asked for), fp32, 1 thread(s)\n"

    def test_progress(self, run: Genkit) -> None:
        for out, shown in ((io.BytesIO(), True), (Terminal(), False)):
            err = TerminalOut()
            main(["classify", "red.png"], Streams(io.BytesIO(), out, err))
            assert ("images/s" in err.getvalue()) == shown


@pytest.mark.skipif(os.name != "posix", reason="bash, pipes")
class TestPipes:
    def test_find(self, run: Genkit) -> None:
        done = pipeline(
            "find . -name '*e*.png' | sort | genkit classify --device cpu --files-from - --json "
            f"| {sys.executable} -c 'import json, sys\n"
            'for r in map(json.loads, sys.stdin): print(r["input"], (r["labels"] or [r])[0].get'
            '("label"))\''
        )
        assert done.code == 1
        assert done.out == "blue.png blue\nbroken.png None\ngreen.png green\nred.png red\n"
        assert done.err.startswith("genkit: broken.png: truncated PNG (")
        assert len(done.err.splitlines()) == 1

    def test_a_list_that_grows_is_answered_as_it_grows(self, run: Genkit) -> None:
        command = [sys.executable, "-m", "genkit", "classify", "--device=cpu", "--files-from=-"]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        with subprocess.Popen([*command, "--top=1"], **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for name in ("red", "blue", "green"):
                process.stdin.write(f"{name}.png\n".encode())
                assert select.select([process.stdout], [], [], 60)[0]
                assert process.stdout.read(100) == f"{SURE}\t{name}\t{name}.png\n".encode()
            process.stdin.close()
            assert process.wait(60) == 0

    def test_a_reader_that_has_had_enough(self, run: Genkit) -> None:
        Path("list").write_text("red.png\n" * 2000)
        done = pipeline("genkit classify --device cpu --files-from list | head -1")
        assert (done.out, done.err) == (f"{SURE}\tred\tred.png\n", "")

    def test_interrupted_while_it_waits_for_names(self, run: Genkit) -> None:
        command = [sys.executable, "-m", "genkit", "classify", "--device=cpu", "--files-from=-"]
        pipes: Any = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
        with subprocess.Popen(command, **pipes, bufsize=0) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"red.png\n")
            assert process.stdout.read(1), "it is up and running"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""
