"""``genkit translate`` as a filter: what it reads, writes and says, and how it ends."""

from __future__ import annotations

import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import shouting_model
from shouting_model import IDS, ShoutingSession

import genkit.decoding
from genkit.cli import translate as command
from genkit.cli.app import main
from genkit.decoding import BATCH_TOKENS, Decoding
from genkit.streams import Streams
from genkit.tasks import translate as task
from genkit.tasks import translate_job as job
from genkit.tasks.translate import Hypothesis, Translation
from genkit.text import Line

posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


class Run(NamedTuple):
    code: int
    out: str
    err: str


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shouting_model.write_model(tmp_path_factory.mktemp("models") / "translate" / "shout")


@pytest.fixture
def run(model: Path) -> Callable[..., Run]:
    def run(*args: str, stdin: bytes | io.BytesIO = b"") -> Run:
        stdin = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
        out, err = io.BytesIO(), io.StringIO()
        code = main(["translate", "--model", str(model), *args], Streams(stdin, out, err))
        return Run(code, out.getvalue().decode(), err.getvalue())

    return run


class TestFilter:
    def test_texts_are_lines(self, run: Callable[..., Run]) -> None:
        assert run("Good morning.", "", "two\nlines") == (0, "GOOD MORNING.\n\nTWO\nLINES\n", "")

    def test_stdin_goes_line_by_line(self, run: Callable[..., Run]) -> None:
        text = "Good morning.\n\nTwo dogs. A cat.\r\n \t \r\n3\nlast"
        assert run(stdin=text.encode()) == (0, text.upper(), "")
        assert run("-", stdin=text.encode()) == (0, text.upper(), "")

    def test_an_empty_input_gives_nothing(self, run: Callable[..., Run]) -> None:
        assert run(stdin=b"") == (0, "", "")

    def test_files(self, run: Callable[..., Run], tmp_path: Path) -> None:
        source, target = tmp_path / "a.txt", tmp_path / "b.txt"
        source.write_bytes(b"hello\r\nworld")
        assert run("-i", str(source), "-o", str(target)) == (0, "", "")
        assert target.read_bytes() == b"HELLO\r\nWORLD"
        assert run("-i", str(source), "-o", str(source)) == (0, "", "")
        assert source.read_bytes() == b"HELLO\r\nWORLD"
        assert run("-i", "-", "-o", "-", stdin=b"hello") == (0, "HELLO", "")

    def test_a_file_that_is_not_there(self, run: Callable[..., Run]) -> None:
        assert run("-i", "no.txt") == (1, "", "genkit: no.txt: No such file or directory\n")

    def test_a_read_error_comes_after_the_lines_before_it(self, run: Callable[..., Run]) -> None:
        class Breaks(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if data := super().read(size):
                    return data
                raise OSError(5, "Input/output error")

        code, out, err = run(stdin=Breaks(b"one\ntwo\nthr"))
        assert (code, out, err) == (1, "ONE\nTWO\n", "genkit: cannot read: Input/output error\n")

    def test_a_megabyte_in_one_line(self, run: Callable[..., Run]) -> None:
        line = "All work and no play. " * 45_000
        assert run(stdin=line.encode()) == (0, line.upper(), "")

    @pytest.mark.parametrize("broken", [b"caf\xe9", b"a\0b"])
    def test_a_broken_line_comes_out_empty_and_the_others_are_translated(
        self, run: Callable[..., Run], tmp_path: Path, broken: bytes
    ) -> None:
        code, out, err = run(stdin=b"one\n" + broken + b"\nthree\n")
        assert (code, out) == (1, "ONE\n\nTHREE\n")
        assert err.startswith("genkit: line 2: ")
        file = tmp_path / "in.txt"
        file.write_bytes(broken)
        code, out, err = run("-i", str(file))
        assert (code, out) == (1, "")
        assert err.startswith(f"genkit: {file}: line 1: ")

    def test_an_output_file_is_written_although_a_line_failed(
        self, run: Callable[..., Run], tmp_path: Path
    ) -> None:
        target = tmp_path / "out.txt"
        assert run("-o", str(target), stdin=b"one\n\xff\n").code == 1
        assert target.read_bytes() == b"ONE\n\n"


class TestFormats:
    """The stand-in gives -1 for every sentence."""

    text = b"one two. Three four.\n\n\xff\n"

    def test_scores(self, run: Callable[..., Run]) -> None:
        _, out, _ = run("--scores", stdin=self.text)
        assert out == "-2.0000\tONE TWO. THREE FOUR.\n\t\n\t\n"

    def test_n_best(self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: ShoutingSession())
        _, out, _ = run("--n-best", "2", "--beam-size", "3", stdin=self.text + b"end")
        assert out == (
            "1\t-2.3000\tONE TWO. THREE FOUR.\n1\t-2.4000\tONE TWO. THREE FOUR.!\n"
            "2\t\t\n3\t\t\n4\t-0.5000\tEND\n4\t-0.6000\tEND!"
        )

    def test_n_best_has_no_twins(self, run: Callable[..., Run]) -> None:
        """All hypotheses of the graph are the same."""
        _, out, _ = run("--n-best", "2", stdin=b"end\n")
        assert out == "1\t-1.0000\tEND\n"

    def test_json_has_the_same_keys_for_success_and_failure(self, run: Callable[..., Run]) -> None:
        code, out, _ = run("--json", "--n-best", "2", stdin=self.text + "ä".encode())
        translated, blank, broken, other = map(json.loads, out.splitlines())
        assert code == 1
        assert translated == {
            "line": 1,
            "source": "one two. Three four.",
            "translation": "ONE TWO. THREE FOUR.",
            "score": -2.0,
            "alternatives": [],
            "truncated": False,
            "doubtful": False,
            "lost": [],
            "error": None,
        }
        assert blank == {
            "line": 2,
            "source": "",
            "translation": "",
            "score": None,
            "alternatives": [],
            "truncated": False,
            "doubtful": False,
            "lost": [],
            "error": None,
        }
        assert broken == {
            "line": 3,
            "source": "\ufffd",
            "translation": None,
            "score": None,
            "alternatives": [],
            "truncated": None,
            "doubtful": None,
            "lost": None,
            "error": "not UTF-8: byte 0xff at position 1",
        }
        assert (other["line"], other["translation"]) == (4, "ä")
        assert '"ä"' in out
        assert out.endswith("\n")


class TestProtection:
    def test_what_is_no_language_comes_back(self, run: Callable[..., Run]) -> None:
        assert run("Open {name} now.").out == "OPEN {name} NOW.\n"
        assert run("--no-protect", "Open {name} now.").out == "OPEN {NAME} NOW.\n"

    def test_further_kinds_may_be_given(self, run: Callable[..., Run]) -> None:
        done = run("--protect", "Ac.e", "--protect", r"t\w+m", "Acme sells them here.")
        assert (done.code, done.out) == (0, "Acme SELLS them HERE.\n")

    def test_with_no_protect_only_these_are_kept(self, run: Callable[..., Run]) -> None:
        done = run("--no-protect", "--protect", "Acme", "Acme sells {name} here.")
        assert done.out == "Acme SELLS {NAME} HERE.\n"

    def test_a_bad_pattern_is_a_usage_error(self, run: Callable[..., Run]) -> None:
        done = run("--protect", "(", "a")
        assert (done.code, done.out) == (2, "")
        assert "'(' is no regular expression" in done.err

    def test_what_was_lost_is_told_with_its_line(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task.Preparer, "plan", lambda *_, **__: ["nothing"])
        done = run("--json", stdin=b"ok\n{name} and %d\n")
        assert json.loads(done.out.splitlines()[1])["lost"] == ["{name}", "%d"]
        assert done.err == "genkit: warning: line 2: lost in translation: {name}, %d\n"


class TestCheck:
    def test_a_doubtful_line_is_told(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job, "is_doubtful", lambda _, mean, *__: mean is not None)
        lines = b"one\n12\n"
        assert run(stdin=lines).err == ""
        done = run("--check", stdin=lines)
        assert done.out == "ONE\n12\n"
        assert done.err == "genkit: warning: line 1: the translation is doubtful\n"
        rows = [json.loads(row) for row in run("--json", stdin=lines).out.splitlines()]
        assert [row["doubtful"] for row in rows] == [True, False]


class TestOptions:
    def test_they_reach_the_search(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Any] = {}

        def stream(self: Any, lists: Any, decoding: Decoding, **rest: Any) -> Iterator[Any]:
            seen.update(rest, decoding=decoding)
            yield from []

        monkeypatch.setattr(task.Translator, "stream", stream)
        options = "--beam-size 5 --length-penalty 0.6 --max-length 40 --n-best 2 --prefix Ja "
        options += (
            "--early-stopping --no-repeat-ngram-size 3 --repetition-penalty 1.2 --batch-tokens 99"
        )
        run(*options.split())
        assert seen == {
            "decoding": Decoding(
                beam_size=5,
                length_penalty=0.6,
                early_stopping=True,
                max_length=40,
                n_best=2,
                no_repeat_ngram_size=3,
                repetition_penalty=1.2,
            ),
            "prefix": "Ja",
            "batch_tokens": 99,
            "to": None,
            "scores": False,
            "protect": True,
            "patterns": (),
        }

    def test_their_defaults_are_those_of_the_library(self) -> None:
        parameters = inspect.signature(command.translate).parameters
        shared = {f.name: f.default for f in fields(Decoding) if f.name in parameters}
        assert len(shared) == 7
        assert shared == {name: parameters[name].default for name in shared}
        assert parameters["batch_tokens"].default == BATCH_TOKENS

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["--n-best", "5"], "5 best of a beam of 4 cannot be had\nhint: raise the beam size"),
            (["--beam-size", "0"], "beam size must be at least 1, is 0"),
            (["--beam-size", "100000"], "beam size must be at most 1024, is 100000"),
            (["--no-repeat-ngram-size", str(1 << 70)], "no repeat ngram size must be at most"),
            (["--threads", "100000"], "there are 1 to 1024 threads, not 100000"),
            (["--prefix", "caf\udce9"], "--prefix is not UTF-8: byte 0xe9 at position 4"),
            (["--max-length", "65"], "max length 65 is more than the 64 positions"),
            (["--beam-size", "many"], "'many' is not a valid int"),
            (["--batch-tokens", "0"], "batch tokens must be at least 1"),
            (["-i", "a.txt"], "both TEXT and --input are given"),
            (
                ["--to", "fr"],
                "to fr\nhint: it translates from en to loud\n",
            ),
        ],
    )
    def test_what_makes_no_sense_is_a_usage_error(
        self, run: Callable[..., Run], args: list[str], message: str
    ) -> None:
        code, out, err = run("hello", *args)
        assert (code, out) == (2, "")
        assert message in err

    def test_a_prefix_is_read_as_lines_are(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Python reads the bytes as lone surrogates where the locale is not UTF-8."""
        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: ShoutingSession())
        assert run("--prefix", "xä", "ab").out == run("--prefix", "x\udcc3\udca4", "ab").out
        assert run("--prefix", "x\udcc3\udca4", "ab").out.startswith("xä")

    @pytest.mark.parametrize("worst", [False, True])
    def test_a_line_that_is_too_much_fails_alone(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, worst: bool
    ) -> None:
        class Narrow(ShoutingSession):
            """Takes two sentences at a time, and none with a z."""

            def run(self, feeds: Any, outputs: Any = None) -> Any:
                if len(feeds["input_ids"]) > 2 or (worst and IDS["z"] in feeds["input_ids"]):
                    raise MemoryError("Failed to allocate memory")
                return super().run(feeds, outputs)

        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: Narrow())
        lines = [f"line {word}. And more." for word in ("one", "zwei", "three", "four", "five")]
        code, out, err = run("--prefix", "so", stdin="\n".join(lines).encode())
        expected = [f"so {line.upper()}" for line in lines]
        if worst:
            expected[1] = ""
        assert out.lower().splitlines() == [line.lower() for line in expected]
        message = "genkit: line 2: does not fit into memory; --beam-size 1 takes least\n"
        assert (code, err) == ((1, message) if worst else (0, ""))
        if worst:
            *_, failed = map(json.loads, run("--json", stdin=b"one\nzwei").out.splitlines())
            assert failed["error"] == "does not fit into memory; --beam-size 1 takes least"
            assert failed["translation"] is None

    def test_many_beams_take_smaller_batches(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = ShoutingSession()
        monkeypatch.setattr(genkit.decoding, "open_session", lambda *_, **__: session)
        lines = "".join(f"word {i}\n" for i in range(60)).encode()
        for beam, most in ((16, 500), (64, 125)):
            session.feeds.clear()
            options = ["--threads", "1", "--batch-tokens", "500", "--beam-size", str(beam)]
            assert run(*options, stdin=lines).code == 0
            sizes = [feeds["input_ids"].size for feeds in session.feeds]
            assert most / 2 < max(sizes) <= most

    def test_stats(self, run: Callable[..., Run]) -> None:
        _, out, err = run("--stats", stdin=b"One two. Three.\n\n\xff\n")
        assert out == "ONE TWO. THREE.\n\n\n"
        assert err.splitlines()[-1].startswith(
            "genkit: lines 3, failed 1, sentences 2, source tokens 18, target tokens 18, seconds "
        )

    def test_verbose_tells_what_runs_where(self, run: Callable[..., Run]) -> None:
        _, out, err = run("-v", "--device", "cpu", "--threads", "1", "hello")
        assert (out, err) == ("HELLO\n", "genkit: shout on cpu (asked for), fp32, 1 thread(s)\n")

    def test_a_translation_that_was_cut_is_warned_of(
        self, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stream(self: Any, lists: Any, *_: Any, **__: Any) -> Iterator[list[Translation]]:
            for texts in filter(None, lists):
                cut = Translation((Hypothesis("A", -1.0),), 1, 2, 2, truncated=True)
                yield [cut for _ in texts]

        monkeypatch.setattr(task.Translator, "stream", stream)
        warning = "genkit: warning: line 1: cut at the maximum length of a translation\n"
        assert run("a") == (0, "A\n", warning)
        assert run("-q", "a") == (0, "A\n", "")


@posix
@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_prefix_is_utf_8_in_every_locale(model: Path, locale: str) -> None:
    settings = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "genkit", "translate", "--model", str(model)]
    done = subprocess.run(
        [*command, "--prefix", "Fräulein", "is"], capture_output=True, env=os.environ | settings
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"IS\n", b"")


class TestModels:
    @pytest.fixture(autouse=True)
    def _models(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, source, target in [
            ("aa-bb", "aa", "bb"),
            ("aa-cc", "aa", "cc"),
            ("aa-cc-big", "aa", "cc"),
        ]:
            languages = {"source": [source], "target": [target]}
            folder = tmp_path / "translate" / name
            shouting_model.write_model(folder, name, languages=languages)
        monkeypatch.setenv("GENKIT_MODELS", str(tmp_path))

    def translate(self, *args: str) -> Run:
        out, err = io.BytesIO(), io.StringIO()
        code = main(["translate", "-v", "hello", *args], Streams(io.BytesIO(), out, err))
        return Run(code, out.getvalue().decode(), err.getvalue())

    def test_languages_pick_the_model(self) -> None:
        code, out, err = self.translate("--from", "aa", "--to", "bb")
        assert (code, out) == (0, "HELLO\n")
        assert err.startswith("genkit: aa-bb on ")

    def test_one_of_several_must_be_chosen(self) -> None:
        code, _, err = self.translate("--to", "cc")
        assert code == 2
        assert err == (
            "genkit: several models translate from any language to cc\n"
            "hint: --model one of: aa-cc, aa-cc-big\n"
        )
        assert self.translate("--to", "cc", "--model", "aa-cc-big").code == 0

    def test_there_may_be_none(self) -> None:
        code, _, err = self.translate("--from", "xx")
        assert code == 3
        assert "no model translates from xx to any language\nhint: there is: " in err
        assert "aa-bb (aa to bb)" in err


def test_memory_is_bounded_however_many_lines(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a translator that takes no time, and a count of what is between input and output."""
    windows: list[int] = []
    most_between = 0

    def stream(self: Any, lists: Any, **_: Any) -> Iterator[list[Translation]]:
        for texts in lists:
            if texts:
                windows.append(len(texts))
                yield [Translation((Hypothesis(text, 0.0),), 1, 1, 1, False) for text in texts]

    monkeypatch.setattr(task.Translator, "stream", stream)

    class Lines(io.RawIOBase):
        """Many lines, a thousand a read."""

        count = 0

        def read(self, size: int = -1) -> bytes:
            nonlocal most_between
            most_between = max(most_between, self.count - out.lines)
            if self.count == 200_000:
                return b""
            self.count += 1000
            return b"How are you today?\n" * 1000

    class Counter(io.RawIOBase):
        lines = 0

        def write(self, data: Any) -> int:
            self.lines += 1
            return len(data)

    out = Counter()
    streams = Streams(Lines(), out, io.StringIO())  # type: ignore[arg-type]
    assert main(["translate", "--threads", "3", "--model", str(model)], streams) == 0
    assert out.lines == sum(windows) == 200_000
    a_line = Line(1, "How are you today?", "\n").weight
    largest = 3 * command.LARGEST_WINDOW
    assert windows[0] <= command.SMALLEST_WINDOW / a_line
    assert max(windows) <= largest / a_line
    # A window being written, the reader's room, and the lines in its hands.
    assert most_between <= (largest + (1 << 21)) / a_line + 1000


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Start the command in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "genkit", "translate", "--model", str(model)]
    started: list[subprocess.Popen[bytes]] = []

    def start(*args: str, **settings: Any) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        streams = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "env": environment, **settings}
        started.append(subprocess.Popen([*command, *args], **streams))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream and not stream.closed:
                with suppress(BrokenPipeError):
                    stream.close()


