"""``genkit inpaint``: masks of every kind, with a model that makes a negative of the holes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import picture_model
import pytest
from PIL import Image
from shell import genkit

from genkit.cli.app import main
from genkit.images import Picture, decode, encode
from genkit.streams import Streams


class Run(NamedTuple):
    code: int
    out: bytes
    err: str


Genkit = Callable[..., Run]
PIXELS = np.random.default_rng(0).integers(0, 200, (20, 30, 3), np.uint8)
HOLE = np.zeros((20, 30), bool)
HOLE[4:9, 10:25] = True
MASK = np.where(HOLE, 255, 0).astype(np.uint8)


def filled(hole: Any) -> Any:
    return np.where(hole[..., None], 255 - PIXELS, PIXELS)


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Genkit:
    picture_model.write_model(models / "inpaint" / "negative", "inpaint")
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(encode(Picture(PIXELS), "png"))
    Image.fromarray(MASK).save("mask.png")

    def run(*args: str, stdin: bytes = b"") -> Run:
        out, err = io.BytesIO(), io.StringIO()
        code = main(["inpaint", "--device", "cpu", *args], Streams(io.BytesIO(stdin), out, err))
        return Run(code, out.getvalue(), err.getvalue())

    return run


def expect(path: str, hole: Any) -> None:
    np.testing.assert_array_equal(decode(Path(path).read_bytes()).pixels, filled(hole))


class TestMasks:
    def test_a_file(self, run: Genkit) -> None:
        assert run("a.png", "--mask", "mask.png", "-o", "b.png") == (0, b"", "")
        expect("b.png", HOLE)

    def test_inverted(self, run: Genkit) -> None:
        Image.fromarray(255 - MASK).save("not.png")
        run("a.png", "--mask", "not.png", "--mask-invert", "-o", "b.png")
        expect("b.png", HOLE)

    def test_threshold(self, run: Genkit) -> None:
        Image.fromarray(np.where(HOLE, 128, 127).astype(np.uint8)).save("grey.png")
        run("a.png", "--mask", "grey.png", "-o", "b.png")
        expect("b.png", HOLE)
        assert (
            run("a.png", "--mask", "grey.png", "--mask-threshold", "128", "-o", "c.png").code == 0
        )
        expect("c.png", HOLE & False)

    def test_dilated(self, run: Genkit) -> None:
        run("a.png", "--mask", "mask.png", "--mask-dilate", "2", "-o", "b.png")
        grown = np.zeros_like(HOLE)
        grown[2:11, 8:27] = True
        expect("b.png", grown)

    def test_strokes_in_colour_on_nothing(self, run: Genkit) -> None:
        strokes = np.zeros((20, 30, 4), np.uint8)
        strokes[..., 1] = 255  # green everywhere, but only seen in the hole
        strokes[..., 3] = MASK
        Image.fromarray(strokes).save("strokes.png")
        run("a.png", "--mask", "strokes.png", "-o", "b.png")
        expect("b.png", HOLE)

    def test_a_mask_is_turned_upright_as_its_picture_is(self, run: Genkit) -> None:
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        for name, pixels in (("a.png", PIXELS), ("mask.png", MASK)):
            Image.fromarray(np.ascontiguousarray(pixels[::-1, ::-1])).save(name, exif=exif)
        run("a.png", "--mask", "mask.png", "-o", "b.png")
        expect("b.png", HOLE)

    def test_boxes(self, run: Genkit) -> None:
        run("a.png", "--box", "10,4,15,2", "--box", "10,6,15,3", "-o", "b.png")
        expect("b.png", HOLE)
        run("a.png", "--box", "25,15,99,99", "-o", "c.png")  # cut at the edge
        corner = np.zeros_like(HOLE)
        corner[15:, 25:] = True
        expect("c.png", corner)

    def test_a_box_and_a_mask(self, run: Genkit) -> None:
        run("a.png", "--mask", "mask.png", "--box", "0,0,1,1", "-o", "b.png")
        both = HOLE.copy()
        both[0, 0] = True
        expect("b.png", both)

    def test_a_colour(self, run: Genkit) -> None:
        pixels = PIXELS.copy()
        pixels[HOLE] = (255, 0, 255)
        Path("pink.png").write_bytes(encode(Picture(pixels), "png"))
        run("pink.png", "--color", "#ff00FF", "-o", "b.png")
        result = decode(Path("b.png").read_bytes()).pixels
        np.testing.assert_array_equal(result[~HOLE], pixels[~HOLE])
        assert (result[HOLE] == (0, 255, 0)).all()

    def test_transparency(self, run: Genkit) -> None:
        data = encode(Picture(PIXELS, 255 - MASK), "png")
        code, out, err = run("-", stdin=data)
        assert (code, err) == (0, "")
        result = decode(out)
        np.testing.assert_array_equal(result.pixels[~HOLE], PIXELS[~HOLE])
        assert result.alpha is not None
        assert result.alpha.min() == 255

    def test_a_folder_of_masks(self, run: Genkit) -> None:
        for name in ("in/x.png", "in/sub/y.png", "in/z.png"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(encode(Picture(PIXELS), "png"))
        for name, mask in (("m/x.tiff", MASK), ("m/sub/y.png", 255 - MASK)):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(name)
        code, _, err = run("-r", "in", "--mask", "m", "-o", "out")
        assert (code, err) == (
            1,
            "genkit: in/z.png: it has no mask: there is no m/z of any kind\n",
        )
        expect("out/x.png", HOLE)
        expect("out/sub/y.png", ~HOLE)


class TestRefusals:
    def test_sizes_that_differ(self, run: Genkit) -> None:
        Image.fromarray(MASK[:10]).save("short.png")
        assert run("a.png", "--mask", "short.png", "-o", "b.png") == (
            1,
            b"",
            "genkit: a.png: the picture has 30 x 20 pixels, its mask 30 x 10\n",
        )
        assert not Path("b.png").exists()

    def test_no_mask_at_all(self, run: Genkit) -> None:
        code, _, err = run("a.png", "-o", "b.png")
        assert code == 1
        assert err == (
            "genkit: a.png: nothing says where its holes are: it has no transparency\n"
            "hint: --mask FILE, --box X,Y,W,H or --color '#RRGGBB'\n"
        )

    def test_a_mask_that_is_not_there(self, run: Genkit) -> None:
        assert run("a.png", "--mask", "no.png", "-o", "b.png") == (
            1,
            b"",
            "genkit: a.png: its mask no.png: No such file or directory\n",
        )

    def test_a_mask_that_is_none(self, run: Genkit) -> None:
        Path("text.png").write_text("hello")
        code, _, err = run("a.png", "--mask", "text.png", "-o", "b.png")
        assert code == 1
        assert err.startswith("genkit: a.png: its mask text.png is not a PNG, JPEG, WebP, TIFF or")

    def test_a_box_outside(self, run: Genkit) -> None:
        code, _, err = run("a.png", "--box", "30,0,5,5", "-o", "b.png")
        assert (code, err) == (
            1,
            "genkit: a.png: the box at 30,0 is outside of its 30 x 20 pixels\n",
        )

    def test_everything(self, run: Genkit) -> None:
        code, _, err = run("a.png", "--box", "0,0,30,20", "-o", "b.png")
        assert code == 1
        assert "covers the whole picture" in err

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["--box", "1,2,3"], "unknown box '1,2,3'"),
            (["--box", "1,2,0,4"], "unknown box '1,2,0,4'"),
            (["--color", "pink"], "unknown color 'pink'"),
            (["--mask", "-"], "a mask cannot be piped"),
            (["--box", "1,2,3,4", "--mask-invert"], "--mask-invert inverts a mask"),
        ],
    )
    def test_what_makes_no_sense(self, run: Genkit, args: list[str], message: str) -> None:
        code, _, err = run("a.png", "-o", "b.png", *args)
        assert code == 2
        assert err.startswith(f"genkit: {message}")


def test_json(run: Genkit) -> None:
    code, out, _ = run("a.png", "--box", "0,0,5,5", "-o", "b.png", "--json")
    assert code == 0
    record = json.loads(out)
    assert record.pop("made")["boxes"] == [[0, 0, 5, 5]]
    assert record == {
        "input": "a.png",
        "output": "b.png",
        "width": 30,
        "height": 20,
        "kept": False,
        "warnings": [],
        "error": None,
    }


def test_without_a_model(models: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(Picture(PIXELS), "png"))
    done = genkit("inpaint", str(tmp_path / "a.png"), "--box", "0,0,9,9", "-o", "/dev/null")
    assert done.code == 3
    assert done.err.startswith("genkit: no model for inpaint\nhint: looked in ")
