"""The files that PyTorch's pickles are in, and where their numbers stand.

A zip with `data.pkl` and a member for each storage (PyTorch 1.6 and later, and TorchScript); several
pickles with the raw numbers behind them (0.1.2 to 1.5); and a tar of three such files (before). Source:
`torch/serialization.py`.
"""

import mmap
import struct
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .budget import Budget, DamagedError, OtherError, built, steps, unpacked
from .machine import Machine
from .names import Name, readable
from .stack import CUT, Bytes
from .storages import Storage, part, tensor, whole

MAGIC = 0x1950A86A20F9469CFC6C
"""What files of the older format begin with, as a pickled number."""
MAGIC_BYTES = MAGIC.to_bytes(10, "little")
MAGIC_TEXT = f"L{MAGIC}L".encode()
"""As a pickle of protocol 0 or 1 has it."""
ZIP = b"PK\x03\x04"
OTHER_ZIPS = {
    ".npy": "an archive of NumPy arrays",
    "model.weights.h5": "a Keras model",
    "[Content_Types].xml": "an Office document",
    ".safetensors": "a zip archive with safetensors files in it",
    ".pth": "a zip archive with checkpoints in it",
}
"""By how the name of a member ends."""
LONGEST_KEY = 100
BLOCK = 512
"""Of a tar."""
OLD_TAR = frozenset(["storages", "tensors", "pickle"])
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def is_pickled(start: bytes) -> bool:
    """Whether a file that starts so is one of the two later kinds."""
    return start.startswith((ZIP, MAGIC_TEXT)) or MAGIC_BYTES in start[:32]


def is_old_tar(data: Bytes) -> bool:
    """Whether a file is of the oldest kind."""
    return data[257:262] == b"ustar" and _members(data).keys() >= OLD_TAR


def load(file: BinaryIO) -> object:
    """What the file holds: dicts, lists, tensors, plain values, names and stand-ins. Its numbers stay
    in the file until they are looked at, where the format allows it. Raises DamagedError and
    RefusedError; with others, the file is damaged as well.
    """
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if mapped[:4] == ZIP:
        return _load_zip(file, mapped)
    if is_old_tar(mapped):
        return _load_tar(mapped)
    return _load_old(mapped)


def _load_zip(file: BinaryIO, mapped: mmap.mmap) -> object:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise DamagedError("the directory at its end is missing: it is cut short") from error
    with archive:
        members = {member.filename: member for member in archive.infolist()}
        names = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise OtherError(_other_zip(members))
        root = names[0].removesuffix("data.pkl")
        room = unpacked(len(mapped))
        order = members.get(f"{root}byteorder")
        if order is not None and _member(archive, mapped, order, room, BLOCK) != b"little":
            raise DamagedError("it was written on a big-endian machine")
        pickled = _member(archive, mapped, members[names[0]], room)
        budget = built(len(pickled))
        storages: dict[str, Tensor] = {}

        def storage(pid: object) -> object:
            kind, rest = _kind(pid)
            if kind == "module":
                return rest[0]
            dtype, key, _, count, *_ = rest
            name = f"{root}data/{_key(key)}"
            if name not in storages:
                if name not in members:
                    raise DamagedError(f"it lacks {name!r}, which it refers to")
                data = _numbers(archive, mapped, members[name], room)
                if whole(count, "a storage's length") * _dtype(dtype).itemsize != len(data):
                    raise DamagedError(f"{name!r} does not hold {count} numbers")
                storages[name] = data
            return Storage(_dtype(dtype), storages[name])

        return Machine(pickled, budget, steps(), storage).load()


def _other_zip(names: Iterable[str]) -> str:
    for ending, what in OTHER_ZIPS.items():
        if any(name.endswith(ending) for name in names):
            return what
    return "a zip archive of something else, without PyTorch's data.pkl"


