"""The classes and functions that a pickle names: none is ever imported or called.

Whatever a name stands for, only this is made of it: a `Name`, and, when the file calls it, one of
the values of `builders.py` or a `Standin`. So no name can do harm here. A few are refused anyway:
no checkpoint has a reason to run programs, and whoever would open the file with something else
should know.
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch

MODULES = frozenset(
    "_posixsubprocess code codeop commands imp marshal nt os pdb pip popen2 posix pty runpy shutil"
    " subprocess sys".split()
)
"""Modules whose functions run programs or code, or change files."""
NAMES = frozenset(
    "_io.FileIO _io.open _pickle.load _pickle.loads _socket.socket bdb.Bdb.run builtins.__import__"
    " builtins.breakpoint builtins.compile builtins.eval builtins.exec builtins.execfile"
    " builtins.exit builtins.file builtins.globals builtins.input builtins.locals builtins.open"
    " builtins.quit cProfile.run ctypes.CDLL ctypes.CFUNCTYPE ctypes.LibraryLoader ctypes.PyDLL"
    " ctypes.cast ctypes.cdll ctypes.memmove ctypes.memset ctypes.pydll ctypes.pythonapi"
    " ctypes.string_at importlib.__import__ importlib._bootstrap importlib.import_module"
    " importlib.reload io.FileIO io.open io.open_code pathlib.Path.unlink pathlib.Path.write_bytes"
    " pathlib.Path.write_text pickle.load pickle.loads profile.run socket.create_connection"
    " socket.socket timeit.main timeit.repeat timeit.timeit types.CodeType types.FunctionType"
    " urllib.request.urlopen urllib.request.urlretrieve webbrowser.open".split()
)
"""Functions of other modules that do, or that lead there."""
HARMLESS = frozenset(
    "os.PathLike os._Environ os.cpu_count os.fspath os.getcwd os.getpid os.stat_result"
    " os.terminal_size shutil.disk_usage shutil.get_terminal_size shutil.which sys.getsizeof"
    " sys.intern".split()
)
"""Settings and questions, of the modules above."""
BACK_WAYS = frozenset(["numpy", "torch"])
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
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
TYPES: Mapping[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in """bfloat16 bool complex32 complex64 complex128 double float float16 float32 float64
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz half int int16 int32 int64 int8 long
    short uint16 uint32 uint64 uint8""".split()
}
"""Not those of less than a byte, nor the quantised ones, with which PyTorch can do little."""


class Name:
    """A class or a function that a file names, by its full name."""

    __slots__ = ("full",)

    def __init__(self, full: str) -> None:
        self.full = full


class Standin:
    """An object that was not built: of what, and the parts that the file gives it. They are kept
    as they are, not copied, since many objects may be given the same ones.
    """

    __slots__ = ("items", "name", "parts")

    def __init__(self, name: str, *parts: object) -> None:
        self.name = name
        self.parts: list[object] = list(parts)
        """Dicts of attributes, and the dict or list that it began as."""
        self.items: dict[Any, Any] | list[Any] | None = None
        """What was added to it, one by one."""

    def build(self, state: object) -> None:
        """What its `__setstate__` would get."""
        self.parts += state if type(state) is tuple and len(state) == 2 else (state,)

    def add(self, values: list[Any]) -> None:
        """Appends values, as to a list."""
        if self.items is None:
            self.items = []
        if type(self.items) is list:
            self.items += values

    def put(self, key: Any, value: Any) -> None:
        """Sets a value, as in a dict."""
        if self.items is None:
            self.items = {}
        if type(self.items) is dict:
            self.items[key] = value


def harms(full: str) -> bool:
    """Whether a name is one of those that are refused."""
    parts = full.split(".")
    if parts[0] == "__builtin__":
        parts[0] = "builtins"
    if parts[0] in ("posix", "nt"):  # where those of os are from
        parts[0] = "os"
    if any(".".join(parts[:end]) in NAMES for end in range(2, min(len(parts), 5) + 1)):
        return True
    if parts[0] in sys.stdlib_module_names | BACK_WAYS and MODULES.intersection(parts[1:-1]):
        return True  # one module by way of another: logging.os.system
    return parts[0] in MODULES and ".".join(parts) not in HARMLESS and parts[1] != "path"


def known(full: str) -> torch.dtype | Name:
    """What stands for a name: a type of numbers, or the name itself."""
    top, _, name = full.partition(".")
    if top == "torch":
        last = name.rpartition(".")[2]
        if last in DTYPES:
            return DTYPES[last]
        if name in TYPES:
            return TYPES[name]
    return Name(full)


def printable(text: str) -> str:
    """A text from a file, with what a terminal would obey written out."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def readable(text: str, longest: int = 100) -> str:
    """A text from a file, fit for a line of a message."""
    return printable(text if len(text) <= longest else f"{text[: longest - 3]}...")
