"""Which images are read: those that are named, in folders, and in lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.files import KINDS, LeftOut, find_sources, kind_inside, split_list, stream_sources
from genkit.images import Picture, encode

GREY = Picture(np.full((4, 6, 3), 99, np.uint8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: pictures, other files, and a folder of pictures."""
    monkeypatch.chdir(tmp_path)
    names = "b.png a.JPG note.txt .hidden.png sub/c.gif sub/deep/a.jpg sub/.git/d.png".split()
    for name in names:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


class TestSources:
    def test_a_folder_gives_its_pictures_in_order(self, folder: Path) -> None:
        assert [str(s) for s in find_sources(["in"])] == ["in/a.JPG", "in/b.png"]

    def test_subfolders_on_request(self, folder: Path) -> None:
        sources = find_sources(["in"], recursive=True)
        places = [str(s.place) for s in sources]
        assert places == ["a.JPG", "b.png", "sub/c.gif", "sub/deep/a.jpg"]

    def test_results_of_an_earlier_run_are_no_inputs(self, folder: Path) -> None:
        sources = find_sources(["in"], recursive=True, exclude=[Path("in/sub")])
        assert [str(s) for s in sources] == ["in/a.JPG", "in/b.png"]

    def test_a_named_file_may_be_called_anything_and_need_not_be_there(self, folder: Path) -> None:
        assert [str(s) for s in find_sources(["in/note.txt", "no.jpg"])] == [
            "in/note.txt",
            "no.jpg",
        ]

    def test_a_folder_without_pictures(self, folder: Path) -> None:
        (folder / "empty" / "sub").mkdir(parents=True)
        with pytest.raises(UsageError, match="empty holds no pictures") as caught:
            find_sources(["empty"])
        assert caught.value.hint == "-r looks into its subfolders too"
        with pytest.raises(UsageError) as caught:
            find_sources(["empty"], recursive=True)
        assert caught.value.hint is None

    def test_nothing_named(self) -> None:
        with pytest.raises(UsageError, match="no pictures are named"):
            find_sources([])

    def test_one_picture_on_standard_input(self) -> None:
        assert str(find_sources(["-"])[0]) == "standard input"
        with pytest.raises(UsageError, match="- is named twice"):
            find_sources(["-", "-"])

    def test_lists(self) -> None:
        assert list(split_list([b"a.j", b"pg\r\n\nb c.jpg\n"], null=False)) == ["a.jpg", "b c.jpg"]
        assert list(split_list([b"a\nb.jpg\0c.jpg"], null=True)) == ["a\nb.jpg", "c.jpg"]

    def test_a_name_is_given_as_soon_as_it_is_there(self) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"a.jpg\nb."
            raise TimeoutError

        names = split_list(chunks(), null=False)
        assert next(names) == "a.jpg"
        with pytest.raises(TimeoutError):
            next(names)

    @pytest.mark.parametrize(
        ("data", "names"),
        [
            (b"\xef\xbb\xbfa.png\r\nb.png", ["a.png", "b.png"]),
            ("\ufeffgrün.png\r\nb.png\r\n".encode("utf-16-le"), ["grün.png", "b.png"]),
            ("\ufeffa.png\nb.png".encode("utf-16-be"), ["a.png", "b.png"]),
            (b"  \n\t\r\n a.png\n", [" a.png"]),
            (b"", []),
            (b"\xff", ["\udcff"]),
        ],
    )
    def test_marks_and_blank_lines(self, data: bytes, names: list[str]) -> None:
        for size in (1, 2, 5, 99):
            chunks = [data[i : i + size] for i in range(0, len(data), size)]
            assert list(split_list(chunks, null=False)) == names

    def test_names_between_nul_bytes_are_taken_as_they_are(self) -> None:
        assert list(split_list([b"\xef\xbb\xbf\0  \0\n\0"], null=True)) == ["\ufeff", "  ", "\n"]

    def test_a_dash_in_a_list_is_the_name_of_a_file(self) -> None:
        assert [source.path for source in find_sources([], ["-"])] == [Path("-")]

    def test_a_stream_of_names(self, folder: Path) -> None:
        (folder / "empty").mkdir()
        names = ["no.jpg", "in", "empty", "x" * 5000]
        assert [str(s) for s in stream_sources(names)] == [
            "no.jpg",
            "in/a.JPG",
            "in/b.png",
            "empty",
            "x" * 5000,
        ]
        assert len(list(stream_sources(["in"], recursive=True))) == 4


MAGIC = {"photo.HEIC": "jpeg", "meme.jfif": "jpeg", "noext": "png", "x.dat": "webp", "y.": "tiff"}


