"""What is built and installed: the wheel, its dependencies, and the commands that check them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

import genkit

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the installed hatchling from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_both_packages_and_nothing_of_the_rest(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "genkit",
        "genkit_export",
        f"genkit_onnx-{genkit.__version__}.dist-info",
    }
    for name in ("genkit/cli/app.py", "genkit/py.typed", "genkit_export/registry.py"):
        assert name in names


def test_the_wheel_holds_the_weights_but_not_their_checkpoints(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if "/weights/" in name}
    listing = ["git", "ls-files", "weights"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = done.stdout.splitlines()
    wanted = {f"genkit/{name}" for name in tracked if not name.endswith("checkpoint.safetensors")}
    assert wanted <= names
    assert not any(name.endswith("checkpoint.safetensors") for name in names)


def test_the_wheel_runs_as_it_is(wheel: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genkit", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, f"genkit {genkit.__version__}\n")


def test_the_metadata_names_the_licence_and_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    folder = f"genkit_onnx-{genkit.__version__}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
    assert metadata["Name"] == "genkit-onnx"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert b"genkit = genkit.__main__:main" in archive.read(f"{folder}/entry_points.txt")


@pytest.mark.parametrize(
    ("platform", "machine", "distribution"),
    [
        ("linux", "x86_64", "onnxruntime-gpu"),
        ("win32", "AMD64", "onnxruntime-gpu"),
        ("linux", "aarch64", "onnxruntime"),
        ("win32", "ARM64", "onnxruntime"),
        ("darwin", "arm64", "onnxruntime"),
        ("darwin", "x86_64", "onnxruntime"),
    ],
)
def test_every_platform_gets_exactly_one_onnxruntime(
    platform: str, machine: str, distribution: str
) -> None:
    environment: Any = {
        **default_environment(),
        "sys_platform": platform,
        "platform_machine": machine,
    }
    requirements = map(Requirement, PROJECT["project"]["dependencies"])
    assert [
        requirement.name
        for requirement in requirements
        if requirement.name.startswith("onnxruntime")
        and (requirement.marker is None or requirement.marker.evaluate(environment))
    ] == [distribution]


def test_the_tests_take_a_pytorch_of_one_release_and_the_export_takes_any_from_one_on() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    export = {r.name: r for r in map(Requirement, extras["export"])}
    dev = {r.name: r for r in map(Requirement, extras["dev"])}
    (pin,) = dev["torch"].specifier
    assert pin.operator == "=="
    assert export["torch"].specifier.contains(pin.version)


def test_the_changelog_has_the_version() -> None:
    assert f"## [{genkit.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_ignored_rule_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("\nignore = [") :]
    rules = re.findall(r'^    "[A-Z]+\d+",(.*)$', section, re.MULTILINE)
    assert len(rules) > 5
    assert all(re.fullmatch(r"  # .+", reason) for reason in rules)


def test_what_is_checked_for_a_person_is_what_ci_checks() -> None:
    """One set of commands, in .ci/run and in CONTRIBUTING."""
    ci = (ROOT / ".ci" / "run").read_text()
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for command in (
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "python -m mkdocs build --strict",
        "python -m pytest",
    ):
        assert command in ci
        assert command in contributing
