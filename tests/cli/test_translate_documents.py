"""``genkit translate`` on documents, folders of them, and with a glossary."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shouting_model
from document_structure import STRUCTURES

from genkit.cli.app import main
from genkit.cli.document_records import RECORD
from genkit.streams import Streams

DATA = Path(__file__).parent.parent / "data" / "documents"
Run = tuple[int, str, str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shouting_model.write_model(tmp_path_factory.mktemp("models") / "translate" / "shout")


@pytest.fixture
def run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)

    def run(*args: str, stdin: bytes = b"") -> Run:
        out, err = io.BytesIO(), io.StringIO()
        code = main(
            ["translate", "--model", str(model), *args], Streams(io.BytesIO(stdin), out, err)
        )
        return code, out.getvalue().decode(), err.getvalue()

    return run


def write(path: str, text: str | bytes) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def later(path: Path, seconds: int) -> None:
    """Move a file's time."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + seconds * 10**9))


class TestOneDocument:
    def test_the_file_name_tells_the_format(self, run: Callable[..., Run]) -> None:
        write("a.md", "# a *b*\n\n    code\n")
        assert run("-i", "a.md") == (0, "# A *B*\n\n    code\n", "")
        assert run("-i", "a.md", "-o", "b.md") == (0, "", "")
        assert Path("b.md").read_text() == "# A *B*\n\n    code\n"
        assert run("-i", "a.md", "--format", "text")[1] == "# A *B*\n\n    CODE\n"

    def test_a_pipe_is_text_unless_it_is_said_what_it_is(self, run: Callable[..., Run]) -> None:
        page = b"<p title=x>a <code>b</code>"
        assert run(stdin=page)[1].endswith("</code>")
        assert run("--format", "html", stdin=page) == (0, '<p title="X">A <code>b</code>', "")
        assert run("--format", "html", "-i", "-", stdin=page)[1] == '<p title="X">A <code>b</code>'
        assert run("--format", "json", '{"a": "b"}') == (0, '{"a": "B"}\n', "")

    def test_paragraphs_are_joined_on_demand(self, run: Callable[..., Run]) -> None:
        text = b"one two\nthree four.\n\nlast\n"
        assert run("--paragraphs", stdin=text) == (0, text.decode().upper(), "")
        write("a.txt", text)
        assert run("--paragraphs", "-i", "a.txt") == (0, text.decode().upper(), "")

    def test_a_broken_document_is_one_line_and_nothing_is_written(
        self, run: Callable[..., Run]
    ) -> None:
        write("a.json", "{")
        write("b.json", "old")
        code, out, err = run("-i", "a.json", "-o", "b.json")
        assert (code, out) == (1, "")
        assert err.startswith("genkit: a.json: not JSON: ") and err.count("\n") == 1
        assert Path("b.json").read_text() == "old"
        assert run("--format", "srt", stdin=b"a\n")[0] == 1

    @pytest.mark.parametrize("option", ["--json", "--scores", "--n-best=2", "--prefix=x"])
    def test_what_is_about_lines_is_refused(self, run: Callable[..., Run], option: str) -> None:
        code, out, err = run("--format", "html", option, stdin=b"<p>a")
        assert (code, out) == (2, "") and option.split("=")[0] in err and "--format text" in err

    def test_mistakes_are_usage_errors(self, run: Callable[..., Run], tmp_path: Path) -> None:
        assert run("--format", "pdf")[::2] == (
            2,
            "genkit: unknown format 'pdf'\n"
            "hint: one of: text, markdown, html, srt, vtt, po, json, docx\n".replace(
                "hint", "hint"
            ),
        )
        code, _, err = run("-i", str(tmp_path))
        assert code == 2 and "is a folder" in err and f"-r {tmp_path} -o FOLDER" in err
        assert run("-i", "missing.md")[0] == 1
        write("a.md", "x")
        code, _, err = run("-i", "a.md", "-o", str(tmp_path))
        assert code == 2 and "is a folder" in err

    def test_a_text_that_names_a_file_is_pointed_out(self, run: Callable[..., Run]) -> None:
        write("a.md", "x")
        code, out, err = run("a.md")
        assert (code, out) == (0, "a.md\n") and "-i a.md" in err

    def test_a_missing_library_is_exit_code_3(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("genkit.documents.formats.find_spec", lambda name: None)
        code, out, err = run("--format", "po", stdin=b'msgid "a"\nmsgstr ""\n')
        assert (code, out) == (3, "") and "pip install 'genkit-onnx[documents]'" in err
        write("docs/a.po", 'msgid "a"\nmsgstr ""\n')
        write("docs/a.html", "<p>a")
        assert run("-r", "docs", "-o", "out")[0] == 3
        assert not Path("out").exists()

    def test_an_existing_translation_is_kept_unless_it_is_to_be_overwritten(
        self, run: Callable[..., Run]
    ) -> None:
        source = 'msgid "a"\nmsgstr "b"\n\nmsgid "c"\nmsgstr ""\n'
        filled = 'msgid "a"\nmsgstr "b"\n\n#, fuzzy\nmsgid "c"\nmsgstr "C"\n'
        assert run("--format", "po", stdin=source.encode())[1] == filled
        assert run("--format", "po", "--no-fuzzy", stdin=source.encode())[1] == filled.replace(
            "#, fuzzy\n", ""
        )
        assert 'msgstr "A"' in run("--format", "po", "--overwrite", stdin=source.encode())[1]

    def test_stats_count_the_texts(self, run: Callable[..., Run]) -> None:
        assert (
            "lines 2, failed 0, sentences 2"
            in run("--format", "html", "--stats", stdin=b"<p>a<p>b")[2]
        )


class TestGlossary:
    def test_terms_are_kept_or_replaced(self, run: Callable[..., Run]) -> None:
        write("terms.tsv", "dog\tHund\nbig dog\tDogge\nCat\t\nhouse cat\n")
        text = b"The dog and the big dog. Dog of a hotdog! Cat, cat, house cat, a Dog.\n"
        expected = "THE Hund AND THE Dogge. Hund OF A HOTDOG! Cat, CAT, house cat, A DOG.\n"
        assert run("--glossary", "terms.tsv", stdin=text) == (0, expected, "")

    def test_terms_hold_in_documents_and_are_spelled_as_the_format_needs(
        self, run: Callable[..., Run]
    ) -> None:
        write("terms.tsv", "dog\tHund & <Katze>\n")
        page = b"<p>a <b>dog</b> is a dog"
        assert run("--glossary", "terms.tsv", "--format", "html", stdin=page)[1] == (
            "<p>A <b>Hund &amp; &lt;Katze></b> IS A Hund &amp; &lt;Katze>"
        )

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "empty"),
            (b"a\tb\tc\n", "line 1 has 2 tabs"),
            (b"x\ty\n\tb\n", "line 2"),
            (b"a\tb\na\tc\n", "line 2"),
            (b"\xff\tb\n", "UTF-8"),
        ],
    )
    def test_a_broken_glossary_is_a_usage_error(
        self, run: Callable[..., Run], content: bytes, said: str
    ) -> None:
        write("terms.tsv", content)
        code, out, err = run("--glossary", "terms.tsv", "a")
        assert (code, out) == (2, "") and said in err and "terms.tsv" in err
        assert run("--glossary", "missing.tsv", "a")[0] == 2


