"""What goes wrong with an image stays with it, and no result is taken for another one."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import colour_model
import noise_model
import numpy as np
import picture_model
import pytest
from PIL.ImageCms import PyCMSError
from shell import pipeline

from genkit.cli.app import main
from genkit.images import Picture, decode, encode
from genkit.provenance import extract
from genkit.streams import Streams

posix = pytest.mark.skipif(os.name != "posix", reason="names and descriptors of POSIX")

COLOURS = {"a": (250, 20, 20), "b": (20, 20, 250), "c": (20, 250, 20)}
SEEN = {"a": "red", "b": "blue", "c": "green"}


class Run(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


Genkit = Callable[..., Run]
COMMANDS = {
    "cyclegan": ["cyclegan", "in", "-o", "out"],
    "inpaint": ["inpaint", "in", "--box", "1,1,3,3", "-o", "out"],
    "classify": ["classify", "in", "--attention", "out", "--top", "1"],
    "sample": ["sample", "-n", "3", "-o", "out"],
}
RESULTS = {name: ["a.png", "b.png", "c.png"] for name in ("cyclegan", "inpaint", "classify")}
RESULTS["sample"] = ["seed00000-airplane.png", "seed00001-cat.png", "seed00002-ship.png"]
commands = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genkit:
    picture_model.write_model(models / "cyclegan" / "negative", "cyclegan")
    picture_model.write_model(models / "inpaint" / "negative", "inpaint")
    colour_model.write_model(models / "classify" / "colours")
    noise_model.write_model(models / "sample" / "noise", truncation="both")
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name, colour in COLOURS.items():
        write(f"in/{name}.png", colour)

    def run(*args: str, stdin: bytes = b"", terminal: bool = False) -> Run:
        out, err = Terminal() if terminal else io.BytesIO(), io.StringIO()
        code = main([*args, "--device", "cpu"], Streams(io.BytesIO(stdin), out, err))
        return Run(code, out.getvalue(), err.getvalue())

    return run


def write(name: str, colour: Any, kind: str = "png", size: tuple[int, int] = (12, 20)) -> None:
    Path(name).write_bytes(encode(Picture(np.full((*size, 3), colour, np.uint8)), kind))


def written() -> list[str]:
    return sorted(path.name for path in Path("out").iterdir() if path.is_file())


class TestOneBadItem:
    @commands
    def test_a_folder_in_the_way_of_a_result(self, run: Genkit, command: str) -> None:
        first, second, third = RESULTS[command]
        Path("out", second).mkdir(parents=True)
        done = run(*COMMANDS[command], "--json")
        assert done.code == 1
        assert written() == [first, third]
        errors = [record["error"] for record in done.records]
        assert errors == [None, f"out/{second} is a folder", None]
        (line,) = done.err.splitlines()
        assert line.endswith(f": out/{second} is a folder")

    @commands
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (MemoryError("bad alloc"), "does not fit into memory"),
            (OSError(28, "No space left on device", "out/x"), "out/x: No space left on device"),
            (PyCMSError("cannot build transform"), "cannot be used (PyCMSError: cannot build"),
            (ValueError("whatever"), "cannot be used (ValueError: whatever)"),
        ],
    )
    def test_whatever_the_writing_raises(
        self,
        run: Genkit,
        monkeypatch: pytest.MonkeyPatch,
        command: str,
        error: Exception,
        message: str,
    ) -> None:
        second = RESULTS[command][1]
        replace = os.replace

        def failing(source: Any, target: Any, **options: Any) -> None:
            if Path(target).name == second:
                raise error
            replace(source, target, **options)

        monkeypatch.setattr("os.replace", failing)
        monkeypatch.setattr(Path, "replace", lambda self, target: failing(self, target))
        done = run(*COMMANDS[command], "--json")
        assert done.code == 1
        assert [record["error"] is None for record in done.records] == [True, False, True]
        said = message if not isinstance(error, OSError) else "No space left on device"
        assert said in done.records[1]["error"]
        assert len(done.err.splitlines()) == 1
        assert len(list(Path("out").iterdir())) == 2, "and no part of it is left"

    @pytest.mark.parametrize("command", ["cyclegan", "inpaint", "classify"])
    @pytest.mark.parametrize("error", [MemoryError(), PyCMSError("x"), RecursionError("y")])
    def test_whatever_the_reading_raises(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch, command: str, error: Exception
    ) -> None:
        bad = Path("in/b.png").read_bytes()

        def failing(data: bytes, *rest: Any) -> Picture:
            if data == bad:
                raise error
            return decode(data, *rest)

        monkeypatch.setattr("genkit.images.decode", failing)
        monkeypatch.setattr("genkit.cli.looks.decode", failing)
        done = run(*COMMANDS[command], "--json")
        assert done.code == 1
        assert [record["error"] is None for record in done.records] == [True, False, True]
        assert written() == ["a.png", "c.png"]

    @pytest.mark.parametrize("command", ["cyclegan", "inpaint", "classify"])
    def test_names_that_cannot_be(self, run: Genkit, command: str) -> None:
        arguments = COMMANDS[command].copy()
        arguments[1:2] = ["in/a.png", "n" * 256, "no.png", "in/c.png", "--files-from", "-"]
        done = run(*arguments, "--json", stdin=b"x\0y\n")
        assert done.code == 1
        assert [record["error"] for record in done.records] == [
            None,
            "File name too long",
            "No such file or directory",
            None,
            "its name has a NUL byte",
        ]

    def test_labels_are_those_of_their_picture_when_a_map_fails(self, run: Genkit) -> None:
        for batch in ("1", "2", "3"):
            Path("out/a.png").mkdir(parents=True, exist_ok=True)
            done = run(*COMMANDS["classify"], "--json", "--batch", batch, "--overwrite")
            found = {
                record["input"]: record["labels"] and record["labels"][0]["label"]
                for record in done.records
            }
            assert found == {"in/a.png": None, "in/b.png": "blue", "in/c.png": "green"}

    def test_a_batch_that_does_not_fit_is_made_one_by_one(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from genkit.runtime import Session

        run_all = Session.run

        def small(self: Session, feeds: Any, *rest: Any) -> Any:
            if len(feeds["z"]) > 1:
                raise MemoryError
            return run_all(self, feeds, *rest)

        monkeypatch.setattr(Session, "run", small)
        assert run(*COMMANDS["sample"]) == (0, b"", "")
        assert written() == RESULTS["sample"]


class TestMadeOtherwise:
    """A result that is there is kept if it is what was asked for, and named if it is not."""

    @commands
    def test_a_second_run_keeps_the_same(self, run: Genkit, command: str) -> None:
        assert run(*COMMANDS[command]).code == 0
        before = {name: Path("out", name).read_bytes() for name in written()}
        assert all(extract(data) is not None for data in before.values())
        done = run(*COMMANDS[command])
        assert done.code == 0
        assert done.err == "genkit: kept 3 that were there already; --overwrite replaces them\n"
        assert {name: Path("out", name).read_bytes() for name in written()} == before

    @pytest.mark.parametrize(
        ("command", "options", "what"),
        [
            ("cyclegan", ["--size", "40"], "size none instead of 40"),
            ("cyclegan", ["--tile", "64"], "tile none instead of 64"),
            ("cyclegan", ["--compare"], "compare none instead of true"),
            ("cyclegan", ["--model", "other"], "other weights"),
            ("inpaint", ["--box", "2,2,3,3"], "boxes "),
            ("inpaint", ["--mask-dilate", "1"], "mask_dilate none instead of 1"),
            ("inpaint", ["--color", "#010203"], "color none instead of 010203"),
            ("inpaint", ["--model", "other"], "model negative instead of other"),
            ("inpaint", ["--mask", "mask.png"], "another mask"),
            ("classify", ["--model", "other"], "model colours instead of other"),
            ("sample", ["--truncation", "0.2"], "truncation 1.0 instead of 0.2"),
            ("sample", ["--model", "other"], "model noise instead of other"),
        ],
    )
    def test_by_other_options(
        self, run: Genkit, models: Path, command: str, options: list[str], what: str
    ) -> None:
        run(*COMMANDS[command])
        before = {name: Path("out", name).read_bytes() for name in written()}
        if command in picture_model.ROLES:
            graph = picture_model.convolutions() if command == "cyclegan" else None
            picture_model.write_model(models / command / "other", command, graph)
        elif command == "classify":
            colour_model.write_model(models / command / "other")
        else:
            noise_model.write_model(models / command / "other", truncation="both")
        write("mask.png", 0)
        names = {"cyclegan": "negative", "inpaint": "negative", "classify": "colours"}
        model = [] if "--model" in options else ["--model", names.get(command, "noise")]
        done = run(*COMMANDS[command], *model, *options, "--json")
        assert done.code == 1
        assert done.err.count(" was made otherwise: ") == 3
        assert done.err.count(what) == 3
        assert "kept 3 that were made otherwise; --overwrite replaces them" in done.err
        for record in done.records:
            assert "was made otherwise" in record["error"]
            assert record.get("output") is record.get("file") is record.get("attention") is None
        assert {name: Path("out", name).read_bytes() for name in written()} == before
        assert run(*COMMANDS[command], *model, *options, "--overwrite").code == 0

    @pytest.mark.parametrize("command", ["cyclegan", "inpaint", "classify"])
    def test_of_another_input(self, run: Genkit, command: str) -> None:
        run(*COMMANDS[command])
        write("in/b.png", (1, 2, 3))
        done = run(*COMMANDS[command], "--json")
        assert done.code == 1
        assert [record["error"] for record in done.records] == [
            None,
            "out/b.png was made otherwise: another input",
            None,
        ]

    def test_by_another_mask(self, run: Genkit) -> None:
        mask = np.zeros((12, 20), np.uint8)
        for i in (2, 5):
            mask[i, i] = 255
            Path("mask.png").write_bytes(encode(Picture(mask[..., None].repeat(3, 2)), "png"))
            done = run("inpaint", "in/a.png", "--mask", "mask.png", "-o", "out.png")
            assert (done.code, "another mask" in done.err) == ((0, False) if i == 2 else (1, True))

    @commands
    def test_what_nothing_tells_of_is_said_to_be_so(self, run: Genkit, command: str) -> None:
        Path("out").mkdir()
        Path("out", RESULTS[command][1]).write_text("mine")
        done = run(*COMMANDS[command])
        assert done.code == 0
        assert done.err == (
            "genkit: kept 1 that were there already, 1 of them without a record of what made them; "
            "--overwrite replaces them\n"
        )
        assert Path("out", RESULTS[command][1]).read_text() == "mine"


class TestInputsMasksAndResults:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["cyclegan", "in", "-o", "in"],
            ["cyclegan", "in/a.png", "-o", "in/a.png"],
            ["inpaint", "in", "--box", "1,1,2,2", "-o", "in"],
            ["classify", "in", "--attention", "in"],
            ["classify", "in", "--attention", "out", "-o", "in/a.png"],
        ],
    )
    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    def test_results_would_replace_inputs(
        self, run: Genkit, arguments: list[str], overwrite: list[str]
    ) -> None:
        before = {path.name: path.read_bytes() for path in Path("in").iterdir()}
        done = run(*arguments, *overwrite)
        assert (done.code, done.out) == (2, b"")
        assert "would replace its input in/a.png" in done.err
        assert "overwrite" not in done.err
        assert {path.name: path.read_bytes() for path in Path("in").iterdir()} == before

    def test_masks_among_the_inputs_are_no_inputs(self, run: Genkit) -> None:
        Path("in/masks").mkdir()
        for name in "abc":
            mask = np.zeros((12, 20, 3), np.uint8)
            mask[3:5, 3:5] = 255
            Path(f"in/masks/{name}.png").write_bytes(encode(Picture(mask), "png"))
        done = run("inpaint", "-r", "in", "--mask", "in/masks", "-o", "in/out")
        assert done.code == 0
        assert done.err == ("genkit: in/masks/a.png and 2 more are masks, and not filled\n")
        assert sorted(path.name for path in Path("in/out").iterdir()) == RESULTS["inpaint"]
        Path("in/mask.png").write_bytes(Path("in/masks/a.png").read_bytes())
        assert run("inpaint", "in", "--mask", "in/mask.png", "-o", "out").code == 0
        assert written() == RESULTS["inpaint"]

    @pytest.mark.parametrize("mask", ["in", "in/b.png"])
    def test_an_image_is_not_its_own_mask(self, run: Genkit, mask: str) -> None:
        done = run("inpaint", "in/b.png", "--mask", mask, "-o", "out")
        assert done.code == 1
        assert "in/b.png: its mask would be the picture itself" in done.err
        assert not Path("out/b.png").exists()
        done = run("inpaint", "in", "--mask", "in", "-o", "out")
        assert (done.code, "is searched for pictures too" in done.err) == (2, True)

    def test_results_do_not_go_among_the_masks(self, run: Genkit) -> None:
        Path("masks").mkdir()
        write("masks/a.png", 255)
        done = run("inpaint", "in/a.png", "--mask", "masks", "-o", "masks", "--overwrite")
        assert (done.code, "is among the masks" in done.err) == (2, True)

    def test_images_by_what_they_hold(self, run: Genkit) -> None:
        write("in/photo.HEIC", 9, "jpeg")
        alpha = np.full((12, 20), 77, np.uint8)
        picture = Picture(np.full((12, 20, 3), 9, np.uint8), alpha)
        Path("in/alpha.jpg").write_bytes(encode(picture, "png"))
        Path("in/x.bmp").write_bytes(b"BM")
        Path("in/notes.txt").write_bytes(b"BM")
        done = run("cyclegan", "in", "-o", "out")
        assert done.code == 1
        left_out, bmp = done.err.splitlines()[:2]
        assert left_out == "genkit: left out 1 file that is no image (1 .txt)"
        assert bmp.startswith("genkit: in/x.bmp: is not a PNG, JPEG, WebP, TIFF or GIF picture")
        assert written() == ["a.png", "alpha.png", "b.png", "c.png", "photo.jpg"]
        kept = decode(Path("out/alpha.png").read_bytes()).alpha
        assert kept is not None and (kept == 77).all()


@posix
class TestNames:
    def test_names_do_not_control_a_terminal(self, run: Genkit) -> None:
        Path("in").rename("old")
        Path("in").mkdir()
        name = "in/\x1b[31m\x9b31m\u202ered\n.png"
        write(name, COLOURS["a"])
        on_terminal = run("classify", "in", "--top", "1", terminal=True)
        assert on_terminal.code == 0
        assert on_terminal.out.endswith(b"in/\\x1b[31m\\x9b31m\\u202ered\\n.png\n")
        piped = run("classify", "in", "--top", "1")
        assert piped.out.endswith("in/\x1b[31m\x9b31m\u202ered\\n.png\n".encode())
        (record,) = run("classify", "in", "--json").records
        assert record["input"] == name
        assert b"\x9b" not in run("classify", "in", "--json").out.replace(b"\xc2\x9b", b"\x9b")

    def test_names_do_not_forge_messages(self, run: Genkit) -> None:
        Path("in/bad\nGENKIT: all well\x1b[2K.jpg").write_bytes(b"x")
        done = run("classify", "in", "--top", "1", "-v")
        (line,) = (line for line in done.err.splitlines() if "bad" in line)
        assert line.startswith("genkit: in/bad\\nGENKIT: all well\\x1b[2K.jpg: is not a PNG")

    def test_labels_do_not_control_a_terminal(self, run: Genkit) -> None:
        Path("labels").write_text("\x1b[31mred\ngreen\nblue\n")
        arguments = ["classify", "in/a.png", "--labels", "labels", "--top", "1"]
        assert b"\\x1b[31mred" in run(*arguments, terminal=True).out
        assert b"\x1b[31mred" in run(*arguments).out

    def test_lists_as_other_systems_write_them(self, run: Genkit) -> None:
        expected = ["in/a.png", "in/b.png"]
        for data in (
            b"\xef\xbb\xbfin/a.png\r\n   \r\nin/b.png",
            "\ufeffin/a.png\r\nin/b.png\r\n".encode("utf-16-le"),
        ):
            done = run("classify", "--files-from", "-", "--json", stdin=data)
            assert [record["input"] for record in done.records] == expected
            assert run("cyclegan", "--files-from", "-", "-o", "out", stdin=data).code == 0
        assert written() == ["a.png", "b.png"]

    def test_standard_output_by_its_name(self, run: Genkit) -> None:
        model = "--model negative --device cpu"
        done = pipeline(
            f"echo first > log; genkit cyclegan in/a.png {model} -o /dev/stdout >> log; "
            "head -1 log; tail -c +7 log > out.png"
        )
        assert done == (0, "first\n", "")
        assert decode(Path("out.png").read_bytes()).size == (12, 20)
        done = pipeline(f"genkit cyclegan in/a.png {model} -o /dev/stdout --json")
        assert done.code == 2
        assert "cannot hold both a picture and JSON" in done.err
