"""Lines, sentences and tokens, and what in a text is no language.

Whatever is cut here is cut without loss: the pieces of a line, put together, are the line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genkit.text.lines import LONGEST_LINE, Line, LineReader, read_chunks, read_lines
    from genkit.text.sentences import split_sentences
    from genkit.text.tokenizer import Tokenizer

__all__ = [
    "LONGEST_LINE",
    "Line",
    "LineReader",
    "Tokenizer",
    "read_chunks",
    "read_lines",
    "split_sentences",
]

# Loaded when they are asked for: the command line reads lines long before it cuts sentences.
_MODULES = {
    "LONGEST_LINE": "lines",
    "Line": "lines",
    "LineReader": "lines",
    "Tokenizer": "tokenizer",
    "read_chunks": "lines",
    "read_lines": "lines",
    "split_sentences": "sentences",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
