"""Blocks of a page that come from the program, the cards or another file.

<!-- generated: options translate -->
...
<!-- /generated -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.gendocs import cards, contents, options

__all__ = ["GENERATORS", "Block", "find", "refresh"]

GENERATORS: Mapping[str, Callable[..., str]] = {
    "options": options.reference,  # COMMAND [SUBCOMMAND]
    "commands": options.commands,
    "card": cards.card,  # TASK/NAME
    "models": cards.table,
    "layouts": contents.layouts,
    "contents": contents.pages,  # SECTION of the navigation
    "section": contents.section,  # FILE HEADING|HEADING...
}
"""What may stand after ``generated:``. Each takes the page's path and the rest of the words."""

Block = re.compile(
    r"(?P<begin><!-- generated: (?P<name>\S+)(?: (?P<rest>[^\n]*?))? -->\n)"
    r".*?(?P<end><!-- /generated -->)",
    re.DOTALL,
)


def find(text: str) -> list[tuple[str, str]]:
    """The generated blocks of a page: generator and arguments."""
    return [(match["name"], match["rest"] or "") for match in Block.finditer(text)]


def refresh(text: str, path: Path) -> str:
    """The text with every generated block made anew.

    Raises:
        KeyError: a block names a generator that does not exist.

    """

    def made(match: re.Match[str]) -> str:
        body = GENERATORS[match["name"]](path, match["rest"] or "")
        return f"{match['begin']}\n{body.strip()}\n\n{match['end']}"

    return Block.sub(made, text)
