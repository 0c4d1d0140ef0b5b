"""Reading checkpoints of every container. Nothing in a file is ever executed."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import safe_open
from torch import Tensor

from genkit.errors import InputError, first_line

from .flatten import flatten
from .kinds import AGAIN, BEGINNING, TAR, UNPACK, kind_of
from .pickles import DamagedError, OtherError, RefusedError, is_pickled, load, printable

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "checkpoint.safetensors",
    "models/best.ckpt",
)
"""What is read of a folder: the first that is there. The last is LaMa's."""
ALONE = (
    "where it was made, save the weights alone: torch.save(network.state_dict(), 'weights.pth');"
    " do not open a file of unknown origin with anything that runs what it asks for"
)


@dataclass(frozen=True)
class Checkpoint:
    """A file or folder as it was read."""

    path: Path
    """The file with the weights, or the first of them."""
    tensors: Mapping[str, Tensor]
    """By the names on the way to them, with dots between: `state_dict.model.1.weight`."""
    metadata: Mapping[str, str]
    """The header of a safetensors file."""
    sha256: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """What else a pickled file holds: strings and numbers, named like tensors."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The `config.json` of a folder."""


def read(path: Path) -> Checkpoint:
    """Read a checkpoint: `.safetensors`, a pickled file of PyTorch, a TorchScript archive, or a
    folder with one of these, as Hugging Face writes them. Raises InputError if it is none, or is
    damaged.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.name in WEIGHTS and (path.parent / CONFIG).is_file():
        return _read_folder(path.parent, path.name)
    return _read_file(path)


def header(checkpoint: Checkpoint, key: str) -> Mapping[str, object] | None:
    """The JSON object under a key of the file's metadata, or None. Raises InputError if it is no
    JSON object.
    """
    if key not in checkpoint.metadata:
        return None
    try:
        value = json.loads(checkpoint.metadata[key])
    except ValueError as error:
        raise InputError(f"{checkpoint.path}: its {key!r} header is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{checkpoint.path}: its {key!r} header is no JSON object")
    return value


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object. Raises InputError if the file holds none."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is no JSON object")
    return value


def _read_folder(folder: Path, name: str | None = None) -> Checkpoint:
    names = [name] if name else [name for name in WEIGHTS if (folder / name).is_file()]
    if not names:
        raise InputError(f"{folder} has no weights", hint=f"looked for {', '.join(WEIGHTS)}")
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    path = folder / names[0]
    files = _shards(path) if path.suffix == ".json" else [path]
    read_files = [_read_file(file) for file in files]
    tensors: dict[str, Tensor] = {}
    for one in read_files:
        tensors |= one.tensors
    digest = read_files[0].sha256
    if len(files) > 1:
        digest = hashlib.sha256("".join(one.sha256 for one in read_files).encode()).hexdigest()
    first = read_files[0]
    return Checkpoint(first.path, tensors, first.metadata, digest, first.values, config)


def _shards(index: Path) -> list[Path]:
    """The files that an index names. Raises InputError for one outside of its folder."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InputError(f"{index} has no weight_map")
    files = sorted(set(map(str, names.values())))
    for file in files:
        if Path(file).name != file:
            raise InputError(f"{index} names {file!r}, which is no file beside it")
    return [index.parent / file for file in files]


def _read_file(path: Path) -> Checkpoint:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is no regular file", hint="copy it into one first")
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            if not before.st_size:
                raise InputError(f"{path} is empty", hint=AGAIN)
            start = file.read(BEGINNING)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            checkpoint = _read_open(path, file, start, before.st_size, digest)
            _unchanged(path, before, os.fstat(file.fileno()), path.stat())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return checkpoint


def _read_open(path: Path, file: BinaryIO, start: bytes, size: int, digest: str) -> Checkpoint:
    """What an open file holds, by its first bytes and not by its name."""
    if not is_pickled(start):
        if _is_safetensors(start, size):
            return _read_safetensors(path, digest)
        kind = kind_of(start, path.name)
        if kind is not None and kind.name != TAR:
            raise InputError(f"{path} is no checkpoint but {kind.name}", hint=kind.hint)
        if kind is None and path.suffix == ".safetensors":
            return _read_safetensors(path, digest)
    try:
        tensors, values = flatten(load(file), size)
    except (RefusedError, DamagedError) as error:
        raise _complaint(path, error, start) from error
    except MemoryError:
        raise InputError(f"{path} takes more memory than there is") from None
    except Exception as error:  # whoever wrote the file chose what goes wrong in it
        odd = DamagedError(f"its contents make no sense ({type(error).__name__})")
        raise _complaint(path, odd, start) from error
    return Checkpoint(path, tensors, {}, digest, values)


def _complaint(path: Path, error: RefusedError | DamagedError, start: bytes) -> InputError:
    if isinstance(error, RefusedError):
        entry = f" for its entry {error.entry!r}" if error.entry else ""
        return InputError(
            f"{path} asks{entry} for {error.name}, which no checkpoint needs; nothing of it was run",
            hint=ALONE,
        )
    kind = None if is_pickled(start) else kind_of(start, path.name)
    if kind is not None:
        return InputError(f"{path} is no checkpoint but {kind.name}", hint=kind.hint)
    if isinstance(error, OtherError):
        return InputError(f"{path} is no checkpoint but {error}", hint=UNPACK)
    return InputError(f"{path} is no PyTorch file, or is damaged: {error}", hint=AGAIN)


def _unchanged(path: Path, *stats: os.stat_result) -> None:
    """Raises InputError if a file is another one than the one whose hash was taken."""
    if len({(one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in stats}) > 1:
        raise InputError(f"{path} changed while it was read", hint="try again when it is complete")


def _is_safetensors(start: bytes, size: int) -> bool:
    """Whether the file begins with the length of a header that fits into it, and with that."""
    return start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= size - 8


def _read_safetensors(path: Path, digest: str) -> Checkpoint:
    try:
        with safe_open(str(path), "pt") as file:
            tensors = {printable(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # its own, and what PyTorch makes of types that it does not have
        reason = printable(" ".join(first_line(error).split()))[:200]
        raise InputError(
            f"{path} is not a safetensors file, or is cut short: {reason}", hint=AGAIN
        ) from error
    return Checkpoint(path, tensors, metadata, digest)
