"""Every format: what is rendered again, and what a bad translation cannot break."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import document_structure as structure
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkit.documents import Document, Markup, format_of
from genkit.documents.glossary import Glossary
from genkit.documents.translating import translate_document, translate_segments
from genkit.errors import InputError, UsageError
from genkit.tasks.translations import Hypothesis, Translation

FOLDER = Path(__file__).parent.parent / "data" / "documents"
FILES = sorted(FOLDER.iterdir())


def parse(path: Path, data: bytes | None = None, **settings: bool) -> Document:
    kind = format_of(path)
    assert kind is not None
    return kind.parse(path.read_bytes() if data is None else data, **settings)


def translated(document: Document, change: Callable[[str], str]) -> bytes:
    """The document with each text changed by a function that sees its markup, too."""

    def translate(texts: Sequence[str], *, spans: Any) -> list[Translation]:
        assert len(texts) == len(spans)
        return [Translation((Hypothesis(change(text), 0.0),), 1, 1, 1, False) for text in texts]

    return document.render([o.pieces for o in translate_segments(document.segments, translate)])


def shouted(document: Document) -> bytes:
    """The document in capitals, all but the markup."""
    return document.render(
        [[p if isinstance(p, Markup) else p.upper() for p in s.pieces] for s in document.segments]
    )


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


CHANGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "words": lambda text: "Words",
    "reversed": lambda text: text[::-1],
    "heading": lambda text: f"# {text}",
    "marks": lambda text: f'- {text} | * _ ` <b> & --> " \\ [x](y) </p> {{',
    "item": lambda text: f"1. {text}*",
    "bare": lambda text: re.sub(r"<[^>]*>|\*", "", text),
    "turned": lambda text: " ".join(reversed(re.split(r"(<[^>]*>|\*\*|\*|\s)", text))),
    "twice": lambda text: f"{text} {text}",
}
"""What a bad model, or an odd one, could do."""


class TestAll:
    def test_its_own_pieces_give_the_file_back(self, path: Path) -> None:
        document = parse(path)
        assert document.segments
        assert document.render([s.pieces for s in document.segments]) == path.read_bytes()
        assert document.render([None] * len(document.segments)) == path.read_bytes()

    def test_line_ends_and_marks_of_encodings_stay(self, path: Path) -> None:
        data = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        for changed in (data, b"\xef\xbb\xbf" + data, data.decode().encode("utf-16")):
            document = parse(path, changed)
            assert document.render([s.pieces for s in document.segments]) == changed
            loud = shouted(document)
            assert loud != changed
            encoding = {b"\xff\xfe": "utf-16", b"\xef\xbb": "utf-8-sig"}.get(changed[:2], "utf-8")
            assert loud.decode(encoding).encode(encoding) == loud
            assert "\n" not in loud.decode(encoding).replace("\r\n", "")

    def test_a_changed_file_has_the_same_structure_and_other_words(self, path: Path) -> None:
        data, loud = path.read_bytes(), shouted(parse(path))
        see = structure.STRUCTURES[path.suffix]
        assert loud != data
        assert see(loud) == see(data)

    def test_what_was_written_is_read_again_as_it_was_meant(self, path: Path) -> None:
        if path.suffix == ".po":
            pytest.skip("its translations stand elsewhere")
        document = parse(path)
        again = parse(path, shouted(document))
        sources = [re.sub(r"\]\[[^]]*\]", "]", s.text.upper()) for s in document.segments]
        assert [re.sub(r"\]\[[^]]*\]", "]", s.text.upper()) for s in again.segments] == sources

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_no_translation_breaks_the_structure(
        self, path: Path, change: Callable[[str], str]
    ) -> None:
        see = structure.STRUCTURES[path.suffix]
        result = translated(parse(path), change)
        if path.suffix == ".md":  # links may change their places
            assert sorted(map(str, see(result))) == sorted(map(str, see(path.read_bytes())))
        else:
            assert see(result) == see(path.read_bytes())

    def test_what_is_no_text_is_an_error_of_one_line(self, path: Path) -> None:
        for data in (b"a\xff\n", b"a\0b\n"):
            with pytest.raises(InputError) as caught:
                parse(path, data)
            assert "\n" not in caught.value.message


def test_a_document_is_translated_by_one_call() -> None:
    def translate(texts: Sequence[str], *, spans: Any) -> list[Translation]:
        return [Translation((Hypothesis(text.upper(), 0.0),), 1, 1, 1, False) for text in texts]

    terms = Glossary({"dog": "Hund"})
    assert translate_document(b"a `dog`, a dog\n", "md", translate, glossary=terms) == (
        b"A `dog`, A Hund\n"
    )
    with pytest.raises(UsageError):
        translate_document(b"", "pdf", translate)


FRAGMENTS = {
    ".md": [
        "word", "Two dogs", " ", "\n", "\n\n", "*", "**", "_", "`", "[", "]", "](y)", "![", "<b>", "</b>",
        "<br>", "<!-- c -->", "&amp;", "&eacute;", "\\*", "\\", "# ", "- ", "1. ", "> ", "    ", "|",
        "| a | b |\n|---|---|\n| c | d |\n", "---\n", "===\n", "```\ncode\n```\n", "~~", "  \n", "[^1]",
        "[a]: b\n", "<http://x.y>", "<div>\n", ":::", "$x_1$", "{{ a }}", "a_b", "\r\n", "<code>", "[a]",
    ],
    ".html": [
        "word", "Two dogs", " ", "\n", "<p>", "</p>", "<b>", "</b>", "<i class='x'>", "</i>", "<br>",
        "<img alt='a dog' src=x>", '<a href="y" title="a link">', "</a>", "<code>", "</code>", "<pre>",
        "<script>", "</script>", "<!-- c -->", "<!--", "-->", "&amp;", "&nbsp;", "&eacute;", "&lt;", "&", "<",
        "> ", "<?php a > b ?>", "{{ x }}", "<div translate=no>", "</div>", "<li>", "<![CDATA[", "]]>", "'",
        '"', "<input type=submit value=Go>", "5 < 6", "a&b", "<style>", "</style>", "\r\n",
    ],
}  # fmt: skip


@pytest.mark.parametrize("suffix", FRAGMENTS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_nor_does_it_break_broken_ones(suffix: str, data: st.DataObject) -> None:
    fragments = st.lists(st.sampled_from(FRAGMENTS[suffix]), min_size=1, max_size=14)
    source = "".join(data.draw(fragments)).encode()
    path = Path(f"a{suffix}")
    see = structure.STRUCTURES[suffix]
    with warnings.catch_warnings():  # it says what is left as it is
        warnings.simplefilter("ignore", RuntimeWarning)
        for change in (CHANGES["marks"], CHANGES["twice"], CHANGES["turned"]):
            document = parse(path, source)
            assert document.render([s.pieces for s in document.segments]) == source
            result = translated(document, change)
            assert sorted(map(str, see(result))) == sorted(map(str, see(source)))
