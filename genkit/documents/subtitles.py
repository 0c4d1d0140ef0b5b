"""Subtitles: SubRip (SRT) and WebVTT.

Numbers, times, positions, tags, notes and styles stay as they are. A cue is translated alone,
its lines as one text (a sentence that goes on in the next cue is not joined: the words would
no longer stand where they are spoken), and has no more lines than before. Where several speak
in a cue, each line that begins with a dash is a text of its own.

The libraries for these formats write a file anew, and so lose what stands between the cues;
the tests compare with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from genkit.documents.layout import balance, join
from genkit.documents.run import Run, escaper
from genkit.documents.segment import Markup, Piece, Segment, in_order
from genkit.documents.source import Edit, SourceDocument, decode
from genkit.errors import InputError

__all__ = ["parse_srt", "parse_vtt"]

_LINE = re.compile(r"([^\r\n]*)(\r\n?|\n|\Z)")
_TIME = r"(?:\d+:)?\d{1,2}:\d{1,2}(?:[.,:]\d{1,3})?"
_TIMING = re.compile(rf"\s*-?{_TIME}\s*-->\s*-?{_TIME}(?:\s.*)?$")
_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>[A-Za-z][\w-]*)?[^<>\n]*>"  # <i>, </i>, <v Mary>, <00:01.000>
    r"|\{\\[^{}\n]*\}"  # {\an8}, {\i1}
)
_DASH = re.compile(r"\s*[-–—‐]+\s*(?=[^\s\d–—‐-])")
_Line = re.Match[str]


def parse_srt(data: bytes) -> SourceDocument:
    """Take a SubRip file apart. Raises InputError."""
    source, encoding = decode(data)
    lines = _lines(source)
    if source.strip() and not any(_TIMING.match(line[1]) for line in lines):
        raise InputError("not SubRip: no line has times (00:00:01,000 --> 00:00:02,000)")
    cues = _cues(lines, names=False)
    return SourceDocument(source, encoding, _edits(source, cues, entities=False))


def parse_vtt(data: bytes) -> SourceDocument:
    """Take a WebVTT file apart. Raises InputError."""
    source, encoding = decode(data)
    if not source.startswith("WEBVTT"):
        raise InputError("not WebVTT: the first line does not begin with WEBVTT")
    cues = _cues(_lines(source), names=True)
    return SourceDocument(source, encoding, _edits(source, cues, entities=True))


def _lines(source: str) -> list[_Line]:
    return [match for match in _LINE.finditer(source) if match[0]]


def _cues(lines: Sequence[_Line], *, names: bool) -> Iterator[tuple[int, Sequence[_Line]]]:
    """The lines of text of each cue, and the number of the first.

    In WebVTT a cue may have a name instead of a number, and ends at a blank line; what follows
    until the next one is a note or a style. In SubRip text after a blank line is text.
    """
    timings = [i for i, line in enumerate(lines) if _TIMING.match(line[1])]
    for begin, end in zip(timings, [*timings[1:], len(lines)], strict=False):
        last = lines[end - 1][1].strip()
        if end < len(lines) and end - 1 > begin and (last.isdigit() or (names and last)):
            end -= 1  # the number or name of the next cue
        cue = list(lines[begin + 1 : end])
        if names:
            blank = next((i for i, line in enumerate(cue) if not line[1].strip()), len(cue))
            cue = cue[:blank]
        yield begin + 2, cue


def _edits(
    source: str, cues: Iterator[tuple[int, Sequence[_Line]]], *, entities: bool
) -> list[Edit]:
    edits = []
    for number, cue in cues:
        group: list[_Line] = []
        for index, line in enumerate(cue):
            blank = not line[1].strip()
            if group and (blank or _DASH.match(_TAG.sub("", line[1]))):
                edits += _edit(source, group, number + index - len(group), entities)
                group = []
            if not blank:
                group.append(line)
        edits += _edit(source, group, number + len(cue) - len(group), entities)
    return edits


def _edit(source: str, group: Sequence[_Line], number: int, entities: bool) -> list[Edit]:
    """The edit of some lines that are one text, if there is anything to translate."""
    run = Run(source)
    for line in group:
        start, end = line.span(1)
        dash = _DASH.match(source, start, end)
        if line is group[0] and dash:
            run.markup(start, dash.end(), "void")
            start = dash.end()
        for tag in _TAG.finditer(source, start, end):
            _add_text(run, start, tag.start(), entities)
            name = tag["name"]
            role = "content" if name is None else "close" if tag["close"] else "open"
            run.markup(*tag.span(), "void" if source[tag.start()] == "{" else role, name or "")  # type: ignore[arg-type]
            start = tag.end()
        _add_text(run, start, line.end() if line is not group[-1] else end, entities)
    cut = run.cut()
    if cut is None:
        return []
    escape = escaper(run) if entities else str

    def accepts(pieces: Sequence[Piece]) -> bool:
        return in_order(pieces, cut.pieces) and "-->" not in "".join(
            piece for piece in pieces if isinstance(piece, str)
        )

    def write(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
        ends = [line[2] for line in group if line.start() < cut.end and line.end(1) > cut.start]
        return balance(join(pieces, spell, escape), len(ends), ends[0], seen=_seen)

    segment = Segment(cut.pieces, number, accepts)
    return [Edit(segment, cut.start, cut.end, write)]


def _seen(word: str) -> int:
    return len(_TAG.sub("", word))


def _add_text(run: Run, start: int, end: int, entities: bool) -> None:
    (run.entities if entities else run.text)(start, end)
