"""Streams: data apart from words, files whole or not at all, and readers that go away."""

from __future__ import annotations

import ctypes
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shell import TerminalOut, python

from genkit.errors import InputError, UsageError
from genkit.streams import Streams, captured_output, json_line, printable
from genkit.writing import atomic_file

posix = pytest.mark.skipif(os.name != "posix", reason="files and descriptors of POSIX")


def streams(verbosity: int = 0, stderr: io.StringIO | None = None) -> Any:
    """Streams of our own; typed as Any, since they are read with getvalue()."""
    return Streams(io.BytesIO(), io.BytesIO(), stderr or io.StringIO(), verbosity)


class TestData:
    def test_text_is_written_as_utf_8_and_bytes_as_they_are(self) -> None:
        mine = streams()
        mine.write("Grüße\n")
        mine.write(b"\x89PNG\r\n")
        assert mine.stdout.getvalue() == "Grüße\n".encode() + b"\x89PNG\r\n"
        assert mine.stderr.getvalue() == ""

    def test_a_record_is_one_line_that_can_be_read_again(self) -> None:
        record = {"text": 'a\n"ü" 😀', "score": -0.5, "error": None}
        line = json_line(record)
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        assert "ü".encode() in line
        assert json.loads(line) == record

    def test_what_is_no_number_is_null(self) -> None:
        record = {"a": float("nan"), "b": [float("inf"), 1.5, {"c": -float("inf")}], "d": (True,)}

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        line = json.loads(json_line(record), parse_constant=refuse)
        assert line == {"a": None, "b": [None, 1.5, {"c": None}], "d": [True]}

    def test_a_name_that_is_not_utf_8_is_kept(self) -> None:
        name = os.fsdecode(b"caf\xe9.jpg")
        line = json_line({"file": name})
        assert line.decode("utf-8")
        assert json.loads(line)["file"] == name

    def test_output_goes_to_stdout_or_to_a_file(self, tmp_path: Path) -> None:
        mine = streams()
        for path in (None, Path("-"), tmp_path / "out"):
            with mine.output(path) as out:
                out.write(b"x")
        assert mine.stdout.getvalue() == b"xx"
        assert (tmp_path / "out").read_bytes() == b"x"


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


class TestControls:
    """What comes from files and their names does not control a terminal."""

    @pytest.mark.parametrize(
        ("text", "message", "line"),
        [
            ("\x1b[31m", "\\x1b[31m", "\\x1b[31m"),
            ("a\x9bb\x7f", "a\\x9bb\\x7f", "a\\x9bb\\x7f"),
            ("a\tb\nc", "a\\tb\\nc", "a\tb\nc"),
            ("a\r\nb\rc", "a\\r\\nb\\rc", "a\r\nb\\rc"),
            ("\u202etxt\u2028", "\\u202etxt\\u2028", "\u202etxt\u2028"),
            ("grün 😀\udcff", "grün 😀\udcff", "grün 😀\udcff"),
        ],
    )
    def test_escapes(self, text: str, message: str, line: str) -> None:
        assert printable(text) == message
        assert printable(text, lines=True) == line

    def test_in_messages(self) -> None:
        mine = streams(verbosity=2)
        for say in (mine.error, mine.warn, mine.tell, mine.note):
            say("a\x1b[2J\ngenkit: all well")
        lines = mine.stderr.getvalue().splitlines()
        assert len(lines) == 4
        assert all(line.endswith(": a\\x1b[2J\\ngenkit: all well") for line in lines)

    def test_in_data_on_a_terminal_and_not_in_a_pipe(self) -> None:
        for stdout, expected in ((Terminal(), b"\\x1b[31m\n"), (io.BytesIO(), b"\x1b[31m\n")):
            mine = Streams(io.BytesIO(), stdout, io.StringIO())
            mine.write("\x1b[31m\n")
            with mine.output(None) as out:
                out.write(b"\x1b[31m\n")
                assert out.isatty() == stdout.isatty()
            assert stdout.getvalue() == 2 * expected

    def test_images_for_a_terminal_are_bytes_and_stay(self) -> None:
        mine = Streams(io.BytesIO(), Terminal(), io.StringIO())
        mine.write(b"\x1b[31m")
        assert mine.stdout.getvalue() == b"\x1b[31m"  # type: ignore[attr-defined]

    def test_in_json(self) -> None:
        line = json_line({"file": "\x1b\x9b\x7f\u2028ü"})
        assert line == '{"file": "\\u001b\\u009b\\u007f\\u2028ü"}\n'.encode()
        assert json.loads(line) == {"file": "\x1b\x9b\x7f\u2028ü"}


