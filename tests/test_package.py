"""What ``import genkit`` gives, what it costs, and which module may import what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import python

import genkit

PACKAGE = Path(genkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"numpy", "onnxruntime", "PIL", "tokenizers"}
TRAINING = {"torch", "transformers", "onnx", "onnxscript", "safetensors"}


def imports(path: Path) -> Iterator[str]:
    """The top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert genkit.__all__ == sorted(genkit.__all__)
    for name in genkit.__all__:
        assert getattr(genkit, name) is not None
    assert set(genkit.__all__) <= set(dir(genkit))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'genkit' has no attribute 'translat'"):
        genkit.translat  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import genkit",
        "import genkit.model, genkit.card_json, genkit.runtime.devices, genkit.streams",
        "from genkit import Model, find, GenkitError",
        "from genkit.cli.app import main; main(['--version'])",
        "from genkit.cli.app import main; main(['--help'])",
        "from genkit.cli.app import main; main(['translate', '--help'])",
        "from genkit.cli.app import main; main(['classify', '--help'])",
        "from genkit.cli.app import main; main(['cyclegan', '--help'])",
        "from genkit.cli.app import main; main(['inpaint', '--help'])",
        "from genkit.cli.app import main; main(['sample', '--help'])",
        "from genkit.cli.app import main; main(['models', 'list'])",
        "from genkit.cli.app import main; main(['export', '--help'])",
    ],
)
def test_nothing_heavy_is_imported_before_a_graph_is_run(code: str) -> None:
    run = python(f"{code}\nimport sys\nprint(*sorted({HEAVY | TRAINING} & set(sys.modules)))")
    assert (run.code, run.out.splitlines()[-1]) == (0, ""), run


def test_completion_imports_nothing_heavy() -> None:
    code = "import atexit, sys; from genkit.cli.app import main\n"
    code += (
        f"atexit.register(lambda: print(*sorted({HEAVY} & set(sys.modules)), file=sys.stderr))\n"
    )
    code += "main([])"
    environment = {
        "_GENKIT_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "genkit translate --mod",
    }
    run = python(code, env=environment)
    assert "--model" in run.out
    assert run.err.strip() == ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_what_belongs_to_export(path: Path) -> None:
    assert not TRAINING & set(imports(path))


def test_only_the_runtime_imports_onnxruntime() -> None:
    users = [path.name for path in MODULES if "onnxruntime" in imports(path)]
    assert users == ["library.py"]


def test_only_the_export_command_imports_the_export_package() -> None:
    users = [path.name for path in MODULES if "genkit_export" in imports(path)]
    assert users == ["export.py"]
