"""Spans that are no language, stand-ins for them, and marks in pairs."""

from __future__ import annotations

from itertools import pairwise

import pytest

from genkit.errors import UsageError
from genkit.text.pairs import wrap
from genkit.text.spans import Role, Span, compile_patterns, find_spans, is_plain
from genkit.text.stand_ins import FAMILIES, Rendered, render


def texts(text: str) -> list[str]:
    return [span.text for span in find_spans(text)]


class TestFind:
    @pytest.mark.parametrize(
        "text",
        [
            "Two dogs are running through the snow.",
            "I don't know, Tom.",
            "He said: no; but she - well - left (early)!",
            'Is it 100 percent sure? (and) "he"',
            "The dogs' bowl is Peter's.",
            "Wait... what?",
            "One two.Three",
            "50 cent",
            "the 2nd of the 1990s",
        ],
    )
    def test_words_are_none(self, text: str) -> None:
        assert [t for t in texts(text) if not t.isdigit()] == []

    @pytest.mark.parametrize(
        ("text", "spans"),
        [
            ("(see https://a.org/b_(c)).", ["https://a.org/b_(c)"]),
            ("at https://a.org, or a.org.", ["https://a.org", "a.org"]),
            ("{n}px and %dx%d", ["{n}px", "%dx%d"]),
            ("100% of %s", ["100%", "%s"]),
            ("50% off and 5 % discount", ["50%", "5 %"]),
            (
                "{count, plural, one {# dog} other {# {n} dogs}} left",
                ["{count, plural, one {# dog} other {# {n} dogs}}"],
            ),
            ("a {{ user.name }} b", ["{{ user.name }}"]),
            ("I {am tired} now", []),
            ("it is -5 or 3-5 or a-5", ["-5", "3-5", "5"]),
            ("pages 3-5, 7", ["3-5", "7"]),
            ("a 20-year-old man", []),
            ("x < y and y > z", ["<", ">"]),
            ("<a href='x>y'>z</a>", ["<a href='x>y'>", "</a>"]),
            ("AT&T and R&D; &amp;", ["&amp;"]),
            ("😀❤️ a 👨‍👩‍👧 🇩🇪🇫🇷", ["😀❤️", "👨‍👩‍👧 🇩🇪🇫🇷"]),
            ("from C:\\a\\b.txt, now", ["C:\\a\\b.txt"]),
            ("Call 555-123-4567 or 12-34", ["555-123-4567", "12-34"]),
            ("_not_ snake_case __init__", ["_", "_", "snake_case __init__"]),
            ("see <https://a.org/b>, <a@b.c>", ["<https://a.org/b>", "<a@b.c>"]),
            ("in C:\\Program Files\\A\\b.exe now", ["C:\\Program Files\\A\\b.exe"]),
            ("```a b``` and ``c`d``", ["```a b```", "``c`d``"]),
            ("press Ctrl+C or Alt-F4", ["Ctrl+C", "Alt-F4"]),
            ("\u00a7 5 and No. 7 by J. R. Smith", ["\u00a7 5", "No. 7", "J. R. Smith"]),
            ("happy :) and <3 user@host", [":)", "<3", "user@host"]),
            ("and/or rgb(1,2)", ["/", "rgb(1,2)"]),
            ("3 * 4 and **b**", ["3", "*", "4", "**", "**"]),
            ("It's $5, US$ 7, 5 EUR.", ["$5", "US$ 7", "5 EUR"]),
        ],
    )
    def test_these_are_found(self, text: str, spans: list[str]) -> None:
        assert texts(text) == spans

    def test_they_are_in_order_and_do_not_touch(self) -> None:
        text = "<b>{n}</b>{m} https://a.b/c `x`<i>"
        spans = find_spans(text)
        assert all(a.end <= b.start for a, b in pairwise(spans))
        assert all(text[span.start : span.end] == span.text for span in spans)

    def test_given_ranges_and_patterns_come_first(self) -> None:
        (pattern,) = compile_patterns(("Acme Inc",))
        spans = find_spans("Acme Inc sells **ropes** to Tom", [(28, 31)], [pattern], kinds=False)
        assert [span.text for span in spans] == ["Acme Inc", "Tom"]

    def test_a_range_outside_of_the_text_is_refused(self) -> None:
        with pytest.raises(UsageError, match="span 1 to 9 is not within a text of 3"):
            find_spans("abc", [(1, 9)])

    def test_a_bad_pattern_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"'\(' is no regular expression"):
            compile_patterns(("(",))

    @pytest.mark.parametrize(
        ("text", "plain"),
        [
            ("Two dogs are running, and Tom's cat sleeps.", True),
            ("Où est-il?", True),
            ("STOP", False),
            ("A Man Is Here", False),
            ("I have 2 dogs.", False),
            ("I like \ufb01sh.", False),
            ("- Hello", False),
            ("foo.bar", False),
        ],
    )
    def test_a_plain_sentence_is_seen_at_once(self, text: str, plain: bool) -> None:
        assert is_plain(text) == plain


