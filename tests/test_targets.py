"""Where results go, each to a place of its own, and never over an input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.files import find_sources
from genkit.images import Picture, encode
from genkit.targets import plan

GREY = Picture(np.full((4, 6, 3), 99, np.uint8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures in `in`."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "sub/c.gif", "sub/deep/a.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def targets(names: list[str], output: str, kind: str | None = None, **options: bool) -> list[str]:
    jobs = plan(find_sources(names, **options), output, kind)
    return [str(job.target) for job in jobs]


class TestTargets:
    def test_one_picture_into_a_file(self, folder: Path) -> None:
        (job,) = plan(find_sources(["a.jpg"]), "out.webp", None)
        assert (str(job.target), job.kind) == ("out.webp", "webp")
        (job,) = plan(find_sources(["a.jpg"]), "out.webp", "tiff")
        assert (str(job.target), job.kind) == ("out.webp", "tiff")

    @pytest.mark.parametrize("output", [None, "-"])
    def test_one_picture_to_standard_output(self, output: str | None) -> None:
        (job,) = plan(find_sources(["a.jpg"]), output, None)
        assert (job.target, job.kind) == (None, "png")
        assert plan(find_sources(["a.jpg"]), output, "jpeg")[0].kind == "jpeg"

    def test_several_pictures_to_standard_output(self) -> None:
        with pytest.raises(UsageError, match="2 pictures need a folder"):
            plan(find_sources(["a.jpg", "b.jpg"]), None, None)

    def test_a_new_name_without_a_suffix_is_a_folder(self, folder: Path) -> None:
        assert targets(["a.jpg"], "out") == ["out/a.jpg"]
        assert targets(["a.jpg"], "out.d/") == ["out.d/a.jpg"]
        assert targets(["-"], "out") == ["out/stdin.png"]

    def test_a_folder_that_is_there(self, folder: Path) -> None:
        (folder / "run.1").mkdir()
        assert targets(["a.jpg"], "run.1") == ["run.1/a.jpg"]

    def test_an_unknown_suffix(self, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"out\.bmp: cannot write pictures of this kind"):
            targets(["a.jpg"], "out.bmp")
        assert targets(["a.jpg"], "out.bmp", "png") == ["out.bmp"]

    @pytest.mark.skipif(os.name != "posix", reason="descriptors")
    def test_a_name_of_standard_output_is_standard_output(self) -> None:
        for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
            (job,) = plan(find_sources(["a.jpg"]), name, None)
            assert job.target is None

    def test_a_device_is_written_as_it_is(self) -> None:
        assert targets(["a.jpg"], "/dev/null") == ["/dev/null"]

    def test_folders_are_mirrored(self, folder: Path) -> None:
        assert targets(["in"], "out", recursive=True) == [
            "out/a.JPG",
            "out/b.png",
            "out/sub/c.png",  # GIF is not written
            "out/sub/deep/a.jpg",
        ]

    def test_a_format_changes_the_suffix(self, folder: Path) -> None:
        assert targets(["in"], "out", "jpeg") == ["out/a.JPG", "out/b.jpg"]
        assert targets(["in"], "out", "webp") == ["out/a.webp", "out/b.webp"]

    def test_several_pictures_into_one_file(self, folder: Path) -> None:
        (folder / "there").touch()
        for output in ("out.png", "there"):
            with pytest.raises(UsageError, match="2 pictures cannot go into the file"):
                targets(["a.jpg", "b.jpg"], output)

    @pytest.mark.parametrize(
        ("names", "kind", "expected"),
        [
            (["x/a.jpg", "y/a.jpg"], None, ["x/a.jpg", "y/a.jpg"]),
            (["x/s/a.jpg", "y/s/a.jpg"], None, ["x/s/a.jpg", "y/s/a.jpg"]),
            (["/v/x/a.jpg", "../y/a.jpg"], None, ["x/a.jpg", "y/a.jpg"]),
            (["a.jpg", "a.png"], "tiff", ["a.jpg.tiff", "a.png.tiff"]),
            (["a.gif", "a.png"], None, ["a.gif.png", "a.png"]),
            (["x/a.gif", "y/a.gif"], None, ["x/a.gif.png", "y/a.gif.png"]),
            (["scan.200", "scan.300"], None, ["scan.200.png", "scan.300.png"]),
            (["a.heic"], None, ["a.png"]),
            (["a.png", "./a.png", "a.png"], None, ["a.png"]),
        ],
    )
    def test_each_result_has_a_name_of_its_own(
        self, folder: Path, names: list[str], kind: str | None, expected: list[str]
    ) -> None:
        assert targets(names, "out/", kind) == [f"out/{name}" for name in expected]

    def test_what_cannot_have_one_is_a_problem_of_its_own(self, folder: Path) -> None:
        jobs = plan(find_sources(["a.png", "../a.png"]), "out/", None)
        assert jobs[0].source.problem is None
        assert jobs[1].source.problem is not None
        assert jobs[1].source.problem.message == "a.png is written to out/a.png"

    def test_a_folder_with_one_name_and_several_suffixes(self, folder: Path) -> None:
        (folder / "col").mkdir()
        for name in ("a.gif", "a.png", "b.jpg", "a.gif.png"):
            (folder / "col" / name).touch()
        found = targets(["col"], "out")
        assert len(set(found)) == 4
        assert {"out/a.png", "out/b.jpg", "out/a.gif.png"} < set(found)

    def test_a_format_is_what_a_file_holds(self, folder: Path) -> None:
        for name, kind in {"a.jpg": "png", "b.HEIC": "jpeg", "c": "webp"}.items():
            (folder / name).write_bytes(encode(GREY, kind))
        assert targets(["a.jpg", "b.HEIC", "c"], "out") == ["out/a.png", "out/b.jpg", "out/c.webp"]


class TestInPlace:
    @pytest.mark.parametrize("output", ["in", "./in/", "in/../in"])
    def test_results_would_replace_their_inputs(self, folder: Path, output: str) -> None:
        with pytest.raises(UsageError, match=r"a result would replace its input in/\w") as caught:
            targets(["in"], output)
        assert "overwrite" not in (caught.value.hint or "")

    @pytest.mark.skipif(os.name != "posix", reason="links")
    def test_by_a_link(self, folder: Path) -> None:
        (folder / "alias.png").symlink_to("in/b.png")
        (folder / "hard.png").hardlink_to("in/b.png")
        (folder / "linked").symlink_to("in")
        for output in ("in/b.png", "alias.png", "hard.png", "linked"):
            with pytest.raises(
                UsageError, match=r"would replace its input in/b\.png(, which is|$)"
            ):
                targets(["in/b.png"], output)

    def test_devices_are_no_files_that_could_be_lost(self, folder: Path) -> None:
        assert targets(["/dev/null"], "/dev/null") == ["/dev/null"]
