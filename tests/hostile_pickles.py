"""Pickles that would take much, or do what no opcode is for."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import torch
from checkpoint_files import Storage, pickled, rebuilt


def tensor(key: str, count: int, offset: Any, size: Any, stride: Any) -> bytes:
    """The pickle of a tensor over a storage that is said to hold `count` numbers."""
    return pickled({"w": rebuilt(Storage(key, count), offset, size, stride)})


def laughs() -> Any:
    """A small dict that would be written very long."""
    laugh: Any = {}
    for _ in range(22):
        laugh = {0: laugh, 1: laugh}
    return laugh


def deep(count: int) -> bytes:
    return b"]" * count + b"a" * (count - 1)


LONG_NAME, LONG_NAMES = "k" * 180_000, {str(i): 1 for i in range(40)}
for _ in range(60):
    LONG_NAMES = {LONG_NAME: LONG_NAMES}  # type: ignore[dict-item]
SHARED = b"\x80\x02}q\x00(" + b"".join(b"K%cK\x01" % i for i in range(200)) + b"u"
BOMBS = {
    "an array of bytes": b"\x80\x05\x96" + struct.pack("<Q", 400 << 20) + b".",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
    "a place to keep something": b"\x80\x02Nr\xff\xff\xff\xff.",
    "marks": b"\x80\x02" + b"(" * 30_000 + b".",
    "lists": b"\x80\x02" + b"]" * 50_000 + b".",
    "a device": b"\x80\x02ctorch\ndevice\n" + pickle.dumps((laughs(),), 2)[2:-1] + b"R.",
    "names": pickle.dumps(LONG_NAMES, 2),
    "copies of a list": b"\x80\x02](" + b"K\x01" * 90_000 + b"e\x85q\x02ctorch\nSize\nq\x01("
    b"" + b"h\x01h\x02R" * 400 + b"l.",
    "copies of a set": b"\x80\x02]("
    + b"M\x01\x01" * 40_000
    + b"e\x85q\x02c__builtin__\nset\nq\x01("
    b"" + b"h\x01h\x02R" * 4000 + b"l.",
    "copies of bytes": b"\x80\x02X\x90\x5f\x01\x00"
    + b"x" * 90_000
    + b"X\x06\x00\x00\x00latin1\x86q\x02"
    b"c_codecs\nencode\nq\x01(" + b"h\x01h\x02R" * 9000 + b"l.",
    "states": SHARED + b"cx\ny\nq\x01)\x81" + b"(" + b"h\x01)\x81h\x00b" * 5_000 + b"l.",
    "objects that share a part": SHARED + b"(" + b"cx\ny\n)\x81h\x00b" * 5_000 + b"l.",
    "a key of many digits": pickle.dumps({10**6000: 1}, 2),
    "a key that is a deep object": b"\x80\x02}cfoo\nBar\n)R(K\x00" + deep(5000) + b"uK\x01s.",
    "a key that takes long": b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s.",
    "a deep list": b"\x80\x02" + deep(20_000) + b".",
}
"""Pickles that once took memory or time out of all proportion."""
TENSOR = tensor("0", 4, 0, (4,), (1,))[:-1]
STORAGE = pickled(Storage("0", 4))[:-1]
ODD = {
    "append to a tensor": pickled(rebuilt(Storage("0", 4), 0, (4,), (1,)))[:-1] + b"K\x01a.",
    "add to a tensor": pickled(rebuilt(Storage("0", 4), 0, (4,), (1,)))[:-1] + b"(K\x01\x90.",
    "items of a tensor": pickled(rebuilt(Storage("0", 4), 0, (4,), (1,)))[:-1] + b"K\x01K\x02s.",
    "call a tensor": pickled(rebuilt(Storage("0", 4), 0, (4,), (1,)))[:-1] + b")R.",
    "state of a function": b"\x80\x02ctorch\nSize\n}X\x01\x00\x00\x00aK\x01sb.",
    "state of a storage": STORAGE + b"}X\x04\x00\x00\x00dataK\x01sb.",
    "state of a list": b"\x80\x02]}b.",
    "append to a dict": b"\x80\x02}K\x01a.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "items of a list": b"\x80\x02]K\x01K\x02s.",
    "a key without a value": b"\x80\x02}(K\x01u.",
    "a key that is a list": b"\x80\x02}]K\x01s.",
    "call a number": b"\x80\x02K\x01)R.",
    "call with a list": b"\x80\x02cx\ny\n]R.",
    "an empty stack": b"\x80\x02.",
    "no end": b"\x80\x02K\x01",
    "what was never kept": b"\x80\x02h\x07.",
    "no mark": b"\x80\x02K\x01t.",
    "an extension": b"\x80\x02\x82\x01.",
    "a buffer outside of the file": b"\x80\x05\x97.",
    "an id of no storage": b"\x80\x02K\x07Q.",
    "an id of a file": pickled(("file", "/etc/passwd"))[:-1] + b"Q.",
    "an id in text": b"Pstorage\n.",
    "numbers of a type that is none": pickled(("storage", 4, "0", "cpu", 4))[:-1] + b"Q.",
    "a count below zero": pickled(("storage", torch.float32, "0", "cpu", -4))[:-1] + b"Q.",
    "a text of a negative length": b"\x80\x02T\xff\xff\xff\xffabc.",
    "a number of a negative length": b"\x80\x02\x8b\xff\xff\xff\xffabc.",
    "no number": b"Ix\n.",
    "a class named by a number": b"\x80\x04K\x01K\x02\x93.",
}
"""Pickles in which an opcode meets what it is not for."""