def _member(
    archive: zipfile.ZipFile,
    mapped: mmap.mmap,
    member: zipfile.ZipInfo,
    room: Budget,
    most: int | None = None,
) -> bytes:
    """The bytes of a member, which may be compressed in the one way that tells how far it is."""
    room.take(member.file_size)
    if most is not None and member.file_size > most:
        raise DamagedError(f"{member.filename[:100]!r} is too large")
    if member.compress_type == STORED:
        start, end = _span(mapped, member)
        return mapped[start:end]
    if member.compress_type != DEFLATED:
        raise DamagedError("it is compressed as PyTorch compresses nothing")
    with archive.open(member) as stream:
        data = stream.read(member.file_size)
    if len(data) != member.file_size:
        raise DamagedError(CUT)
    return data


def _numbers(
    archive: zipfile.ZipFile, mapped: mmap.mmap, member: zipfile.ZipInfo, room: Budget
) -> Tensor:
    """A member of numbers: uint8 (n,). What is not compressed stays in the file."""
    if not member.file_size:
        return _nothing()
    if member.compress_type != STORED:
        data = bytearray(_member(archive, mapped, member, room))
        return torch.frombuffer(data, dtype=torch.uint8)
    room.take(member.file_size)
    start, end = _span(mapped, member)
    return torch.frombuffer(mapped, dtype=torch.uint8, count=end - start, offset=start)


def _span(mapped: mmap.mmap, member: zipfile.ZipInfo) -> tuple[int, int]:
    """From where to where a member stands that is not compressed."""
    header = mapped[member.header_offset : member.header_offset + 30]
    if header[:4] != ZIP or len(header) < 30 or member.flag_bits & 1:
        raise DamagedError(f"{member.filename[:100]!r} is not where the zip says, or encrypted")
    name, extra = struct.unpack("<HH", header[26:30])
    start = member.header_offset + 30 + name + extra
    end = start + member.file_size
    if end > len(mapped) or member.compress_size != member.file_size:
        raise DamagedError(CUT)
    return start, end


def _load_old(mapped: mmap.mmap) -> object:
    """Four pickles (magic number, protocol, the machine, the object), the keys of the storages, and
    their numbers in that order.
    """
    storages: dict[str, Storage] = {}
    room = unpacked(len(mapped))

    def storage(pid: object) -> object:
        kind, rest = _kind(pid)
        if kind == "module":
            return rest[0]
        dtype, key, _, count, *view = rest
        key = _key(key)
        if key not in storages:
            size = whole(count, "a storage's length") * _dtype(dtype).itemsize
            if size > len(mapped):
                raise DamagedError(f"it is too short for {count} numbers")
            room.take(size)
            storages[key] = Storage(_dtype(dtype), torch.empty(size, dtype=torch.uint8))
        whole_storage = Storage(_dtype(dtype), storages[key].data)
        return part(whole_storage, view[0]) if view and view[0] is not None else whole_storage

    machine = Machine(mapped, built(len(mapped)), steps(), storage)
    if machine.load() != MAGIC:
        raise DamagedError("it does not begin as one")
    machine.load()  # the version of the protocol
    machine.load()  # the sizes of numbers on the machine
    content = machine.load()
    keys = machine.load()
    if type(keys) is not list or {_key(key) for key in keys} != storages.keys():
        raise DamagedError("its list of storages is not of those that it uses")
    for key in keys:
        target = storages[_key(key)]
        if machine.number("<q") * target.dtype.itemsize != len(target.data):
            raise DamagedError(f"a storage is not as long as it says ({_key(key)!r})")
        start, machine.place = machine.place, machine.place + len(target.data)
        if machine.place > len(mapped):
            raise DamagedError(CUT)
        if start < machine.place:
            count = len(target.data)
            target.data.copy_(
                torch.frombuffer(mapped, dtype=torch.uint8, count=count, offset=start)
            )
    return content


