"""Documents: what is language in a file, and the file again with that language translated.

Each format has a module with ``parse(data) -> Document``. A document lists its segments, texts
with the markup inside them, and ``render`` puts translations in their places: whatever is no
language stays byte for byte, and rendering the segments' own pieces gives the file back.
"""

from genkit.documents.formats import FORMATS, Format, format_of, parse_format
from genkit.documents.segment import Document, Markup, Piece, Segment

__all__ = [
    "FORMATS",
    "Document",
    "Format",
    "Markup",
    "Piece",
    "Segment",
    "format_of",
    "parse_format",
]
