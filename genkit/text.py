"""Lines in, sentences, tokens.

Lines are read as bytes and decoded one by one, so that one broken line is one error. Whatever
is cut here is cut without loss: the pieces of a line, put together, are the line.
"""

from __future__ import annotations

import re
import select
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import BinaryIO

from genkit.errors import InputError, ModelError, UsageError

__all__ = ["Line", "LineReader", "Tokenizer", "read_chunks", "read_lines", "split_sentences"]

CHUNK = 1 << 16
LONGEST_LINE = 1 << 26
"""Bytes. A stream without line ends (/dev/zero) must not fill the memory."""
LINE_WEIGHT = 128


# Lines


@dataclass(frozen=True, slots=True)
class Line:
    """One line of input.

    ``number`` counts from 1; ``end`` is ``"\\n"``, ``"\\r\\n"`` or, on a last line without
    one, empty. A line that cannot be used says why in ``error``, and its ``text`` shows the
    stray bytes as U+FFFD.
    """

    number: int
    text: str
    end: str
    error: str | None = None

    @property
    def weight(self) -> int:
        """About what it takes in memory, in bytes; that of an empty line is not 0."""
        size = len(self.text) if self.text.isascii() else len(self.text.encode())
        return LINE_WEIGHT + size


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """The lines of a stream, each as soon as it is there. Raises InputError if reading fails.

    A byte order mark at the very beginning is left out.
    """
    number = size = 0
    parts: list[bytes] = []
    for chunk in read_chunks(stream):
        *heads, tail = chunk.split(b"\n")
        for head in heads:
            number += 1
            yield _line(number, b"".join((*parts, head)), size + len(head), b"\n")
            parts, size = [], 0
        size += len(tail)
        if size > LONGEST_LINE:
            parts = []
        elif tail:
            parts.append(tail)
    if size:
        yield _line(number + 1, b"".join(parts), size, b"")


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream, as many at a time as are there. Raises InputError if reading fails."""
    # A thread that waits inside a buffered reader holds its lock, and Python aborts when it
    # ends meanwhile; the raw file under it has no lock.
    raw = getattr(stream, "raw", stream)
    while True:
        try:
            chunk = raw.read(CHUNK)
            if chunk is None:  # a descriptor that somebody made non-blocking: not the end
                select.select([raw], [], [])
                continue
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror or error}") from error
        if not chunk:
            return
        yield chunk


def _line(number: int, data: bytes, size: int, end: bytes) -> Line:
    """Decode a line; ``data`` comes without its final line feed."""
    error = None
    if size > LONGEST_LINE:
        data, error = b"", f"longer than {LONGEST_LINE >> 20} MiB"
    if end and data.endswith(b"\r"):
        data, end = data[:-1], b"\r\n"
    if number == 1:
        data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        text = data.decode(errors="replace")
        error = f"not UTF-8: byte 0x{data[wrong.start]:02x} at position {wrong.start + 1}"
    else:
        if "\0" in text:
            error = f"NUL byte at position {data.index(0) + 1}"
    return Line(number, text, end.decode(), error)


class LineReader:
    """Reads lines in a thread of its own, so that all that is waiting can be taken at once.

    At most ``room`` bytes wait (or one line that is longer); a stream that brings more is left
    to wait itself, so memory stays flat however long it is.
    """

    def __init__(self, stream: BinaryIO, *, room: int = 1 << 21) -> None:
        self._room = room
        self._waiting: deque[Line] = deque()
        self._weight = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        # A daemon: it may stand in a read that never returns when the program is done.
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def take(self, weight: int, *, wait: bool = True) -> list[Line] | None:
        """All lines that wait, up to ``weight`` bytes, but at least one however long it is.

        If none is there, wait for one, or else return an empty list; at the end of the stream
        return None. Raises InputError when reading failed, after the lines before it were
        taken.
        """
        with self._changed:
            while wait and not self._waiting and not self._ended:
                self._changed.wait(1.0)  # on Windows, Ctrl-C does not end a wait without limit
            if self._ended and not self._waiting:
                if self._error is not None:
                    raise self._error
                return None
            lines: list[Line] = []
            while self._waiting and (not lines or self._waiting[0].weight <= weight):
                lines.append(self._waiting.popleft())
                weight -= lines[-1].weight
                self._weight -= lines[-1].weight
            self._changed.notify()
        return lines

    def _read(self, stream: BinaryIO) -> None:
        try:
            for line in read_lines(stream):
                with self._changed:
                    while self._waiting and self._weight + line.weight > self._room:
                        self._changed.wait()
                    self._waiting.append(line)
                    self._weight += line.weight
                    self._changed.notify()
        except BaseException as error:  # raised where the lines are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


# Sentences

# These always part what stands on either side of them: a table keeps its columns.
_SEPARATOR = re.compile("([\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+)")
# Without one of these inside, a text is one sentence.
_INNER_END = re.compile(r"[^\w\s,;:&+/'’–—-]\s+\S|[。！？｡]")
_WIDE_END = "。！？｡”」』"
_SPACES = {ord(char): " " for char in map(chr, range(0x3001)) if char.isspace()}


def split_sentences(text: str, language: str) -> list[str]:
    """Cut a text into sentences, each with the white space after it: joined, they are the text.

    ``language`` is an ISO 639 code. A sentence ends before white space (or after a full-width
    mark), and at every tab and line break.
    """
    sentences: list[str] = []
    for piece in _SEPARATOR.split(text):
        if sentences and piece and _SEPARATOR.match(piece):
            sentences[-1] += piece
        elif piece:
            sentences += _segment(piece, language) if _INNER_END.search(piece) else [piece]
    return sentences


def _segment(text: str, language: str) -> list[str]:
    # Not at the top: most short inputs never come here.
    import sentencex  # type: ignore[import-untyped]

    # Other white space than the plain space makes the library cut inside a character, and
    # panic; the lengths it finds are those of the original, so that is what is cut.
    segments = sentencex.segment(language, text.translate(_SPACES))
    sentences, start, end = [], 0, 0
    for segment in segments:
        end += len(segment)
        if segment[-1] == " " or segment[-1] in _WIDE_END:
            sentences.append(text[start:end])
            start = end
    if start < len(text):
        sentences.append(text[start:])
    return sentences


# Tokens

_CLAUSE = re.compile(r"[,;:)\]}”»–—-]\s+|[、，；：]")
_SPACE = re.compile(r"\s+")
# What would break "a line in, a line out", were a model to write it.
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")
BLOCK = 1 << 16
"""Characters of a long text that are tokenised at a time."""


class Tokenizer:
    """A ``tokenizer.json``, as Hugging Face's ``tokenizers`` reads it. Raises ModelError."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Backend  # 16 ms to import

        try:
            self._backend = Backend.from_file(str(path))
        except Exception as error:  # the library has no exception of its own
            raise ModelError(f"{path} is no tokeniser: {error}") from error
        self._backend.no_truncation()
        self._backend.no_padding()
        # "</s>" in a text is four characters like any other, not the end of the sentence.
        self._backend.encode_special_tokens = True
        self.unknown_id: int | None = self._find_unknown()
        """What stands for text that the tokeniser has no token for; None where there is no such."""

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """The ids of each text, with the special tokens that the model wants around it, or
        without them. Raises UsageError for a text that cannot be written as UTF-8.
        """
        try:
            encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=special)
        except TypeError:
            _check_unicode(texts)
            raise
        return [encoding.ids for encoding in encodings]

    def encode_start(self, text: str) -> list[int]:
        """The ids of the beginning of a text: nothing is added at its end. Raises UsageError for
        one that cannot be written as UTF-8.
        """
        try:
            ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        except TypeError:
            _check_unicode([text])
            raise
        return ids

    def _find_unknown(self) -> int | None:
        model = self._backend.model
        token = getattr(model, "unk_token", None)
        found = getattr(model, "unk_id", None) if token is None else None
        return found if token is None else self._backend.token_to_id(token)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of ids: one line each, without special tokens."""
        texts = self._backend.decode_batch(rows, skip_special_tokens=True)
        return [text.translate(_CONTROLS).strip() for text in texts]

    def split(self, text: str, limit: int) -> list[str]:
        """Cut a text into pieces of at most ``limit`` tokens, special tokens counted.

        (A single character may have more.) It is cut after a clause if it can be, else at a
        space, else between two tokens, and rather into two equal parts than into a long and a
        short one. Joined, the pieces are the text.
        """
        pieces: list[str] = []
        start = 0
        while start < len(text):
            block = text[start : start + BLOCK]
            cuts = self._cuts(block, limit, last=start + len(block) == len(text))
            pieces += [block[a:b] for a, b in pairwise([0, *cuts])]
            start += cuts[-1]
        lengths = map(len, self.encode(pieces))
        # A part of a word can have more tokens alone than it had in the word.
        return list(
            chain.from_iterable(
                [piece] if length <= limit or len(piece) == 1 else self.split(piece, limit)
                for piece, length in zip(pieces, lengths, strict=True)
            )
        )

    def _cuts(self, block: str, limit: int, last: bool) -> list[int]:
        """Where the pieces of a block end; the rest of one that is not the last is left over."""
        encoding = self._backend.encode(block, add_special_tokens=False)
        # A token begins where its character does, even if it is the third byte of one.
        begins = [begin for begin, _ in encoding.offsets]
        room = limit - self._backend.num_special_tokens_to_add(False)
        cuts: list[int] = []
        first, begin = 0, 0
        while len(begins) - first > room:
            left = len(begins) - first
            most = max(begins[first + room], begin + 1)
            aim = begins[first + left // 2] if last and left <= 2 * room else most
            aim = max(aim, begin + 1)
            begin = _break(block, begin + (aim - begin) // 2, most, aim)
            first = bisect_left(begins, begin)
            cuts.append(begin)
        if not cuts or (last and begin < len(block)):
            cuts.append(len(block))
        return cuts


def _check_unicode(texts: Sequence[str]) -> None:
    """Raise UsageError for text with lone surrogates, as Python reads bytes that are no UTF-8."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{text[:80]!r} is no text that can be written as UTF-8") from error


def _break(text: str, least: int, most: int, aim: int) -> int:
    """The best place to cut a text between ``least`` and ``most``: near ``aim``."""
    for pattern in (_CLAUSE, _SPACE):
        ends = [match.end() for match in pattern.finditer(text, least, most)]
        if ends:
            return min(ends, key=lambda end: abs(end - aim))
    return aim
