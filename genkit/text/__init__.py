"""Lines, sentences and tokens, and what in a text is no language.

Whatever is cut here is cut without loss: the pieces of a line, put together, are the line.
"""

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
