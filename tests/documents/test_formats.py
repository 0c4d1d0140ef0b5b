"""What each format takes for language, and how it spells a translation."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from genkit.documents import Document, Markup, format_of, parse_format
from genkit.documents.po_formats import join_mnemonic, split_mnemonic
from genkit.errors import InputError, RuntimeUnavailableError, UsageError

FOLDER = Path(__file__).parent.parent / "data" / "documents"


def parse(name: str, source: str | bytes, **settings: bool | str) -> Document:
    kind = format_of(name)
    assert kind is not None
    return kind.parse(source if isinstance(source, bytes) else source.encode(), **settings)


def texts(name: str, source: str | bytes, **settings: bool) -> list[str]:
    return [segment.text for segment in parse(name, source, **settings).segments]


def loud(name: str, source: str | bytes, **settings: bool) -> str:
    """The source with its language, and nothing else, in capitals."""
    document = parse(name, source, **settings)
    pieces = [
        [p if isinstance(p, Markup) else p.upper() for p in s.pieces] for s in document.segments
    ]
    return document.render(pieces).decode()


class TestTable:
    def test_the_suffix_tells_the_format(self) -> None:
        names = {"a.md": "markdown", "b.HTM": "html", "c.pot": "po", "d.jsonl": "json"}
        assert {name: kind.name for name in names if (kind := format_of(name))} == names
        assert format_of("a.png") is None
        assert parse_format("md") is parse_format("Markdown")
        with pytest.raises(UsageError, match="'pdf'"):
            parse_format("pdf")

    def test_a_missing_library_is_named_with_what_to_type(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("genkit.documents.formats.find_spec", lambda name: None)
        for name, library in (
            ("a.po", "polib"),
            ("a.docx", "python-docx"),
            ("a.md", "markdown-it-py"),
        ):
            with pytest.raises(RuntimeUnavailableError, match=library) as caught:
                parse(name, "x")
            assert caught.value.hint == "pip install 'genkit-onnx[documents]'"
            assert caught.value.exit_code == 3
        assert texts("a.html", "<p>x</p>") == ["x"]


class TestMarkdown:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("# A title #\n", "# A TITLE #\n"),
            ("A\n=\n", "A\n=\n"),
            ("a `b` ``c`d`` e", "A `b` ``c`d`` E"),
            ("    code\n", "    code\n"),
            ("```\ncode\n```\n~~~ x\ncode\n~~~\n", "```\ncode\n```\n~~~ x\ncode\n~~~\n"),
            ("<div>\nraw\n</div>\n\nnot", "<div>\nraw\n</div>\n\nNOT"),
            ("+++\na = 'b'\n+++\nc", "+++\na = 'b'\n+++\nC"),
            ("---\nnot: a matter\n", "---\nNOT: A MATTER\n"),
            ("a  \nb\\\nc\n", "A  \nB\\\nC\n"),
            ("[a](b 'c') ![d](e) <f@g.h> http://i.j", "[A](b 'c') ![D](e) <f@g.h> HTTP://I.J"),
            ("[a b]\n\n[a b]: b\n", "[A B][a b]\n\n[a b]: b\n"),
            ("[a][] [`c`]\n\n[a]: b\n[`c`]: d\n", "[A][a] [`c`]\n\n[a]: b\n[`c`]: d\n"),
            ("[1]\n\n[1]: b\n", "[1]\n\n[1]: b\n"),
            (r"a\*b &amp; caf&eacute; \d", r"A\*B &amp; CAFÉ \D"),
            ("* * *\n- - -\n***\n", "* * *\n- - -\n***\n"),
            ("> a\n> > b\nc", "> A\n> > B\nC"),
            ("> a\nb\n", "> A\nB\n"),
            ("1) a\n   b\n10) c", "1) A\n   B\n10) C"),
            ("a | b\n--|--\n`c \\| d` | e\\|f\n", "A | B\n--|--\n`c \\| d` | E\\|F\n"),
            ("| a |\n|-|\n| a | a |\n\n| a", "| A |\n|-|\n| A | a |\n\n| A"),
            ("a[^1] $x_1$\n\n[^1]: b c", "A[^1] $x_1$\n\n[^1]: B C"),
            ("- [ ] a\n- [X] b", "- [ ] A\n- [X] B"),
            (":::note x\na\n:::\n", ":::note x\nA\n:::\n"),
            ("> [!WARNING]\n> a", "> [!WARNING]\n> A"),
            ("a {{ b }} {% c %} d {#id}", "A {{ b }} {% c %} D {#id}"),
            ("<kbd>a</kbd> <i>b</i><br>c <!-- d -->", "<kbd>a</kbd> <i>B</i><br>C <!-- d -->"),
            ("a\r\nb\r\n", "A\r\nB\r\n"),
            ("\ta\n\n- b\n\n\tc\n", "\ta\n\n- B\n\n\tC\n"),
            ("", ""),
        ],
    )  # fmt: skip
    def test_language_and_nothing_else_changes(self, source: str, expected: str) -> None:
        assert loud("a.md", source) == expected

    def test_a_wrapped_paragraph_is_one_text_and_is_wrapped_at_its_width(self) -> None:
        source = "> one two\n> three four\n> five\n"
        document = parse("a.md", source)
        assert [s.text for s in document.segments] == ["one two three four five"]
        longer = document.render([["eins zwei drei vier fünf sechs - 7. acht neun"]]).decode()
        assert longer == "> eins zwei\n> drei vier\n> fünf sechs - 7.\n> acht neun\n"

    def test_marks_that_only_surround_a_text_are_not_shown_to_the_model(self) -> None:
        assert texts("a.md", "**A whole sentence.**\n\n[A link](x)\n") == [
            "A whole sentence.",
            "A link",
        ]

    def test_a_new_mark_in_a_translation_is_no_markup(self) -> None:
        document = parse("a.md", "one word\n")
        assert document.render([["a *b* [c](d) <e>"]]) == b"a \\*b\\* \\[c\\](d) \\<e>\n"


class TestHtml:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("<p>a <b>b</b><br>c", "<p>A <b>B</b><br>C"),
            ("<p lang=en class='x'>a</p>", "<p lang=en class='x'>A</p>"),
            ("<img alt=a src=b>", '<img alt="A" src=b>'),
            ("<a title='it&#39;s' href='a'>b</a>", "<a title='IT&#39;S' href='a'>B</a>"),
            ("<script>a</script><style>b</style><pre>c</pre>d", "<script>a</script><style>b</style><pre>c</pre>D"),
            ("a <code>b</code> c", "A <code>b</code> C"),
            ("a <i translate=no>b <i>c</i></i> d", "A <i translate=no>b <i>c</i></i> D"),
            ("a&nbsp;b &amp; c &lt;d&gt; e & f", "A&nbsp;B &amp; C &lt;d&gt; E & F"),
            ("a &copy 2020 &ampb &lt c", "A &copy 2020 &ampB &lt C"),
            ("<!-- a --><p>b<!-- c -->", "<!-- a --><p>B<!-- c -->"),
            ("<?php a > b ?><p>c <%= d > e %> f", "<?php a > b ?><p>C <%= d > e %> F"),
            ("<meta name=description content='a'><meta name=x content='a'>",
             "<meta name=description content='A'><meta name=x content='a'>"),
            ("<input value=a><input type=submit value=a>", '<input value=a><input type=submit value="A">'),
            ("<P>a</P\n><TD>b", "<P>A</P\n><TD>B"),
            ("<p>a\n   b</p>", "<p>A\n   B</p>"),
            ("<svg><title>a</title></svg>b", "<svg><title>a</title></svg>B"),
            ("<![CDATA[ a ]]> <p", "<![CDATA[ a ]]> <p"),
        ],
    )  # fmt: skip
    def test_language_and_nothing_else_changes(self, source: str, expected: str) -> None:
        assert loud("a.html", source) == expected

    def test_characters_that_the_encoding_lacks_become_references(self) -> None:
        source = '<meta charset="iso-8859-1"><p>caf\xe9'.encode("latin-1")
        document = parse("a.html", source)
        assert [s.text for s in document.segments] == ["café"]
        assert document.render([["ж é"]]).endswith(b"<p>&#1078; \xe9")

    def test_a_quote_in_an_attribute_cannot_end_it(self) -> None:
        document = parse("a.html", "<img alt=\"a\"><img alt='b'><img alt=c>")
        pieces = [["\"'<&x;"]] * 3
        assert document.render(pieces).decode() == (
            '<img alt="&quot;\'&lt;&amp;x;"><img alt=\'"&#39;&lt;&amp;x;\'><img alt="&quot;\'&lt;&amp;x;">'
        )

    def test_tags_keep_their_order_and_code_may_move(self) -> None:
        segment = parse("a.html", "<p>a <b>b</b> c <code>d</code> e").segments[0]
        a, opened, b, closed, c, code, e = segment.pieces
        assert segment.accepts([a, code, c, opened, b, closed, e])
        assert segment.accepts([a, opened, code, b, closed, c, e])
        assert not segment.accepts([a, closed, b, opened, c, code, e])


class TestSubtitles:
    def test_a_cue_is_a_text_and_keeps_its_lines(self) -> None:
        source = "1\n00:00:01,000 --> 00:00:02,000\n<i>one two\nthree</i>\n\n2\n00:00:03,000 --> 00:00:04,000\n- a\n- b\nc\n"
        document = parse("a.srt", source)
        assert [s.text for s in document.segments] == ["one two three", "a", "b c"]
        result = document.render([["eins zwei drei vier"], ["A"], ["B"]]).decode()
        assert "<i>eins zwei\ndrei vier</i>\n" in result
        assert result.endswith("\n- A\n- B\n")

    def test_tags_take_no_room_in_a_line(self) -> None:
        source = (
            '1\n00:00:01,000 --> 00:00:02,000\n<font color="#ff0000">A:</font> one two\nthree\n'
        )
        segment = (document := parse("a.srt", source)).segments[0]
        pieces = [*segment.pieces[:-1], " eins zwei drei"]
        assert document.render([pieces]).decode().endswith("A:</font> eins\nzwei drei\n")

    def test_a_number_alone_is_text_where_it_is_not_that_of_a_cue(self) -> None:
        source = (
            "1\n00:00:01,000 --> 00:00:02,000\nIt is\n42\n\n2\n00:00:03,000 --> 00:00:04,000\nx\n"
        )
        assert texts("a.srt", source) == ["It is 42", "x"]

    def test_what_holds_no_cue_is_an_error(self) -> None:
        for name in ("a.srt", "a.vtt"):
            with pytest.raises(InputError):
                parse(name, "Hello\n")
        assert texts("a.vtt", "WEBVTT\n") == texts("a.srt", "") == []

    def test_a_named_encoding_is_that_of_files_that_are_not_utf_8(self) -> None:
        source = "1\r\n00:00:01,000 --> 00:00:02,000\r\ncaf\xe9\r\n"
        for spelled in ("cp1252", "utf-8"):
            document = parse("a.srt", source.encode(spelled), encoding="cp1252")
            assert [s.text for s in document.segments] == ["caf\xe9"]
            assert document.render([["\xfcber"]]) == source.replace("caf\xe9", "\xfcber").encode(
                spelled
            )
        document = parse("a.srt", source.encode("cp1252"), encoding="cp1252")
        with pytest.raises(InputError, match="has no"):
            document.render([["\u0436"]])
        with pytest.raises(InputError, match="neither UTF-8 nor ascii"):
            parse("a.srt", source.encode("cp1252"), encoding="ascii")


class TestPo:
    SOURCE = (FOLDER / "messages.po").read_bytes()

    def test_only_empty_messages_are_filled_and_marked(self) -> None:
        import polib

        result = polib.pofile(loud("a.po", self.SOURCE))
        filled = {
            e.msgid.strip()[:8]: (e.msgstr_plural or e.msgstr, "fuzzy" in e.flags) for e in result
        }
        assert filled["_Open th"] == ("_OPEN THE FILE", True)
        assert filled["%s of %d"] == ("%s OF %d FILES\n", True)
        assert filled["%d file "] == ({0: "%d FILE IS OPEN", 1: "%d FILES ARE OPEN"}, True)
        assert filled["{name} h"] == ('{name} HAS "{count}" DOGS', True)
        assert filled["done"] == ("fertig", False)
        assert filled["Two dogs"] == ("Zwei Katzen", True)
        assert filled["%"] == ("", False)
        assert filled["gone"] == ("weg", False)

    def test_without_the_mark_only_translations_change(self) -> None:
        result = loud("a.po", self.SOURCE, fuzzy=False).splitlines()
        removed = [line for line in self.SOURCE.decode().splitlines() if line not in result]
        assert all(line.startswith("msgstr") for line in removed)
        assert (
            '"  -H  SHOW THIS HELP AND THEN END THE PROGRAM AT ONCE, WITHOUT ANYTHING "' in result
        )

    def test_all_are_filled_if_they_are_to_be_overwritten(self) -> None:
        result = loud("a.po", self.SOURCE, overwrite=True)
        assert 'msgstr "DONE"' in result and 'msgstr "TWO DOGS"' in result and "weg" in result

    @pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext is not installed")
    def test_gettext_finds_no_fault(self) -> None:
        for fuzzy in (True, False):
            done = subprocess.run(
                ["msgfmt", "-c", "--use-fuzzy", "-o", "/dev/null", "-"],
                input=loud("a.po", self.SOURCE, fuzzy=fuzzy, overwrite=True).encode(),
                capture_output=True,
            )
            assert (done.returncode, done.stderr) == (0, b"")

    def test_nameless_placeholders_keep_their_order(self) -> None:
        for flag, source, ordered in (
            ("c-format", "%s of %d", True),
            ("c-format", "%1$s of %2$d", False),
            ("python-format", "%(a)s of %(b)d", False),
            ("python-brace-format", "{a} of {b}", False),
            ("python-brace-format", "{} of {:>3}", True),
        ):
            document = parse("a.po", f'#, {flag}\nmsgid "{source}"\nmsgstr ""\n')
            first, middle, last = document.segments[0].pieces
            assert document.segments[0].accepts([first, middle, last])
            assert document.segments[0].accepts([last, middle, first]) is not ordered

    def test_plural_forms_follow_the_header(self) -> None:
        entry = '#, c-format\nmsgid "a dog"\nmsgid_plural "%d dogs"\n'
        for forms, count, expected in (
            ("nplurals=1; plural=0;", 1, ["%d DOGS"]),
            ("nplurals=2; plural=n == 1 ? 1 : 0;", 2, ["%d DOGS", "A DOG"]),
            ("nplurals=3; plural=n%10==1 ? 0 : n%10<5 ? 1 : 2;", 3, ["%d DOGS"] * 3),
        ):
            header = f'msgid ""\nmsgstr "Plural-Forms: {forms}\\n"\n\n'
            slots = "".join(f'msgstr[{i}] ""\n' for i in range(count))
            result = loud("a.po", header + entry + slots)
            assert [
                line.split('"')[1] for line in result.splitlines() if "str[" in line
            ] == expected

    def test_access_keys_are_set_aside_and_put_back(self) -> None:
        assert split_mnemonic("_File") == ("File", "_", "F")
        assert split_mnemonic("Save &as") == ("Save as", "&", "a")
        for text in ("snake_case", "R&D", "a & b", "__init__", "_a _b", "&amp; x"):
            assert split_mnemonic(text)[0] == text or text == "&amp; x"
        assert join_mnemonic("Datei", "_", "F") == "_Datei"
        assert join_mnemonic("Speichern als", "&", "a") == "Speichern &als"

    def test_what_is_no_po_is_an_error(self) -> None:
        for source in ('msgid "a\nmsgstr ""\n', "Hello\n", 'msgid "a" b\n'):
            with pytest.raises(InputError):
                parse("a.po", source)


class TestJson:
    def test_layout_and_spelling_stay(self) -> None:
        source = '{ "a" :"b\\/c\\n", "d":[1.0,"\\u00e4" ] }\n'
        assert loud("a.json", source) == '{ "a" :"B\\/C\\n", "d":[1.0,"\\u00c4" ] }\n'
        assert loud("a.json", '["\\u2014 ä"]') == '["— Ä"]'
        assert loud("a.jsonl", '{"a": "b"}\n{"a": "c"}\n') == '{"a": "B"}\n{"a": "C"}\n'
        assert json.loads(parse("a.json", '["x"]').render([['"\\\n']])) == ['"\\\n']

    def test_what_is_no_json_is_an_error_with_its_place(self) -> None:
        for source in ("", "{", '{"a": }', "[1] 2", "[" * 100_000):
            with pytest.raises(InputError):
                parse("a.json", source)


class TestText:
    def test_a_line_is_a_text(self) -> None:
        assert texts("a.txt", "a\r\n\n b\n1\nc") == ["a", " b", "c"]

    def test_lines_of_a_paragraph_are_joined_and_broken_again(self) -> None:
        source = "one two three\nfour five\n\n  - one two\n    three\n  - four\n> a b\n> c\nnew\n"
        document = parse("a.txt", source, paragraphs=True)
        assert [s.text.strip() for s in document.segments] == [
            "one two three four five", "- one two three", "- four", "a b c", "new",
        ]  # fmt: skip
        result = loud("a.txt", source, paragraphs=True)
        assert result == source.upper()

    def test_a_longer_translation_has_more_lines(self) -> None:
        document = parse("a.txt", "one two\nthree\n\nx\n", paragraphs=True)
        result = document.render([["eins zwei drei vier fünf"], ["x"]]).decode()
        assert result == "eins\nzwei\ndrei\nvier\nfünf\n\nx\n"


class TestWord:
    def test_runs_keep_their_formatting_and_other_files_their_bytes(self) -> None:
        import zipfile

        docx = pytest.importorskip("docx")
        made = docx.Document()
        paragraph = made.add_paragraph("A ")
        paragraph.add_run("brown").bold = True
        paragraph.add_run(" dog ")
        paragraph.add_run("runs.\tFast")
        made.add_table(1, 1).cell(0, 0).text = "In a table"
        made.sections[0].header.paragraphs[0].text = "At the top"
        file = io.BytesIO()
        made.save(file)
        data = file.getvalue()

        document = parse("a.docx", data)
        assert [s.text for s in document.segments] == [
            "A <x1/>brown<x2/> dog runs.<x3/>Fast", "In a table", "At the top",
        ]  # fmt: skip
        assert document.render([s.pieces for s in document.segments]) == data
        assert document.render([None] * 3) == data
        pieces = [
            [p if isinstance(p, Markup) else p.upper() for p in s.pieces] for s in document.segments
        ]
        result = document.render(pieces)
        again = docx.Document(io.BytesIO(result))
        runs = [(run.text, run.bold) for run in again.paragraphs[0].runs]
        assert runs == [("A ", None), ("BROWN", True), (" DOG RUNS.", None), ("\tFAST", None)] or [
            text for text, bold in runs if bold
        ] == ["BROWN"]
        assert again.paragraphs[0].text == "A BROWN DOG RUNS.\tFAST"
        assert again.tables[0].cell(0, 0).text == "IN A TABLE"
        assert again.sections[0].header.paragraphs[0].text == "AT THE TOP"
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(io.BytesIO(result)) as new:
            assert old.namelist() == new.namelist()
            changed = {name for name in old.namelist() if old.read(name) != new.read(name)}
        assert changed == {"word/document.xml", "word/header1.xml"}

    def test_what_is_no_document_is_an_error(self) -> None:
        pytest.importorskip("docx")
        for data in (b"", b"PK\x03\x04 broken", b"Hello"):
            with pytest.raises(InputError, match="docx"):
                parse("a.docx", data)