def noun(text: str) -> Span:
    return Span(0, len(text), text)


def rendered(*segments: str | Span, family: str = "at", keep_copied: bool = True) -> Rendered:
    found = render(segments, family, keep_copied=keep_copied)
    assert found is not None
    return found


def undone(found: Rendered, text: str) -> str | None:
    parts = found.undo(text)
    return parts and "".join(part if isinstance(part, str) else part.text for part in parts)


class TestStandIns:
    def test_each_span_has_its_own(self) -> None:
        found = rendered("Hello ", noun("{a}"), " and ", noun("{b}"), "!")
        assert found.text == "Hello @1 and @2!"
        assert undone(found, "Hallo @2 und @1!") == "Hallo {b} und {a}!"

    @pytest.mark.parametrize(
        "text", ["Hallo @1!", "@1 @1 @2", "@1 @2 @3", "@1@2@", "@12", "@1 @ 2"]
    )
    def test_all_have_to_come_back_once(self, text: str) -> None:
        assert rendered("Hello ", noun("{a}"), " and ", noun("{b}"), "!").undo(text) is None

    def test_a_text_that_has_some_takes_another_family(self) -> None:
        segments = ["I am @1 and ", noun("{a}")]
        assert render(segments, "at", keep_copied=True) is None
        assert render(segments, "hash", keep_copied=True) is not None

    def test_there_are_not_more_than_there_are(self) -> None:
        spans = [
            part for i in range(len(FAMILIES["at"]) + 1) for part in (" and ", noun(f"{{{i}}}"))
        ]
        assert render(spans, "at", keep_copied=True) is None

    def test_what_models_copy_stays_and_is_counted(self) -> None:
        number = noun("17")._replace(copied=True)
        found = rendered("Dog ", number, " sees ", noun("%s"))
        assert found.text == "Dog 17 sees @1"
        assert undone(found, "Hund 17 sieht @1") == "Hund 17 sieht %s"
        for wrong in (
            "Hund 1 sieht @1",
            "Hund 17 17 sieht @1",
            "Hund 17.5 sieht @1",
            "Hund 117 @1",
        ):
            assert found.undo(wrong) is None
        assert rendered("Dog ", number, keep_copied=False).text == "Dog @1"

    def test_a_mark_is_glued_to_its_words_again(self) -> None:
        opening = Span(0, 3, "<b>", Role.MARK, side=1)
        closing = Span(0, 4, "</b>", Role.MARK, side=-1)
        found = rendered("I am ", opening, "here", closing, ".")
        assert found.text == "I am @1 here @2."
        assert undone(found, "Ich bin @1 hier @2.") == "Ich bin <b>hier</b>."
        assert found.undo("Ich bin hier @1 @2.") is None  # nothing is between them
        assert found.undo("@2 Ich bin @1 hier.") is None  # the wrong way round

    def test_what_is_left_of_a_stand_in_is_seen(self) -> None:
        found = rendered("Where is ", noun("{a}"), "?", family="flags")
        assert found.undo("Wo ist 🇦🇹? 🇦") is None


class TestPairs:
    B = (Span(0, 2, "**", Role.MARK, side=1), Span(0, 2, "**", Role.MARK, side=-1))
    I = (Span(0, 1, "_", Role.MARK, side=1), Span(0, 1, "_", Role.MARK, side=-1))  # noqa: E741

    def test_marks_are_put_around_what_their_words_became(self) -> None:
        text = "Der erste Hund ist braun."
        assert wrap(text, [(*self.B, ["braun"], "")]) == "Der erste Hund ist **braun**."

    def test_also_if_it_is_inflected(self) -> None:
        assert wrap("Ein brauner Hund.", [(*self.B, ["braun"], "")]) == "Ein **brauner** Hund."

    def test_the_second_choice_is_taken_where_the_first_is_not_there(self) -> None:
        assert wrap("Ein Hund.", [(*self.B, ["Rüde", "hund"], "")]) == "Ein **Hund**."

    @pytest.mark.parametrize("text", ["Keiner.", "Ein Hund und ein Hund."])
    def test_what_is_not_there_once_is_refused(self, text: str) -> None:
        assert wrap(text, [(*self.B, ["Hund"], "")]) is None

    def test_pairs_may_hold_each_other_but_not_cross(self) -> None:
        outer, inner = (*self.B, ["ein Hund"], ""), (*self.I, ["Hund"], "")
        assert wrap("Da ist ein Hund.", [inner, outer]) == "Da ist **ein _Hund_**."
        assert wrap("Da ist ein Hund.", [(*self.I, ["ist ein"], ""), outer]) is None

    def test_what_ends_the_words_stays_inside(self) -> None:
        assert wrap("Merke: gut.", [(*self.B, ["Merke"], ":")]) == "**Merke:** gut."