class TestWords:
    @pytest.mark.parametrize(
        ("verbosity", "heard"),
        [
            (-1, ["error"]),
            (0, ["error", "warning", "told"]),
            (1, ["error", "warning", "told", "note"]),
            (2, ["error", "warning", "told", "note"]),
        ],
    )
    def test_how_much_is_said(self, verbosity: int, heard: list[str]) -> None:
        mine = streams(verbosity)
        mine.error("error")
        mine.warn("warning")
        mine.tell("told")
        mine.note("note")
        lines = mine.stderr.getvalue().splitlines()
        assert [line.rpartition(" ")[2] for line in lines] == heard
        assert mine.stdout.getvalue() == b""

    def test_an_error_has_its_hint_in_a_line_of_its_own(self) -> None:
        mine = streams()
        mine.report(InputError("truncated JPEG", hint="save it again"), "photo.jpg")
        mine.report(UsageError("no such thing"))
        assert mine.stderr.getvalue() == (
            "genkit: photo.jpg: truncated JPEG\nhint: save it again\ngenkit: no such thing\n"
        )

    def test_a_reader_of_messages_that_went_away_stops_nothing(self) -> None:
        class Gone(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        streams(stderr=Gone()).error("nobody hears this")


class TestProgress:
    def advance(self, mine: Streams) -> None:
        with mine.progress("working", 2) as advance:
            advance(1)
            mine.warn("a message meanwhile")
            advance(1)

    def test_is_drawn_on_a_terminal_and_leaves_messages_readable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        mine = streams(stderr=TerminalOut())
        self.advance(mine)
        assert "working" in mine.stderr.getvalue()
        assert "genkit: warning: a message meanwhile\n" in mine.stderr.getvalue()
        mine.warn("afterwards")
        assert mine.stderr.getvalue().endswith("genkit: warning: afterwards\n")

    @pytest.mark.parametrize(
        ("stderr", "verbosity", "term"),
        [(io.StringIO, 0, "xterm"), (TerminalOut, -1, "xterm"), (TerminalOut, 0, "dumb")],
    )
    def test_is_not_drawn_otherwise(
        self,
        monkeypatch: pytest.MonkeyPatch,
        stderr: type[io.StringIO],
        verbosity: int,
        term: str,
    ) -> None:
        monkeypatch.setenv("TERM", term)
        mine = streams(verbosity, stderr())
        self.advance(mine)
        assert "working" not in mine.stderr.getvalue()

    def test_costs_no_import_of_rich_unless_it_is_drawn(self) -> None:
        code = (
            "import sys; from genkit.streams import Streams\n"
            "with Streams.of_process().progress('working', 1) as advance: advance(1)\n"
            "print('rich' in sys.modules)"
        )
        assert python(code) == (0, "False\n", "")


class TestAtomicFile:
    def test_appears_whole_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with atomic_file(path) as file:
            file.write(b"whole")
            file.flush()
            assert not path.exists()
        assert path.read_bytes() == b"whole"
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
    def test_leaves_nothing_behind_and_the_old_file_alone(
        self, tmp_path: Path, error: type[BaseException]
    ) -> None:
        path = tmp_path / "out.txt"
        path.write_bytes(b"old")
        with pytest.raises(error), atomic_file(path) as file:
            file.write(b"half")
            raise error
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_may_replace_what_is_still_being_read(self, tmp_path: Path) -> None:
        path = tmp_path / "text"
        path.write_bytes(b"one")
        with path.open("rb") as source, atomic_file(path) as target:
            target.write(source.read() + b" two")
        assert path.read_bytes() == b"one two"

    @posix
    def test_a_killed_process_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_bytes(b"old")
        code = (
            "import os, signal, sys, pathlib; from genkit.writing import atomic_file\n"
            "with atomic_file(pathlib.Path(sys.argv[1])) as file:\n"
            "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert python(code, str(path)).code == -9
        assert path.read_bytes() == b"old"

    @posix
    def test_permissions_are_the_usual_ones_or_those_of_the_old_file(self, tmp_path: Path) -> None:
        new, old = tmp_path / "new", tmp_path / "old"
        old.touch()
        old.chmod(0o604)
        (tmp_path / "plain").touch()
        for path in (new, old):
            with atomic_file(path):
                pass
        assert new.stat().st_mode == (tmp_path / "plain").stat().st_mode
        assert stat.S_IMODE(old.stat().st_mode) == 0o604

    @posix
    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "real" / "file")
        for content in (b"new", b"newer"):
            with atomic_file(link) as file:
                file.write(content)
            assert link.is_symlink()
            assert (tmp_path / "real" / "file").read_bytes() == content

    @posix
    def test_a_device_is_written_to_and_not_replaced(self) -> None:
        with atomic_file(Path(os.devnull)) as file:
            file.write(b"gone")
        assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)

    def test_a_place_that_cannot_be_written_is_a_usage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path, problem in (
            (tmp_path, "is a folder"),
            (tmp_path / "nowhere" / "out", "No such file or directory"),
            (tmp_path / "file" / "out", "Not a directory"),
        ):
            with pytest.raises(UsageError, match=problem), atomic_file(path):
                pytest.fail("the block must not run")


