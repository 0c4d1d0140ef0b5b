"""Every container is read, and whatever is in a file, nothing of it runs."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genkit.errors import InputError
from genkit_export.read import read

STATE = OrderedDict(
    {
        "model.1.weight": torch.arange(24.0).reshape(2, 3, 4),
        "model.1.bias": torch.tensor([1.5, -2.5]).half(),
        "model.2.count": torch.tensor(7),
        "view": torch.arange(10.0)[2:8:2],
        "empty": torch.empty(0, 3),
    }
)


def assert_same(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def save_old(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


@pytest.fixture
def foreign_class() -> Iterator[type]:
    """A class of a package that is there while a file is written, and gone when it is read."""
    module = types.ModuleType("pytorch_lightning")

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.monitor, self.weights = "loss", {"best": torch.ones(2)}

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield ModelCheckpoint
    del sys.modules[module.__name__]


class TestContainers:
    @pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.bin", "a"])
    @pytest.mark.parametrize("save", [torch.save, save_old])
    def test_pickled(self, save: Callable[..., None], name: str, tmp_path: Path) -> None:
        save(STATE, tmp_path / name)
        checkpoint = read(tmp_path / name)
        assert_same(checkpoint.tensors, STATE)
        assert len(checkpoint.sha256) == 64

    def test_safetensors_under_any_name(self, tmp_path: Path) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in STATE.items()}
        save_file(tensors, tmp_path / "weights", {"made": "here"})
        checkpoint = read(tmp_path / "weights")
        assert_same(checkpoint.tensors, tensors)
        assert checkpoint.metadata == {"made": "here"}

    @pytest.mark.parametrize("save", [torch.save, save_old])
    def test_nested_with_other_values(self, save: Callable[..., None], tmp_path: Path) -> None:
        content = {
            "epoch": 3,
            "state_dict": STATE,
            "args": argparse.Namespace(width=8, norm="batch"),
        }
        save(content, tmp_path / "a.ckpt")
        checkpoint = read(tmp_path / "a.ckpt")
        assert_same(checkpoint.tensors, {f"state_dict.{name}": t for name, t in STATE.items()})
        assert checkpoint.values == {"epoch": 3, "args.width": 8, "args.norm": "batch"}

    @pytest.mark.parametrize("save", [torch.save, save_old])
    def test_objects_of_packages_that_are_not_there(
        self, save: Callable[..., None], foreign_class: type, tmp_path: Path
    ) -> None:
        content = {"callbacks": {foreign_class: foreign_class()}, "state_dict": STATE}
        save(content, tmp_path / "a.ckpt")
        sys.modules["pytorch_lightning"] = None  # type: ignore[assignment]
        checkpoint = read(tmp_path / "a.ckpt")
        assert torch.equal(checkpoint.tensors["state_dict.view"], STATE["view"])
        assert "loss" in checkpoint.values.values()

    def test_a_whole_network(self, tmp_path: Path) -> None:
        network = Net()
        torch.save({"net": network}, tmp_path / "a.pt")
        expected = {f"net.{name}": tensor for name, tensor in network.state_dict().items()}
        assert_same(read(tmp_path / "a.pt").tensors, expected)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_torchscript(self, tmp_path: Path) -> None:
        network = Net().eval()
        torch.jit.script(network).save(str(tmp_path / "a.pt"))
        assert_same(read(tmp_path / "a.pt").tensors, network.state_dict())

    def test_parameters_are_tensors_and_shared_storage_is_read_once(self, tmp_path: Path) -> None:
        shared = nn.Parameter(torch.randn(3))
        torch.save({"a": shared, "b": shared.data[1:]}, tmp_path / "a.pt")
        found = read(tmp_path / "a.pt").tensors
        assert torch.equal(found["a"], shared.data)
        assert torch.equal(found["b"], shared.data[1:])

    def test_a_compressed_zip(self, tmp_path: Path) -> None:
        torch.save(STATE, tmp_path / "a.pt")
        with (
            zipfile.ZipFile(tmp_path / "a.pt") as old,
            zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                new.writestr(name, old.read(name))
        assert_same(read(tmp_path / "b.pt").tensors, STATE)


class TestFolders:
    def test_safetensors_are_preferred(self, tmp_path: Path) -> None:
        torch.save({"other": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
        save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        checkpoint = read(tmp_path)
        assert list(checkpoint.tensors) == ["a"]
        assert checkpoint.config == {"model_type": "bert"}
        assert checkpoint.path == tmp_path / "model.safetensors"

    def test_a_file_of_a_folder_brings_its_configuration(self, tmp_path: Path) -> None:
        torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        assert read(tmp_path / "pytorch_model.bin").config == {"model_type": "bert"}

    @pytest.mark.parametrize("suffix", ["safetensors", "bin"])
    def test_shards(self, suffix: str, tmp_path: Path) -> None:
        stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
        for i, name in enumerate("ab"):
            path = tmp_path / f"{stem}-{i}.{suffix}"
            (save_file if suffix == "safetensors" else torch.save)({name: torch.ones(i + 1)}, path)
        index = {"weight_map": {name: f"{stem}-{i}.{suffix}" for i, name in enumerate("ab")}}
        (tmp_path / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
        checkpoint = read(tmp_path)
        assert_same(checkpoint.tensors, {"a": torch.ones(1), "b": torch.ones(2)})

    @pytest.mark.parametrize("name", ["../a.bin", "/etc/passwd", "x/../../a.bin"])
    def test_an_index_stays_in_its_folder(self, name: str, tmp_path: Path) -> None:
        index = {"weight_map": {"a": name}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(InputError, match="no file beside it"):
            read(tmp_path)

    def test_no_weights(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="has no weights"):
            read(tmp_path)

    @pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
    def test_broken_configuration(self, text: str, tmp_path: Path) -> None:
        save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config\.json is no"):
            read(tmp_path)


# Hostile files

EXECUTED: list[str] = []


def execute(text: str = "") -> str:
    EXECUTED.append(text)
    return text


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


class SetsState:
    def __setstate__(self, state: Any) -> None:
        execute("state")


def sets_state() -> SetsState:
    evil = SetsState()
    evil.command = "touch executed"  # type: ignore[attr-defined]
    return evil


def zipped(pickled: bytes, path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in members.items():
            archive.writestr(f"a/data/{name.removeprefix('_')}", data)


def old(pickled: bytes, path: Path, storages: bytes = pickle.dumps([])) -> None:
    magic = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {}))
    path.write_bytes(magic + pickled + storages)


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

    def refuse(self, path: Path) -> str:
        with pytest.raises(InputError) as raised:
            read(path)
        assert "\n" not in raised.value.message
        return raised.value.message

    def test_a_bomb_of_nulls(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", pickle.dumps({}))
            archive.writestr("a/data/0", bytes(1 << 25))
        assert "would unpack to" in self.refuse(tmp_path / "a.pt")

    def test_a_bomb_of_members_in_the_same_place(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            archive.writestr("a/data.pkl", pickle.dumps({}))
            archive.writestr("a/data/0", bytes(1 << 20))
            first = archive.getinfo("a/data/0")
            for i in range(1, 10):
                again = zipfile.ZipInfo(f"a/data/{i}")
                again.header_offset, again.file_size = first.header_offset, first.file_size
                again.compress_size, again.CRC = first.compress_size, first.CRC
                archive.filelist.append(again)
        assert "would unpack to" in self.refuse(tmp_path / "a.pt")

    def tensor(self, count: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
        """The pickle of a tensor over a storage that is said to hold `count` numbers."""
        stream = io.BytesIO()

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return ("storage", torch.FloatStorage, "0", "cpu", count) if obj == "s" else None

        Pickler(stream, 2).dump(
            {"w": Call(torch._utils._rebuild_tensor_v2, "s", 0, size, stride, False, OrderedDict())}
        )
        return stream.getvalue()

    def test_a_storage_that_is_not_as_large_as_it_says(self, tmp_path: Path) -> None:
        pickled = self.tensor(1 << 50, (1 << 50,), (1,))
        zipped(pickled, tmp_path / "a.pt", _0=bytes(16))
        assert "does not hold" in self.refuse(tmp_path / "a.pt")
        old(pickled, tmp_path / "b.pt")
        self.refuse(tmp_path / "b.pt")

    def test_one_number_that_would_become_many(self, tmp_path: Path) -> None:
        zipped(self.tensor(4, (1 << 40,), (0,)), tmp_path / "a.pt", _0=bytes(16))
        assert "larger than what it is made from" in self.refuse(tmp_path / "a.pt")

    def test_a_tensor_beyond_the_end(self, tmp_path: Path) -> None:
        zipped(self.tensor(4, (2,), (1000,)), tmp_path / "a.pt", _0=bytes(16))
        self.refuse(tmp_path / "a.pt")

    def test_a_storage_that_is_not_there(self, tmp_path: Path) -> None:
        zipped(self.tensor(4, (4,), (1,)), tmp_path / "a.pt")
        self.refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize("save", [torch.save, save_old])
    def test_cut_short_anywhere(self, save: Callable[..., None], tmp_path: Path) -> None:
        save(STATE, tmp_path / "whole.pt")
        data = (tmp_path / "whole.pt").read_bytes()
        for length in (0, 1, 10, 100, len(data) // 2, len(data) - 30, len(data) - 1):
            (tmp_path / "a.pt").write_bytes(data[:length])
            self.refuse(tmp_path / "a.pt")

    @pytest.mark.parametrize(
        "data",
        [
            b"\x89PNG\r\n\x1a\n and a picture",
            b"PK\x03\x04 no zip",
            b"hello",
            b"\x80\x02r\xff\xff\xff\xff.",  # keeps something at the place 4,294,967,295
            b"\x80\x02" + b"(" * 100_000 + b".",
            b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
        ],
    )
    def test_something_else(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "a.pt").write_bytes(data)
        assert "is no PyTorch file, or is damaged" in self.refuse(tmp_path / "a.pt")

    def test_dicts_that_contain_each_other(self, tmp_path: Path) -> None:
        endless: dict[str, Any] = {"x": 1}
        endless["again"] = endless
        torch.save(endless, tmp_path / "a.pt")
        assert read(tmp_path / "a.pt").values["x"] == 1
        laugh: Any = {"x": 1}
        for _ in range(60):
            laugh = {"a": laugh, "b": laugh}
        torch.save(laugh, tmp_path / "b.pt")
        assert "more than" in self.refuse(tmp_path / "b.pt")

    def test_missing(self, tmp_path: Path) -> None:
        assert "cannot read" in self.refuse(tmp_path / "none.pt")
