"""Whatever is in a file, nothing of it runs, nothing takes much, and all is one line."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import Call, Named, Storage, numbers, old, pickled, rebuilt, save_old, zipped
from hostile_pickles import BOMBS, ODD, tensor

from genkit.errors import InputError
from genkit_export.pickles import load
from genkit_export.read import read

from .test_read import STATE

EXECUTED: list[str] = []


def execute(text: str = "") -> str:
    EXECUTED.append(text)
    return text


class SetsState:
    def __setstate__(self, state: Any) -> None:
        execute("state")


def sets_state() -> SetsState:
    evil = SetsState()
    evil.command = "touch executed"  # type: ignore[attr-defined]
    return evil


def refuse(path: Path) -> str:
    """What is said of it: one line, by the one exception."""
    with pytest.raises(InputError) as raised:
        read(path)
    assert "\n" not in raised.value.message
    return raised.value.message


CONTAINERS = [zipped, old]
REFUSED = {
    "os.system": Call(os.system, "touch executed"),
    "eval": Call(eval, "execute()"),
    "a reduce in a reduce": Call(getattr, Call(__import__, "os"), "system"),
    "in a state dict": {"model.1.weight": Call(exec, "execute()")},
    "a subprocess": Call(__import__("subprocess").Popen, ["touch", "executed"]),
    "opening a file": Call(io.open, "executed", "w"),
}
INERT = {
    "a function of a package": Call(execute, "called"),
    "PyTorch's own loader": Call(torch.load, "other.pt"),
    "hub": Call(torch.hub.load, "somebody/something", "model"),
    "a class with __setstate__": sets_state(),
}


class TestHostile:
    @pytest.fixture(autouse=True)
    def nothing_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.chdir(tmp_path)
        EXECUTED.clear()
        yield
        assert not EXECUTED
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("write", CONTAINERS)
    @pytest.mark.parametrize("what", REFUSED)
    def test_is_refused(self, what: str, write: Callable[..., None], tmp_path: Path) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            write(pickle.dumps(REFUSED[what], protocol), tmp_path / "a.pt")
            with pytest.raises(InputError, match="no checkpoint needs; nothing of it was run"):
                read(tmp_path / "a.pt")

    @pytest.mark.parametrize("write", CONTAINERS)
    @pytest.mark.parametrize("what", INERT)
    def test_is_never_called(self, what: str, write: Callable[..., None], tmp_path: Path) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            write(pickle.dumps({"x": INERT[what], "y": 3}, protocol), tmp_path / "a.pt")
            checkpoint = read(tmp_path / "a.pt")
            assert not checkpoint.tensors
            assert checkpoint.values["y"] == 3

    def test_a_bomb_of_nulls(self, tmp_path: Path) -> None:
        count = 1 << 23
        with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", tensor("0", count, 0, (count,), (1,)))
            archive.writestr("a/data/0", bytes(4 * count))
        assert "would unpack to" in refuse(tmp_path / "a.pt")

    def test_a_bomb_of_members_in_the_same_place(self, tmp_path: Path) -> None:
        count = 1 << 18
        content = [rebuilt(Storage(str(i), count), 0, (count,), (1,)) for i in range(10)]
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            archive.writestr("a/data.pkl", pickled(content))
            archive.writestr("a/data/0", bytes(4 * count))
            first = archive.getinfo("a/data/0")
            for i in range(1, 10):
                again = zipfile.ZipInfo(f"a/data/{i}")
                again.header_offset, again.file_size = first.header_offset, first.file_size
                again.compress_size, again.CRC = first.compress_size, first.CRC
                archive.filelist.append(again)
        assert "would unpack to" in refuse(tmp_path / "a.pt")

    def test_a_storage_that_is_not_as_large_as_it_says(self, tmp_path: Path) -> None:
        data = tensor("0", 1 << 50, 0, (1 << 50,), (1,))
        zipped(data, tmp_path / "a.pt", _0=bytes(16))
        assert "does not hold" in refuse(tmp_path / "a.pt")
        old(data, tmp_path / "b.pt")
        assert "too short" in refuse(tmp_path / "b.pt")

    def test_one_number_that_would_become_many(self, tmp_path: Path) -> None:
        zipped(tensor("0", 4, 0, (1 << 40,), (0,)), tmp_path / "a.pt", _0=bytes(16))
        assert "would build a great deal more" in refuse(tmp_path / "a.pt")

    def test_one_number_that_is_said_to_be_a_few(self, tmp_path: Path) -> None:
        torch.save({"w": torch.full((1,), 3.0).expand(2, 50)}, tmp_path / "a.pt")
        assert torch.equal(read(tmp_path / "a.pt").tensors["w"], torch.full((2, 50), 3.0))

    @pytest.mark.parametrize(
        ("offset", "size", "stride"),
        [
            (0, (2,), (1000,)),
            (999, (1,), (1,)),
            (500_000, (1,), (1,)),
            (4, (1,), (1,)),
            (-1, (1,), (1,)),
            (0, (2, 3), (3, 1)),
            (3, (2,), (-1,)),
            (0, (-1,), (1,)),
            (0, (1 << 62, 1 << 62), (0, 0)),
            (0, (4,), (1 << 63,)),
            (True, (1,), (1,)),
            (0, (1,), ()),
            (0, (1,) * 65, (1,) * 65),
            (0, "1", (1,)),
            (0, (1.0,), (1,)),
            (None, (1,), (1,)),
        ],
    )
    def test_a_tensor_beyond_the_end(
        self, offset: Any, size: Any, stride: Any, tmp_path: Path
    ) -> None:
        """Older files could read this process's memory so."""
        data = tensor("0", 4, offset, size, stride)
        zipped(data, tmp_path / "a.pt", _0=bytes(16))
        refuse(tmp_path / "a.pt")
        old(data, tmp_path / "b.pt", numbers({"0": bytes(16)}))
        refuse(tmp_path / "b.pt")

    def test_storages_whose_numbers_are_not_in_the_file(self, tmp_path: Path) -> None:
        old(tensor("0", 4, 0, (4,), (1,)), tmp_path / "a.pt")
        assert "list of storages" in refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize("view", [(0, 3, 2), (0, -1, 2), (0, 0, -2), (0, 0), "x", 1])
    def test_a_part_of_a_storage_beyond_its_end(self, view: Any, tmp_path: Path) -> None:
        content = {"w": rebuilt(Storage("0", 4, view=view), 0, (1,), (1,))}
        old(pickled(content), tmp_path / "a.pt", numbers({"0": bytes(16)}))
        refuse(tmp_path / "a.pt")

    def test_a_part_of_a_storage(self, tmp_path: Path) -> None:
        content = {"w": rebuilt(Storage("0", 4, view=("1", 1, 2)), 0, (2,), (1,))}
        data = struct.pack("<4f", 1, 2, 3, 4)
        old(pickled(content), tmp_path / "a.pt", numbers({"0": data}))
        assert read(tmp_path / "a.pt").tensors["w"].tolist() == [2, 3]

    def test_storages_that_together_are_larger_than_the_file(self, tmp_path: Path) -> None:
        count = 1 << 18
        content = [rebuilt(Storage(str(i), count), 0, (count,), (1,)) for i in range(10)]
        old(pickled(content), tmp_path / "a.pt", numbers({"0": bytes(4 * count)}))
        assert "would unpack to" in refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize("write", CONTAINERS)
    @pytest.mark.parametrize("what", BOMBS)
    def test_small_files_that_would_take_much(
        self, what: str, write: Callable[..., None], tmp_path: Path
    ) -> None:
        """Of 200 kB at most. What is accepted takes little memory."""
        write(BOMBS[what], tmp_path / "a.pt")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(InputError):
            read(tmp_path / "a.pt")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 64 << (10 if sys.platform == "linux" else 20)  # kB there, bytes elsewhere

    def test_numbers_of_two_tensors_are_not_added(self, tmp_path: Path) -> None:
        """As ADDITEMS on a tensor once did, into a third of very many."""
        a, b = tensor("0", 9, 0, (9, 1), (1, 1)), tensor("0", 9, 0, (1, 9), (1, 1))
        data = b"\x80\x04" + a[2:-1] + b"(" + b[2:-1] + b"\x90."
        zipped(data, tmp_path / "a.pt", _0=bytes(36))
        refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_compression_that_has_no_bound(self, kind: int, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.pt", "w", kind) as archive:
            archive.writestr("a/data.pkl", pickle.dumps({}), compress_type=zipfile.ZIP_STORED)
            archive.writestr("a/byteorder", b"little" + bytes(1 << 20))
            info = archive.getinfo("a/byteorder")
            info.file_size, info.CRC = 6, zlib.crc32(b"little")
        assert "is compressed" in refuse(tmp_path / "a.pt")

    def test_a_member_that_is_longer_than_the_zip_says(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", pickle.dumps({"x": bytes(1 << 20)}))
            archive.getinfo("a/data.pkl").file_size = 20
        refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize("what", ODD)
    def test_opcodes_on_what_they_are_not_for(self, what: str, tmp_path: Path) -> None:
        zipped(ODD[what], tmp_path / "a.pt", _0=bytes(16))
        refuse(tmp_path / "a.pt")

    def test_two_tensors_of_one_name(self, tmp_path: Path) -> None:
        torch.save({"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}, tmp_path / "a.pt")
        assert "two tensors with the name 'a.b'" in refuse(tmp_path / "a.pt")

    def test_names_that_a_terminal_would_obey(self, tmp_path: Path) -> None:
        torch.save({"a\x1b[2J": torch.ones(1)}, tmp_path / "a.pt")
        assert list(read(tmp_path / "a.pt").tensors) == ["a\\x1b[2J"]
        zipped(pickled({"\x1b[2J": Named("os.\x1b[3J")}), tmp_path / "b.pt")
        assert refuse(tmp_path / "b.pt").isprintable()

    def test_a_file_that_changes_while_it_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The hash would be another file's."""
        for name in ("a.pt", "b.pt"):
            torch.save({"w": torch.ones(1)}, tmp_path / name)

        def replace(file: Any) -> object:
            (tmp_path / "b.pt").replace(tmp_path / "a.pt")
            return load(file)

        monkeypatch.setattr("genkit_export.read.load", replace)
        assert "changed while it was read" in refuse(tmp_path / "a.pt")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.pt")
        assert "is no regular file" in refuse(tmp_path / "a.pt")

    def test_a_storage_that_is_not_there(self, tmp_path: Path) -> None:
        zipped(tensor("0", 4, 0, (4,), (1,)), tmp_path / "a.pt")
        assert "lacks 'a/data/0'" in refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize("save", [torch.save, save_old])
    def test_cut_short_anywhere(self, save: Callable[..., None], tmp_path: Path) -> None:
        save(STATE, tmp_path / "whole.pt")
        data = (tmp_path / "whole.pt").read_bytes()
        for length in (0, 1, 10, 100, len(data) // 2, len(data) - 30, len(data) - 1):
            (tmp_path / "a.pt").write_bytes(data[:length])
            refuse(tmp_path / "a.pt")

    def test_dicts_that_contain_each_other(self, tmp_path: Path) -> None:
        endless: dict[str, Any] = {"x": 1}
        endless["again"] = endless
        torch.save(endless, tmp_path / "a.pt")
        assert read(tmp_path / "a.pt").values["x"] == 1
        laugh: Any = {"x": 1}
        for _ in range(60):
            laugh = {"a": laugh, "b": laugh}
        torch.save(laugh, tmp_path / "b.pt")
        assert read(tmp_path / "b.pt").values == {"a." * 60 + "x": 1}

    def test_tensors_that_are_met_on_very_many_ways(self, tmp_path: Path) -> None:
        laugh: Any = {"w": torch.ones(1)}
        for _ in range(60):
            laugh = {"a": laugh, "b": laugh}
        torch.save({"first": laugh, "state_dict": {"w": torch.zeros(1)}}, tmp_path / "a.pt")
        found = read(tmp_path / "a.pt").tensors
        assert len(found) < 200_000
        assert found["state_dict.w"] == 0

    def test_missing(self, tmp_path: Path) -> None:
        assert "cannot read" in refuse(tmp_path / "none.pt")
