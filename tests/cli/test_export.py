"""``genkit export``: what it passes on, and what it says without PyTorch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from shell import genkit, process

import genkit_export
from genkit.errors import InputError


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands in for the export; holds what it was called with."""
    calls: list[Any] = []

    def export_checkpoint(
        checkpoint: Path, out: Path | None, *, report: Any, **options: Any
    ) -> Path | None:
        calls.append((checkpoint, out, options))
        print("PyTorch says something")
        report("12 layers")
        return out

    monkeypatch.setattr(genkit_export, "export_checkpoint", export_checkpoint)
    return calls


def test_passes_on_what_was_asked_for(exporter: list[Any]) -> None:
    genkit("export", "a.safetensors", "-o", "b")
    genkit("export", "a.safetensors", "--output", "b", "--name", "c", "--overwrite")
    assert exporter == [
        (Path("a.safetensors"), Path("b"), {"name": None, "overwrite": False}),
        (Path("a.safetensors"), Path("b"), {"name": "c", "overwrite": True}),
    ]


def test_prints_the_folder_and_says_the_rest_on_stderr(exporter: list[Any]) -> None:
    run = genkit("export", "a.safetensors", "-o", "b")
    assert run == (0, "b\n", "PyTorch says something\ngenkit: 12 layers\n")
    assert "12 layers" not in genkit("export", "a.safetensors", "-o", "b", "-q").err


def test_leaves_the_folder_to_the_export_when_none_is_given(exporter: list[Any]) -> None:
    genkit("export", "a.safetensors")
    assert exporter == [(Path("a.safetensors"), None, {"name": None, "overwrite": False})]


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


@pytest.mark.parametrize("missing", ["torch", "onnx", "safetensors"])
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    """In a process of its own, in which the package cannot be imported."""
    hide = f"import sys; sys.modules[{missing!r}] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    checkpoint = tmp_path / "a.safetensors"
    checkpoint.write_bytes(b"")
    run = process(
        "export",
        str(checkpoint),
        "-o",
        str(tmp_path / "b"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (run.code, run.out) == (3, "")
    message, hint = run.err.splitlines()
    assert message == f"genkit: export needs {missing}, which is not installed"
    assert hint == "hint: pip install 'genkit-onnx[export]'"


def test_a_module_of_our_own_that_is_missing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genkit_export", None)
    with pytest.raises(ModuleNotFoundError, match="genkit_export"):
        genkit("export", "a.safetensors", "-o", "b")
