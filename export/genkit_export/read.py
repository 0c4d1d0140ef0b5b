"""Reading checkpoints of every container. Nothing in a file is ever executed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from genkit.errors import InputError

from .pickles import Foreign, read_pickled

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
TRANSPARENT = ("_modules", "_parameters", "_buffers")
"""Attributes of a pickled network that stand for no part of a name."""
DEEPEST = 100
MOST_NAMES = 1_000_000


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
        with open(path, "rb") as file:
            start = file.read(16)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if path.suffix == ".safetensors" or start[8:10] == b'{"':
        return _read_safetensors(path, digest)
    tensors, values = flatten(read_pickled(path), path)
    return Checkpoint(path, tensors, {}, digest, values)


def _read_safetensors(path: Path, digest: str) -> Checkpoint:
    try:
        with safe_open(str(path), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is cut short: {error}") from error
    return Checkpoint(path, tensors, metadata, digest)


def flatten(content: object, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the plain values of nested dicts and objects, by the names on the way to them.
    Raises InputError for objects that contain each other without end.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    # A dict that is met again and again on different ways makes many names of few objects.
    for count, (name, leaf) in enumerate(_leaves(content, "", 0)):
        if count > MOST_NAMES:
            raise InputError(f"{path} holds more than {MOST_NAMES} things")
        if isinstance(leaf, Tensor):
            tensors[name] = leaf
        elif leaf is not None:
            values[name] = leaf
    return tensors, values


def _leaves(value: object, name: str, depth: int) -> Iterator[tuple[str, object]]:
    """What is no dict and no object; None for the dicts and objects themselves."""
    if isinstance(value, dict) and depth < DEEPEST:
        yield name, None
        attributes = vars(value) if isinstance(value, Foreign) else {}
        for key, inner in (*value.items(), *attributes.items()):
            part = str(key)
            below = name if part in TRANSPARENT else f"{name}.{part}" if name else part
            yield from _leaves(inner, below, depth + 1)
    elif isinstance(value, Tensor | str | bytes | int | float | list | tuple | set):
        yield name, value
