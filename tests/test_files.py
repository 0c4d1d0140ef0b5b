"""Which pictures are read, and where the results go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from genkit.errors import UsageError
from genkit.files import find_sources, split_list, stream_sources
from genkit.targets import plan


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


def targets(names: list[str], output: str, kind: str | None = None, **options: bool) -> list[str]:
    jobs = plan(find_sources(names, **options), output, kind)
    return [str(job.target) for job in jobs]


class TestSources:
    def test_a_folder_gives_its_pictures_in_order(self, folder: Path) -> None:
        assert [str(s) for s in find_sources(["in"])] == ["in/a.JPG", "in/b.png"]

    def test_subfolders_on_request(self, folder: Path) -> None:
        sources = find_sources(["in"], recursive=True)
        places = [str(s.place) for s in sources]
        assert places == ["a.JPG", "b.png", "sub/c.gif", "sub/deep/a.jpg"]

    def test_results_of_an_earlier_run_are_no_inputs(self, folder: Path) -> None:
        sources = find_sources(["in"], recursive=True, exclude=Path("in/sub"))
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

    def test_two_inputs_never_claim_one_output(self, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"x/a.jpg and y/a.jpg would both be written to out/a"):
            targets(["x/a.jpg", "y/a.jpg"], "out")
        with pytest.raises(UsageError, match=r"a.jpg and a.png would both be written to out/a.tif"):
            targets(["a.jpg", "a.png"], "out", "tiff")
