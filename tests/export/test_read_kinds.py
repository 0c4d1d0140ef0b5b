"""A file that is no checkpoint is named for what it is, with what to do, in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from genkit.errors import InputError
from genkit_export.read import read


def image(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, kind)
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.txt"))
    return stream.getvalue()


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"data")
    return stream.getvalue()


def saved() -> bytes:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(100)}, stream)
    return stream.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x051.9:\xa4\x01\n"
KINDS = {
    "a pointer": (POINTER, "a Git LFS pointer", "git lfs pull"),
    "a page": (b"<!DOCTYPE html><html><head>", "a web page", "download"),
    "a page in another form": (b"\r\n <HTML lang=de>", "a web page", "download"),
    "gzip": (gzip.compress(b"x" * 99), "a file compressed with gzip", "gunzip"),
    "bzip2": (bz2.compress(b"x" * 99), "a file compressed with bzip2", "bunzip2"),
    "xz": (lzma.compress(b"x" * 99), "a file compressed with xz", "unxz"),
    "a tar": (tar(), "a tar archive", "unpack"),
    "ONNX": (ONNX, "an ONNX model", "PyTorch checkpoint"),
    "PNG": (image("PNG"), "an image", "weights"),
    "JPEG": (image("JPEG"), "an image", "weights"),
    "GIF": (image("GIF"), "an image", "weights"),
    "WebP": (image("WEBP"), "an image", "weights"),
    "NumPy": (array(), "a NumPy array", "weights"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(40), "a GGUF model", "PyTorch checkpoint"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file", "PyTorch checkpoint"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(40), "a TensorFlow Lite model", "PyTorch"),
    "zeros": (bytes(4096), "a file of zeros", "again"),
    "a complaint": (b"Entry not found", "text that begins with 'Entry not found'", "weights"),
    "JSON": (json.dumps({"a": [1]}).encode(), "text that begins with", "weights"),
    "a pickle": (pickle.dumps({"w": 1}, 4), "a pickle that torch.save did not write", "torch.save"),
    "a program": (b"#!/bin/sh\necho", "a program", "weights"),
}


def refuse(path: Path) -> InputError:
    with pytest.raises(InputError) as raised:
        read(path)
    assert raised.value.message.isprintable()
    assert raised.value.hint
    return raised.value


@pytest.mark.parametrize("name", ["a.pth", "model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kind", KINDS)
def test_is_named(kind: str, name: str, tmp_path: Path) -> None:
    data, what, hint = KINDS[kind]
    (tmp_path / name).write_bytes(data)
    error = refuse(tmp_path / name)
    assert error.message.startswith(f"{tmp_path / name} is no checkpoint but {what}")
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("model.ckpt-9.index", "a part of a TensorFlow checkpoint"),
        ("model.ckpt.data-00000-of-00001", "a part of a TensorFlow checkpoint"),
        ("flax_model.msgpack", "a Flax checkpoint"),
        ("saved_model.pb", "a TensorFlow model"),
        ("a.pdparams", "a PaddlePaddle checkpoint"),
    ],
)
def test_is_named_by_its_ending(name: str, what: str, tmp_path: Path) -> None:
    start = pickle.dumps({}, 2) if name == "a.pdparams" else b"\x81\xa5\x00"
    (tmp_path / name).write_bytes(start + bytes(range(256)))
    assert f"is no checkpoint but {what}" in refuse(tmp_path / name).message


def test_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pth").touch()
    assert "is empty" in refuse(tmp_path / "a.pth").message


@pytest.mark.parametrize("left", [30, 200, -30, -1])
def test_a_zip_that_is_cut(left: int, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(saved()[:left])
    assert (
        "the directory at its end is missing: it is cut short" in refuse(tmp_path / "a.pth").message
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("[Content_Types].xml", "an Office document"),
        ("arr_0.npy", "an archive of NumPy arrays"),
        ("notes.txt", "a zip archive of something else"),
        ("best/netG.pth", "a zip archive with checkpoints in it"),
    ],
)
def test_another_zip(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(zipped(name))
    assert f"is no checkpoint but {what}" in refuse(tmp_path / "a.pth").message


@pytest.mark.parametrize("left", [4, 8, 20, 100, -1])
def test_safetensors_that_are_cut(left: int, tmp_path: Path) -> None:
    data = save({"w": torch.ones(100), "name": torch.ones(3)})
    (tmp_path / "a.safetensors").write_bytes(data[:left])
    assert (
        "is not a safetensors file, or is cut short" in refuse(tmp_path / "a.safetensors").message
    )


def test_safetensors_whose_header_is_said_to_be_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 1 << 50) + b'{"a":1}\xff\x00')
    assert "is cut short" in refuse(tmp_path / "a.safetensors").message


def test_what_a_header_says_is_not_obeyed_by_a_terminal(tmp_path: Path) -> None:
    data = save({"w": torch.ones(3)}).replace(b"F32", b"\x1b[2J")
    length = int.from_bytes(data[:8], "little") + 1
    (tmp_path / "a.safetensors").write_bytes(length.to_bytes(8, "little") + data[8:])
    refuse(tmp_path / "a.safetensors")


def test_a_checkpoint_of_torch_save_by_the_name_of_the_other(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(saved())
    assert list(read(tmp_path / "model.safetensors").tensors) == ["w"]
