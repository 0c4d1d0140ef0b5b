"""A model folder takes its place whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import folders
import pytest

from genkit.errors import UsageError
from genkit.model import list_models, open_model
from genkit_export import new_folder as module
from genkit_export.new_folder import PREFIX, new_folder


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A model with files that no export made."""
    out = folders.write(tmp_path, "translate")
    fill(out, "sample.jpg")
    (out / "notes").mkdir()
    fill(out / "notes", "a.txt")
    return out


@pytest.fixture(params=["exchange", "two renames", "stays"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a folder is replaced: in one step, without the system's help, or where it must stay."""
    if request.param == "two renames":
        monkeypatch.setattr(module, "_exchange", lambda *_: False)
    if request.param == "stays":
        monkeypatch.setattr(os.path, "ismount", lambda _: True)
    return str(request.param)


def test_an_earlier_export_goes_and_the_rest_stays(earlier: Path, way: str) -> None:
    with new_folder(earlier, overwrite=True) as folder:
        fill(folder, "model.json", "other.onnx")
        assert open_model(earlier), "it is whole until the end"
    assert names(earlier) == {"model.json", "other.onnx", "sample.jpg", "notes"}
    assert (earlier / "model.json").read_text() == "model.json"
    assert (earlier / "notes" / "a.txt").read_text() == "a.txt"
    assert names(earlier.parent) == {earlier.name}


def test_what_fails_leaves_all_as_it_was(earlier: Path, way: str) -> None:
    before = {path: path.read_bytes() for path in earlier.iterdir() if path.is_file()}
    with pytest.raises(RuntimeError), new_folder(earlier, overwrite=True) as folder:
        fill(folder, "model.json")
        raise RuntimeError
    assert {path: path.read_bytes() for path in earlier.iterdir() if path.is_file()} == before
    assert names(earlier.parent) == {earlier.name}


def test_a_link_keeps_pointing_where_it_did(earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(earlier)
    with new_folder(tmp_path / "link", overwrite=True) as folder:
        fill(folder, "model.json")
    assert (tmp_path / "link").is_symlink()
    assert "model.json" in names(earlier)
    assert "translate.int8.onnx" not in names(earlier)


def test_the_working_directory_is_not_pulled_away(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(earlier)
    with new_folder(Path(), overwrite=True) as folder:
        fill(folder, "model.json")
    assert Path("model.json").read_text() == "model.json"


def test_of_two_exports_into_one_place_the_second_is_refused_or_replaces_it_whole(
    tmp_path: Path,
) -> None:
    out = tmp_path / "model"
    with new_folder(out, overwrite=False) as slow:
        fill(slow, "model.json", "slow.onnx")
        with new_folder(out, overwrite=True) as quick:
            fill(quick, "model.json", "quick.onnx")
        with pytest.raises(UsageError, match="is not empty"), new_folder(out, overwrite=False):
            pass
        slow_one = new_folder(out, overwrite=True)
        with slow_one as folder:
            fill(folder, "model.json", "third.onnx")
        out.rename(tmp_path / "elsewhere")
    assert names(out) == {"model.json", "slow.onnx"}
    assert names(tmp_path / "elsewhere") == {"model.json", "third.onnx", "quick.onnx"}


def test_one_that_comes_late_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "model"
    late = new_folder(out, overwrite=False)
    folder = late.__enter__()
    fill(folder, "model.json", "late.onnx")
    with new_folder(out, overwrite=False) as quick:
        fill(quick, "model.json", "quick.onnx")
    with pytest.raises(UsageError, match="is not empty"):
        late.__exit__(None, None, None)
    assert names(out) == {"model.json", "quick.onnx"}
    assert names(tmp_path) == {"model"}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="cannot write"),
        new_folder(tmp_path / "file" / "model", overwrite=False),
    ):
        pass


KILLED = """
import sys, time
from pathlib import Path
from genkit_export.new_folder import new_folder
with new_folder(Path(sys.argv[1]), overwrite=True) as folder:
    (folder / "model.json").write_text(Path(sys.argv[2]).read_text())
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_export_is_no_model_and_is_swept_up(models: Path) -> None:
    out = folders.write(models, "translate")
    card = json.loads((out / "model.json").read_text())
    arguments = [sys.executable, "-c", KILLED, str(out), str(out / "model.json")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (left,) = out.parent.glob(f"{PREFIX}*")
        os.utime(left, (0, 0))
        with new_folder(out.parent / "new", overwrite=False):
            assert left.exists(), "it is in use"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (left / "model.json").is_file()
    assert [model.path for model in list_models()] == [out]
    assert json.loads((out / "model.json").read_text()) == card
    with new_folder(out.parent / "newer", overwrite=False) as folder:
        assert not left.exists()
        assert time.time() - folder.stat().st_mtime < 60
