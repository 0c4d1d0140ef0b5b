"""``genkit sample``: folders, grids, sheets, animations, pipes and terminals, with a small model."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import noise_model
import numpy as np
import pytest
from PIL import Image
from shell import genkit, pipeline

from genkit import load
from genkit.cli.app import main
from genkit.cli.shots import Seeds
from genkit.errors import UsageError
from genkit.images import decode
from genkit.noise import draw
from genkit.streams import Streams
from genkit.tasks.sample import Point, Sampler

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


class Run(NamedTuple):
    code: int
    out: bytes
    err: str


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


Genkit = Callable[..., Run]


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genkit:
    noise_model.write_model(models / "sample" / "noise", truncation="both")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")

    def run(*args: str, terminal: bool = False) -> Run:
        out, err = Terminal() if terminal else io.BytesIO(), io.StringIO()
        code = main(["sample", "--device", "cpu", *args], Streams(io.BytesIO(), out, err))
        return Run(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def plain(run: Genkit, models: Path) -> list[str]:
    """The options for a model without classes and truncation."""
    noise_model.write_model(models / "sample" / "plain", truncation="none", classes=[])
    return ["--model", "plain"]


@pytest.fixture
def sampler(models: Path, run: Genkit) -> Sampler:
    return load("sample", str(models / "sample" / "noise"), device="cpu")


def pixels(path: str) -> Any:
    return decode(Path(path).read_bytes()).pixels


def files(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def records(run: Run) -> list[Any]:
    return [json.loads(line) for line in run.out.splitlines()]


def in_grid(
    path: str, row: int, column: int, scale: int = 1, skip: tuple[int, int] = (0, 0)
) -> Any:
    """A picture of a grid; ``skip`` is what there is above and beside it."""
    size = noise_model.SIZE * scale
    top, left = (s + i * (size + 2 * scale) + 2 * scale for s, i in zip(skip, (row, column)))  # noqa: B905
    return pixels(path)[top : top + size, left : left + size]


class TestTheSamePictures:
    def test_three_are_the_first_of_three_hundred(self, run: Genkit) -> None:
        assert run("-n", "3", "--seed", "5", "-o", "few") == (0, b"", "")
        for name, options in {
            "many": [],
            "single": ["--batch", "1"],
            "large": ["--batch", "77"],
        }.items():
            assert run("-n", "300", "--seed", "5", "-o", name, *options) == (0, b"", "")
            assert len(files(name)) == 300
            for file in files("few"):
                assert Path("few", file).read_bytes() == Path(name, file).read_bytes()
        assert files("few") == ["seed00005-ship.png", "seed00006-airplane.png", "seed00007-cat.png"]

    def test_by_any_option_that_names_a_seed(self, run: Genkit, sampler: Sampler) -> None:
        (expected,) = sampler([9])
        run("--seeds", "20-30,9,2", "-o", "list")
        run("-n", "9", "--seed", "1", "--grid", "-o", "grid.png")
        run("-n", "3", "--seed", "7", "--sheet", "seed", "-o", "sheet.png")
        run("--interpolate", "9,3", "--frames", "2", "-o", "frames")
        np.testing.assert_array_equal(pixels("list/seed00009-airplane.png"), expected)
        np.testing.assert_array_equal(in_grid("grid.png", 2, 2), expected)
        sheet = pixels("sheet.png")
        skip = (sheet.shape[0] - 32, sheet.shape[1] - 32)
        np.testing.assert_array_equal(in_grid("sheet.png", 0, 2, skip=skip), expected)
        np.testing.assert_array_equal(pixels("frames/frame00000-airplane.png"), expected)


class TestOneFile:
    def test_one_picture_by_default(self, run: Genkit, sampler: Sampler) -> None:
        assert run("-o", "a.png") == (0, b"", "")
        np.testing.assert_array_equal(pixels("a.png"), next(sampler([0])))

    def test_class_seed_truncation_and_size(self, run: Genkit, sampler: Sampler) -> None:
        arguments = ["--class", "SHIP", "--seed", "4", "--truncation", "0.5", "--upscale", "3"]
        run(*arguments, "-o", "a.png")
        (expected,) = sampler([4], classes=["ship"], truncation=0.5)
        np.testing.assert_array_equal(pixels("a.png"), expected.repeat(3, 0).repeat(3, 1))
        run("--class", "2", "--seed", "4", "-o", "b.png")
        np.testing.assert_array_equal(pixels("b.png"), next(sampler([4], classes=[2])))

    def test_format_and_quality(self, run: Genkit) -> None:
        run("-o", "a.webp")
        assert decode(Path("a.webp").read_bytes()).format == "webp"
        run("-o", "b", "-n", "1", "--format", "jpg")
        assert files("b") == ["seed00000-airplane.jpg"]
        for quality in ("10", "100"):
            run("-o", f"{quality}.jpg", "--quality", quality)
        assert Path("10.jpg").stat().st_size < Path("100.jpg").stat().st_size

    def test_what_is_there_is_kept(self, run: Genkit) -> None:
        assert run("-o", "a.png") == (0, b"", "")
        before = Path("a.png").read_bytes()
        (record,) = records(run("-o", "a.png", "--json"))
        assert (record["kept"], record["seed"], record["made"]["seed"]) == (True, 0, 0)
        kept = "genkit: kept 1 that were there already; --overwrite replaces them\n"
        assert run("-o", "a.png") == (0, b"", kept)
        assert run("-o", "a.png", "--overwrite") == (0, b"", "")
        assert Path("a.png").read_bytes() == before

    def test_of_what_has_no_record_nothing_is_said_to_be_known(self, run: Genkit) -> None:
        Path("a.png").write_text("mine")
        done = run("-o", "a.png", "--json")
        assert done.code == 0
        assert "kept 1 that were there already, 1 of them without a record" in done.err
        (record,) = records(done)
        assert record["kept"] is True
        assert {record[key] for key in ("seed", "class", "truncation", "made")} == {None}
        assert Path("a.png").read_text() == "mine"


class TestPipes:
    def test_a_png(self, run: Genkit, sampler: Sampler) -> None:
        for arguments in ([], ["-o", "-"]):
            code, out, err = run(*arguments)
            assert (code, err) == (0, "")
            assert out.startswith(b"\x89PNG")
            np.testing.assert_array_equal(decode(out).pixels, next(sampler([0])))

    def test_a_grid_and_another_format(self, run: Genkit) -> None:
        assert decode(run("--grid", "3x2", "-o", "-").out).size == (22, 32)
        assert run("--format", "jpeg").out.startswith(b"\xff\xd8\xff")

    @posix
    def test_two_processes(self, run: Genkit) -> None:
        done = pipeline(
            "genkit sample --model noise --device cpu -n 4 --grid | cat > a.png; echo $?"
        )
        assert (done.code, done.out, done.err) == (0, "0\n", "")
        assert pixels("a.png").shape == (22, 22, 3)

    @posix
    def test_a_reader_that_has_had_enough(self, run: Genkit) -> None:
        done = pipeline("genkit sample --model noise --device cpu -n 200 -o d --json | head -1")
        assert (done.code, done.err) == (0, "")
        assert json.loads(done.out)["seed"] == 0


class TestFolders:
    def test_names_carry_seed_and_class(self, run: Genkit) -> None:
        run("--seeds", "3,123456-123457", "-o", "out")
        names = ["seed00003-airplane.png", "seed123456-airplane.png", "seed123457-cat.png"]
        assert files("out") == names

    def test_names_of_classes_become_names_of_files(self, run: Genkit, models: Path) -> None:
        classes = ["../up, down", "a b/c", "?"]
        noise_model.write_model(models / "sample" / "odd", classes=classes)
        run("--model", "odd", "-n", "3", "-o", "out")
        assert files("out") == ["seed00000-up.png", "seed00001-a_b_c.png", "seed00002-2.png"]

    def test_a_model_without_classes(self, run: Genkit, plain: list[str]) -> None:
        run(*plain, "-n", "1", "-o", "out")
        assert files("out") == ["seed00000.png"]

    def test_sixteen_by_default(self, run: Genkit) -> None:
        run("-o", "out")
        assert len(files("out")) == 16

    def test_several_classes_are_taken_in_turn(self, run: Genkit, sampler: Sampler) -> None:
        run("-n", "4", "--class", "ship", "--class", "cat", "-o", "out")
        names = ["seed00000-ship", "seed00001-cat", "seed00002-ship", "seed00003-cat"]
        assert files("out") == [f"{name}.png" for name in names]
        (expected,) = sampler([3], classes=["cat"])
        np.testing.assert_array_equal(pixels("out/seed00003-cat.png"), expected)

    def test_a_second_run_does_what_is_missing(self, run: Genkit) -> None:
        run("-n", "5", "-o", "out")
        before = {file: Path("out", file).read_bytes() for file in files("out")}
        Path("out/seed00001-cat.png").unlink()
        Path("out/seed00002-ship.png").write_text("mine")
        code, out, err = run("-n", "5", "-o", "out")
        assert (code, out) == (0, b"")
        assert err == (
            "genkit: kept 4 that were there already, 1 of them without a record of what made them; "
            "--overwrite replaces them\n"
        )
        made = Path("out/seed00001-cat.png").read_bytes()
        assert made == before["seed00001-cat.png"]
        assert Path("out/seed00002-ship.png").read_text() == "mine"
        run("-n", "5", "-o", "out", "--overwrite")
        assert {file: Path("out", file).read_bytes() for file in files("out")} == before

    def test_no_model_is_opened_for_what_is_there(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("-n", "3", "-o", "out")
        monkeypatch.setattr("genkit.tasks.sample.open_session", None)
        assert run("-n", "3", "-o", "out", "-q") == (0, b"", "")

    def test_json(self, run: Genkit) -> None:
        half = ["--truncation", "0.5"]
        run("--seeds", "7", "-o", "out", *half)
        done = run("-n", "2", "--seed", "6", "-o", "out", "--json", *half)
        assert (done.code, done.err) == (0, "")
        first, second = records(done)
        made = first.pop("made")
        assert (made["task"], made["model"], made["precision"]) == ("sample", "noise", "fp32")
        assert first == {
            "seed": 6,
            "class": "airplane",
            "truncation": 0.5,
            "file": "out/seed00006-airplane.png",
            "row": None,
            "column": None,
            "kept": False,
            "error": None,
        }
        assert (second["seed"], second["kept"]) == (7, True)
        assert second.keys() == {*first, "made"}

    def test_the_truncation_of_the_model(self, run: Genkit, models: Path) -> None:
        noise_model.write_model(
            models / "sample" / "tame", truncation="both", default_truncation=0.4
        )
        for arguments in (["-n", "1"], ["--sheet", "seed", "-n", "1", "--class", "cat"]):
            out = run("--model", "tame", *arguments, "-o", "out.png", "--overwrite", "--json").out
            assert {json.loads(line)["truncation"] for line in out.splitlines()} == {0.4}

    def test_json_of_a_model_without_classes_and_truncation(
        self, run: Genkit, plain: list[str]
    ) -> None:
        (line,) = run(*plain, "-n", "1", "-o", "out", "--json").out.splitlines()
        record = json.loads(line)
        assert (record["class"], record["truncation"]) == (None, None)

    def test_they_are_written_as_they_come(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that a million of them need no more memory than the first few."""
        drawn: list[int] = []

        def failing(seed: int, latent: Any) -> Any:
            drawn.append(seed)
            if seed == 300:
                raise KeyboardInterrupt
            return draw(seed, latent)

        monkeypatch.setattr("genkit.cli.shots.draw", failing)
        code, out, _ = run("-n", "4294967296", "-o", "out", "--json")
        assert code == 130
        assert drawn == list(range(301))
        assert 200 < len(out.splitlines()) <= 288
        assert not [file for file in files("out") if file.endswith(".part")]

    @posix
    def test_ctrl_c_leaves_whole_pictures(self, run: Genkit) -> None:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "genkit",
                "sample",
                "--model",
                "noise",
                "--device",
                "cpu",
                "-n",
                "1000000",
                "-o",
                "d",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while len(list(Path("d").glob("*.png"))) < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, b"", b"")
        assert {path.suffix for path in Path("d").iterdir()} == {".png"}
        for path in Path("d").iterdir():
            assert pixels(str(path)).shape == (8, 8, 3)