class TestProcess:
    def test_a_line_is_answered_before_the_next_is_written(self, start: Start) -> None:
        process = start()
        assert process.stdin and process.stdout
        for _ in range(3):
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"HELLO\n"
        assert process.communicate() == (b"", b"")
        assert process.returncode == 0

    @posix
    def test_interrupted_it_leaves_what_it_has_done(self, start: Start) -> None:
        process = start()
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"hello\nhalf")
        process.stdin.flush()
        assert process.stdout.readline() == b"HELLO\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")

    @posix
    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
    def test_interrupted_it_leaves_no_half_file(
        self, start: Start, tmp_path: Path, ending: signal.Signals
    ) -> None:
        target = tmp_path / "out.txt"
        target.write_text("before")
        process = start("-o", str(target), "-v")
        assert process.stdin and process.stderr
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        process.stderr.readline()  # it is running
        time.sleep(0.1)
        process.send_signal(ending)
        process.wait(10)
        assert target.read_text() == "before"

    @pytest.mark.parametrize("lines", [1, 1_000_000])
    def test_a_reader_that_leaves_ends_it_quietly(self, start: Start, lines: int) -> None:
        process = start()
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.write(b"How are you?\n" * lines)
            process.stdin.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""

    def test_an_endless_stream_is_answered_at_once(self, start: Start) -> None:
        endless = [sys.executable, "-c", "while True: print('How are you?')"]
        with subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as yes:
            process = start(stdin=yes.stdout)
            assert process.stdout
            assert [process.stdout.readline() for _ in range(3)] == [b"HOW ARE YOU?\n"] * 3
            process.stdout.close()
            assert process.wait(10) == 0
            yes.kill()

    @posix
    def test_an_argument_need_not_be_utf8(self, start: Start) -> None:
        process = start(b"caf\xe9", "tea")  # type: ignore[arg-type]
        out, err = process.communicate()
        assert out == b"\nTEA\n"
        assert err == b"genkit: line 1: not UTF-8: byte 0xe9 at position 4\n"
        assert process.returncode == 1

    @posix
    def test_a_terminal_is_answered_line_by_line(self, start: Start) -> None:
        import pty

        person, terminal = pty.openpty()
        process = start(stdin=terminal)
        assert process.stdout and process.stderr
        assert process.stderr.readline() == b"genkit: type a line and Enter; Ctrl-D ends\n"
        for _ in range(2):
            os.write(person, b"hello\n")
            assert process.stdout.readline() == b"HELLO\n"
        os.write(person, b"\x04")
        assert process.communicate() == (b"", b"")
        assert process.returncode == 0
        os.close(person)
        os.close(terminal)


def test_a_terminal_is_told_how_to_end(run: Callable[..., Run]) -> None:
    assert run(stdin=Terminal(b"hello\n")) == (
        0,
        "HELLO\n",
        "genkit: type a line and Enter; Ctrl-D ends\n",
    )
    assert run("-q", stdin=Terminal(b"hello\n")).err == ""
    assert run("hello", stdin=Terminal()).err == ""


def test_the_command_line_is_parsed_without_heavy_imports() -> None:
    program = (
        "import sys; from genkit.cli.app import main; main(['translate', '--help'])\n"
        "heavy = {'numpy', 'onnxruntime', 'tokenizers', 'sentencex', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.stderr == b""
