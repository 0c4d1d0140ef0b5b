"""The table of tasks: what a row says is true, and a row, two modules and a card are a task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_overloads, get_type_hints

import folders
import pytest
from shell import genkit, process

from genkit import find, load, registry
from genkit.card import Card
from genkit.card_json import SECTIONS
from genkit.errors import CardError, UsageError
from genkit.registry import TASKS, Task

TOY = Task(
    help="Say how much noise there would be.",
    command="toy.command",
    module="toy.task",
    cls="Toy",
    role="measure",
    takes=("latent",),
    gives=("values",),
    fields=("classes",),
)
CARD = Path(__file__).parent / "toy" / "card.json"


@pytest.fixture
def toys(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A genkit with one row more, and a model for it."""
    monkeypatch.setitem(registry.TASKS, "toy", TOY)  # type: ignore[arg-type]
    folder = models / "toy" / "small"
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes(CARD.read_bytes())
    (folder / "measure.onnx").write_bytes(folders.GRAPH)
    return folder


@pytest.mark.parametrize("name", TASKS)
class TestRows:
    def test_have_a_class_and_a_command(self, name: str) -> None:
        row = TASKS[name]
        assert isinstance(getattr(import_module(row.module), row.cls), type)
        assert import_module(row.command).app

    def test_name_a_section_of_cards(self, name: str) -> None:
        row = TASKS[name]
        assert row.section in SECTIONS
        assert row.section in {field.name for field in fields(Card)}
        section = folders.card(name)[row.section]
        assert set(row.fields) <= set(section)

    def test_have_an_overload_of_load(self, name: str) -> None:
        row = TASKS[name]
        names = {row.cls: getattr(import_module(row.module), row.cls) for row in TASKS.values()}
        hints = [get_type_hints(one, localns=names) for one in get_overloads(load)]
        (result,) = [hint["return"] for hint in hints if get_args(hint["task"]) == (name,)]
        assert result is names[row.cls]


def test_commands_that_are_no_tasks_have_modules_too() -> None:
    for row in registry.TOOLS.values():
        assert import_module(row.command).app


class TestToy:
    def test_is_a_command(self, toys: Path) -> None:
        assert genkit("toy", "3") == (0, "12\n", "")
        assert genkit("toyy").err.endswith("hint: did you mean 'toy'?\n")

    def test_is_in_the_help(self, toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
        genkit("--help")
        assert f"  {'toy':<10} {TOY.help}" in capsys.readouterr().out.splitlines()
        genkit("toy", "--help")
        assert capsys.readouterr().out.split("\n\n")[1].strip() == TOY.help

    def test_is_loaded(self, toys: Path) -> None:
        assert load("toy")(2) == 8
        assert load("toy", "small", threads=1)(1) == 4

    def test_is_unknown_without_its_row(self) -> None:
        with pytest.raises(UsageError, match="unknown task 'toy'"):
            load("toy")
        assert process("toy").code == 2

    def test_has_models(self, toys: Path) -> None:
        assert genkit("models", "list", "--task", "toy").out.split()[:2] == ["toy", "small"]
        assert find("toy").card.role == "measure"

    @pytest.mark.parametrize(("section", "field"), [("latent", None), ("latent", "classes")])
    def test_has_checked_cards(self, toys: Path, section: str, field: str | None) -> None:
        data: Any = json.loads(CARD.read_bytes())
        del (data[section] if field else data)[field or section]
        (toys / "model.json").write_text(json.dumps(data))
        with pytest.raises(CardError, match=field or section):
            load("toy", str(toys))

    def test_may_be_exported(self, toys: Path) -> None:
        from genkit_export.checkpoints.layout import Loaded
        from genkit_export.export import _check_card

        loaded = Loaded({}, {}, {"task": "toy", "name": "small"})
        _check_card(loaded, None, toys)
