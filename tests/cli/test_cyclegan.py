"""``genkit cyclegan``: files, folders and pipes, with a model that makes a negative."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import picture_model
import pytest
from shell import genkit, pipeline

from genkit.cli import cyclegan as command
from genkit.cli.app import main
from genkit.images import Picture, decode, encode
from genkit.streams import Streams


class Run(NamedTuple):
    code: int
    out: bytes
    err: str


Genkit = Callable[..., Run]
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
PNG = encode(Picture(PIXELS), "png")


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genkit:
    picture_model.write_model(models / "cyclegan" / "negative", "cyclegan")
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(PNG)

    def run(*args: str, stdin: bytes = b"") -> Run:
        out, err = io.BytesIO(), io.StringIO()
        code = main(["cyclegan", "--device", "cpu", *args], Streams(io.BytesIO(stdin), out, err))
        return Run(code, out.getvalue(), err.getvalue())

    return run


def pixels(data: bytes) -> Any:
    return decode(data).pixels


def test_a_file(run: Genkit) -> None:
    assert run("a.png", "-o", "b.png") == (0, b"", "")
    np.testing.assert_array_equal(pixels(Path("b.png").read_bytes()), 255 - PIXELS)


def test_a_pipe(run: Genkit) -> None:
    code, out, err = run("-", stdin=PNG)
    assert (code, err) == (0, "")
    assert out.startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels(out), 255 - PIXELS)
    assert run("-", "--format", "jpeg", stdin=PNG).out.startswith(b"\xff\xd8\xff")


def test_a_folder_and_a_second_run(run: Genkit) -> None:
    Path("in/sub").mkdir(parents=True)
    for name in ("in/x.png", "in/sub/y.png"):
        Path(name).write_bytes(PNG)
    Path("in/broken.jpg").write_bytes(b"\xff\xd8\xff")
    code, out, err = run("-r", "in", "-o", "out")
    assert (code, out) == (1, b"")
    assert err.startswith("genkit: in/broken.jpg: ")
    assert len(err.splitlines()) == 1
    written = sorted(str(p) for p in Path("out").rglob("*") if p.is_file())
    assert written == ["out/sub/y.png", "out/x.png"]
    Path("in/broken.jpg").unlink()
    code, out, err = run("-r", "in", "-o", "out")
    assert (code, err) == (
        0,
        "genkit: kept 2 that were there already; --overwrite replaces them\n",
    )


def test_json(run: Genkit) -> None:
    code, out, err = run("a.png", "no.png", "-o", "out", "--json")
    assert (code, err) == (1, "genkit: no.png: No such file or directory\n")
    first, second = map(json.loads, out.splitlines())
    made = first.pop("made")
    assert (made["task"], made["model"], made["precision"]) == ("cyclegan", "negative", "fp32")
    assert first == {
        "input": "a.png",
        "output": "out/a.png",
        "width": 30,
        "height": 20,
        "kept": False,
        "warnings": [],
        "error": None,
    }
    assert second == {
        "input": "no.png",
        "output": None,
        "width": None,
        "height": None,
        "kept": False,
        "made": None,
        "warnings": [],
        "error": "No such file or directory",
    }


def test_size_and_comparison(run: Genkit) -> None:
    run("a.png", "-o", "b.png", "--size", "60x10")
    assert pixels(Path("b.png").read_bytes()).shape == (10, 60, 3)
    run("a.png", "-o", "c.png", "--compare")
    both = pixels(Path("c.png").read_bytes())
    np.testing.assert_array_equal(both, np.hstack([PIXELS, 255 - PIXELS]))


@pytest.mark.parametrize(
    ("text", "size"),
    [("original", None), ("512", 512), ("640x480", (480, 640))],
)
def test_sizes(text: str, size: Any) -> None:
    assert command.parse_size(text) == size


@pytest.mark.parametrize("text", ["0", "-3", "x", "12x", "12x0", "1e3", "999999", "original "])
def test_sizes_that_make_no_sense(run: Genkit, text: str) -> None:
    code, _, err = run("a.png", "-o", "b.png", f"--size={text}")
    assert code == 2
    assert err.startswith(f"genkit: unknown size {text!r}\nhint: ")


def test_quality_and_format(run: Genkit) -> None:
    run("a.png", "-o", "low.jpg", "--quality", "10")
    run("a.png", "-o", "high.jpg")
    assert Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size
    run("a.png", "-o", "out", "--format", "webp")
    assert decode(Path("out/a.webp").read_bytes()).format == "webp"


def test_tiles(run: Genkit) -> None:
    large = np.random.default_rng(1).integers(0, 256, (100, 150, 3), np.uint8)
    Path("large.png").write_bytes(encode(Picture(large), "png"))
    assert run("large.png", "-o", "b.png", "--tile", "64").code == 0
    np.testing.assert_array_equal(pixels(Path("b.png").read_bytes()), 255 - large)


def test_what_it_runs_on_is_said_on_request(run: Genkit) -> None:
    assert "negative on cpu (asked for), fp32" in run("a.png", "-o", "b.png", "-v").err
    assert "a.png -> c.png" in run("a.png", "-o", "c.png", "-v").err


def test_without_a_model(models: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    done = genkit("cyclegan", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"))
    assert done.code == 3
    assert done.err.startswith("genkit: no model for cyclegan\nhint: looked in ")


def test_without_arguments() -> None:
    done = genkit("cyclegan")
    assert done.code == 2
    assert done.err.startswith("genkit: no pictures are named\n")


@pytest.mark.skipif(os.name != "posix", reason="bash")
def test_two_processes_in_a_pipe(run: Genkit) -> None:
    done = pipeline(
        "turn() { genkit cyclegan --model negative --device cpu -; }; "
        "cat a.png | turn | turn > back.png"
    )
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(pixels(Path("back.png").read_bytes()), PIXELS)


def test_the_option_for_nul_bytes(run: Genkit) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genkit", "cyclegan", "--files-from", "-", "-0", "-o", "out"],
        input=b"a.png\0",
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert Path("out/a.png").is_file()
