"""Options in groups: a command takes dataclasses of options, and Typer sees their fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

__all__ = ["grouped"]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer from a function that takes groups of options.

    A parameter whose type is a dataclass stands for the fields of it, in their order, each an
    option or an argument that is declared with Annotated. The function is called with the
    dataclasses. Raises TypeError where two options have one name.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind))
    names = [parameter.name for parameter in parameters]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{command.__name__} has options of one name: {', '.join(sorted(twice))}")
    members = {group: [field.name for field in fields(kind)] for group, kind in groups.items()}

    @wraps(command)
    def call(**values: Any) -> None:
        made = {
            group: groups[group](**{name: values.pop(name) for name in names})
            for group, names in members.items()
        }
        command(**values, **made)

    # All by keyword, so that an option without a default may follow one that has it.
    keyword = inspect.Parameter.KEYWORD_ONLY
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=keyword) for parameter in parameters]
    )
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _options(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default