@posix
class TestCapturedOutput:
    def test_catches_python_c_and_the_descriptors(self, capfd: pytest.CaptureFixture[str]) -> None:
        libc = ctypes.CDLL(None)
        print("before")
        libc.printf(b"in a buffer of C before\n")
        with captured_output() as caught:
            print("python")
            print("python's stderr", file=sys.stderr)
            os.write(1, b"descriptor 1\n")
            os.write(2, b"descriptor 2\n")
            libc.printf(b"printf\n")
            assert sorted(caught().splitlines()) == [
                "descriptor 1",
                "descriptor 2",
                "printf",
                "python",
                "python's stderr",
            ]
            libc.printf(b"left in a buffer\n")
        print("after")
        os.write(2, b"after\n")
        libc.fflush(None)
        out, err = capfd.readouterr()
        assert sorted(out.splitlines()) == ["after", "before", "in a buffer of C before"]
        assert err == "after\n"

    def test_gives_the_streams_back_after_an_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(ValueError, match="inside"), captured_output():
            raise ValueError("inside")
        os.write(1, b"one")
        print("two", file=sys.stderr)
        assert capfd.readouterr() == ("one", "two\n")

    def test_works_without_a_stdout(self) -> None:
        code = (
            "import os; from genkit.streams import captured_output\n"
            "with captured_output() as caught:\n"
            "    os.write(2, b'heard'); text = caught()\n"
            "os.write(2, text.upper().encode())"
        )
        done = subprocess.run(
            ["bash", "-c", f'"{sys.executable}" -c "$0" >&-', code], stderr=subprocess.PIPE
        )
        assert (done.returncode, done.stderr) == (0, b"HEARD")


@posix
@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_stream_that_was_closed_is_empty(closed: str) -> None:
    code = (
        "from genkit.streams import Streams\n"
        "mine = Streams.of_process()\n"
        "read = mine.stdin.read(); mine.write(b'x'); mine.flush(); mine.error('y')\n"
        "assert read == b''"
    )
    script = f'"{sys.executable}" -c "$0" {closed}'
    done = subprocess.run(["bash", "-c", script, code], stdin=subprocess.DEVNULL)
    assert done.returncode == 0
