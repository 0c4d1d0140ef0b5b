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

from genkit.cli import masks
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


class TestNothingSelected:
    """A copy is written, and a line says why, and what to do."""

    def copied(self, run: Genkit, *args: str, source: str = "a.png") -> str:
        code, out, err = run(source, "-o", "b.png", *args)
        assert (code, out) == (0, b"")
        assert err.startswith(f"genkit: warning: {source}: ")
        np.testing.assert_array_equal(
            decode(Path("b.png").read_bytes()).pixels, decode(Path(source).read_bytes()).pixels
        )
        return err

    def test_a_black_mask(self, run: Genkit) -> None:
        Image.fromarray(MASK * 0).save("m.png")
        err = self.copied(run, "--mask", "m.png")
        assert "its mask m.png selects nothing: it is black everywhere; holes are white;" in err

    def test_a_white_mask_inverted(self, run: Genkit) -> None:
        Image.fromarray(MASK | 255).save("m.png")
        err = self.copied(run, "--mask", "m.png", "--mask-invert")
        assert "it is white everywhere; leave out --mask-invert" in err

    @pytest.mark.parametrize(
        ("level", "said"),
        [
            (np.uint8(1), "has 1, and"),
            (np.uint16(1), "has 1 of 65,535, and"),
            (np.uint8(127), "127"),
        ],
    )
    def test_a_map_of_labels(self, run: Genkit, level: Any, said: str) -> None:
        Image.fromarray(np.where(HOLE, level, level * 0)).save("m.png")
        err = self.copied(run, "--mask", "m.png")
        assert f"{said}" in err
        assert "--mask-threshold 0 fills all that is not black" in err
        assert run("a.png", "--mask", "m.png", "--mask-threshold", "0", "-o", "c.png").err == ""
        expect("c.png", HOLE)

    def test_black_strokes_on_nothing(self, run: Genkit) -> None:
        strokes = np.dstack([PIXELS * 0, MASK])
        Image.fromarray(strokes).save("m.png")
        assert "add --mask-invert to fill it" in self.copied(run, "--mask", "m.png")
        assert run("a.png", "--mask", "m.png", "--mask-invert", "-o", "c.png").err == ""
        expect("c.png", HOLE)

    def test_a_colour_that_is_not_there(self, run: Genkit) -> None:
        err = self.copied(run, "--color", "#ffffff")
        assert "no pixel has the color #ffffff; the nearest is #" in err
        assert "--color-tolerance " in err

    def test_what_is_hardly_transparent(self, run: Genkit) -> None:
        Path("veil.png").write_bytes(encode(Picture(PIXELS, 255 - MASK // 8), "png"))
        assert "--mask-threshold 0 fills all" in self.copied(run, source="veil.png")

    def test_what_is_opaque_says_as_little_as_what_has_no_alpha(self, run: Genkit) -> None:
        Path("full.png").write_bytes(encode(Picture(PIXELS, MASK | 255), "png"))
        code, _, err = run("full.png", "-o", "b.png")
        assert code == 1
        assert "full.png: nothing says where its holes are: none of it is transparent\nhint" in err

    def test_the_record_has_it(self, run: Genkit) -> None:
        Image.fromarray(MASK * 0).save("m.png")
        (warning,) = json.loads(run("a.png", "--mask", "m.png", "-o", "b.png", "--json").out)[
            "warnings"
        ]
        assert "selects nothing" in warning


class TestColors:
    def test_how_many_pixels_is_told(self, run: Genkit) -> None:
        pixels = PIXELS.copy()
        pixels[HOLE] = (255, 0, 255)
        Path("pink.png").write_bytes(encode(Picture(pixels), "png"))
        code, _, err = run("pink.png", "--color", "#ff00ff", "-o", "b.png")
        assert (code, err) == (0, "genkit: pink.png: 75 pixels have the color #ff00ff\n")

    def test_a_jpeg_is_not_exact(self, run: Genkit) -> None:
        smooth = np.full((96, 96, 3), (40, 120, 60), np.uint8)
        smooth[32:64, 32:64] = (255, 0, 255)
        Image.fromarray(smooth).save("pink.jpg", quality=80)
        err = run("pink.jpg", "--color", "#ff00ff", "-o", "b.png").err
        assert err == (
            "genkit: pink.jpg: 900 pixels have the color #ff00ff within 32, and 2 more around "
            "them are filled\n"
        )
        left = decode(Path("b.png").read_bytes()).pixels.astype(int) - (255, 0, 255)
        assert np.abs(left).max(-1).min() > 100  # nothing of it is left, not even at its edge
        exact = run("pink.jpg", "--color", "#ff00ff", "--color-tolerance", "0", "-o", "c.png").err
        assert "pink.jpg: 900" not in exact

    def test_a_tolerance_without_a_color(self, run: Genkit) -> None:
        code, _, err = run("a.png", "--color-tolerance", "3", "--box", "1,1,2,2", "-o", "b.png")
        assert (code, err.startswith("genkit: --color-tolerance is for --color")) == (2, True)


class TestMasksAmongPictures:
    @pytest.fixture
    def folder(self, run: Genkit) -> Path:
        (path := Path("in")).mkdir()
        (path / "a.png").write_bytes(Path("a.png").read_bytes())
        return path

    def test_a_folder_of_masks_below(self, run: Genkit, folder: Path) -> None:
        (folder / "masks").mkdir()
        Image.fromarray(MASK).save(folder / "masks" / "a.png")
        code, _, err = run("-r", "in", "--mask", "in/masks", "-o", "out")
        assert (code, err) == (0, "genkit: in/masks/a.png is a mask, and not filled\n")
        expect("out/a.png", HOLE)
        assert not Path("out/masks").exists()

    def test_one_mask_beside_its_pictures(self, run: Genkit, folder: Path) -> None:
        Image.fromarray(MASK).save(folder / "hole.png")
        assert run("in", "--mask", "in/hole.png", "-o", "out").code == 0
        assert [path.name for path in Path("out").iterdir()] == ["a.png"]

    def test_masks_in_the_same_folder(self, run: Genkit, folder: Path) -> None:
        code, _, err = run("in", "--mask", "in", "-o", "out")
        assert code == 2
        assert err.startswith("genkit: in holds masks, and is searched for pictures too\nhint: put")

    def test_pictures_and_results_in_folders_below_that_of_the_masks(
        self, run: Genkit, folder: Path
    ) -> None:
        Image.fromarray(MASK).save("a.tiff")
        Path("a.png").unlink()
        assert run("in", "--mask", ".", "-o", "out") == (0, b"", "")
        expect("out/a.png", HOLE)

    def test_results_among_the_masks(self, run: Genkit, folder: Path) -> None:
        Path("m").mkdir()
        Image.fromarray(MASK).save("m/a.tiff")
        code, _, err = run("in", "--mask", "m", "-o", "m")
        assert (code, err.startswith("genkit: m/a.png is among the masks, and no")) == (2, True)

    def test_a_picture_that_is_its_own_mask(self, run: Genkit, folder: Path) -> None:
        for mask in ("in/a.png", "in"):
            code, _, err = run("in/a.png", "--mask", mask, "-o", "b.png")
            assert code == 1
            assert "its mask would be the picture itself" in err
            assert not Path("b.png").exists()

    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    def test_a_result_in_the_place_of_a_mask(self, run: Genkit, overwrite: list[str]) -> None:
        before = Path("mask.png").read_bytes()
        code, _, err = run("a.png", "--mask", "mask.png", "-o", "mask.png", *overwrite)
        assert (code, err.startswith("genkit: mask.png is the mask, and no place")) == (2, True)
        assert Path("mask.png").read_bytes() == before

    def test_masks_of_a_folder_are_not_kept_in_memory(self, run: Genkit, folder: Path) -> None:
        Path("m").mkdir()
        for i in range(5):
            (folder / f"{i}.png").write_bytes(Path("a.png").read_bytes())
            Image.fromarray(MASK).save(f"m/{i}.png")
        Image.fromarray(MASK).save("m/a.png")
        assert run("in", "--mask", "m", "-o", "out").code == 0
        assert masks.read_mask.cache_info().currsize <= 1


class TestMetadata:
    def test_it_is_kept_and_can_be_left_out(self, run: Genkit) -> None:
        exif = Image.Exif()
        exif[0x8298] = "me"
        Image.fromarray(PIXELS).save("a.jpg", exif=exif, dpi=(300, 300))
        assert run("a.jpg", "--box", "1,1,3,3", "-o", "b.jpg").err == ""
        kept = Image.open(io.BytesIO(Path("b.jpg").read_bytes()))
        assert (kept.getexif()[0x8298], kept.info["dpi"]) == ("me", (300, 300))
        run("a.jpg", "--box", "1,1,3,3", "-o", "c.jpg", "--strip-metadata")
        stripped = Image.open(io.BytesIO(Path("c.jpg").read_bytes()))
        assert 0x8298 not in stripped.getexif()

    def test_what_a_format_cannot_hold_is_told(self, run: Genkit) -> None:
        Path("t.png").write_bytes(encode(Picture(PIXELS, MASK), "png"))
        code, _, err = run("t.png", "--box", "1,1,3,3", "-o", "b.jpg")
        assert (code, err) == (
            0,
            "genkit: warning: t.png: a JPEG has no transparency: it is laid on white\n",
        )


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