class TestFolders:
    """What is in a folder is read, reported or counted; nothing is passed over in silence."""

    def test_images_under_other_names(self, folder: Path) -> None:
        for name, kind in MAGIC.items():
            (folder / "in" / name).write_bytes(encode(GREY, kind))
        left_out = LeftOut()
        names = [str(s.place) for s in find_sources(["in"], left_out=left_out)]
        assert names == sorted([*MAGIC, "a.JPG", "b.png"])
        assert str(left_out) == "left out 1 file that is no image (1 .txt)"

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_written_is_known_by_its_first_bytes(self, tmp_path: Path, kind: str) -> None:
        (tmp_path / "x").write_bytes(encode(GREY, kind))
        assert kind_inside(tmp_path / "x") == kind

    def test_what_is_left_out_is_counted(self, folder: Path) -> None:
        names = ["a.db", "b.DB", "c.md", "raw.nef", "Thumbs.db", "desktop.ini", "none", "x.xmp"]
        for name in names:
            (folder / "in" / name).write_bytes(b"II*\0" if name == "raw.nef" else b"hello")
        if os.name == "posix":
            os.mkfifo(folder / "in" / "pipe.png")
            (folder / "in" / "dead").symlink_to("nowhere")
        left_out = LeftOut()
        assert len(find_sources(["in"], left_out=left_out)) == 2
        assert left_out.kinds[".db"] == 2
        assert left_out.kinds[".nef"] == 1
        assert left_out.kinds.total() == (9 if os.name == "posix" else 7)
        assert str(left_out).startswith("left out 9 files that are no images (2 .db, ")
        assert str(left_out).endswith(" 3 others)")

    def test_images_that_are_not_read_are_not_left_out(self, folder: Path) -> None:
        for name in ("x.bmp", "y.HEIC", "z.avif"):
            (folder / "in" / name).write_bytes(b"BM")
        left_out = LeftOut()
        names = [str(s.place) for s in find_sources(["in"], left_out=left_out)]
        assert names == ["a.JPG", "b.png", "x.bmp", "y.HEIC", "z.avif"]
        assert left_out.kinds.total() == 1

    def test_a_folder_that_cannot_be_read(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scandir = os.scandir

        def closed(path: Any) -> Any:
            if Path(path).name == "sub":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", closed)
        sources = find_sources(["in"], recursive=True)
        assert [str(s) for s in sources] == ["in/a.JPG", "in/b.png", "in/sub"]
        assert [s.problem and s.problem.message for s in sources] == [
            None,
            None,
            "Permission denied",
        ]
        (source,) = find_sources(["in/sub"])
        assert source.problem is not None, "it is not said to be empty"

    def test_a_file_behind_a_closed_folder(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stat = Path.stat

        def closed(self: Path, **options: Any) -> Any:
            if "sub" in self.parts:
                raise PermissionError(13, "Permission denied", str(self))
            return stat(self, **options)

        monkeypatch.setattr(Path, "stat", closed)
        sources = find_sources(["in/sub/c.gif", "in/b.png"], ["in/sub/d.png"])
        assert [bool(s.problem) for s in sources] == [True, False, True]

    def test_names_that_cannot_be_are_sources_with_a_problem(self, folder: Path) -> None:
        sources = find_sources(["a\0b", "n" * 256, "", "in/b.png"])
        assert [s.problem and s.problem.message for s in sources] == [
            "its name has a NUL byte",
            "File name too long",
            "an empty name is no file",
            None,
        ]

    def test_an_empty_folder_among_others_is_one_problem(self, folder: Path) -> None:
        (folder / "empty").mkdir()
        sources = find_sources(["empty", "in/b.png"])
        assert [s.problem and s.problem.message for s in sources] == ["holds no pictures", None]

    def test_masks_and_results_are_no_inputs(self, folder: Path) -> None:
        exclude = [Path("in/b.png"), folder / "in" / "sub" / "deep"]
        sources = find_sources(["in"], recursive=True, exclude=exclude)
        assert [str(s) for s in sources] == ["in/a.JPG", "in/sub/c.gif"]

    def test_links_in_a_circle_are_not_followed(self, folder: Path) -> None:
        (folder / "in" / "sub" / "up").symlink_to(folder / "in")
        left_out = LeftOut()
        assert len(find_sources(["in"], recursive=True, left_out=left_out)) == 4
        assert left_out.kinds["linked folder"] == 1

    def test_very_deep_folders(self, folder: Path) -> None:
        deep = folder.joinpath("deep", *["d"] * 600)
        deep.mkdir(parents=True)
        (deep / "x.png").touch()
        assert len(find_sources(["deep"], recursive=True)) == 1
