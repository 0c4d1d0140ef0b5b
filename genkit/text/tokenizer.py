"""Text to token ids and back, and texts cut to a number of tokens."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

from genkit.errors import ModelError, UsageError

__all__ = ["Tokenizer"]

_CLAUSE = re.compile(r"[,;:)\]}”»–—-]\s+|[、，；：]")
# Words that begin a clause, of English, German, French and Spanish.
_CONJUNCTION = re.compile(
    r"\s+(?=(?:and|but|or|because|while|when|which|who|so|if|und|aber|oder|weil|dass|während|wenn|"
    r"et|mais|ou|car|parce|qui|quand|pendant|y|pero|porque|que)\s)"
)
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
    for pattern in (_CLAUSE, _CONJUNCTION, _SPACE):
        ends = [match.end() for match in pattern.finditer(text, least, most)]
        if ends:
            return min(ends, key=lambda end: abs(end - aim))
    return aim
