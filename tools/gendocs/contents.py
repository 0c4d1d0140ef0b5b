"""Lists that come from the navigation, from the tables of the export and from other files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.gendocs.site import expand

__all__ = ["layouts", "navigation", "pages", "section"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def navigation() -> list[Any]:
    """The navigation of mkdocs.yml, patterns such as ``models/*.md`` replaced by their files."""
    loaded = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return expand(loaded["nav"])


def pages(path: Path, title: str) -> str:
    """A list of the pages below one heading of the navigation, each with its first sentence."""
    (items,) = [item[title] for item in navigation() if isinstance(item, dict) and title in item]
    lines = []
    for name in _flat(items):
        text = (DOCS / name).read_text(encoding="utf-8")
        if (heading := re.search(r"^# (.+)$", text, re.MULTILINE)) is None:
            raise ValueError(f"docs/{name} has no heading")
        link = os.path.relpath(DOCS / name, path.parent)
        lines.append(f"- [{heading[1]}]({link})")
    return "\n".join(lines)


def layouts(_path: Path, _rest: str) -> str:
    """A row for each layout of published checkpoints: name, command, what it is."""
    from genkit_export.registry import LAYOUTS  # PyTorch takes its time

    lines = ["| layout | command | checkpoint |", "|---|---|---|"]
    for layout in LAYOUTS:
        command = f"[`{layout.task}`](commands/{layout.task}.md)" if layout.task else "any"
        refused = "" if layout.architecture or not layout.task else " (recognised and refused)"
        lines.append(f"| `{layout.name}` | {command} | {layout.title}{refused} |")
    return "\n".join(lines)


def section(_path: Path, arguments: str) -> str:
    """The text below a heading of another file: of the first of the headings that it has.

    Raises:
        ValueError: the file has none of them.

    """
    name, _, headings = arguments.partition(" ")
    text = (ROOT / name).read_text(encoding="utf-8")
    for heading in headings.split("|"):
        found = re.search(
            rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
        )
        if found:
            return found[1]
    raise ValueError(f"{name} has no section {headings!r}")


def _flat(items: object) -> Iterator[str]:
    if isinstance(items, str):
        yield items
    elif isinstance(items, dict):
        for value in items.values():
            yield from _flat(value)
    elif isinstance(items, list):
        for item in items:
            yield from _flat(item)
