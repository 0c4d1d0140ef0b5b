"""What stands beside weights in files that people have is read, or passed over, but never refused
because it is a function or a class.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import functools
import itertools
import logging
import math
import operator
import os
import pathlib
import random
import re
import signal
import sys
import types
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import torch
from checkpoint_files import (
    Call,
    Named,
    Storage,
    numbers,
    old,
    pickled,
    rebuilt,
    save_old,
    save_tar,
    zipped,
)
from torch import Tensor, nn

from genkit.errors import InputError
from genkit_export.read import read


class Norm(enum.Enum):
    BATCH = "batch"


@dataclasses.dataclass
class Options:
    width: int = 8

    def method(self) -> None: ...


HARMLESS: dict[str, Any] = {
    "a range": range(3),
    "an ellipsis": ...,
    "not implemented": NotImplemented,
    "the type of None": type(None),
    "a pattern": re.compile("a+"),
    "an exception": ValueError("no"),
    "a slice": slice(1, 2),
    "an enumeration": Norm.BATCH,
    "a dataclass": Options(),
    "a method": Options().method,
    "a class": Options,
    "a method of torch": torch.relu,
    "a bound method": "abc".upper,
    "a class method": dict.fromkeys,
    "functions": (len, max, sum, abs, round, sorted, print, isinstance, getattr, setattr, vars),
    "a partial function": functools.partial(int, base=2),
    "mathematics": math.sqrt,
    "operators": (operator.add, operator.itemgetter(1), operator.attrgetter("a")),
    "a path": pathlib.PurePosixPath("a/b"),
    "functions of paths": (os.path.join, pathlib.Path.exists, os.PathLike, os.cpu_count, os.getcwd),
    "random numbers": random.Random(3),
    "iterators": (iter([1, 2]), itertools.count(3)),
    "a logger": logging.getLogger("genkit.test"),
    "unions": (int | None, Optional[int], list[int], Callable[[int], str]),  # noqa: UP045
    "a namespace": types.SimpleNamespace(items=3, lr=0.1),
    "counts": collections.Counter("abca"),
    "a deque": collections.deque([1, 2], 3),
    "a dict with a default": collections.defaultdict(list, a=[1]),
    "an identifier": uuid.UUID(int=3),
    "signals": signal.Signals.SIGINT,
    "numbers of NumPy": (np.float64(3.5), np.arange(3), np.random.RandomState(3), np.dtype("f4")),
    "a complex number": 1 + 2j,
    "sets": ({1, 2}, frozenset([3])),
    "a device": torch.device("cuda:0"),
    "types": (torch.float32, torch.int64),
    "a module": nn.ReLU(),
    "a function of torch": nn.functional.gelu,
    "a generator": torch.Size([1, 2]),
    "a text of Python 2": b"caf\xe9",
}


@pytest.mark.parametrize("save", [torch.save, save_old])
@pytest.mark.parametrize("what", HARMLESS)
def test_harmless_settings(what: str, save: Callable[..., None], tmp_path: Path) -> None:
    settings = argparse.Namespace(it=HARMLESS[what], items=[1, 2], lr=0.1)
    save({"hyper_parameters": settings, "x": HARMLESS[what], "w": torch.ones(2)}, tmp_path / "a.pt")
    checkpoint = read(tmp_path / "a.pt")
    assert torch.equal(checkpoint.tensors["w"], torch.ones(2))
    assert checkpoint.values["hyper_parameters.lr"] == 0.1
    assert checkpoint.values["hyper_parameters.items"] == [1, 2]


PYTHON_3 = {
    "__builtin__.execfile": "builtins.execfile",
    "commands.getoutput": "subprocess.getoutput",
}
"""What Python 2 called otherwise."""


@pytest.mark.parametrize(
    "name",
    """os.system posix.system nt.system subprocess.Popen subprocess.run builtins.eval builtins.exec
    builtins.__import__ builtins.open builtins.compile __builtin__.execfile io.open shutil.rmtree
    importlib.import_module runpy.run_path pty.spawn ctypes.CDLL sys.exit socket.socket
    pickle.loads logging.os.system torch.os.system pathlib.Path.unlink os.posix.system
    webbrowser.open code.interact timeit.timeit commands.getoutput""".split(),
)
def test_what_harms_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content = {
        "w": [1, 2],
        "state_dict": {"w": 1},
        "hyper_parameters": {"lr": 0.1, "callback": {"first": Call(Named(name), "x")}, "b": 2},
    }
    for protocol in (0, 2):
        zipped(pickled(content, protocol), tmp_path / "a.pt")
        with pytest.raises(InputError) as raised:
            read(tmp_path / "a.pt")
        assert "nothing of it was run" in raised.value.message
        shown = PYTHON_3.get(name, name)
        assert f"for {shown}, which no checkpoint needs" in raised.value.message
        assert "its entry 'hyper_parameters.callback.first'" in raised.value.message
        assert "torch.save(network.state_dict()" in str(raised.value.hint)


def omega_module(monkeypatch: pytest.MonkeyPatch) -> type:
    """OmegaConf's way: every node knows its parent, and keeps its value under `_val`."""
    module = types.ModuleType("omegaconf.nodes")

    class Node:
        def __init__(self, content: Any, parent: Any = None) -> None:
            self._metadata = {"key": None, "flags": {}}
            self._parent = parent
            if isinstance(content, dict):
                self._content = {key: Node(value, self) for key, value in content.items()}
            elif isinstance(content, list):
                self._content = [Node(value, self) for value in content]  # type: ignore[assignment]
            else:
                self._val = content

    Node.__module__, Node.__qualname__ = module.__name__, "Node"
    module.Node = Node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Node


