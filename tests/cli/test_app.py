"""The command as a process: help, exit codes, what goes where, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import folders
import pytest
import shouting_model
import typer
from shell import Run, genkit, pipeline, process

import genkit as package
from genkit.cli.options import QuietOption, VerboseOption, streams_of
from genkit.errors import GenkitWarning, InputError, ModelError, UsageError
from genkit.registry import commands

COMMANDS = {name: command.help for name, command in commands().items()}

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


@pytest.fixture
def shout(models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that a process of its own finds too."""
    return shouting_model.write_model(models / "translate" / "shout")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a function in place of the command ``info``."""

    def install(function: Callable[..., None]) -> None:
        module = types.ModuleType("genkit.cli.info")
        module.app = typer.Typer()  # type: ignore[attr-defined]

        def info(ctx: typer.Context, quiet: QuietOption = 0, verbose: VerboseOption = 0) -> None:
            function(streams_of(ctx, quiet, verbose))

        module.app.command()(info)
        monkeypatch.setitem(sys.modules, "genkit.cli.info", module)

    return install


class TestHelp:
    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_lists_the_commands_with_their_short_helps(self, flag: str) -> None:
        run = process(flag)
        assert (run.code, run.err) == (0, "")
        for name, text in COMMANDS.items():
            assert f"  {name:<10} {text}" in run.out

    @pytest.mark.parametrize("name", COMMANDS)
    def test_a_short_help_is_the_first_line_of_the_long_one(self, name: str) -> None:
        run = process(name, "-h")
        assert (run.code, run.err) == (0, "")
        first = run.out.split("\n\n")[1]
        assert " ".join(first.split()).startswith(COMMANDS[name].rstrip(".").split(",")[0])

    def test_every_module_of_the_folder_with_an_application_is_a_command(self) -> None:
        folder = Path(package.__file__).parent / "cli"
        applications = {
            path.stem for path in folder.glob("*.py") if "typer.Typer(" in path.read_text()
        }
        assert applications == {*COMMANDS, "app"}

    @pytest.mark.parametrize("arguments", [[], ["models"]])
    def test_no_command_is_answered_with_the_help_on_stderr(self, arguments: list[str]) -> None:
        run = process(*arguments)
        assert (run.code, run.out) == (2, "")
        assert "Commands:" in run.err

    def test_is_plain_text(self) -> None:
        run = process("--help", env={**os.environ, "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true"})
        assert "\x1b" not in run.out
        assert "╭" not in run.out

    def test_names_the_variables_of_the_environment(self) -> None:
        run = process("translate", "--help")
        for name in ("DEVICE", "PRECISION", "THREADS"):
            assert f"env var: GENKIT_{name}" in " ".join(run.out.split())

    def test_version(self) -> None:
        assert process("--version") == (0, f"genkit {package.__version__}\n", "")


class TestUsageErrors:
    @pytest.mark.parametrize(
        ("arguments", "message", "hint"),
        [
            (["--nope"], "No such option: --nope", "genkit --help"),
            (["translate", "--modle", "x"], "No such option: --modle", "genkit translate --help"),
            (["models", "show"], "Missing argument 'NAME|DIR'", "genkit models show --help"),
            (["translate", "--threads", "0"], "Invalid value for '--threads'", None),
            (["trnslate"], "no such command: 'trnslate'", "did you mean 'translate'?"),
            (["xyz"], "no such command: 'xyz'", f"one of: {', '.join(COMMANDS)}"),
            (["translate", "--device", "tpu", "x"], "unknown device 'tpu'", "one of: auto, cpu"),
        ],
    )
    def test_are_a_line_and_a_hint(
        self, shout: Path, arguments: list[str], message: str, hint: str | None
    ) -> None:
        run = genkit(*arguments)
        assert (run.code, run.out) == (2, "")
        first, second = run.err.splitlines()
        assert first.startswith(f"genkit: {message}")
        assert second.startswith("hint: " + (hint or ""))

    @pytest.mark.parametrize(
        "arguments",
        [
            ["translate", "- I am tired."],
            ["translate", "-5 degrees outside."],
            ["fill", "--- The [MASK] barked"],
            ["classify", "-x.jpg"],
        ],
    )
    def test_text_that_begins_with_a_dash_comes_after_two(self, arguments: list[str]) -> None:
        code, _, err = genkit(*arguments)
        assert code == 2
        assert err.splitlines()[1] == (
            f"hint: genkit {arguments[0]} --help; an argument that begins with a dash comes after --"
        )

    def test_what_is_like_an_option_is_none_of_that(self) -> None:
        assert "after --" not in genkit("translate", "--modle", "x").err
        assert "after --" not in genkit("info", "-5").err


class TestExitCodes:
    def test_0_all_went_well(self, shout: Path) -> None:
        assert process("translate", "--model", str(shout), "hello") == (0, "HELLO\n", "")

    def test_1_an_input_failed_and_the_others_did_not(self, shout: Path) -> None:
        run = pipeline(f"printf 'one\\n\\377\\nthree\\n' | genkit translate --model {shout}")
        assert (run.code, run.out) == (1, "ONE\n\nTHREE\n")
        assert run.err.startswith("genkit: line 2: ")

    def test_2_usage(self) -> None:
        assert process("translate", "--nope").code == 2

    def test_3_no_model(self, models: Path) -> None:
        run = process("translate", "--model", "nowhere/near", "hello")
        assert (run.code, run.out) == (3, "")
        assert run.err.startswith("genkit: no model at nowhere/near")

    def test_3_no_gpu(self, shout: Path) -> None:
        # An empty list of devices hides those that the machine may have.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        run = process(
            "translate", "--model", str(shout), "--device", "cuda", "hello", env=environment
        )
        assert (run.code, run.out) == (3, "")
        message, hint = run.err.splitlines()
        assert message.startswith("genkit: cannot use CUDA: the")
        assert hint == "hint: install NVIDIA's driver; or use --device cpu"

    @posix
    def test_130_interrupted(self, shout: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "genkit", "translate", "--model", str(shout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"HELLO\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, b"", b"")

    @posix
    def test_130_while_the_command_is_still_being_imported(self, tmp_path: Path) -> None:
        (tmp_path / "typer.py").write_text("import os; os.kill(os.getpid(), 2)")
        run = process("--version", env={**os.environ, "PYTHONPATH": str(tmp_path)})
        assert run == (130, "", "")


class TestClosedPipes:
    """PYTHONUNBUFFERED would hide what happens to output that is still in a buffer."""

    @posix
    @pytest.mark.parametrize(
        "script",
        [
            "genkit --help | true",
            "genkit --version | true",
            "genkit models list | true",
            "genkit models list --json | head -c 1 >/dev/null",
            "genkit info | head -1 >/dev/null",
            "yes hello | head -3000 | genkit translate --model $SHOUT | head -1 >/dev/null",
            "genkit translate --model $SHOUT hello | true",
        ],
    )
    def test_end_quietly(self, shout: Path, script: str) -> None:
        assert "PYTHONUNBUFFERED" not in os.environ
        run = pipeline(script, env={**os.environ, "SHOUT": str(shout)})
        assert run.err == ""
        assert run.code in (0, 141), "141 is head's effect on yes"

    @posix
    def test_of_a_stream_without_end(self, shout: Path) -> None:
        began = time.monotonic()
        run = pipeline(f"yes hello | genkit translate --model {shout} | head -3")
        assert (run.out, run.err) == ("HELLO\nHELLO\nHELLO\n", "")
        assert time.monotonic() - began < 30

    @posix
    def test_a_full_disk_is_not_a_closed_pipe(self, shout: Path) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full")
        for arguments in ("--version", f"translate --model {shout} hello"):
            run = pipeline(f"genkit {arguments} > /dev/full")
            assert run == (1, "", "genkit: standard output: No space left on device\n")


class TestErrors:
    """What becomes of an error that a command raises."""

    @pytest.mark.parametrize(("error", "code"), [(UsageError, 2), (InputError, 1), (ModelError, 3)])
    def test_is_a_line_a_hint_and_a_code(
        self, command: Callable[..., None], error: type[Exception], code: int
    ) -> None:
        def fail(_: object) -> None:
            raise error("what went wrong", hint="what to do")  # type: ignore[call-arg]

        command(fail)
        assert genkit("info") == (code, "", "genkit: what went wrong\nhint: what to do\n")

    def test_out_of_memory_is_a_line(self, command: Callable[..., None]) -> None:
        def fail(_: object) -> None:
            raise MemoryError

        command(fail)
        assert genkit("info") == (1, "", "genkit: there is not enough memory for this\n")

    @pytest.mark.parametrize("way", [["-vv"], ["-v", "-v"], "GENKIT_DEBUG"])
    def test_shows_where_it_came_from_when_asked(
        self, command: Callable[..., None], monkeypatch: pytest.MonkeyPatch, way: list[str] | str
    ) -> None:
        def fail(_: object) -> None:
            raise InputError("what went wrong")

        command(fail)
        assert "Traceback" not in genkit("info", "-v").err
        if isinstance(way, str):
            monkeypatch.setenv(way, "1")
        run = genkit("info", *(way if isinstance(way, list) else []))
        assert run.code == 1
        assert run.err.startswith("Traceback (most recent call last)")
        assert run.err.endswith("genkit: what went wrong\n")

    def test_a_bug_is_not_hidden(self, command: Callable[..., None]) -> None:
        def fail(_: object) -> None:
            raise ZeroDivisionError

        command(fail)
        with pytest.raises(ZeroDivisionError):
            genkit("info")

    def test_a_warning_is_a_line_on_stderr_unless_q(self, command: Callable[..., None]) -> None:
        def warn(_: object) -> None:
            import warnings

            warnings.warn("mind this", GenkitWarning, stacklevel=1)

        command(warn)
        assert genkit("info") == (0, "", "genkit: warning: mind this\n")
        assert genkit("info") == (0, "", "genkit: warning: mind this\n"), "each run says it"
        assert genkit("info", "-q") == (0, "", "")

    @pytest.mark.filterwarnings("default")
    def test_a_warning_of_a_library_is_for_those_who_look_for_a_bug(
        self, command: Callable[..., None]
    ) -> None:
        def warn(_: object) -> None:
            import numpy as np

            np.exp(np.float32(1000))

        command(warn)
        assert genkit("info", "-v") == (0, "", "")
        assert "RuntimeWarning: overflow encountered in exp" in genkit("info", "-vv").err

    def test_an_interrupt_is_quiet_and_keeps_what_was_written(
        self, command: Callable[..., None]
    ) -> None:
        def interrupted(streams: object) -> None:
            streams.write("done so far\n")  # type: ignore[attr-defined]
            raise KeyboardInterrupt

        command(interrupted)
        assert genkit("info") == (130, "done so far\n", "")


def test_options_come_from_the_environment_too(
    shout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENKIT_DEVICE", "tpu")
    assert "unknown device 'tpu'" in genkit("translate", "hello").err
    assert genkit("translate", "--device", "cpu", "hello") == Run(0, "HELLO\n", "")


def test_completion_offers_commands_and_options() -> None:
    def complete(words: str) -> list[str]:
        environment = {
            **os.environ,
            "_GENKIT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        return process(env=environment).out.split()

    assert complete("genkit tr") == ["translate"]
    assert complete("genkit models v") == ["verify"]
    assert "--device" in complete("genkit translate --de")


def test_the_command_line_can_be_called_with_streams_that_are_not_those_of_the_process(
    models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folders.write(models, "fill")
    assert genkit("models", "path", "everyday").out == f"{models / 'fill' / 'everyday'}\n"
    assert capfd.readouterr() == ("", "")
