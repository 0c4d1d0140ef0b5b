"""Files written whole: under any name, beside what killed processes left, and to descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import shouting_model
from shell import pipeline, process, python

from genkit import writing
from genkit.errors import UsageError
from genkit.writing import atomic_file, descriptor_of, is_there

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files and signals of POSIX")

HOLD = (
    "import pathlib, sys; from genkit.writing import atomic_file, clean_up_on_signals\n"
    "clean_up_on_signals()\n"
    "with atomic_file(pathlib.Path(sys.argv[1])) as file:\n"
    "    file.write(b'half'); file.flush(); print('begun', flush=True)\n"
    "    {wait}"
)
SLEEP = HOLD.format(wait="import time; time.sleep(60)")
IN_C = HOLD.format(wait="import ctypes; c = ctypes.CDLL(None)\n    while True: c.sleep(60)")
"""The main thread stands in a function of C, where no handler of Python's is run. A signal ends
that function, so that it is called again.
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(writing, "_swept", set())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, data: bytes = b"whole") -> None:
    with atomic_file(path) as file:
        file.write(data)


def begun(code: str, path: Path) -> subprocess.Popen[bytes]:
    """A process that has begun to write a file."""
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def ended(process: subprocess.Popen[bytes], number: int) -> int:
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("code", [SLEEP, IN_C])
def test_a_signal_leaves_nothing(folder: Path, code: str, number: int) -> None:
    (folder / "out").write_bytes(b"old")
    # Under nohup, SIGHUP is ignored in the tests too.
    heard = f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n{code}"
    process = begun(heard, folder / "out")
    assert len(list(folder.iterdir())) == 2
    assert ended(process, number) == -number
    assert list(folder.iterdir()) == [folder / "out"]
    assert (folder / "out").read_bytes() == b"old"


def test_a_signal_that_is_ignored_stays_ignored(folder: Path) -> None:
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{SLEEP}"
    process = begun(code, folder / "out")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    assert ended(process, signal.SIGTERM) == -signal.SIGTERM


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(
    folder: Path,
) -> None:
    assert ended(begun(SLEEP, folder / "out"), signal.SIGKILL) == -signal.SIGKILL
    (left,) = folder.iterdir()
    alive = begun(SLEEP, folder / "other")
    mine = folder / ".genkit-notes.part"
    mine.touch()
    write(folder / "out")
    names = {path.name for path in folder.iterdir()}
    assert left.name not in names
    assert len(names) == 3 and {"out", mine.name} < names
    ended(alive, signal.SIGTERM)


def test_the_number_of_a_process_is_in_no_name(folder: Path) -> None:
    """A container's first process always has the same one."""
    stale = folder / f".out.{os.getpid()}.part"
    stale.touch()
    write(folder / "out")
    assert (folder / "out").read_bytes() == b"whole"


@pytest.mark.parametrize("length", [244, 255])
def test_names_may_be_as_long_as_the_system_allows(folder: Path, length: int) -> None:
    path = folder / ("n" * (length - 4) + ".png")
    for data in (b"new", b"newer"):
        write(path, data)
        assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("name", "message"),
    [("n" * 256, "File name too long"), ("a\0b", "null byte"), ("sub/a", "No such file")],
)
def test_names_that_cannot_be(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write(folder / name)


def test_many_threads_may_write_one_file(folder: Path) -> None:
    threads = [
        threading.Thread(target=write, args=(folder / "out", bytes([i]) * 9999)) for i in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = (folder / "out").read_bytes()
    assert data == data[:1] * 9999
    assert list(folder.iterdir()) == [folder / "out"]


def test_a_full_disk_is_told_with_the_name() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write(Path("/dev/full"), bytes(1 << 20))
    assert caught.value.filename == "/dev/full"


class TestDescriptors:
    def test_their_paths(self, folder: Path) -> None:
        (folder / "link").symlink_to("/dev/stdout")
        (folder / "plain").touch()
        (folder / "loop").symlink_to("loop")
        for path in ("/dev/stdout", "/dev/fd/1", f"/proc/{os.getpid()}/fd/1", "link"):
            assert descriptor_of(Path(path)) == 1
        for path in ("plain", "loop", "1", "/dev/null", "/proc/1/fd/1", "a\0b", "n" * 300):
            assert descriptor_of(Path(path)) is None

    def test_they_are_no_files_that_are_there_already(self, folder: Path) -> None:
        with open(folder / "log", "w") as log:
            assert is_there(folder / "log")
            assert not is_there(Path(f"/dev/fd/{log.fileno()}"))

    def test_what_was_written_before_stays(self, folder: Path) -> None:
        code = (
            "import pathlib; from genkit.writing import atomic_file\n"
            "with atomic_file(pathlib.Path('{}')) as file: file.write(b'data\\n')"
        )
        script = '(echo head; "$0" -c "$1"; echo tail) > log; cat log'
        for path in ("/dev/stdout", "/proc/self/fd/1"):
            command = ["bash", "-c", script, sys.executable, code.format(path)]
            assert subprocess.run(command, capture_output=True).stdout == b"head\ndata\ntail\n"


class TestCommands:
    @pytest.fixture
    def shout(self, models: Path, folder: Path) -> Path:
        return shouting_model.write_model(models / "translate" / "shout")

    @pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "-"])
    def test_a_log_is_appended_to(self, shout: Path, name: str) -> None:
        script = f"echo first > log; genkit translate --model {shout} -o {name} hi >> log; cat log"
        assert pipeline(script) == (0, "first\nHI\n", "")

    def test_pipes_and_process_substitution(self, shout: Path) -> None:
        command = f"genkit translate --model {shout} hi -o"
        assert pipeline(f"{command} /dev/stdout | cat") == (0, "HI\n", "")
        assert pipeline(f"{command} >(cat); sleep 0.1; wait") == (0, "HI\n", "")
        assert pipeline(f"mkfifo f; cat f & {command} f; wait") == (0, "HI\n", "")

    @pytest.mark.parametrize("arguments", ["--version", "-h", "info --help", "models list"])
    def test_a_closed_standard_output_is_an_error(self, arguments: str) -> None:
        done = pipeline(f"genkit {arguments} >&-")
        assert done == (1, "", "genkit: standard output: it is closed\n")

    def test_nothing_is_said_where_nothing_is_to_be_written(self, shout: Path) -> None:
        done = pipeline(f"genkit translate --model {shout} hi -o out >&-; cat out")
        assert done == (0, "HI\n", "")

    def test_a_program_that_only_imports_it_keeps_its_handlers(self) -> None:
        code = "import signal, genkit.writing; print(signal.getsignal(signal.SIGTERM) == 0)"
        assert python(code).out == "True\n"
        assert process("--version").code == 0