@pytest.mark.parametrize("save", [torch.save, save_old])
def test_settings_of_omegaconf(
    save: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As LaMa's authors save them. Two children and their parent were 2 ** 50 ways once."""
    settings = {f"part{i}": {"kind": "ffc", "sizes": [1, 2, {"x": i}]} for i in range(100)}
    content = {
        "state_dict": {"generator.weight": torch.ones(2)},
        "hyper_parameters": omega_module(monkeypatch)(settings),
    }
    save(content, tmp_path / "a.ckpt")
    checkpoint = read(tmp_path / "a.ckpt")
    assert list(checkpoint.tensors) == ["state_dict.generator.weight"]
    assert checkpoint.values["hyper_parameters.part7.kind"] == "ffc"
    assert len(checkpoint.values) < 2000


def test_tensors_in_parts_that_know_each_other(tmp_path: Path) -> None:
    """As of a whole network whose parts know the next one and the whole."""
    parts = [argparse.Namespace(weight=torch.full((1,), float(i))) for i in range(30)]
    for one, following in itertools.pairwise(parts):
        one.following, following.previous, one.all = following, one, parts
    torch.save({"net": {str(i): part for i, part in enumerate(parts)}}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt").tensors
    assert all(found[f"net.{i}.weight"] == i for i in range(1))
    assert {float(one) for one in found.values()} == set(range(30))


def test_shared_parts_have_both_names(tmp_path: Path) -> None:
    part = nn.Linear(2, 2)
    network = nn.ModuleDict({"a": part, "b": part})
    torch.save({"net": network}, tmp_path / "a.pt")
    assert sorted(read(tmp_path / "a.pt").tensors) == [
        "net.a.bias",
        "net.a.weight",
        "net.b.bias",
        "net.b.weight",
    ]


@pytest.mark.parametrize("save", [torch.save, save_old])
def test_state_dicts_in_a_list(save: Callable[..., None], tmp_path: Path) -> None:
    save(({"w": torch.ones(1)}, [{"w": torch.zeros(1)}], 3), tmp_path / "a.pt")
    assert list(read(tmp_path / "a.pt").tensors) == ["0.w", "1.0.w"]


# Other devices, and old files


def test_tensors_of_other_devices(tmp_path: Path) -> None:
    """As Apple's GPUs save them: by way of NumPy up to PyTorch 2.5, and of the CPU since."""
    content = {
        "numpy": Call(
            torch._utils._rebuild_device_tensor_from_numpy,
            np.arange(6, dtype=np.float32).reshape(2, 3),
            torch.float32,
            "mps:0",
            False,
        ),
        "fortran": Call(
            torch._utils._rebuild_device_tensor_from_numpy,
            np.asfortranarray(np.arange(6).reshape(2, 3)),
            torch.int64,
            "mps:0",
            False,
        ),
        "cpu": Call(
            torch._utils._rebuild_device_tensor_from_cpu_tensor,
            torch.ones(3),
            torch.float32,
            "xpu:0",
            False,
        ),
    }
    torch.save(content, tmp_path / "whole.pt")
    path = tmp_path / "whole.pt"
    found = read(path).tensors
    assert torch.equal(found["numpy"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["fortran"], torch.arange(6).reshape(2, 3))
    assert torch.equal(found["cpu"], torch.ones(3))


@pytest.mark.parametrize("of", ["nn.parameter.Parameter", "autograd.variable.Variable"])
def test_parameters_of_pytorch_0_3(of: str, tmp_path: Path) -> None:
    data = rebuilt(Storage("0", 4), 0, (2, 2), (2, 1), "_rebuild_tensor")
    data.args = data.args[:4]
    hooks: Any = OrderedDict()
    content = {"w": Call(Named(f"torch.{of}"), data, state=(True, False, hooks))}
    numbers_of = torch.arange(4.0)
    old(pickled(content), tmp_path / "a.pth", numbers({"0": numbers_of.numpy().tobytes()}))
    assert torch.equal(read(tmp_path / "a.pth").tensors["w"], numbers_of.reshape(2, 2))


def test_quantised_numbers_are_named(tmp_path: Path) -> None:
    content = {"w": rebuilt(Storage("0", 4, Named("torch.QInt8Storage")), 0, (4,), (1,))}
    zipped(pickled(content), tmp_path / "a.pt", _0=bytes(4))
    with pytest.raises(InputError, match=r"numbers of the type torch\.QInt8Storage, unknown here"):
        read(tmp_path / "a.pt")
    content = {"w": rebuilt(Storage("0", 4), 0, (4,), (1,), "_rebuild_tensor_v3")}
    content["w"].args += (Named("torch.uint1"),)
    zipped(pickled(content), tmp_path / "b.pt", _0=bytes(16))
    with pytest.raises(InputError, match="a tensor is of no type"):
        read(tmp_path / "b.pt")


def test_tars_of_pytorch_0_1(tmp_path: Path) -> None:
    state: dict[str, Tensor] = {"a.weight": torch.randn(2, 3), "a.bias": torch.tensor([1.5])}
    save_tar(state, tmp_path / "a.pth")
    found = read(tmp_path / "a.pth").tensors
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor)


def test_types_that_came_later(tmp_path: Path) -> None:
    state = {
        "complex": torch.tensor([1 + 2j]),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "uint16": torch.tensor([1, 2]).to(torch.uint16),
    }
    torch.save(state, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt").tensors
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].view(torch.uint8), tensor.view(torch.uint8))
