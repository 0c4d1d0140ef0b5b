"""Reading PyTorch's pickled files. Nothing in a file is ever executed.

A pickle names the classes and functions that build its objects. Here no such name is ever imported:
tensors and plain data are built by the few functions below, and everything else (hyper-parameters
of Lightning, `argparse.Namespace`, OmegaConf, the modules of a whole network) by an inert stand-in
that keeps its attributes. Names of the standard library that no checkpoint needs (`os.system`) are
refused. Memory is taken only for what the file really holds.

Formats: a zip with `data.pkl` (PyTorch 1.6 and later, and TorchScript), and the older one of several
pickles with the raw numbers behind them. Source: PyTorch's `torch/serialization.py`.
"""

import math
import mmap
import pickle
import struct
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from genkit.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
"""What files of the older format begin with, as a pickled number."""
SLACK = 1 << 20
GROWTH = 4
"""A zip may unpack to so many times its size, plus SLACK bytes. PyTorch does not compress."""
HARMLESS = frozenset(
    "argparse collections datetime decimal enum fractions functools pathlib types typing uuid".split()
)
"""Modules of the standard library whose objects are settings: they get stand-ins."""
PLAIN = frozenset("bool bytearray bytes complex dict float int list object slice str tuple".split())
DTYPES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}


class Foreign(dict[Any, Any]):
    """An object of a class that was not loaded: what it was made from, its items and attributes."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__()
        self.__dict__.update(attributes)

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.__dict__.update((str(key), value) for key, value in part.items())

    def append(self, item: Any) -> None:
        self[len(self)] = item

    def extend(self, items: Any) -> None:
        for item in items:
            self.append(item)

    add = append
    __hash__ = object.__hash__  # type: ignore[assignment]


class RefusedError(Exception):
    """A file asks for something that no checkpoint needs."""


class _Storage:
    """Numbers of one type, as bytes."""

    def __init__(self, dtype: torch.dtype, data: Tensor) -> None:
        self.dtype, self.data = dtype, data


# Python's own unpickler, not the one in C, which takes memory for whatever index a file names.
# Its parts, which every version of Python has, are not in its type.
_PythonUnpickler: Any = pickle._Unpickler


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """Builds tensors and plain data, and stand-ins for all else."""

    def __init__(self, file: BinaryIO, load_storage: Callable[..., _Storage]) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self._load_storage = load_storage
        # Made anew for every file, which cannot leave anything behind in them.
        self._known: dict[str, Any] = {
            "collections.OrderedDict": OrderedDict,
            "torch.Size": _plain_list,
            "torch.device": lambda *place: ":".join(map(str, place)),
            "torch._utils._rebuild_tensor": lambda *a: _tensor(*a),
            "torch._utils._rebuild_tensor_v2": lambda *a: _tensor(*a[:4]),
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
            "torch._tensor._rebuild_from_type_v2": lambda make, _, args, state: make(*args),
            "torch.jit._pickle.build_intlist": _plain_list,
            "torch.jit._pickle.build_doublelist": _plain_list,
            "torch.jit._pickle.build_boollist": _plain_list,
            "torch.jit._pickle.build_tensorlist": _plain_list,
            "torch.jit._pickle.restore_type_tag": lambda value, _: value,
            "copyreg._reconstructor": lambda cls, *_: cls(),
            "_codecs.encode": lambda text, *_: text.encode("latin1"),
            "builtins.set": _plain_set,
            "builtins.frozenset": _plain_set,
        }

    def find_class(self, module: str, name: str) -> Any:
        if self.proto < 3:  # such files name things as Python 2 did
            module, name = NAME_MAPPING.get((module, name), (module, name))
            module = IMPORT_MAPPING.get(module, module)
        full = f"{module}.{name}"
        if full in self._known:
            return self._known[full]
        top = module.partition(".")[0]
        if top == "torch":
            if name in DTYPES:
                return DTYPES[name]
            if isinstance(vars(torch).get(name), torch.dtype):
                return vars(torch)[name]
        elif top == "builtins":
            if name not in PLAIN:
                raise RefusedError(full)
        elif top in sys.stdlib_module_names and top not in HARMLESS:
            raise RefusedError(full)
        self._known[full] = type(name, (Foreign,), {"__module__": module})
        return self._known[full]

    def load_build(self) -> None:
        if isinstance(self.stack[-2], Tensor):  # its own __setstate__ is a real one
            raise TypeError("a tensor with a state")
        super().load_build()

    dispatch = _PythonUnpickler.dispatch | {pickle.BUILD[0]: load_build}

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        return rest[0] if kind in ("module", b"module") else self._load_storage(*rest)


def read_pickled(path: Path) -> object:
    """What a `.pt`, `.pth`, `.ckpt` or `.bin` file holds: dicts, lists, tensors, plain values and
    stand-ins. Raises InputError, in one line, whatever is in the file.
    """
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty")
            file.seek(0)
            if zipfile.is_zipfile(file):
                return _read_zip(file, path.stat().st_size)
            file.seek(0)
            return _read_old(file, path.stat().st_size)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except RefusedError as error:
        raise InputError(
            f"{path} asks for {error}, which no checkpoint needs; nothing of it was run",
            hint="do not open this file with torch.load",
        ) from error
    except Exception as error:  # whoever wrote the file chose what goes wrong in it
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is no PyTorch file, or is damaged: {reason}") from error


def _read_zip(file: BinaryIO, size: int) -> object:
    """The object of `data.pkl`; numbers stay in the file until they are looked at."""
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        unpacked = sum(member.file_size for member in members.values())
        if unpacked > GROWTH * size + SLACK:
            raise ValueError(f"its {size} bytes would unpack to {unpacked}")
        names = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise ValueError("a zip without data.pkl")
        root = names[0].removesuffix("data.pkl")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        storages: dict[str, _Storage] = {}

        def load_storage(dtype: torch.dtype, key: Any, location: Any, count: Any) -> _Storage:
            key = str(key)
            if key not in storages:
                member = members[f"{root}data/{key}"]
                if int(count) * dtype.itemsize != member.file_size:
                    raise ValueError(f"{member.filename} does not hold {count} numbers")
                storages[key] = _Storage(dtype, _member(archive, mapped, member))
            return _Storage(dtype, storages[key].data)

        with archive.open(names[0]) as pickled:
            return _Unpickler(cast(BinaryIO, pickled), load_storage).load()


def _member(archive: zipfile.ZipFile, mapped: mmap.mmap, member: zipfile.ZipInfo) -> Tensor:
    """The bytes of a member of a zip."""
    if not member.file_size:
        return torch.empty(0, dtype=torch.uint8)
    if member.compress_type != zipfile.ZIP_STORED:
        return torch.frombuffer(bytearray(archive.read(member)), dtype=torch.uint8)
    header = mapped[member.header_offset : member.header_offset + 30]
    if header[:4] != b"PK\x03\x04":
        raise ValueError(f"{member.filename} is not where the zip says")
    name, extra = struct.unpack("<HH", header[26:30])
    start = member.header_offset + 30 + name + extra
    return torch.frombuffer(mapped, dtype=torch.uint8, count=member.file_size, offset=start)


def _read_old(file: BinaryIO, size: int) -> object:
    """Four pickles (magic number, protocol, the machine, the object), the keys of the storages, and
    their numbers in that order.
    """
    storages: dict[str, _Storage] = {}

    def load_storage(
        dtype: torch.dtype, key: Any, location: Any, count: Any, view: Any = None
    ) -> _Storage:
        key = str(key)
        if key not in storages:
            if not 0 <= int(count) * dtype.itemsize <= size:
                raise ValueError(f"it is too short for {count} numbers")
            storages[key] = _Storage(dtype, torch.empty(count * dtype.itemsize, dtype=torch.uint8))
        data = storages[key].data
        if view:
            _, start, length = view
            data = data[start * dtype.itemsize :][: length * dtype.itemsize]
        return _Storage(dtype, data)

    def load() -> Any:
        return _Unpickler(file, load_storage).load()

    if load() != MAGIC:
        raise ValueError("it does not begin as one")
    load()  # the version of the protocol
    load()  # the sizes of numbers on the machine
    content = load()
    for key in load():
        storage = storages[str(key)]
        (count,) = struct.unpack("<q", file.read(8))
        if count * storage.dtype.itemsize != len(storage.data):
            raise ValueError(f"storage {key} does not hold {count} numbers")
        data = file.read(len(storage.data))
        if len(data) < len(storage.data):
            raise ValueError("it is cut short")
        if data:
            storage.data.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return content


def _tensor(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """A tensor over a storage. PyTorch checks that it ends inside; but steps of 0 would make many
    numbers of one.
    """
    data = storage.data
    if math.prod(size) * storage.dtype.itemsize > len(data):
        raise ValueError(f"a tensor of the shape {tuple(size)} is larger than what it is made from")
    start = data.storage_offset() // storage.dtype.itemsize
    empty = torch.empty(0, dtype=storage.dtype)
    return empty.set_(data.untyped_storage(), start + offset, tuple(size), tuple(stride))


def _plain_list(items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise TypeError("a list of something that is none")
    return list(items)


def _plain_set(items: Any = ()) -> set[Any]:
    return set(_plain_list(items))
