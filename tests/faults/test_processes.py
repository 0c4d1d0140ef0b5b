"""Loaded models in several threads, in forked processes, and given back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import shouting_model
from shell import python

import genkit
from genkit import library_output
from genkit.errors import RuntimeUnavailableError
from genkit.library_output import hushed, own_process
from genkit.once import once
from genkit.runtime import library
from genkit.runtime.devices import CPU
from genkit.runtime.session import Session, Workers
from genkit.streams import captured_output

posix = pytest.mark.skipif(os.name != "posix", reason="descriptors and forks of POSIX")
linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts in Linux's /proc")


@pytest.fixture(scope="module")
def shout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shouting_model.write_model(tmp_path_factory.mktemp("models") / "translate" / "shout")


def streams() -> list[tuple[int, int]]:
    """What descriptors 1 and 2 lead to."""
    return [(os.fstat(i).st_dev, os.fstat(i).st_ino) for i in (1, 2)]


@posix
class TestStreams:
    def test_two_threads_that_catch_output_give_it_back(self) -> None:
        before = streams()
        inside, other_inside = threading.Event(), threading.Event()

        def first() -> None:
            with captured_output():
                inside.set()
                other_inside.wait(0.2)  # it has to wait: two at a time could not be undone

        def second() -> None:
            inside.wait()
            with captured_output():
                other_inside.set()

        threads = [threading.Thread(target=one) for one in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert other_inside.is_set()
        assert streams() == before

    def test_one_within_another_catches_its_own(self, capfd: pytest.CaptureFixture[str]) -> None:
        with captured_output() as outer:
            os.write(1, b"1")
            with captured_output() as inner:
                os.write(1, b"2")
                assert inner() == "2"
            os.write(1, b"3")
            assert outer() == "13"
        assert capfd.readouterr() == ("", "")

    def test_a_library_call_redirects_nothing(
        self, shout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def never() -> Any:
            pytest.fail("the descriptors belong to the program")

        monkeypatch.setattr(library_output, "captured_output", never)
        library.onnxruntime.cache_clear()
        with genkit.load("translate", str(shout)) as translate:
            assert translate(["hello"]) == ["HELLO"]
        with hushed() as caught:
            os.write(1, b"seen")
        assert caught() == ""
        assert capfd.readouterr() == ("seen", "")

    def test_the_command_line_catches_what_libraries_print(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with own_process(), hushed() as caught:
            os.write(1, b"not seen")
            assert caught() == "not seen"
        assert capfd.readouterr() == ("", "")

    def test_the_logger_of_a_program_is_left_alone(self, tmp_path: Path) -> None:
        """A program that imported ONNX Runtime first has set it as it likes."""
        (tmp_path / "onnxruntime.py").write_text(
            "def set_default_logger_severity(level): print('severity', level)\n"
            "def disable_telemetry_events(): print('no telemetry')\n"
        )
        code = "import sys; sys.path.insert(0, sys.argv[1])\n"
        ask = "from genkit.runtime import onnxruntime; onnxruntime()"
        quiet = f"{code}import onnxruntime\n{ask}"
        assert python(quiet, str(tmp_path)).out == "no telemetry\n"
        assert python(code + ask, str(tmp_path)).out == "severity 4\nno telemetry\n"

    def test_an_import_is_hidden_from_one_thread_only(self, tmp_path: Path) -> None:
        """While OpenVINO is imported without its converter, another thread may import that."""
        package = tmp_path / "openvino"
        (package / "tools" / "ovc").mkdir(parents=True)
        for name in ("tools", "tools/ovc"):
            (package / name / "__init__.py").write_text("")
        (package / "__init__.py").write_text(
            "import sys, threading\n"
            "def look():\n"
            "    global found\n"
            "    found = [hook.find_spec('openvino.tools.ovc') for hook in sys.meta_path[:1]]\n"
            "thread = threading.Thread(target=look); thread.start(); thread.join()\n"
            "assert 'openvino.tools.ovc' not in sys.modules\n"
            "try:\n    import openvino.tools.ovc; raise SystemExit('imported')\n"
            "except ImportError:\n    pass\n"
        )
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from genkit.runtime.engines.openvino import import_quietly\n"
            "hooks = list(sys.meta_path)\n"
            "print(import_quietly().found, sys.meta_path == hooks)"
        )
        assert python(code, str(tmp_path)) == (0, "[None] True\n", "")


def test_what_is_found_out_once_is_found_out_once() -> None:
    calls = []
    begun = threading.Event()

    @once
    def find(name: str) -> int:
        calls.append(name)
        begun.wait(0.1)
        return len(calls)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(find, ["a"] * 8)) == {1}
    assert calls == ["a"]
    find.cache_clear()
    assert find("a") == 2


class TestClosing:
    @linux
    def test_fifty_models_leave_no_thread_and_no_descriptor(self, shout: Path) -> None:
        def use(task: str, model: str, given: list[Any]) -> None:
            with genkit.load(task, model, threads=3) as loaded:
                assert len(list(loaded(given))) == len(given)

        def held() -> tuple[int, int]:
            return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

        before: tuple[int, int] = (0, 0)
        for turn in range(50):
            use("translate", str(shout), ["a", "b", "c"])
            if turn < 5:  # threads of ONNX Runtime's, and not of ours
                use("sample", "dcgan", [1])
            before = before if turn else held()
        assert held() == before

    @pytest.mark.parametrize(
        "task", ["translate", "fill", "classify", "sample", "cyclegan", "inpaint"]
    )
    def test_all_that_load_returns_closes(self, task: str) -> None:
        model = {"cyclegan": "summer2winter"}.get(task)
        with genkit.load(task, model, threads=1) as loaded:
            sessions = [part for part in walk(loaded) if isinstance(part, Session)]
            assert sessions
        loaded.close()
        for session in sessions:
            with pytest.raises(ValueError, match="was closed"):
                session.run({})

    def test_a_closed_model_says_so(self, shout: Path) -> None:
        translate = genkit.load("translate", str(shout))
        translate.close()
        with pytest.raises(ValueError, match="was closed"):
            translate(["hello"])


def walk(thing: Any) -> list[Any]:
    """A loaded thing and the parts of it that hold sessions."""
    parts = [value for value in vars(thing).values() if hasattr(value, "close")]
    return [thing, *(below for part in parts for below in walk(part))]


def test_eight_threads_get_what_one_gets() -> None:
    texts = [f"The {word} [MASK] all day and ___." for word in ("dog", "cat", "old man", "rain")]
    with (
        genkit.load("fill", threads=3) as fill,
        genkit.load("sample", "dcgan", threads=2) as sample,
    ):
        ways: list[Callable[[int], Any]] = [
            lambda _: fill.fill(texts),
            lambda _: fill.fill_jointly(texts),
            lambda i: [pixels.tobytes() for pixels in sample([i % 2, 3])],
        ]
        for way in ways:
            expected = [way(i) for i in range(8)]
            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(way, range(8))) == expected


@posix
class TestFork:
    CODE = """
