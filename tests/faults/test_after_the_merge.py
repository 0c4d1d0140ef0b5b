"""Faults that came back, or were left, where several mendings met."""

from __future__ import annotations

import ast
import errno
import io
import os
import sys
from pathlib import Path

import colour_model
import noise_model
import numpy as np
import picture_model
import pytest
from shell import genkit, pipeline

import genkit as package
from genkit.alpha import made_from, seen_by
from genkit.cli.app import main
from genkit.images import Picture, decode, encode
from genkit.streams import Streams, captured_output
from genkit.tasks.cyclegan import PictureTranslator

posix = pytest.mark.skipif(os.name != "posix", reason="names and descriptors of POSIX")


def image(path: str, value: int = 90) -> None:
    Path(path).write_bytes(encode(Picture(np.full((16, 24, 3), value, np.uint8)), "png"))


def test_sample_without_any_argument(models: Path) -> None:
    noise_model.write_model(models / "sample" / "noise", truncation="both")
    out = io.BytesIO()
    assert main(["sample"], Streams(io.BytesIO(), out, io.StringIO())) == 0
    assert decode(out.getvalue()).size


@posix
def test_a_mask_from_a_process(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = picture_model.write_model(models / "inpaint" / "negative", "inpaint")
    monkeypatch.chdir(tmp_path)
    image("a.png")
    hole = np.zeros((16, 24, 3), np.uint8)
    hole[4:8, 4:8] = 255
    Path("mask.png").write_bytes(encode(Picture(hole), "png"))
    done = pipeline(
        f"genkit inpaint a.png --mask <(cat mask.png) -o b.png --device cpu --model {model}"
    )
    assert (done.code, done.err) == (0, "")
    made = decode(Path("b.png").read_bytes()).pixels
    assert (made != 90).any(-1).sum() == 16


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory")
def test_output_is_caught_without_a_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    with monkeypatch.context() as bare:
        bare.setattr("tempfile._get_default_tempdir", none)
        bare.setattr("tempfile.tempdir", None)
        with captured_output() as caught:
            os.write(1, b"of a library")
            assert caught() == "of a library"
        bare.setattr(os, "memfd_create", none)  # nor in memory: lost, and no error
        with captured_output() as caught:
            os.write(1, b"of a library")
            assert caught() == ""
    os.write(1, b"ours")
    assert capfd.readouterr().out == "ours"


def test_all_warnings_are_of_the_category_that_is_shown() -> None:
    """A plain RuntimeWarning is a library's, and hidden."""
    others = []
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                said = [ast.unparse(argument) for argument in node.args]
                others += [] if said[1:] == ["GenkitWarning"] else [f"{path}: {said}"]
    assert not others


def test_a_warning_names_each_image(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_model.write_model(models / "cyclegan" / "negative", "cyclegan")
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(f"{name}.png").write_bytes(encode(Picture(np.zeros((160, 160, 3), np.uint8)), "png"))
    whole = PictureTranslator._run

    def run(self: PictureTranslator, pixels: np.ndarray) -> np.ndarray:
        if max(pixels.shape) > 100:
            raise MemoryError
        return whole(self, pixels)

    monkeypatch.setattr(PictureTranslator, "_run", run)
    done = genkit("cyclegan", "a.png", "b.png", "-o", "out", "--device", "cpu")
    assert done.code == 0
    told = [line.split(": not enough")[0] for line in done.err.splitlines()]
    assert told == ["genkit: warning: a.png", "genkit: warning: b.png"]


@posix
def test_a_full_disk_behind_standard_output_is_named() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    err = io.StringIO()
    assert main(["models", "list"], Streams(io.BytesIO(), Full(), err)) == 1
    assert err.getvalue() == "genkit: standard output: No space left on device\n"


def test_alpha_of_a_network_and_sixteen_bits() -> None:
    random = np.random.default_rng(0)
    deep = random.integers(0, 65536, (5, 7, 4), dtype=np.uint16)
    picture = Picture(deep[..., :3], deep[..., 3])
    seen = seen_by(4, picture)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, np.rint(deep / 257).astype(np.uint8))
    made = made_from(picture, 255 - seen)
    assert made.alpha is not None
    assert (made.pixels.dtype, made.alpha.dtype) == (np.uint16, np.uint16)
    np.testing.assert_array_equal(made.alpha, (255 - seen[..., 3]).astype(np.uint16) * 257)
    np.testing.assert_array_equal(made.pixels, (255 - seen[..., :3]).astype(np.uint16) * 257)


def test_a_folder_with_many_images_and_a_broken_one(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour_model.write_model(models / "classify" / "colours")
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    image("in/000.png")
    for i in range(1, 300):
        os.link("in/000.png", f"in/{i:03}.png")
    Path("in/150.png").unlink()
    Path("in/150.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = genkit("classify", "in", "--top", "1", "--batch", "32", "--device", "cpu")
    assert done.code == 1
    rows = [row.split("\t")[-1] for row in done.out.splitlines()]
    assert rows == [f"in/{i:03}.png" for i in range(300) if i != 150]
    assert done.err.count("\n") == 1 and done.err.startswith("genkit: in/150.png: ")


@posix
def test_latents_from_a_process(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = noise_model.write_model(models / "sample" / "noise", truncation="both")
    monkeypatch.chdir(tmp_path)
    common = f"genkit sample --device cpu --model {model}"
    done = pipeline(
        f"{common} -n 2 --save-latents z.npy -o a/ && {common} --latents z.npy -o b/ && "
        f"{common} --latents <(cat z.npy) -o c/"
    )
    assert (done.code, done.err) == (0, "")
    read, piped = (
        [decode(path.read_bytes()).pixels for path in sorted(Path(name).iterdir())] for name in "bc"
    )
    assert len(piped) == 2
    np.testing.assert_array_equal(piped, read)


def test_labels_that_are_none(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour_model.write_model(models / "classify" / "colours")
    monkeypatch.chdir(tmp_path)
    image("a.png")
    Path("labels.txt").touch()
    done = genkit("classify", "a.png", "--labels", "labels.txt", "--device", "cpu")
    assert done == (2, "", "genkit: labels.txt is empty\n")
