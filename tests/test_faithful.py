"""What a translation has to have besides its spans."""

from __future__ import annotations

import pytest

from genkit.text.faithful import has_kept_marks, has_own_numbers, preferred, split_at_marks
from genkit.text.spans import WINDOW, find_spans


@pytest.mark.parametrize(
    ("source", "translation", "kept"),
    [
        ("(a) b", "(a) b", True),
        ("(a) b", "(a b", False),
        ("a { b", "a b", False),
        ("file(s)", "Dateien", True),
        ("file", "", False),
        ('"a," he', '"a, er', False),
        ('"a" b', "a b", True),
    ],
)
def test_brackets_words_and_closed_quotes_are_kept(
    source: str, translation: str, kept: bool
) -> None:
    assert has_kept_marks(source, translation) is kept


def test_invented_numbers_are_told_apart() -> None:
    assert not has_own_numbers("the 3rd of May", "Am 30 Uhr")
    assert has_own_numbers("the 3rd of May", "der 3. Mai")
    assert has_own_numbers("at 7 p.m.", "um 19 Uhr")


def test_the_translation_with_the_quotes_is_preferred() -> None:
    assert preferred('"a" b', ["a b", '"a" b']) == [None, '"a" b']
    assert preferred('"a" b', ["a b", None]) == ["a b", None]


def test_pieces_at_marks_are_the_text() -> None:
    text = '(I am tired) and "cold" {x'
    pieces = split_at_marks(text)
    assert "".join(pieces) == text
    assert "I am tired" in pieces


def test_spans_of_long_lines_are_found_on_either_side_of_a_window() -> None:
    text = "word {name} " * WINDOW
    assert len(find_spans(text)) == WINDOW