import os, sys, genkit
task, model, given = sys.argv[1], sys.argv[2] or None, eval(sys.argv[3])
use = genkit.load(task, model, device="cpu", threads=2)
run = lambda: [one if isinstance(one, str) else one.tobytes() for one in use(given)]
expected = run()
child = os.fork()
if child == 0:
    same = "run" not in sys.argv or (run() == expected and run() == expected)
    sys.exit(0 if same else 5)  # the way out too has to end
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert run() == expected
sys.exit(status)
"""

    @pytest.mark.parametrize("what", ["run", "leave"])
    @pytest.mark.parametrize(
        ("task", "model", "given"),
        [("translate", "", "['Hello there.']"), ("sample", "dcgan", "[1, 2]")],
    )
    def test_a_loaded_model_works_in_the_new_process(
        self, task: str, model: str, given: str, what: str
    ) -> None:
        run = python(self.CODE, task, model, given, what)
        assert run.code == 0, run.err

    def test_where_it_cannot_it_says_so(self) -> None:
        class Graph:
            def get_inputs(self) -> list[Any]:
                return []

            get_outputs = get_inputs

        session = Session(Graph(), CPU, "fp32", 1, "a test")
        session.leave_parent()
        with pytest.raises(RuntimeUnavailableError, match="cannot be used after a fork") as caught:
            session.run({})
        assert caught.value.hint == "load it in the new process"

    def test_threads_are_made_anew(self) -> None:
        code = (
            "import os, sys\n"
            "from genkit.runtime.session import Workers\n"
            "workers = Workers(2)\n"
            "assert workers.submit(abs, -1).result() == 1\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    assert list(workers.map(abs, [-2, -3])) == [2, 3]\n"
            "    workers.close(); sys.exit(0)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
        )
        assert python(code) == (0, "", "")


def test_workers_stop_at_the_first_error() -> None:
    with Workers(1) as workers, pytest.raises(ZeroDivisionError):
        list(workers.map(lambda number: 1 / number, [1, 0, 2]))
    with pytest.raises(ValueError, match="was closed"):
        workers.submit(abs, 1)
