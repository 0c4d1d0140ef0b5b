"""Which pages there are, and what a page looks like when all of its generated parts are current."""

from __future__ import annotations

from pathlib import Path

from tools.gendocs import blocks, cards, console

__all__ = ["DOCS", "README", "ROOT", "pages", "refresh"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"


def pages() -> list[Path]:
    """The README, the pages below docs/, and the card pages that should exist."""
    found = {README, *DOCS.rglob("*.md"), *(cards.page(card) for card in cards.shipped())}
    return sorted(found)


def refresh(path: Path, *, run: bool = True) -> str:
    """The text of a page, generated blocks and, with ``run``, console blocks made anew.

    A card page that does not exist yet begins with a heading and its block.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else cards.new_page(path)
    text = blocks.refresh(text, path)
    return console.refresh(text) if run else text
