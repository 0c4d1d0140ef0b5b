"""Word documents: the text of paragraphs, wherever they stand (tables, headers, notes, boxes).

A paragraph is one text; where its formatting changes, or a tab, picture or field stands, is a
mark that the translation has to keep in its place. Nothing but ``w:t`` elements changes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import docx
from docx.oxml.ns import qn
from lxml import etree

from genkit.documents.segment import Markup, Piece, Segment, has_letter
from genkit.errors import InputError

__all__ = ["DocxDocument", "parse"]

_PARAGRAPH, _RUN, _TEXT = qn("w:p"), qn("w:r"), qn("w:t")
_PROPERTIES = qn("w:rPr")
_IGNORED = frozenset(
    qn(f"w:{name}")
    for name in (
        "pPr rPr proofErr bookmarkStart bookmarkEnd lastRenderedPageBreak softHyphen "
        "commentRangeStart commentRangeEnd permStart permEnd"
    ).split()
)
"""Elements that are between two words of a sentence without changing anything."""
_HOLDERS = frozenset(
    qn(f"w:{name}") for name in "hyperlink ins smartTag sdt sdtContent fldSimple moveTo".split()
)
"""Elements that hold runs."""
_OTHER_PART = re.compile(r"^word/(?:header|footer|footnotes|endnotes)\d*\.xml$")
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_SAME = frozenset(qn(f"w:{name}") for name in ("lang", "noProof", "rFonts", "webHidden"))
"""Properties of a run in which Word lets runs differ that look the same."""


def parse(data: bytes) -> DocxDocument:
    """Take a document apart. Raises InputError."""
    try:
        document = docx.Document(io.BytesIO(data))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, etree.XMLSyntaxError) as error:
        why = next(iter(str(error).splitlines()), "")
        raise InputError(f"not a Word document (docx): {why}") from error
    return DocxDocument(data, document)


@dataclass(frozen=True)
class _Paragraph:
    """A text between two marks is one or more elements; ``part`` is the file that holds them."""

    part: str
    slots: tuple[tuple[Any, ...], ...]


class DocxDocument:
    """A document and its paragraphs."""

    def __init__(self, data: bytes, document: Any) -> None:
        self._data = data
        self._roots = dict(_roots(document))
        self._paragraphs: list[_Paragraph] = []
        self.segments: list[Segment] = []
        for part, root in self._roots.items():
            for element in root.iter(_PARAGRAPH):
                self._add(part, element)

    def _add(self, part: str, element: Any) -> None:
        slots: list[list[Any]] = [[]]
        looks: list[bytes | None] = [None]
        for text, look in _texts(element):
            if text is None or (slots[-1] and look != looks[-1]):
                slots.append([])
                looks.append(look)
            if text is not None:
                slots[-1].append(text)
                looks[-1] = look
        texts = ["".join(text.text or "" for text in slot) for slot in slots]
        lettered = [index for index, text in enumerate(texts) if has_letter(text)]
        if not lettered:
            return
        begin, end = lettered[0], lettered[-1] + 1
        pieces: list[Piece] = []
        for index in range(begin, end):
            if index > begin:
                pieces.append(Markup(f"<x{index - begin}/>", 0, 0, "void"))
            if texts[index]:
                pieces.append(texts[index])
        markup = [piece for piece in pieces if isinstance(piece, Markup)]

        def accepts(translated: Sequence[Piece]) -> bool:
            return [piece for piece in translated if isinstance(piece, Markup)] == markup

        self.segments.append(Segment(tuple(pieces), 0, accepts))
        self._paragraphs.append(_Paragraph(part, tuple(map(tuple, slots[begin:end]))))

    def render(self, translations: Sequence[Sequence[Piece] | None]) -> bytes:
        """The document with translations in place of its paragraphs' texts."""
        changed = set()
        rows = zip(self._paragraphs, self.segments, translations, strict=True)
        for paragraph, segment, pieces in rows:
            if pieces is None or tuple(pieces) == segment.pieces:
                continue
            changed.add(paragraph.part)
            texts = [""]
            for piece in pieces:
                if isinstance(piece, str):
                    texts[-1] += piece
                else:
                    texts.append("")
            _fill(paragraph.slots, texts)
        return self._packed(changed) if changed else self._data

    def _packed(self, changed: Container[str]) -> bytes:
        """The archive with new XML in place of these files, and the others as they were."""
        target = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(self._data)) as old,
            zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for info in old.infolist():
                data = old.read(info)
                if info.filename in changed:
                    root = self._roots[info.filename]
                    data = etree.tostring(root, encoding="UTF-8", standalone=True)
                new.writestr(info, data)
        return target.getvalue()


def _roots(document: Any) -> Iterator[tuple[str, Any]]:
    """The files of a document that hold its text, by name; the main one comes first."""
    main = document.part
    others = [part for part in main.package.iter_parts() if part is not main]
    for part in [main, *others]:
        name = str(part.partname).lstrip("/")
        if part is main or _OTHER_PART.search(name):
            element = getattr(part, "element", None)
            yield name, etree.fromstring(part.blob) if element is None else element


def _texts(paragraph: Any) -> Iterator[tuple[Any | None, bytes | None]]:
    """The texts of a paragraph, each with what it looks like; None for what breaks them."""
    for child in paragraph:
        tag = child.tag
        if tag in _IGNORED or not isinstance(tag, str):
            continue
        if tag == _RUN:
            yield from _texts_of_run(child)
        elif tag in _HOLDERS:
            for text, look in _texts(child):
                yield text, look if look is None else b"%x " % id(child) + look
        else:
            yield None, None


def _texts_of_run(run: Any) -> Iterator[tuple[Any | None, bytes | None]]:
    look = b""
    for child in run:
        if child.tag == _PROPERTIES:
            kept = (part for part in child if part.tag not in _SAME)
            look = b"".join(sorted(etree.tostring(part) for part in kept))
    for child in run:
        if child.tag == _TEXT:
            yield child, look
        elif child.tag not in _IGNORED:
            yield None, None


def _fill(slots: Sequence[Sequence[Any]], texts: Sequence[str]) -> None:
    """Put each text into the first element of its slot, and empty the others."""
    for slot, text in zip(slots, texts, strict=True):
        for element, part in zip(slot, [text, *[""] * len(slot)], strict=False):
            element.text = part
            if part != part.strip():
                element.set(_SPACE, "preserve")
