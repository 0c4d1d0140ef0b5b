"""Checkpoint files as nobody's `torch.save` writes them: hostile, damaged, very old."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAGIC = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {}))
"""What files of PyTorch 0.1.2 to 1.5 begin with."""


class Call:
    """Pickles as a call of a function, and a state that is given to its result."""

    def __init__(self, function: Callable[..., Any], *args: Any, state: Any = None) -> None:
        self.function, self.args, self.state = function, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args, self.state


class Named:
    """Pickles as a class or function by a name that need not be there."""

    def __init__(self, full: str) -> None:
        self.module, _, self.name = full.rpartition(".")

    def __call__(self, *args: Any) -> Any:
        """For `Call`, which wants a function."""


class Storage:
    """Pickles as a reference to the storage of a key."""

    def __init__(self, key: str, count: int, kind: Any = torch.FloatStorage, view: Any = 0) -> None:
        self.pid: tuple[Any, ...] = ("storage", kind, key, "cpu", count)
        if view != 0:
            self.pid += (view,)


class Pickler(pickle._Pickler):
    """Knows the two classes above."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Storage) else None

    def save_named(self, obj: Named) -> None:
        self.write(f"c{obj.module}\n{obj.name}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch = {**pickle._Pickler.dispatch, Named: save_named}  # type: ignore[attr-defined]


def pickled(content: object, protocol: int = 2) -> bytes:
    """The pickle of an object of plain data and of the classes above."""
    stream = io.BytesIO()
    Pickler(stream, protocol).dump(content)
    return stream.getvalue()


def rebuilt(
    storage: object, offset: object, size: object, stride: object, name: str = "_rebuild_tensor_v2"
) -> Call:
    """A tensor over a storage, as `torch.save` writes one."""
    return Call(Named(f"torch._utils.{name}"), storage, offset, size, stride, False, OrderedDict())


def zipped(data: bytes, path: Path, **members: bytes) -> None:
    """A file of PyTorch 1.6 and later. A name of a member may have a `_` before it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
        for name, member in members.items():
            archive.writestr(f"a/data/{name.removeprefix('_')}", member)


def old(data: bytes, path: Path, storages: bytes = pickle.dumps([])) -> None:
    """A file of PyTorch 0.1.2 to 1.5; `storages` is the pickled list of keys, and the numbers."""
    path.write_bytes(MAGIC + data + storages)


def numbers(keys: Mapping[str, bytes], itemsize: int = 4) -> bytes:
    """The end of such a file."""
    data = [struct.pack("<q", len(one) // itemsize) + one for one in keys.values()]
    return pickle.dumps(list(keys), 2) + b"".join(data)


def save_old(content: object, path: Path, pickle_protocol: int = 2) -> None:
    """Of PyTorch's own `torch.save`, as it was up to 1.5."""
    torch.save(content, path, pickle_protocol=pickle_protocol, _use_new_zipfile_serialization=False)


def save_tar(tensors: Mapping[str, Tensor], path: Path) -> None:
    """A file of PyTorch 0.1.0 and 0.1.1: a state dict of float32 tensors."""
    storages, shapes = io.BytesIO(), io.BytesIO()
    pickle.dump(len(tensors), storages, 2)
    pickle.dump(len(tensors), shapes, 2)
    names: dict[str, Any] = {}

    class Reference(Storage):
        def __init__(self, key: int) -> None:
            self.pid = key  # type: ignore[assignment]

    for key, (name, tensor) in enumerate(tensors.items(), 100):
        storages.write(pickled((key, "cpu", Named("torch.FloatStorage"))))
        storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
        shapes.write(pickled((key + 1000, key, Named("torch.FloatTensor"))))
        shapes.write(struct.pack("<ii", tensor.ndim, 0))
        shapes.write(struct.pack(f"<{2 * tensor.ndim + 1}q", *tensor.shape, *tensor.stride(), 0))
        names[name] = Reference(key + 1000)
    storages.write(pickle.dumps([], 2))
    with tarfile.open(path, "w") as archive:
        for member, data in (
            ("storages", storages.getvalue()),
            ("tensors", shapes.getvalue()),
            ("pickle", pickled(names)),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
