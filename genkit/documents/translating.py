"""The segments of a document, translated: with their markup in its places, or left alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from genkit.documents.formats import parse_format
from genkit.documents.glossary import Glossary
from genkit.documents.segment import Markup, Piece, Segment, has_letter

if TYPE_CHECKING:
    from genkit.tasks.translations import Translation

__all__ = ["Outcome", "Translate", "translate_document", "translate_segments"]

WINDOW = 1 << 14
"""Characters that are translated at a time."""


class Translate(Protocol):
    """``Translator.translate`` with its settings, all but the texts."""

    def __call__(
        self, texts: Sequence[str], *, spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Translation]: ...


@dataclass(frozen=True)
class Outcome:
    """What became of a segment; ``pieces`` are None where it has to stay as it is."""

    segment: Segment
    pieces: Sequence[Piece] | None
    translations: tuple[Translation, ...]
    """One; or, where its markup did not come back right, one of each text between."""


def translate_segments(
    segments: Iterable[Segment], translate: Translate, glossary: Glossary | None = None
) -> Iterator[Outcome]:
    """Translate segments, in order.

    Where the translation of a segment would change the structure of its file, the texts
    between its markup are translated one by one; where that would too, it is left as it is.
    """
    for window in _windows(segments):
        yield from _translate(window, translate, glossary)


def translate_document(
    data: bytes,
    kind: str,
    translate: Translate,
    *,
    glossary: Glossary | None = None,
    **settings: bool | str | None,
) -> bytes:
    """Translate a document: ``translate`` is that of a Translator, ``kind`` a format's name.

    ``settings`` are ``paragraphs`` of plain text, ``overwrite`` and ``fuzzy`` of PO
    files, and ``encoding`` of files that are not UTF-8 and do not say what they are. Raises
    InputError if the document is broken, UsageError for an unknown format,
    RuntimeUnavailableError if a library is missing.
    """
    document = parse_format(kind).parse(data, **settings)
    outcomes = translate_segments(document.segments, translate, glossary)
    return document.render([outcome.pieces for outcome in outcomes])


def _windows(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    window: list[Segment] = []
    size = 0
    for segment in segments:
        window.append(segment)
        size += len(segment.text)
        if size >= WINDOW:
            yield window
            window, size = [], 0
    if window:
        yield window


def _translate(
    segments: Sequence[Segment], translate: Translate, glossary: Glossary | None
) -> list[Outcome]:
    termed = [glossary.apply(segment) if glossary else segment for segment in segments]
    results = translate([s.text for s in termed], spans=[s.spans for s in termed])
    outcomes: list[Outcome | None] = []
    for segment, source, result in zip(termed, segments, results, strict=True):
        pieces = segment.pieces_of(result.text)
        if pieces is not None:
            pieces = _with_edges(Glossary.restore(pieces), source)
        fits = pieces is not None and _has_words(pieces, source) and segment.accepts(pieces)
        outcomes.append(Outcome(source, pieces, (result,)) if fits else None)
    around = iter(
        _around([s for s, o in zip(termed, outcomes, strict=True) if o is None], translate)
    )
    done = []
    for source, outcome in zip(segments, outcomes, strict=True):
        if outcome is None:
            pieces, translations = next(around)
            pieces = _with_edges(pieces, source)
            fits = source.accepts(pieces) and _has_words(pieces, source)
            outcome = Outcome(source, pieces if fits else None, translations)
        done.append(outcome)
    return done


def _around(
    segments: Sequence[Segment], translate: Translate
) -> list[tuple[list[Piece], tuple[Translation, ...]]]:
    """The segments, with each text between their markup translated by itself."""
    texts = [p for s in segments for p in s.pieces if isinstance(p, str) and has_letter(p)]
    results = iter(translate(texts, spans=[()] * len(texts)) if texts else [])
    done = []
    for segment in segments:
        pieces: list[Piece] = []
        translations = []
        for piece in segment.pieces:
            if isinstance(piece, str) and has_letter(piece):
                translations.append(next(results))
                piece = _edges(piece, translations[-1].text)
            pieces.append(piece)
        done.append((Glossary.restore(pieces), tuple(translations)))
    return done


def _with_edges(pieces: list[Piece], source: Segment) -> list[Piece]:
    """Pieces with the white space at both ends that those of the source have."""
    if pieces and isinstance(first := pieces[0], str):
        begins = source.pieces[0] if isinstance(source.pieces[0], str) else ""
        pieces[0] = begins[: len(begins) - len(begins.lstrip())] + first.lstrip()
    if pieces and isinstance(last := pieces[-1], str):
        ends = source.pieces[-1] if isinstance(source.pieces[-1], str) else ""
        pieces[-1] = last.rstrip() + ends[len(ends.rstrip()) :]
    return [piece for piece in pieces if piece != ""]


def _edges(source: str, translation: str) -> str:
    """A translation with the white space that its source has at its ends."""
    core = source.strip()
    start = source.index(core)
    return source[:start] + translation.strip() + source[start + len(core) :]


def _has_words(pieces: Sequence[Piece], source: Segment) -> bool:
    """Whether anything came out at all."""
    return any(isinstance(p, str) and p.strip() for p in pieces) or not has_letter(
        "".join(p for p in source.pieces if not isinstance(p, Markup))
    )
