"""The option reference of a command, taken from the objects that parse its command line."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import typer

from genkit import registry
from genkit.cli.app import app

__all__ = ["commands", "names", "reference"]


def _command(line: str) -> tuple[Any, Any]:
    """A command such as ``models show`` and its context."""
    command: Any = typer.main.get_command(app)
    context: Any = typer.Context(command, info_name="genkit", **command.context_settings)
    for name in line.split():
        command = command.get_command(context, name)
        context = typer.Context(command, info_name=name, parent=context)
    return command, context


def names(line: str) -> set[str]:
    """Every spelling of every option of a command."""
    command, context = _command(line)
    options = (p for p in command.get_params(context) if p.param_type_name == "option")
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def reference(_path: Path, line: str) -> str:
    """The usage line and a list of arguments and options; of a group, of its subcommands."""
    command, context = _command(line)
    if hasattr(command, "list_commands"):
        parts = [
            f"### genkit {line} {name}\n\n{_summary(line, name)}\n\n{reference(_path, f'{line} {name}')}"
            for name in command.list_commands(context)
        ]
        return "\n\n".join(parts)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = ["```text", f"genkit {line} {usage}", "```", ""]
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is None:
            continue
        name, text = record
        text, facts = _parted(text)
        lines.append(f"- **`{name}`**: {_prose(text)}{f' *[{_prose(facts)}]*' if facts else ''}")
    return "\n".join(lines)


def commands(_path: Path, _rest: str) -> str:
    """A row for each command: its page and its line in ``genkit --help``."""
    rows = [
        f"| [`genkit {name}`]({name}.md) | {command.help} |"
        for name, command in registry.commands().items()
    ]
    return "\n".join(["| command | |", "|---|---|", *rows])


def _summary(line: str, name: str) -> str:
    command, _ = _command(f"{line} {name}")
    return _prose(str(command.help).partition("\n\n")[0])


def _parted(text: str) -> tuple[str, str]:
    """A help text and what Typer adds to it: ``[env var: X; default: y; z>=1]``."""
    body, _, facts = text.rpartition("  [")
    return (body, facts.removesuffix("]")) if body else (text, "")


def _prose(text: str) -> str:
    """Help text as Markdown: what looks like markup is shown as it stands."""
    text = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([*_#`\[\]])", r"\\\1", text)
