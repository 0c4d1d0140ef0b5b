"""Texts with gaps: what is one, and what filling them makes of the text."""

from __future__ import annotations

import pytest

from genkit.gaps import GappedText, split


@pytest.mark.parametrize(
    ("text", "gaps"),
    [
        ("a [MASK] b <mask> c ___ d", ["[MASK]", "<mask>", "___"]),
        ("_" * 1000, ["_" * 1000]),
        ("___.", ["___"]),
        ("'___'", ["___"]),
        ("The[MASK]barked", ["[MASK]"]),
        # A part of a word.
        ("un___able", ["___"]),
        ("l'___té", ["___"]),
        ("re___ ___ing", ["___", "___"]),
        ("[MASK]___x", ["[MASK]", "___"]),
        ("B2___", ["___"]),
        # Names of programs.
        ("snake_case___name", []),
        ("A snake_case___name and __init__", []),
        ("___init___", []),
        ("___init__", []),
        ("a___b___c", []),
        ("_private___", []),
        ("value___2", []),
        ("x1___y2", []),
        ("naïve_größe___名前", []),
        ("a ___ in snake_case___name, ___", ["___", "___"]),
        # What never was one.
        ("a__b", []),
        ("[mask] <MASK>", []),
        ("", []),
    ],
)
def test_what_is_a_gap(text: str, gaps: list[str]) -> None:
    parts = split(text)
    assert list(parts[1::2]) == gaps
    assert "".join(parts) == text


def test_names_by_the_thousand_take_no_time() -> None:
    text = "snake_case___name " * 50_000
    assert split(text) == (text,)
    assert len(split("a" * 500_000 + "___" + "b" * 500_000)) == 3


def test_a_piece_that_continues_takes_the_space_before_it() -> None:
    text = GappedText(split("play ___ and [MASK]  ___"), (), (), unknown=False)
    assert text.filled({0: "##ing"}) == "playing and [MASK]  ___"
    assert text.filled({2: "##s", 0: "a"}) == "play a and [MASK]s"
    assert text.filled({}) == "play ___ and [MASK]  ___"