WAYS = [
    ["--seed", "5"],
    ["--truncation", "0.2"],
    ["--class", "ship"],
    ["--upscale", "2"],
    ["--model", "wild"],
    ["--quality", "50"],
]


class TestOtherOptions:
    """A file that is there was made by something: it is not kept for something else in silence."""

    @pytest.fixture(autouse=True)
    def other_model(self, run: Genkit, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        noise_model.write_model(models / "sample" / "wild", truncation="both")

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("grid", [[], ["--grid", "2x2"]])
    def test_one_file(self, run: Genkit, way: list[str], grid: list[str]) -> None:
        basic = ["--model", "noise", "--class", "cat", "--class", "ship"]
        assert run(*basic, *grid, "-o", "a.jpg") == (0, b"", "")
        before = Path("a.jpg").read_bytes()
        assert run(*basic, *grid, "-o", "a.jpg", "-q") == (0, b"", "")
        changed = ["--model", "noise", *way] if way[0] == "--class" else [*basic, *way]
        done = run(*changed, *grid, "-o", "a.jpg", "--json")
        assert done.code == 1
        assert "a.jpg was made otherwise: " in done.err
        assert "genkit: kept 1 that were made otherwise; --overwrite replaces them" in done.err
        assert {record["file"] for record in records(done)} == {None}
        assert all("made otherwise" in record["error"] for record in records(done))
        assert Path("a.jpg").read_bytes() == before
        assert run(*changed, *grid, "-o", "a.jpg", "--overwrite") == (0, b"", "")
        assert Path("a.jpg").read_bytes() != before

    def test_a_folder(self, run: Genkit) -> None:
        few = ["--model", "noise", "--class", "cat", "-n", "2", "-o", "out"]
        run(*few)
        done = run(*few, "--truncation", "0.2", "-n", "3", "--json")
        assert done.code == 1
        assert [record["error"] is None for record in records(done)] == [False, False, True]
        assert records(done)[0]["made"] is None
        assert "seed00001-cat: out/seed00001-cat.png was made otherwise: truncation 1.0" in done.err

    def test_other_latents(self, run: Genkit) -> None:
        for name in ("y", "z"):
            latents = np.random.default_rng(ord(name)).normal(size=(2, noise_model.NOISE))
            np.save(f"{name}.npy", latents)
        assert run("--latents", "y.npy", "-o", "out", "--model", "noise").code == 0
        assert run("--latents", "y.npy", "-o", "out", "--model", "noise").code == 0
        done = run("--latents", "z.npy", "-o", "out", "--model", "noise")
        assert (done.code, done.err.count("another noise")) == (1, 2)

    def test_what_was_chosen_by_itself_may_be_asked_for(self, run: Genkit) -> None:
        run("--model", "noise", "-o", "a.png")
        done = run("--model", "noise", "-o", "a.png", "--precision", "fp32", "-q")
        assert done == (0, b"", "")

    def test_results_never_replace_what_is_read(self, run: Genkit) -> None:
        np.save("z.npy", np.zeros((1, noise_model.NOISE)))
        arguments = ["--model", "noise", "--latents", "z.npy", "-o", "z.npy", "--format", "png"]
        done = run(*arguments, "--overwrite")
        assert (done.code, "would replace its input z.npy" in done.err) == (2, True)


class TestGrids:
    def test_nearly_square_without_a_size(self, run: Genkit, sampler: Sampler) -> None:
        assert run("-n", "5", "--grid", "-o", "a.png") == (0, b"", "")
        assert pixels("a.png").shape == (2 * 10 + 2, 3 * 10 + 2, 3)
        for index, expected in enumerate(sampler(range(5))):
            np.testing.assert_array_equal(in_grid("a.png", *divmod(index, 3)), expected)
        assert (in_grid("a.png", 1, 2) == 255).all()

    @pytest.mark.parametrize(
        "arguments",
        [
            ["-o", "a.png", "--grid", "4x2"],
            ["--grid=4x2", "-o", "a.png"],
            ["--grid", "4x2", "-n", "8", "-o", "a.png"],
        ],
    )
    def test_columns_and_rows(self, run: Genkit, arguments: list[str]) -> None:
        assert run(*arguments).code == 0
        assert pixels("a.png").shape == (22, 42, 3)

    @pytest.mark.parametrize("arguments", [["-o", "a.png", "--grid"], ["--grid", "-o", "a.png"]])
    def test_the_option_may_stand_anywhere(self, run: Genkit, arguments: list[str]) -> None:
        assert run(*arguments).code == 0
        assert pixels("a.png").shape == (42, 42, 3)

    def test_enlarged_with_its_gaps(self, run: Genkit, sampler: Sampler) -> None:
        run("-n", "4", "--grid", "--upscale", "4", "-o", "a.png")
        assert pixels("a.png").shape == (88, 88, 3)
        picture = in_grid("a.png", 1, 1, scale=4)
        np.testing.assert_array_equal(picture[::4, ::4], next(sampler([3])))

    def test_json(self, run: Genkit) -> None:
        lines = run("-n", "4", "--grid", "-o", "a.png", "--json").out.splitlines()
        places = [(r["seed"], r["row"], r["column"], r["file"]) for r in map(json.loads, lines)]
        assert places == [(i, i // 2, i % 2, "a.png") for i in range(4)]


class TestSheets:
    def test_class_by_truncation(self, run: Genkit, sampler: Sampler) -> None:
        assert run("--sheet", "truncation", "--seed", "3", "-o", "a.png") == (0, b"", "")
        sheet = pixels("a.png")
        skip = (sheet.shape[0] - 32, sheet.shape[1] - 52)
        assert min(skip) > 10
        for column, truncation in enumerate([0.2, 0.4, 0.6, 0.8, 1.0]):
            for row, name in enumerate(noise_model.CLASSES):
                (expected,) = sampler([3], classes=[name], truncation=truncation)
                np.testing.assert_array_equal(in_grid("a.png", row, column, skip=skip), expected)

    def test_class_by_seed(self, run: Genkit, sampler: Sampler) -> None:
        arguments = ["--sheet", "seed", "--seeds", "4,1", "--class", "cat", "--truncation", "0.3"]
        run(*arguments, "-o", "a.png")
        sheet = pixels("a.png")
        skip = (sheet.shape[0] - 12, sheet.shape[1] - 22)
        for column, seed in enumerate([4, 1]):
            (expected,) = sampler([seed], classes=["cat"], truncation=0.3)
            np.testing.assert_array_equal(in_grid("a.png", 0, column, skip=skip), expected)

    def test_the_number_of_columns(self, run: Genkit) -> None:
        lines = run("--sheet", "seed", "-n", "3", "-o", "a.png", "--json").out.splitlines()
        records = list(map(json.loads, lines))
        assert len(records) == 9
        assert {(r["class"], r["row"]) for r in records} == set(zip(noise_model.CLASSES, range(3)))  # noqa: B905
        assert {(r["seed"], r["column"]) for r in records} == {(0, 0), (1, 1), (2, 2)}
        lines = run("--sheet", "truncation", "-n", "4", "-o", "b.png", "--json").out.splitlines()
        assert {json.loads(line)["truncation"] for line in lines} == {0.25, 0.5, 0.75, 1.0}


class TestInterpolation:
    @pytest.mark.parametrize(
        ("file", "kind"),
        [("a.webp", "WEBP"), ("a.gif", "GIF"), ("a.png", "PNG"), ("a.apng", "PNG")],
    )
    def test_animations(self, run: Genkit, file: str, kind: str) -> None:
        assert run("--interpolate", "1,2,5", "--frames", "4", "-o", file) == (0, b"", "")
        image = Image.open(io.BytesIO(Path(file).read_bytes()))
        assert (image.format, image.size, getattr(image, "n_frames", 1)) == (kind, (8, 8), 9)

    def test_a_pipe(self, run: Genkit) -> None:
        out = run("--interpolate", "1,2", "--frames", "4").out
        assert out.startswith(b"\x89PNG") and b"acTL" in out
        assert (
            run("--interpolate", "1,2", "--frames", "4", "--format", "gif", "-o", "-").out[:3]
            == b"GIF"
        )

    def test_frames(self, run: Genkit, sampler: Sampler) -> None:
        from genkit.noise import slerp

        run(
            "--interpolate",
            "1,2",
            "--frames",
            "4",
            "--class",
            "cat",
            "--truncation",
            "0.5",
            "-o",
            "out",
        )
        assert files("out") == [f"frame0000{i}-cat.png" for i in range(5)]
        latent = sampler.model.card.latent
        assert latent is not None
        first, last = draw(1, latent), draw(2, latent)
        points = [Point(slerp(first, last, i / 4), 1, 0.5) for i in range(5)]
        for file, expected in zip(files("out"), sampler.run(points), strict=True):
            np.testing.assert_array_equal(pixels(f"out/{file}"), expected)

    def test_the_class_of_the_first_seed_and_what_json_tells(self, run: Genkit) -> None:
        lines = run(
            "--interpolate", "2,6,4", "--frames", "2", "-o", "out", "--json"
        ).out.splitlines()
        records = list(map(json.loads, lines))
        assert [record["seed"] for record in records] == [2, None, 6, None, 4]
        assert {record["class"] for record in records} == {"ship"}

    def test_a_loop_does_not_show_its_first_frame_twice(self, run: Genkit) -> None:
        run("--interpolate", "1,2,1", "--frames", "3", "-o", "out")
        assert len(files("out")) == 6

    def test_frames_a_second(self, run: Genkit) -> None:
        run("--interpolate", "1,2", "--frames", "4", "--fps", "5", "-o", "a.gif")
        assert Image.open(io.BytesIO(Path("a.gif").read_bytes())).info["duration"] == 200


class TestLatents:
    def test_what_is_saved_gives_the_same_pictures(self, run: Genkit) -> None:
        options = ["--truncation", "0.5", "--grid", "3x2"]
        run("--seeds", "6-11", "--save-latents", "z.npy", "-o", "a.png", *options)
        latents = np.load("z.npy")
        assert (latents.shape, latents.dtype) == ((6, noise_model.NOISE), np.float32)
        assert run("--latents", "z.npy", "-o", "b.png", *options) == (0, b"", "")
        np.testing.assert_array_equal(pixels("a.png"), pixels("b.png"))

    def test_names_and_number(self, run: Genkit) -> None:
        np.save("z.npy", np.random.default_rng(0).normal(size=(4, noise_model.NOISE)))
        run("--latents", "z.npy", "-o", "all")
        run("--latents", "z.npy", "-n", "1", "-o", "one.png")
        names = [
            "latent00000-airplane",
            "latent00001-cat",
            "latent00002-ship",
            "latent00003-airplane",
        ]
        assert files("all") == [f"{name}.png" for name in names]
        assert Path("one.png").read_bytes() == Path("all/latent00000-airplane.png").read_bytes()

    def test_of_an_interpolation(self, run: Genkit) -> None:
        run("--interpolate", "1,2", "--frames", "3", "--save-latents", "z.npy", "-o", "a.webp")
        assert np.load("z.npy").shape == (4, noise_model.NOISE)

    def test_a_file_that_is_there_is_kept_if_it_holds_the_same(self, run: Genkit) -> None:
        assert run("--save-latents", "z.npy", "-o", "a.png").err == ""
        before = Path("z.npy").read_bytes()
        err = run("--save-latents", "z.npy", "-o", "b.png").err
        assert err == "genkit: kept z.npy, which was there already; --overwrite replaces it\n"
        code, _, err = run("--save-latents", "z.npy", "--seed", "5", "-o", "c.png")
        assert (code, err) == (
            1,
            "genkit: z.npy holds other latents\nhint: --overwrite replaces it\n",
        )
        assert Path("c.png").exists()
        assert Path("z.npy").read_bytes() == before
        assert run("--save-latents", "z.npy", "-o", "a.png", "--overwrite").code == 0
        Path("z.npy").write_bytes(before + b"more")
        assert run("--save-latents", "z.npy", "-o", "d.png").code == 1

    def test_numbers_that_are_not_finite(self, run: Genkit) -> None:
        latents = np.zeros((3, noise_model.NOISE), np.float32)
        latents[1, 4] = np.nan
        np.save("z.npy", latents)
        code, _, err = run("--latents", "z.npy", "-o", "out")
        told = "genkit: latent00001-cat: latent 1 has numbers that are not finite\n"
        assert (code, err) == (1, told)
        assert files("out") == ["latent00000-airplane.png", "latent00002-ship.png"]


class TestTerminals:
    def test_pictures_are_shown_where_nothing_else_is_said(self, run: Genkit) -> None:
        code, out, err = run("-n", "4", terminal=True)
        assert (code, err) == (0, "")
        lines = out.decode().splitlines()
        assert [line.count("▀") for line in lines] == [22] * 11
        assert "\x1b[38;5;" in lines[0]

    def test_true_colours_where_the_terminal_has_them(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLORTERM", "truecolor")
        assert b"\x1b[38;2;" in run(terminal=True).out

    def test_as_wide_as_the_terminal(self, run: Genkit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "30")
        lines = run(terminal=True).out.decode().splitlines()
        assert [line.count("▀") for line in lines] == [30] * 15

    @pytest.mark.parametrize("output", ["out", "a.png"])
    def test_beside_a_file(self, run: Genkit, output: str) -> None:
        code, out, _ = run("-n", "1", "-o", output, "--preview", terminal=True)
        assert code == 0
        assert out.decode().count("▀") == 12 * 6
        assert Path(output).exists()

    def test_at_most_sixty_four_of_a_folder(self, run: Genkit) -> None:
        out = run("-n", "70", "-o", "out", "--preview", terminal=True).out.decode()
        assert out.count("▀") == 80 * 40  # 82 x 82 pixels, reduced to the width
        assert len(files("out")) == 70

    def test_of_what_is_only_shown_no_more_is_made(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[int] = []
        monkeypatch.setattr(
            "genkit.cli.shots.draw", lambda seed, latent: drawn.append(seed) or draw(seed, latent)
        )
        assert run("-n", "1000", terminal=True).code == 0
        assert len(drawn) == 64

    @pytest.mark.parametrize(
        "options", [["--grid", "2x2"], ["--sheet", "seed"], ["--interpolate", "1,2"]]
    )
    def test_grids_and_animations(self, run: Genkit, options: list[str]) -> None:
        code, out, err = run(*options, terminal=True)
        assert (code, err) == (0, "")
        assert "▀" in out.decode()

    def test_nothing_where_there_is_no_terminal(
        self, run: Genkit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run("--preview") == (0, b"", "")
        assert run("--preview", "-o", "a.png") == (0, b"", "")
        assert run("--preview", "-o", "-").out.startswith(b"\x89PNG")
        monkeypatch.setenv("TERM", "dumb")
        assert run("--preview", terminal=True) == (0, b"", "")


class TestClasses:
    def test_list(self, run: Genkit, plain: list[str]) -> None:
        assert run("--model", "noise", "--list-classes") == (
            0,
            b"0\tairplane\n1\tcat\n2\tship\n",
            "",
        )
        lines = run("--model", "noise", "--list-classes", "--json").out.splitlines()
        assert json.loads(lines[1]) == {"index": 1, "class": "cat"}
        assert run(*plain, "--list-classes") == (0, b"", "genkit: plain has no classes\n")


REFUSALS = [
    (["--class", "catt"], "unknown class 'catt'", "did you mean 'cat'?"),
    (["--class", "3"], "there is no class 3", "classes are 0 to 2"),
    (["-n", "3", "-o", "a.png"], "3 pictures cannot go into the file a.png", "--grid makes one"),
    (["-n", "3"], "a pipe takes one picture, not 3", "--grid makes one of them"),
    (["-o", "a.bmp"], "a.bmp: cannot write pictures of this kind", "--format png|jpeg|webp|tiff"),
    (["-o", "a.gif"], "a.gif: cannot write pictures of this kind", "--format"),
    (["--format", "bmp"], "unknown format 'bmp'", "one of: png"),
    (["--grid", "4", "-o", "a.png"], "unknown grid '4'", "columns and rows: --grid 8x4"),
    (["--grid", "0x4", "-o", "a.png"], "unknown grid '0x4'", "columns"),
    (["--grid", "2x2", "-n", "5", "-o", "a.png"], "5 pictures do not fit into a grid of 2 x 2", "-n 4"),
    (["--grid", "9999x9999", "-n", "1", "-o", "a.png"], "a grid of 9999 x 9999 pictures has more", "fewer"),
    (["--grid", "-o", "new"], "all are one picture, and new is a folder", "name a file"),
    (["--grid", "--sheet", "seed"], "--grid and --sheet do not go together", None),
    (["--sheet", "seed", "--interpolate", "1,2"], "--sheet and --interpolate do not go", None),
    (["--seed", "1", "--seeds", "2"], "--seed and --seeds do not go together", None),
    (["--seed", "1", "--latents", "z.npy"], "--seed and --latents do not go together", None),
    (["--interpolate", "1,2", "-n", "3"], "-n and --interpolate do not go together", None),
    (["--seeds", "1-3", "-n", "3"], "-n and --seeds do not go together", None),
    (["--sheet", "seed", "--latents", "z.npy"], "--sheet and --latents do not go together", None),
    (["--latents", "z", "--save-latents", "y"], "--latents and --save-latents do not go", None),
    (["--seeds", "5-1"], "unknown seeds '5-1'", "for example 1-9"),
    (["--seeds", "1,,2"], "unknown seeds '1,,2'", "for example 1-9"),
    (["--seeds", "1-5,3"], "seed 3 is named twice", None),
    (["--seeds", "4294967296"], "there is no seed 4294967296", "seeds go up to 4294967295"),
    (["--seed", "4294967295", "-n", "2", "-o", "d"], "there is no seed 4294967296", "seeds go up"),
    (["--seed", "-1"], "Invalid value for '--seed'", "genkit sample --help"),
    (["--truncation", "1.5"], "Invalid value for '--truncation'", "genkit sample --help"),
    (["--truncation", "nan"], "truncation is 0 to 1, not nan", None),
    (["--sheet", "size", "-o", "a.png"], "unknown sheet 'size'", "one of: seed, truncation"),
    (["--sheet", "truncation", "--seeds", "1-2"], "a sheet by truncation has one seed", "--seed N"),
    (["--sheet", "truncation", "--truncation", "1"], "a sheet by truncation has many", "leave out"),
    (["--interpolate", "1"], "an interpolation needs two seeds", "--interpolate 1,2"),
    (["--interpolate", "1,2", "--class", "0", "--class", "1"], "an interpolation has one class", None),
    (["--interpolate", "1,2", "-o", "a.jpg"], "a.jpg: cannot write animations of this kind", "one of: .webp"),
    (["--interpolate", "1,2", "--format", "tiff"], "'tiff' cannot be animated", "one of: webp, gif, png"),
    (["--interpolate", "1,2", "--format", "gif", "-o", "d"], "frames in a folder are not written as GIF", "--format png"),
    (["--frames", "3"], "--frames and --fps are for --interpolate", None),
    (["--fps", "3"], "--frames and --fps are for --interpolate", None),
    (["--save-latents", "-"], "latents are written to a file, not to a pipe", None),
    (["--json"], "--json tells of files", "add -o FILE or -o DIR"),
    (["--json", "-o", "-"], "--json tells of files", "add -o"),
    (["cat"], "Got unexpected extra argument", "genkit sample --help"),
    (["--model", "plain", "--class", "cat"], "plain has no classes", None),
    (["--model", "plain", "--truncation", "1"], "plain has no truncation", None),
    (["--model", "plain", "--sheet", "seed"], "plain has no classes, which are the rows", "--grid"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message", "hint"), REFUSALS)
def test_what_makes_no_sense_is_refused(
    run: Genkit, plain: list[str], arguments: list[str], message: str, hint: str | None
) -> None:
    if "--model" not in arguments:
        arguments = ["--model", "noise", *arguments]
    code, out, err = run(*arguments)
    assert (code, out) == (2, b"")
    first, *rest = err.splitlines()
    assert first.startswith(f"genkit: {message}")
    assert len(rest) == (hint is not None)
    if hint is not None:
        assert rest[0].startswith(f"hint: {hint}")
    assert list(Path().glob("*.p*")) == []


def test_a_sheet_by_truncation_of_a_model_that_has_none(run: Genkit, models: Path) -> None:
    noise_model.write_model(models / "sample" / "rigid", truncation="none")
    code, _, err = run("--model", "rigid", "--sheet", "truncation", "-o", "a.png")
    assert (code, err) == (2, "genkit: rigid has no truncation\nhint: --sheet seed\n")


def test_a_folder_that_is_a_file(run: Genkit) -> None:
    Path("file").write_text("mine")
    code, _, err = run("-o", "file/")
    assert (code, err) == (2, "genkit: file is not a folder\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "genkit: z.npy: No such file or directory\n"),
        (["-n", "9"], "genkit: z.npy holds 2 latents, not 9\n"),
        (["-o", "a.png"], "genkit: 2 pictures cannot go into the file a.png\n"),
    ],
)
def test_latents_that_cannot_be_used(run: Genkit, options: list[str], message: str) -> None:
    if options:
        np.save("z.npy", np.zeros((2, noise_model.NOISE)))
    code, out, err = run("--latents", "z.npy", *options)
    assert (code, out) == (2 if options else 1, b"")
    assert err.startswith(message)


class TestTerminalsRefuse:
    def test_what_is_said_to_go_there(self, run: Genkit) -> None:
        code, out, err = run("-o", "-", terminal=True)
        assert (code, out) == (2, b"")
        assert err == "genkit: a terminal cannot show a picture\nhint: add -o FILE, or a pipe\n"

    def test_where_they_have_no_colours(self, run: Genkit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        assert run("-n", "1", terminal=True).code == 2


@pytest.mark.parametrize(
    ("text", "seeds"), [("7", [7]), ("1-3", [1, 2, 3]), ("9, 1-2,0", [9, 1, 2, 0]), ("3-3", [3])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    parsed = Seeds.parse(text)
    assert (list(parsed), len(parsed), parsed.repeated()) == (seeds, len(seeds), None)


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "1-2-3", "1.5", "1 2"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="unknown seeds"):
        Seeds.parse(text)


def test_what_it_runs_on_is_said_on_request(run: Genkit) -> None:
    err = run("-n", "1", "-o", "out", "-v").err
    assert "genkit: noise on cpu (asked for), fp32" in err
    assert "genkit: seed00000-airplane -> out/seed00000-airplane.png" in err


def test_without_a_model(models: Path) -> None:
    done = genkit("sample", "-o", "a.png")
    assert done.code == 3
    assert done.err.startswith("genkit: no model for sample\nhint: looked in ")
