"""What a file is that is no checkpoint, by its first bytes, and what to do about it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

AGAIN = "download it again, or save it once more where it was made"
RAW = "the link was of a page, or asks for a login: download the file itself"
UNPACK = "unpack it, and give the checkpoint that is in it"
SOURCE = "genkit exports the PyTorch checkpoint that such files are made from"
NOT = "give the file with the weights"
TAR = "a tar archive"
BEGINNING = 512
"""So many first bytes are looked at."""


@dataclass(frozen=True)
class Kind:
    """What begins so."""

    pattern: bytes
    """A regular expression, for the first bytes."""
    name: str
    hint: str


KINDS: Sequence[Kind] = (
    Kind(
        rb"version https://git-lfs",
        "a Git LFS pointer",
        "get the file that it stands for: git lfs pull",
    ),
    Kind(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|!--)", "a web page", RAW),
    Kind(rb"\s*(\xef\xbb\xbf)?\s*<\?xml", "an XML document", RAW),
    Kind(rb"\x1f\x8b", "a file compressed with gzip", "unpack it first: gunzip"),
    Kind(rb"BZh[1-9]1AY", "a file compressed with bzip2", "unpack it first: bunzip2"),
    Kind(rb"\xfd7zXZ\0", "a file compressed with xz", "unpack it first: unxz"),
    Kind(rb"\x28\xb5\x2f\xfd", "a file compressed with Zstandard", "unpack it first: unzstd"),
    Kind(rb"\x04\x22\x4d\x18", "a file compressed with LZ4", "unpack it first: unlz4"),
    Kind(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    Kind(rb"Rar!\x1a\x07", "a RAR archive", UNPACK),
    Kind(rb"PK\x05\x06", "an empty zip archive", AGAIN),
    Kind(rb".{257}ustar", TAR, UNPACK),
    Kind(rb"GGUF|ggml|lmgg|fmgg|tjgg", "a GGUF model (llama.cpp)", SOURCE),
    Kind(rb"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, TensorFlow)", SOURCE),
    Kind(rb".{4}TFL3", "a TensorFlow Lite model", SOURCE),
    Kind(rb".{4}ORTM", "an ONNX Runtime model", SOURCE),
    Kind(rb"\x08[\x01-\x14](\x12|\x1a|\x22|\x3a|\x42)", "an ONNX model", SOURCE),
    Kind(rb"\x93NUMPY", "a NumPy array", NOT),
    Kind(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0{4}", "an image", NOT),
    Kind(rb"(II\*\0|MM\0\*)|.{4}ftyp(avif|heic|mif1)|8BPS", "an image", NOT),
    Kind(rb"%PDF-", "a PDF", NOT),
    Kind(rb"RIFF.{4}(WAVE|AVI )|OggS|fLaC|ID3|\x1aE\xdf\xa3|.{4}ftyp", "audio or video", NOT),
    Kind(rb"SQLite format 3\0", "an SQLite database", NOT),
    Kind(rb"PAR1", "a Parquet table", NOT),
    Kind(rb"\x7fELF|MZ.{60}|\xcf\xfa\xed\xfe|#!", "a program", NOT),
    Kind(rb"\0{64,}", "a file of zeros, whose download was not finished", AGAIN),
    Kind(rb"\x80[\x00-\x05]", "a pickle that torch.save did not write", ""),
)
PICKLED = (
    "load it where it was made, and save the weights:"
    " torch.save(network.state_dict(), 'weights.pth')"
)
TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")
ENDINGS = {
    ".pb": ("a TensorFlow model", SOURCE),
    ".msgpack": ("a Flax checkpoint", SOURCE),
    ".pdparams": ("a PaddlePaddle checkpoint", SOURCE),
    ".mlmodel": ("a Core ML model", SOURCE),
    ".tflite": ("a TensorFlow Lite model", SOURCE),
    ".onnx": ("an ONNX model", SOURCE),
}
TENSORFLOW = re.compile(r"(ckpt.*|variables)\.(index|meta|data-\d{5}-of-\d{5})$")


def kind_of(start: bytes, name: str) -> Kind | None:
    """What a file is, by its beginning (BEGINNING bytes) or else its name; None if nobody knows."""
    for kind in KINDS:
        if re.match(kind.pattern, start, re.DOTALL | re.IGNORECASE):
            if not kind.hint:
                kind = _by_name(name) or Kind(kind.pattern, kind.name, PICKLED)
            return kind
    if TENSORFLOW.search(name):
        return Kind(b"", "a part of a TensorFlow checkpoint", SOURCE)
    return _by_name(name) or _text(start)


def _by_name(name: str) -> Kind | None:
    for ending, (what, hint) in ENDINGS.items():
        if name.endswith(ending):
            return Kind(b"", what, hint)
    return None


def _text(start: bytes) -> Kind | None:
    """A file of text, with the words that it begins with: often a server's complaint."""
    if not TEXT.fullmatch(start):
        return None
    try:
        line = start.decode("utf-8", "ignore").strip().splitlines()[0].strip()
    except IndexError:
        return None
    line = "".join(c if c.isprintable() else "?" for c in line)
    line = line if len(line) <= 50 else f"{line[:47]}..."
    return Kind(
        b"", f"text that begins with {line!r}", "download or give the file of weights itself"
    )
