"""Every container is read."""

from __future__ import annotations

import argparse
import json
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import save_old
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

    @pytest.mark.parametrize("protocol", range(1, 6))
    def test_protocols(self, protocol: int, tmp_path: Path) -> None:
        """With 0, PyTorch itself cannot refer to storages."""
        for new in (True, False):
            torch.save(
                {"state": STATE, "x": {"y": [1, -2, 1 << 40], "t": "caf\xe9", "f": 1.5}},
                tmp_path / "a.pt",
                pickle_protocol=protocol,
                _use_new_zipfile_serialization=new,
            )
            checkpoint = read(tmp_path / "a.pt")
            assert_same(checkpoint.tensors, {f"state.{name}": t for name, t in STATE.items()})
            assert checkpoint.values == {"x.y": [1, -2, 1 << 40], "x.t": "caf\xe9", "x.f": 1.5}

    def test_texts_of_protocol_0(self, tmp_path: Path) -> None:
        for save in (torch.save, save_old):
            save({"t": "caf\xe9 \u2603", "x": [1, True]}, tmp_path / "a.pt", pickle_protocol=0)
            assert read(tmp_path / "a.pt").values == {"t": "caf\xe9 \u2603", "x": [1, True]}

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
