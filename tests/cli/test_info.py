"""``genkit info``: versions and devices, and what to do about a GPU that is not used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folders
import pytest
from shell import genkit, process

import genkit as package
from genkit.cli import info
from genkit.errors import RuntimeUnavailableError
from genkit.runtime import devices, library
from genkit.runtime.devices import Driver
from genkit.runtime.engines import cuda, openvino

CURE = "pip install something"


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed; a test changes it."""
    installed = {"onnxruntime-gpu": "1.31", "numpy": "2.4", "tokenizers": "0.23"}
    monkeypatch.setattr(info, "_version", installed.get)
    return installed


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(usable: bool, reason: str, cure: str, *gpus: str) -> None:
        monkeypatch.setattr(devices, "probe_driver", lambda: Driver(gpus, reason))
        monkeypatch.setattr(cuda, "status", lambda: (usable, reason, cure))
        monkeypatch.setattr(openvino, "status", lambda: (False, "not installed", CURE))

    return install


def test_a_gpu_that_is_used(machine: Any, versions: dict[str, str], models: Path) -> None:
    machine(True, "the NVIDIA driver has 1 device(s)", "", "NVIDIA T4")
    out = genkit("info").out
    assert "cuda:0: NVIDIA T4\n" in out
    assert "--device auto takes: cuda:0\n" in out
    assert "CUDA is used: the NVIDIA driver has 1 device(s)\n" in out
    assert "to use it" not in out


def test_a_gpu_that_is_not_used(machine: Any, versions: dict[str, str], models: Path) -> None:
    machine(False, "libcublasLt.so.13 is missing", CURE, "NVIDIA T4")
    out = genkit("info").out
    assert "--device auto takes: cpu\n" in out
    assert "CUDA is not used: libcublasLt.so.13 is missing\n" in out
    assert f"to use it: {CURE}\n" in out


@pytest.mark.parametrize(
    ("units", "words", "taken"),
    [
        (True, ", with bfloat16 units", "cpu, and openvino for pictures"),
        (False, ", without bfloat16 units", "cpu"),
        (None, "", "cpu"),
    ],
)
def test_openvino_is_taken_for_bfloat16(
    machine: Any,
    versions: dict[str, str],
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    units: bool | None,
    words: str,
    taken: str,
) -> None:
    machine(False, "", "")
    monkeypatch.setattr(openvino, "status", lambda: (True, "a reason", ""))
    monkeypatch.setattr(devices, "bfloat16_units", lambda: units)
    versions["onnxruntime-ep-openvino"] = "1.8"
    out = genkit("info").out
    assert "onnxruntime-ep-openvino: 1.8\n" in out
    assert f"processors: {devices.default_threads()}{words}\n" in out
    assert f"--device auto takes: {taken}\n" in out
    assert "OpenVINO can be used: a reason\nmodels" in out


def test_openvino_that_cannot_be_used(machine: Any, versions: dict[str, str], models: Path) -> None:
    machine(False, "", "")
    out = genkit("info").out
    assert "onnxruntime-ep-openvino: not installed (pip install 'genkit-onnx[openvino]')\n" in out
    assert "OpenVINO cannot be used: not installed\nmodels" in out


def test_both_builds_of_onnxruntime_are_the_first_thing_to_cure(
    machine: Any, versions: dict[str, str], models: Path
) -> None:
    machine(False, "something else", CURE)
    versions["onnxruntime"] = "1.32"
    out = genkit("info").out
    assert "CUDA is not used: onnxruntime and onnxruntime-gpu are both installed" in out
    assert "to use it: pip uninstall onnxruntime onnxruntime-gpu, then" in out


def test_works_without_onnxruntime(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], models: Path
) -> None:
    def missing() -> None:
        raise RuntimeUnavailableError("ONNX Runtime is not installed", hint=CURE)

    monkeypatch.setattr(library, "onnxruntime", missing)
    run = genkit("info")
    assert (run.code, run.err) == (0, "")
    assert "providers in this build: none\n" in run.out
    assert f"CUDA is not used: ONNX Runtime is not installed\nto use it: {CURE}\n" in run.out


def test_extras_that_are_not_installed(
    machine: Any, versions: dict[str, str], models: Path
) -> None:
    machine(False, "", "")
    assert "torch: not installed (pip install 'genkit-onnx[export]')\n" in genkit("info").out
    versions["torch"] = "2.13.0+cpu"
    assert "torch: 2.13.0+cpu\n" in genkit("info").out


def test_models_and_where_they_are_looked_for(models: Path) -> None:
    folders.write(models, "translate")
    out = genkit("info").out
    assert f"models are looked for in: {models}, " in out
    assert "models: translate/en-de\n" in out


def test_json_is_one_object(models: Path) -> None:
    run = genkit("info", "--json")
    assert run.out.count("\n") == 1
    facts = json.loads(run.out)
    assert facts["genkit"] == package.__version__
    assert set(facts) == {
        "genkit",
        "python",
        "executable",
        "platform",
        "packages",
        "threads",
        "bfloat16",
        "gpus",
        "providers",
        "cuda",
        "cuda_reason",
        "cuda_cure",
        "openvino",
        "openvino_reason",
        "openvino_cure",
        "model_path",
        "models",
    }


def test_the_real_thing_prints_data_and_nothing_else() -> None:
    run = process("info")
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith(f"genkit {package.__version__}, Python 3.")
    assert "CPUExecutionProvider" in run.out