class TestFolder:
    @pytest.fixture(autouse=True)
    def docs(self, run: Callable[..., Run]) -> None:
        """After the fixture that changes the folder."""
        write("docs/a.md", "# one\n")
        write("docs/sub/b.html", "<p>two")
        write("docs/sub/logo.png", b"\x89PNG")
        write("docs/.hidden/c.md", "no")
        write("docs/.d.md", "no")

    def test_names_are_kept_and_other_files_are_copied(self, run: Callable[..., Run]) -> None:
        code, out, err = run("-r", "docs", "-o", "docs.de")
        assert (code, out) == (0, "")
        assert err == (
            "genkit: 2 translated: a.md, sub/b.html\ngenkit: 1 copied as they are: sub/logo.png\n"
        )
        found = {path.as_posix() for path in Path("docs.de").rglob("*") if path.is_file()}
        assert found == {
            f"docs.de/{name}" for name in (RECORD, "a.md", "sub/b.html", "sub/logo.png")
        }
        assert Path("docs.de/a.md").read_text() == "# ONE\n"
        assert Path("docs.de/sub/b.html").read_text() == "<p>TWO"

    def test_what_is_done_is_skipped_and_said(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("-r", "docs", "-o", "docs.de")
        before = Path("docs.de/a.md").stat().st_mtime_ns

        def refuse(*_: Any) -> None:
            raise AssertionError("the model is not needed")

        with monkeypatch.context() as patch:
            patch.setattr("genkit.tasks.translate.Translator.__init__", refuse)
            code, out, err = run("-r", "docs", "-o", "docs.de")
        assert (code, out, err) == (0, "", "genkit: 2 skipped, done already: a.md, sub/b.html\n")
        assert Path("docs.de/a.md").stat().st_mtime_ns == before

    @pytest.mark.parametrize("args", [("--beam-size", "2"), ("--glossary", "terms.tsv")])
    def test_other_settings_do_it_again(
        self, run: Callable[..., Run], args: tuple[str, ...]
    ) -> None:
        write("terms.tsv", "one\teins")
        run("-r", "docs", "-o", "docs.de")
        assert "2 translated" in run("-r", "docs", "-o", "docs.de", *args)[2]
        assert "2 skipped" in run("-r", "docs", "-o", "docs.de", *args)[2]

    def test_a_changed_or_newer_source_is_done_again(self, run: Callable[..., Run]) -> None:
        run("-r", "docs", "-o", "docs.de")
        changed = write("docs/a.md", "# changed\n")
        later(changed, -1000)
        later(Path("docs/sub/b.html"), 1000)
        assert "2 translated" in run("-r", "docs", "-o", "docs.de")[2]
        assert Path("docs.de/a.md").read_text() == "# CHANGED\n"

    def test_what_somebody_has_edited_is_not_lost(self, run: Callable[..., Run]) -> None:
        run("-r", "docs", "-o", "docs.de")
        edited = write("docs.de/a.md", "# Eins\n")
        assert "2 skipped" in run("-r", "docs", "-o", "docs.de")[2]
        write("docs/a.md", "# changed\n")
        later(Path("docs/a.md"), 1000)
        code, _, err = run("-r", "docs", "-o", "docs.de")
        assert code == 0 and "1 kept, edited since they were made" in err and "--overwrite" in err
        assert edited.read_text() == "# Eins\n"
        run("-r", "docs", "-o", "docs.de", "--overwrite")
        assert edited.read_text() == "# CHANGED\n"

    def test_a_result_from_elsewhere_is_kept(self, run: Callable[..., Run]) -> None:
        there = write("docs.de/a.md", "# Eins\n")
        code, _, err = run("-r", "docs", "-o", "docs.de")
        assert code == 0 and "1 kept, there already (--overwrite replaces them): a.md" in err
        assert there.read_text() == "# Eins\n"

    def test_a_broken_file_is_its_own_line_and_the_others_go_on(
        self, run: Callable[..., Run]
    ) -> None:
        write("docs/bad.json", "{")
        write("docs/bad.md", b"a\xff")
        code, out, err = run("-r", "docs", "missing.md", "-o", "docs.de")
        assert (code, out) == (1, "")
        assert "genkit: docs/bad.json: not JSON" in err
        assert "genkit: docs/bad.md: not UTF-8: byte 0xff in line 1\n" in err
        assert "genkit: missing.md: No such file or directory\n" in err
        assert "2 translated: a.md, sub/b.html" in err
        assert not Path("docs.de/bad.json").exists() and not Path("docs.de/bad.md").exists()

    def test_a_format_leaves_the_others_as_they_are(self, run: Callable[..., Run]) -> None:
        err = run("-r", "docs", "-o", "docs.de", "--format", "markdown")[2]
        assert (
            "1 translated: a.md" in err and "2 copied as they are: sub/b.html, sub/logo.png" in err
        )
        assert Path("docs.de/sub/b.html").read_text() == "<p>two"

    def test_the_results_may_lie_inside_but_not_be_the_sources(
        self, run: Callable[..., Run]
    ) -> None:
        assert "2 translated" in run("-r", "docs", "-o", "docs/de")[2]
        assert "2 skipped" in run("-r", "docs", "-o", "docs/de")[2]
        assert not Path("docs/de/de").exists()
        code, _, err = run("-r", "docs", "-o", "docs")
        assert code == 2 and "into itself" in err
        assert Path("docs/a.md").read_text() == "# one\n"

    def test_usage(self, run: Callable[..., Run]) -> None:
        write("c.md", "c")
        assert run("-r", "docs")[0] == 2
        assert run("-r")[0] == 2
        assert run("-r", "docs", "-o", "c.md")[0] == 2
        assert run("-r", "c.md") == (0, "C", "")
        assert run("-r", "c.md", "docs/a.md", "-o", "out")[0] == 0
        assert Path("out/c.md").read_text() == "C" and Path("out/a.md").read_text() == "# ONE\n"
        code, _, err = run("-r", "docs", "docs/a.md", "c.md", "docs/sub/../../c.md", "-o", "new")
        assert code == 0 and "3 translated: a.md, sub/b.html, c.md\n" in err
        write("other/a.md", "x")
        code, _, err = run("-r", "docs", "other", "-o", "new")
        assert code == 2 and "would both be written" in err

    def test_a_spoiled_record_is_passed_over(self, run: Callable[..., Run]) -> None:
        run("-r", "docs", "-o", "docs.de")
        record = Path("docs.de") / RECORD
        rows = [json.loads(line) for line in record.read_text().splitlines()]
        assert {row["file"] for row in rows} == {"a.md", "sub/b.html"}
        record.write_bytes(b"[1]\n{broken\n" + record.read_bytes() + b'{"file": 3}\n"x"\n')
        assert "2 skipped" in run("-r", "docs", "-o", "docs.de")[2]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
    def test_a_pipe_in_the_folder_is_not_waited_for(self, run: Callable[..., Run]) -> None:
        os.mkfifo("docs/pipe.md")
        assert run("-r", "docs", "-o", "docs.de")[0] == 0


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.name)
def test_every_format_keeps_its_structure_through_a_model(
    run: Callable[..., Run], path: Path, tmp_path: Path
) -> None:
    target = tmp_path / path.name
    assert run("-i", str(path), "-o", str(target)) == (0, "", "")
    see = STRUCTURES[path.suffix]
    assert see(target.read_bytes()) == see(path.read_bytes())
    assert target.read_bytes() != path.read_bytes()
