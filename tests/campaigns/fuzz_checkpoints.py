"""Mutated checkpoints for the reader of `genkit export`, which must read or refuse each in one line,
quickly, with little memory, and from the file alone.

    python tests/campaigns/fuzz_checkpoints.py --folder /tmp/fuzz [--minutes 60] [--seed 0]

Prints the figures. An input is made again by its number: --first NUMBER --inputs 1 (it then lies in
the folder). The mutations are of bytes, of spans, of numbers, of opcodes, and of members of zips.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import pickle
import random
import re
import resource
import struct
import sys
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, not as a test

from checkpoint_files import MAGIC, Call, Storage, numbers, pickled, rebuilt, save_tar
from hostile_pickles import BOMBS, ODD, tensor

from campaigns.pickle_programs import EDGES, PIECES, program
from campaigns.workers import TooMuchMemoryError, generator, main
from genkit.errors import InputError
from genkit_export.read import read

SOUND = 20
"""So many of the corpus, from the first, can be read."""
MUTATIONS = (1, 1, 1, 2, 3, 8)
MEMORY_SLACK, MEMORY_GROWTH = 96 << 20, 150
"""Bytes that reading may take: the slack, and so many times the file."""


@functools.cache
def corpus() -> Sequence[bytes]:
    """Small files of every kind, sound and hostile."""
    state: Any = OrderedDict(
        {
            "w": torch.arange(24.0).reshape(2, 3, 4),
            "h": torch.ones(2).half(),
            "view": torch.arange(10.0)[2:8:2],
            "count": torch.tensor(7),
            "empty": torch.empty(0, 3),
        }
    )
    settings = argparse.Namespace(items=[1, 2.5, "x"], call=functools.partial(int, base=2))
    contents = [
        state,
        {"state_dict": state, "hyper_parameters": settings, "epoch": 3, "sets": {1, 2}},
        {"net": nn.Sequential(nn.PReLU(), nn.BatchNorm2d(2))},  # without numbers by chance
        ({"a": nn.Parameter(torch.ones(3))}, [1, (2, None)], b"bytes", 1 << 70, 1 + 2j),
        {
            "mps": Call(
                torch._utils._rebuild_device_tensor_from_numpy,
                torch.ones(3).numpy(), torch.float32, "mps", False,
            )
        },
        {"u": torch.ones(2).to(torch.uint16), "e": torch.ones(1).expand(4)},
    ]  # fmt: skip
    files = []
    for content in contents:
        # Where there are several, older files have them in the order of their addresses.
        several = any(content is one for one in (*contents[:3], contents[-1]))
        for new in (True,) if several else (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=new)
            files.append(_same_keys(stream.getvalue()))
    view = {"w": rebuilt(Storage("0", 4, view=("1", 1, 2)), 0, (2,), (1,))}
    files.append(MAGIC + pickled(view) + numbers({"0": bytes(16)}))
    both = {
        "epoch": 3,
        "state_dict": OrderedDict(
            (name, rebuilt(Storage(name, 4), 0, (2, 2), (2, 1))) for name in ("w", "b", "running")
        ),
    }
    files.append(
        MAGIC + pickled(both) + numbers({name: bytes(16) for name in ("w", "b", "running")})
    )
    files.append(MAGIC + tensor("0", 4, 0, (4,), (1,)) + numbers({"0": bytes(16)}))
    files += [
        _zip({"a/data.pkl": pickle.dumps(content, protocol)})
        for protocol in (0, 1, 4, 5)
        for content in ({"a": [1, (2, 3)], "b": {4: b"x"}}, {"s": {1, frozenset([2])}})
    ]
    files.append(save({"w": torch.ones(3), "v": torch.zeros(2, 2)}, {"made": "here"}))
    assert len(files) == SOUND
    files += [_zip({"a/data.pkl": data, "a/data/0": bytes(16)}) for data in ODD.values()]
    small = [data for data in BOMBS.values() if len(data) < 3000]
    files += [_zip({"a/data.pkl": data, "a/data/0": bytes(16)}) for data in small]
    files += [MAGIC + data + pickle.dumps([], 2) for data in (*small, *ODD.values())]
    return files


def _same_keys(data: bytes) -> bytes:
    """Without the addresses that name storages in older files, which differ from run to run."""
    keys: dict[bytes, bytes] = {}

    def numbered(found: re.Match[bytes]) -> bytes:
        return keys.setdefault(found[0], b"X\x04\0\0\0k%03d" % len(keys))

    return data if data[:2] == b"PK" else re.sub(rb"X.\0\0\0\d{9,20}", numbered, data, flags=re.S)


@functools.cache
def tar() -> bytes:
    """A file of PyTorch 0.1."""
    with tempfile.TemporaryDirectory() as folder:
        save_tar({"w": torch.ones(2, 3), "b": torch.zeros(1)}, Path(folder, "a.tar"))
        return Path(folder, "a.tar").read_bytes()


def made(rng: random.Random) -> bytes:
    """An input."""
    choice = rng.random()
    data = rng.choice(corpus()[:SOUND] if rng.random() < 0.8 else corpus())
    if data[:4] == b"PK\x03\x04" and choice < 0.7:
        return _mutated_zip(data, rng)
    if choice < 0.15:
        pickled_ = program(rng)
        if rng.random() < 0.3:
            pickled_ = mutated(pickled_, rng)
        return rng.choice(
            (MAGIC + pickled_ + numbers({"0": bytes(16)}), _zip({"a/data.pkl": pickled_, "a/data/0": bytes(16)}))
        )  # fmt: skip
    if data[8:9] == b"{" and choice < 0.8:
        return _mutated_header(data, rng)
    return mutated(data, rng)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Data with a few changes."""
    out = bytearray(data)
    for _ in range(rng.choice(MUTATIONS)):
        if not out:
            break
        at = rng.randrange(len(out))
        length = min(rng.choice((1, 2, 4, 8, 30, 200)), len(out) - at)
        match rng.randrange(9):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at] = rng.randrange(256)
            case 2:
                out[at:at] = rng.randbytes(length)
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length] * rng.choice((1, 2, 50))
            case 5:
                other = rng.choice(corpus())
                start = rng.randrange(len(other))
                out[at : at + length] = other[start : start + length]
            case 6:
                form = rng.choice(("<B", "<H", "<I", "<Q"))
                value = rng.choice(EDGES) & ((1 << 8 * struct.calcsize(form)) - 1)
                out[at : at + struct.calcsize(form)] = struct.pack(form, value)
            case 7:
                out[at:at] = rng.choice(PIECES)(rng)
            case 8:
                del out[at if rng.random() < 0.3 else len(out) :]
    return bytes(out)


