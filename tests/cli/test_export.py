"""``genkit export``: what it passes on, and what it says without PyTorch."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from shell import genkit, process

import genkit_export
from genkit.errors import InputError

PLAIN = {
    "name": None,
    "overwrite": False,
    "arch": None,
    "settings": {},
    "precision": "auto",
}
RECORD = {
    "path": "a.pth",
    "layout": "junyanz-resnet",
    "title": "A generator",
    "architecture": "cyclegan",
    "task": "cyclegan",
    "parameters": 11378179,
    "sha256": "0" * 64,
    "settings": [
        {"name": "width", "value": 64, "source": "read", "flag": "--set width=64"},
        {"name": "license", "value": "x=y", "source": "assumed", "flag": "--set license=x=y"},
    ],
    "notes": ["no batch ever went through it"],
}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands in for the export; holds what it was called with."""
    calls: list[Any] = []

    def export_checkpoint(
        checkpoint: Path, out: Path | None, *, report: Any, **options: Any
    ) -> Path | None:
        calls.append((checkpoint, out, options))
        print("PyTorch says something")
        os.write(1, b"and so does C++\n")
        report("12 layers")
        return out

    def inspect_checkpoint(checkpoint: Path, **options: Any) -> dict[str, Any]:
        calls.append((checkpoint, options))
        return RECORD

    monkeypatch.setattr(genkit_export, "export_checkpoint", export_checkpoint)
    monkeypatch.setattr(genkit_export, "inspect_checkpoint", inspect_checkpoint)
    return calls


def test_passes_on_what_was_asked_for(exporter: list[Any]) -> None:
    genkit("export", "a.safetensors", "-o", "b")
    genkit("export", "a.pth", "--output", "b", "--name", "c", "--overwrite")
    genkit("export", "a.pth", "-o", "b", "--arch", "lama", "--precision", "fp32")
    genkit("export", "a.pth", "-o", "b", "--set", "num-heads=3", "--set", "license=a=b")
    settings = {"num_heads": "3", "license": "a=b"}
    assert exporter == [
        (Path("a.safetensors"), Path("b"), PLAIN),
        (Path("a.pth"), Path("b"), PLAIN | {"name": "c", "overwrite": True}),
        (Path("a.pth"), Path("b"), PLAIN | {"arch": "lama", "precision": "fp32"}),
        (Path("a.pth"), Path("b"), PLAIN | {"settings": settings}),
    ]


def test_prints_the_folder_and_says_the_rest_on_stderr(exporter: list[Any]) -> None:
    run = genkit("export", "a.safetensors", "-o", "b")
    assert run == (0, "b\n", "PyTorch says something\ngenkit: 12 layers\n")
    assert "12 layers" not in genkit("export", "a.safetensors", "-o", "b", "-q").err


def test_what_c_code_prints_does_not_reach_stdout(
    exporter: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert genkit("export", "a.safetensors", "-o", "b").out == "b\n"
    assert capfd.readouterr() == ("", "and so does C++\n")


def test_leaves_the_folder_to_the_export_when_none_is_given(exporter: list[Any]) -> None:
    genkit("export", "a.safetensors")
    assert exporter == [(Path("a.safetensors"), None, PLAIN)]


def test_inspects(exporter: list[Any]) -> None:
    run = genkit("export", "--inspect", "a.pth", "--arch", "cyclegan")
    asked = {"name": None, "arch": "cyclegan", "settings": {}}
    assert exporter == [(Path("a.pth"), asked)]
    assert (run.code, run.err) == (0, "")
    assert run.out == (
        "layout        junyanz-resnet: A generator\n"
        "architecture  cyclegan\n"
        "task          cyclegan\n"
        "parameters    11,378,179\n"
        "width    64   read     --set width=64\n"
        "license  x=y  assumed  --set license=x=y\n"
        "note: no batch ever went through it\n"
    )


def test_json(exporter: list[Any]) -> None:
    run = genkit("export", "--inspect", "--json", "a.pth")
    assert json.loads(run.out) == RECORD | {"folder": None}
    run = genkit("export", "--json", "a.pth", "-o", "b")
    assert json.loads(run.out) == RECORD | {"folder": "b"}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--set", "width", "--set takes NAME=VALUE, not 'width'"),
        ("--set", "=3", "--set takes NAME=VALUE, not '=3'"),
        ("--precision", "fp16", "no such precision: 'fp16'"),
        ("--name", "my model", "a model cannot be called 'my model'"),
        ("--name", "../up", "a model cannot be called '../up'"),
    ],
)
def test_options_that_make_no_sense(
    option: str, value: str, message: str, exporter: list[Any]
) -> None:
    run = genkit("export", "a.pth", option, value)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith(f"genkit: {message}")
    assert genkit("export", "--inspect", "a.pth", option, value) == run
    assert not exporter


def test_an_error_of_the_export_is_one_of_genkit(
    exporter: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise InputError("a.safetensors is of no layout that genkit knows", hint="none")

    monkeypatch.setattr(genkit_export, "export_checkpoint", fail)
    assert genkit("export", "a.safetensors", "-o", "b") == (
        1,
        "",
        "genkit: a.safetensors is of no layout that genkit knows\nhint: none\n",
    )


@pytest.mark.parametrize("missing", ["torch", "onnx", "safetensors", "huggingface_hub"])
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    """In a process of its own, in which the package cannot be imported."""
    hide = f"import sys; sys.modules[{missing!r}] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    checkpoint = tmp_path / "a.safetensors"
    checkpoint.write_bytes(b"")
    run = process(
        "export",
        "hf:a/b" if missing == "huggingface_hub" else str(checkpoint),
        "-o",
        str(tmp_path / "b"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    )
    assert (run.code, run.out) == (3, "")
    message, hint = run.err.splitlines()
    assert message == f"genkit: export needs {missing}, which is not installed"
    assert hint == "hint: pip install 'genkit-onnx[export]'"


def test_a_module_of_our_own_that_is_missing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genkit_export", None)
    with pytest.raises(ModuleNotFoundError, match="genkit_export"):
        genkit("export", "a.safetensors", "-o", "b")


def test_a_place_that_cannot_be_is_refused_before_the_work(
    exporter: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    code, out, err = genkit("export", "x.pth")
    assert (code, out, exporter) == (2, "", [])
    assert err.startswith(
        f"genkit: no model can be written to {tmp_path}/file/genkit/models: Not a"
    )
    assert err.endswith("\nhint: -o DIR\n")
    assert genkit("export", "x.pth", "-o", str(tmp_path / "file" / "m")).code == 2
    assert genkit("export", "x.pth", "-o", str(tmp_path / "new" / "m")).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"], "nothing is left behind"
