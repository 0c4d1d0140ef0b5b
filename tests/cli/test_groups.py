"""Options in groups: Typer sees single options, the command gets the groups of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from genkit.cli.groups import grouped
from genkit.registry import TASKS, commands

Size = Annotated[int, typer.Option("--size", min=1)]


@dataclass(frozen=True)
class Paint:
    size: Size = 3
    color: Annotated[str | None, typer.Option("--color")] = None


@dataclass(frozen=True)
class Needed:
    name: Annotated[str, typer.Argument()]


def run(command: Any, *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_a_command_gets_groups_in_the_place_of_options() -> None:
    got: list[object] = []

    @grouped
    def command(ctx: typer.Context, *, what: Needed, fast: bool = False, paint: Paint) -> None:
        """Paint."""
        got.extend((type(ctx).__name__, what, fast, paint))

    assert run(command, "wall", "--size", "4", "--fast").exit_code == 0
    assert got == ["Context", Needed("wall"), True, Paint(4, None)]
    assert list(signature(command).parameters) == ["ctx", "name", "fast", "size", "color"]
    assert command.__doc__ == "Paint."


def test_the_checks_of_options_hold() -> None:
    @grouped
    def command(*, paint: Paint) -> None:
        pytest.fail("it is not called")

    assert run(command, "--size", "0").exit_code == 2


def test_two_options_of_one_name_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="command has options of one name: size"):

        @grouped
        def command(*, paint: Paint, size: Size = 1) -> None: ...


@pytest.mark.parametrize("name", [*TASKS, "export"])
def test_commands_take_few_things(name: str) -> None:
    __import__(commands()[name].command)
    (command,) = sys.modules[commands()[name].command].app.registered_commands
    assert len(signature(command.callback.__wrapped__).parameters) <= MOST[name]


MOST = dict.fromkeys([*TASKS, "export"], 14) | {"translate": 20}
"""Parameters of a command, groups counted as one."""