def _mutated_zip(data: bytes, rng: random.Random) -> bytes:
    """A sound zip with members that are not."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in members if name.endswith("data.pkl")]
    name = rng.choice(pickles if rng.random() < 0.85 and pickles else list(members))
    members[name] = mutated(members[name], rng)
    return _zip(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _mutated_header(data: bytes, rng: random.Random) -> bytes:
    """Safetensors with a header that is another."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    if rng.random() < 0.5:
        fields = json.loads(header)
        one = rng.choice([name for name in fields if name != "__metadata__"])
        key = rng.choice(("dtype", "shape", "data_offsets", "extra"))
        fields[one][key] = rng.choice(
            ("F64", "F4", "BF16", [], [1 << 62, 4], [0, 1 << 40], [-1], None, [[]], "\x1b[2J", 1.5)
        )
        header = json.dumps(fields).encode()
    else:
        header = mutated(header, rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return stream.getvalue()


def attempt_of(seed: int, folder: Path) -> Callable[[int], bool]:
    """For `workers.run`."""
    files = [*corpus(), tar()]  # before the processes are split
    corpus_with_tar = tuple(files)

    def attempt(number: int) -> bool:
        rng = generator(seed, number)
        data = mutated(corpus_with_tar[-1], rng) if rng.random() < 0.02 else made(rng)
        path = folder / "input.pt"
        path.write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            checkpoint = read(path)
        except InputError as error:
            if not error.message.isprintable() or "more memory than there is" in error.message:
                raise AssertionError(f"not a clean refusal: {error.message!r}") from error
            accepted = False
        else:
            accepted = True
            room = 8 * len(data) + (2 << 20)
            storages = {t.untyped_storage().data_ptr(): t for t in checkpoint.tensors.values()}
            held = sum(t.numel() * t.element_size() for t in storages.values())
            if held > room:
                raise TooMuchMemoryError(f"{held} bytes of numbers from {len(data)}")
            for name, value in checkpoint.tensors.items():
                value.reshape(-1).to(torch.complex128).sum()  # reads every number
                if not name.isprintable():
                    raise AssertionError(f"the name {name!r}")
            repr(checkpoint.values)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if sys.platform == "linux" and grown > MEMORY_SLACK + MEMORY_GROWTH * len(data):
            raise TooMuchMemoryError(f"{grown} bytes for a file of {len(data)}")
        return accepted

    return attempt


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(attempt_of, __doc__ or ""))
