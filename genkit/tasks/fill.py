"""Filling gaps: texts with masks in, what may stand there out; and how likely a text is.

How masks are written, and what becomes of a text, is told in genkit.gaps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from genkit.errors import InputError, UsageError
from genkit.gaps import Answer, Filling, GappedText, JointFilling, JointFillings, Likelihood
from genkit.gaps import split as split_gaps
from genkit.masked import Beams, Found, MaskedModel, Query
from genkit.memory import TOO_LARGE, in_parts
from genkit.model import Model
from genkit.runtime import RuntimeOptions
from genkit.runtime.session import Closing
from genkit.text import Tokenizer

__all__ = ["Answer", "Filler", "Filling", "JointFilling", "JointFillings", "Likelihood"]

TOP = 5
BEAMS = 8
"""Joint fillings that are followed at a time, at least."""
MOST_JOINT = 1024
DUPLICATES = 4
"""How many more tokens are looked at, for those that are spelled alike."""
MOST_TOP = 1 << 20
"""More tokens than any vocabulary has."""


class Filler(Closing):
    """A masked language model, ready to use.

        fill = genkit.load("fill")
        fill(["The [MASK] barked all night."])            # ["The dog barked all night."]
        fill.fill(["The [MASK] barked all night."])[0]    # all answers, with probabilities

    What is found for a text does not depend on the other texts of the call. Raises ModelError or
    RuntimeUnavailableError if the model cannot be opened.
    """

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        self._masked = MaskedModel(model, model.card.role, options)
        assert model.card.text is not None
        self.model = model
        self._tokenizer = Tokenizer(model.file(model.card.text.tokenizer.source))
        self._before, self._after = self._frame()
        self.longest = self._masked.max_positions - len(self._before) - len(self._after)
        """Tokens that are seen at a time."""

    @property
    def runs_on(self) -> str:
        """The device, precision and threads, and why this device: for people to read."""
        session = self._masked.session
        return (
            f"{session.device} ({session.reason}), {session.precision}, "
            f"{self._masked.threads} thread(s)"
        )

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text with the likeliest answer at each mask. Raises InputError if one has none."""
        filled = []
        for result in self.fill(texts, top=1):
            if isinstance(result, InputError):
                raise result
            filled.append(result.filled)
        return filled

    def fill(
        self, texts: Sequence[str], *, top: int | None = None, targets: Sequence[str] = ()
    ) -> list[Filling | InputError]:
        """The answers for each mask, as if the others were not to be filled.

        Probabilities are among all tokens of the vocabulary. Without ``targets`` these are the
        ``top`` likeliest tokens, 5 by default; with them, the targets, all or the ``top`` best. A
        target of several pieces takes as many masks, which are filled from the left: its
        probability is the product of theirs. In place of the answers for a text without masks
        stands an InputError. Raises UsageError for a target that cannot be.
        """
        _check_list(texts)
        wanted = {target: self._pieces(target) for target in targets}
        return in_parts(
            lambda some: self._fill(some, wanted, top and min(top, MOST_TOP)),
            texts,
            InputError(TOO_LARGE),
        )

    def _fill(
        self, texts: Sequence[str], wanted: dict[str, tuple[int, ...]], top: int | None
    ) -> list[Filling | InputError]:
        parsed = self._parse(texts)
        queries = (q for text in parsed for q in self._fill_queries(text, list(wanted.values())))
        limit = top or TOP
        found = self._masked.ask(queries, 1 if wanted else limit + DUPLICATES)
        results: list[Filling | InputError] = []
        for text in parsed:
            if not text.columns:
                results.append(_no_mask())
                continue
            masks = []
            for number in range(len(text.columns)):
                if wanted:
                    best = self._targets(found, wanted)[:top]
                else:
                    best = self._likeliest(next(found), limit)
                masks.append(tuple(Answer(a, score, text, number) for a, score in best))
            if any(math.isnan(answer.score) for answers in masks for answer in answers):
                results.append(_no_number())
            else:
                results.append(Filling(tuple(masks), self._windowed(text), text.unknown, text))
        return results

    def fill_jointly(
        self, texts: Sequence[str], *, top: int = 5
    ) -> list[JointFillings | InputError]:
        """The ``top`` best ways to fill all masks of each text together.

        Masks are filled one after the other, each time the one that the model is most certain of,
        and every answer is seen when the next mask is filled; the best ways so far are followed
        side by side. The probability of a way is the product of those of its steps. In place of
        the answers for a text without masks, or with masks too far apart, stands an InputError.
        Raises UsageError for a ``top`` above 1024.
        """
        _check_list(texts)
        if top > MOST_JOINT:
            raise UsageError(f"at most {MOST_JOINT} joint fillings can be had, not {top}")
        return in_parts(lambda some: self._fill_jointly(some, top), texts, InputError(TOO_LARGE))

    def _fill_jointly(self, texts: Sequence[str], top: int) -> list[JointFillings | InputError]:
        parsed = self._parse(texts)
        beams: dict[int, Beams] = {}
        for i, text in enumerate(parsed):
            if text.columns and text.columns[-1] - text.columns[0] < self.longest:
                row, columns = self._window(text.row, text.columns)
                beams[i] = Beams(row, columns)
        width = max(top, BEAMS)
        while busy := [one for one in beams.values() if one.open]:
            lists = [list(one.queries()) for one in busy]
            found = self._masked.ask([query for queries in lists for query in queries], width)
            for one, queries in zip(busy, lists, strict=True):
                one.extend([next(found) for _ in queries], width)
        results: list[JointFillings | InputError] = []
        for i, text in enumerate(parsed):
            if i in beams:
                results.append(self._joint(text, beams[i], top))
            elif text.columns:
                results.append(InputError(f"its masks are more than {self.longest} tokens apart"))
            else:
                results.append(_no_mask())
        return results

    def score(self, texts: Sequence[str]) -> list[Likelihood | InputError]:
        """How likely each text is. A mask in it is seen as a mask, and not counted.

        In place of the likelihood of a text that is too much for the model stands an InputError.
        """
        _check_list(texts)
        return in_parts(self._score, texts, InputError(TOO_LARGE))

    def _score(self, texts: Sequence[str]) -> list[Likelihood | InputError]:
        parsed = self._parse(texts)
        found = self._masked.ask(query for text in parsed for query in self._score_queries(text))
        results: list[Likelihood | InputError] = []
        for text in parsed:
            count = len(text.row) - len(text.columns)
            total = math.fsum(next(found).target_scores[0] for _ in range(count))
            if math.isnan(total):
                results.append(_no_number())
            else:
                results.append(Likelihood(total, count, self._windowed(text), text.unknown))
        return results

    # Tokens

    def _frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The special tokens before and after a text."""
        (bare,), (whole,) = (
            self._tokenizer.encode(["a"], special=False),
            self._tokenizer.encode(["a"]),
        )
        start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return tuple(whole[:start]), tuple(whole[start + len(bare) :])

    def _parse(self, texts: Sequence[str]) -> list[GappedText]:
        split = [split_gaps(text) for text in texts]
        # A mask takes the space before it, as the word will that it hides.
        pieces = [
            part if i == len(parts) - 1 else part.rstrip()
            for parts in split
            for i, part in list(enumerate(parts))[::2]
        ]
        encoded = iter(self._tokenizer.encode(pieces, special=False))
        parsed = []
        for parts in split:
            row = list(next(encoded))
            columns = []
            for _ in parts[1::2]:
                columns.append(len(row))
                row += (self._masked.mask_id, *next(encoded))
            parsed.append(GappedText(parts, tuple(row), tuple(columns), self._unknown(row)))
        return parsed

    def _unknown(self, row: Sequence[int]) -> bool:
        """Whether there is something to read in a row, and the model knows nothing of it."""
        unknown = self._tokenizer.unknown_id
        if unknown not in row:
            return False
        others = dict.fromkeys(row)
        return not any(
            any(map(str.isalnum, *self._tokenizer.decode([[token]])))
            for token in others
            if token not in (unknown, self._masked.mask_id)
        )

    def _windowed(self, text: GappedText) -> bool:
        return len(text.row) > self.longest

    def _pieces(self, target: str) -> tuple[int, ...]:
        """The tokens of a target. Raises UsageError."""
        # Of a word inside of a text: in some vocabularies its token begins with the space before it.
        (pieces,) = self._tokenizer.encode([f" {target}"], special=False)
        assert self.model.card.text is not None
        if not pieces or set(pieces) & set(self.model.card.text.suppress_ids):
            raise UsageError(f"{self.model.card.name} cannot spell the target {target!r}")
        if len(pieces) > self.longest:
            raise UsageError(f"a target has more than {self.longest} tokens: {target[:40]!r}...")
        return tuple(pieces)

    def _window(
        self, row: tuple[int, ...], columns: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A row with special tokens around it, cut to what the model can see, with the columns in
        its middle; and where they are now.
        """
        start = 0
        if len(row) > self.longest:
            middle = (columns[0] + columns[-1] + 1) // 2
            start = min(max(middle - self.longest // 2, 0), len(row) - self.longest)
        cut = (*self._before, *row[start : start + self.longest], *self._after)
        shift = len(self._before) - start
        return cut, tuple(column + shift for column in columns)

    # Queries, and what becomes of the answers to them

    def _fill_queries(
        self, text: GappedText, targets: Sequence[tuple[int, ...]]
    ) -> Iterator[Query]:
        """For each mask: one query, with all targets of one piece; then those of each longer one."""
        single = tuple(pieces[0] for pieces in targets if len(pieces) == 1)
        for column in text.columns:
            row, (place,) = self._window(text.row, (column,))
            yield Query(row, place, single)
            for pieces in targets:
                if len(pieces) > 1:
                    yield from self._piece_queries(text, column, pieces)

    def _piece_queries(
        self, text: GappedText, column: int, pieces: tuple[int, ...]
    ) -> Iterator[Query]:
        count = len(pieces)
        masks = (self._masked.mask_id,) * count
        wider = (*text.row[:column], *masks, *text.row[column + 1 :])
        row, (first, *_) = self._window(wider, (column, column + count - 1))
        for i, piece in enumerate(pieces):
            begun = (*row[:first], *pieces[:i], *masks[i:], *row[first + count :])
            yield Query(begun, first + i, (piece,))

    def _targets(
        self, found: Iterator[Found], wanted: dict[str, tuple[int, ...]]
    ) -> list[tuple[str, float]]:
        """The targets and their log probabilities at a mask, best first."""
        single = iter(next(found).target_scores)
        scored = []
        for target, pieces in wanted.items():
            if len(pieces) == 1:
                score = next(single)
            else:
                score = math.fsum(next(found).target_scores[0] for _ in pieces)
            scored.append((target, score))
        return sorted(scored, key=lambda one: -one[1])

    def _likeliest(self, found: Found, limit: int) -> list[tuple[str, float]]:
        """The likeliest tokens that are spelled differently."""
        words = self._tokenizer.decode([[token] for token in found.tokens])
        best: dict[str, float] = {}
        for word, score in zip(words, found.scores, strict=True):
            best.setdefault(word, score)
        return list(best.items())[:limit]

    def _joint(self, text: GappedText, beams: Beams, top: int) -> JointFillings | InputError:
        fillings: dict[str, JointFilling] = {}
        for score, tokens in beams.states:
            if math.isnan(score):
                return _no_number()
            rows = [[tokens[column]] for column in beams.columns]
            answers = tuple(self._tokenizer.decode(rows))
            filled = text.filled(dict(enumerate(answers)))
            fillings.setdefault(filled, JointFilling(answers, score, filled))
            if len(fillings) == top:
                break
        return JointFillings(tuple(fillings.values()), self._windowed(text), text.unknown)

    def _score_queries(self, text: GappedText) -> Iterator[Query]:
        columns = frozenset(text.columns)
        for column, token in enumerate(text.row):
            if column not in columns:
                row, (place,) = self._window(text.row, (column,))
                masked = (*row[:place], self._masked.mask_id, *row[place + 1 :])
                yield Query(masked, place, (token,))


def _check_list(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("texts must be a list of strings; for one text: [text]")


def _no_number() -> InputError:
    return InputError("the model computes no number for it (NaN)")


def _no_mask() -> InputError:
    return InputError("no mask: write [MASK], <mask> or ___ where a word is missing")
