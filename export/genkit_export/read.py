"""Reading checkpoints. Nothing in a file is ever executed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from genkit.errors import InputError


@dataclass(frozen=True)
class Checkpoint:
    """A file as it was read."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str


def read(path: Path) -> Checkpoint:
    """Read a `.safetensors` file. Raises InputError if it is none, or is damaged."""
    try:
        with safe_open(str(path), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        with open(path, "rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is cut short: {error}") from error
    return Checkpoint(path, tensors, metadata, digest)


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