def _load_tar(mapped: mmap.mmap) -> object:
    """Three files: `storages`, with each one's numbers behind its pickled description; `tensors`,
    with sizes and steps behind theirs; and the `pickle` of the object, which refers to both.
    """
    members = _members(mapped)
    found: dict[str, Any] = {}
    room, budget, left = unpacked(len(mapped)), built(len(mapped)), steps()

    def known(pid: object) -> object:
        if type(pid) is tuple and pid:
            return pid[0]
        if _key(pid) not in found:
            raise DamagedError("it refers to something that it does not hold")
        return found[_key(pid)]

    def machine(name: str) -> Machine:
        start, end = members[name]
        room.take(end - start)
        return Machine(mapped[start:end], budget, left, known)

    reader = machine("storages")
    for _ in range(whole(reader.load(), "the count of storages", len(mapped))):
        key, _, dtype = _triple(reader.load())
        size = whole(reader.number("<q"), "a storage's length") * _dtype(dtype).itemsize
        data = bytearray(reader.read(size))
        numbers = torch.frombuffer(data, dtype=torch.uint8) if size else _nothing()
        found[_key(key)] = Storage(_dtype(dtype), numbers)
    views = reader.load()
    for view in views if type(views) is list else []:
        key, root, start, count = view
        found[_key(key)] = part(found.get(_key(root)), (key, start, count))
    reader = machine("tensors")
    for _ in range(whole(reader.load(), "the count of tensors", len(mapped))):
        key, storage, _ = _triple(reader.load())
        dimensions = reader.number("<q") & 0xFFFFFFFF  # 4 bytes, and 4 that are to be skipped
        sizes = struct.unpack(f"<{dimensions}q", reader.read(8 * dimensions))
        strides = struct.unpack(f"<{dimensions}q", reader.read(8 * dimensions))
        offset = reader.number("<q")
        found[_key(key)] = tensor(budget, found.get(_key(storage)), offset, sizes, strides)
    return machine("pickle").load()


def _members(data: Bytes) -> dict[str, tuple[int, int]]:
    """The files of a tar: from where to where."""
    members: dict[str, tuple[int, int]] = {}
    place = 0
    while place + BLOCK <= len(data) and data[place + 257 : place + 262] == b"ustar":
        header = data[place : place + BLOCK]
        name = header[:100].rstrip(b"\0").decode("utf-8", "replace").removeprefix("./")
        try:
            size = int(header[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            raise DamagedError("it is a tar whose sizes are none") from None
        place += BLOCK
        if not 0 <= size <= len(data) - place:
            raise DamagedError(CUT)
        members[name] = (place, place + size)
        place += -(-size // BLOCK) * BLOCK
    return members


def _nothing() -> Tensor:
    return torch.empty(0, dtype=torch.uint8)


def _kind(pid: object) -> tuple[str, tuple[Any, ...]]:
    """Of an id: "storage" or "module", and the rest."""
    if type(pid) is not tuple or not pid or pid[0] not in ("storage", "module", b"module"):
        raise DamagedError("it refers to something that is no storage")
    kind = "storage" if pid[0] == "storage" else "module"
    if len(pid) < (5 if kind == "storage" else 2):
        raise DamagedError("it refers to a storage without saying which")
    return kind, pid[1:]


def _key(key: object) -> str:
    text = str(key) if type(key) is str or (type(key) is int and abs(key) < 1 << 64) else ""
    if not text or len(text) > LONGEST_KEY:
        raise DamagedError("a storage has a name that is none")
    return text


def _dtype(dtype: object) -> torch.dtype:
    if not isinstance(dtype, torch.dtype):
        name = (
            f"the type {readable(dtype.full)}, unknown here" if type(dtype) is Name else "no type"
        )
        raise DamagedError(f"it has numbers of {name}")
    return dtype


def _triple(value: object) -> tuple[Any, ...]:
    if type(value) is not tuple or len(value) != 3:
        raise DamagedError("it describes a storage or a tensor by other than three values")
    return value
