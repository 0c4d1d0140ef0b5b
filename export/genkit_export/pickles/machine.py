"""The machine that pickles are programs of, with every opcode on exact types.

Python's own unpicklers act on whatever lies on the stack: they append to anything with an `append`,
set the state of anything, and take memory for whatever number a file says. Here each opcode takes
the types that honest files have there, and a length is believed only if the file is as long.
Sources: `pickletools.py` of Python, and `torch/_weights_only_unpickler.py`.
"""

import codecs
import pickle
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .budget import Budget, DamagedError, RefusedError
from .builders import ITEM, Array, call, hashable
from .names import Standin, harms, known, readable
from .stack import CUT, Bytes, Stack

LONGEST_NUMBER = 4096
"""Bytes of a whole number, and digits of one in text."""
LONGEST_NAME = 1000


class Machine(Stack):
    """Reads pickles, one after the other. What is between `place` and the next is its owner's."""

    def __init__(
        self,
        data: Bytes,
        budget: Budget,
        steps: Budget,
        persistent: Callable[[object], object],
    ) -> None:
        """`persistent` makes what stands for an id of a storage."""
        super().__init__(data)
        self._budget, self._steps = budget, steps
        self._persistent = persistent

    def load(self) -> object:
        """The next object. Raises DamagedError for a pickle that is none, and RefusedError."""
        self.clear()
        self._protocol = 0
        try:
            return self._run()
        except IndexError:
            raise DamagedError("its pickle takes what was never put there") from None
        except struct.error:
            raise DamagedError(CUT) from None

    def _run(self) -> object:
        data, size, opcodes = self.data, len(self.data), OPCODES
        for step in range(self._steps.left):
            if self.place >= size:
                raise DamagedError(CUT)
            opcode = data[self.place]
            self.place += 1
            if opcode == STOP:
                self._steps.take(step)
                return self.objects.pop()
            do = opcodes.get(opcode)
            if do is None:
                raise DamagedError("it is no pickle, or has something that no checkpoint has")
            do(self)
        self._steps.take(self._steps.left + 1)
        raise AssertionError

    def container(self, value: object) -> None:
        """Pushes something that takes more room than in the file."""
        self._budget.take(ITEM)
        self.objects.append(value)

    # Numbers and texts

    def proto(self) -> None:
        self._protocol = self.read(1)[0]

    def frame(self) -> None:
        self.read(8)

    def integer_line(self) -> None:
        text = self.line()
        self.push({"00": False, "01": True}[text] if text in ("00", "01") else _integer(text))

    def long_line(self) -> None:
        self.push(_integer(self.line().removesuffix("L")))

    def float_line(self) -> None:
        text = self.line()
        try:
            self.push(float(text[:LONGEST_NAME]))
        except ValueError:
            raise DamagedError("it has a number that is none") from None

    def float_binary(self) -> None:
        self.push(struct.unpack(">d", self.read(8))[0])

    def long(self, form: str) -> None:
        count = self.number(form)
        if not 0 <= count <= LONGEST_NUMBER:
            raise DamagedError(f"it has a number of {count} bytes")
        self.push(pickle.decode_long(self.read(count)))

    def string_line(self) -> None:
        text = self.line().encode()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise DamagedError("it has a text without quotes")
        try:
            self.push(codecs.escape_decode(text[1:-1])[0].decode("utf-8", "replace"))
        except ValueError:
            raise DamagedError("it has a text that is none") from None

    def unicode_line(self) -> None:
        self.push(self.line("raw-unicode-escape"))

    def text(self, form: str) -> None:
        self.push(self.read(self.length(form)).decode("utf-8", "replace"))

    def bytes_(self, form: str) -> None:
        self.push(self.read(self.length(form)))

    # Containers

    def tuple_of(self, count: int) -> None:
        if len(self.objects) < count:
            raise IndexError
        items = tuple(self.objects[-count:])
        del self.objects[-count:]
        self.container(items)

    def dict_of_marked(self) -> None:
        made: dict[Any, Any] = {}
        self._set(made, self.pop_mark())
        self.container(made)

    def append(self) -> None:
        value = self.pop()
        self._extend([value])

    def _extend(self, values: list[Any]) -> None:
        target = self.objects[-1]
        if type(target) is list:
            target += values
        elif type(target) is Standin:
            target.add(values)
        else:
            raise DamagedError("it appends to what is no list")

    def add_items(self) -> None:
        values = self.pop_mark()
        target = self.objects[-1]
        if type(target) is set:
            target.update(map(hashable, values))
        elif type(target) is Standin:
            target.add(values)
        else:
            raise DamagedError("it adds to what is no set")

    def frozen_set(self) -> None:
        self.container(frozenset(map(hashable, self.pop_mark())))

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self._set(self.objects[-1], [key, value])

    def set_items(self) -> None:
        values = self.pop_mark()
        self._set(self.objects[-1], values)

    def _set(self, target: object, values: list[Any]) -> None:
        if len(values) % 2:
            raise DamagedError("it has a dict with a key without a value")
        if type(target) is dict or type(target) is OrderedDict:
            for key, value in zip(values[::2], values[1::2], strict=True):
                target[hashable(key)] = value
        elif type(target) is Standin:
            for key, value in zip(values[::2], values[1::2], strict=True):
                target.put(hashable(key), value)
        else:
            raise DamagedError("it sets an item of what is no dict")

    # Objects

    def global_lines(self) -> None:
        module, name = self.line(), self.line()
        self._name(module, name)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise DamagedError("it names a class by something that is no text")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        if len(module) + len(name) > LONGEST_NAME:
            raise DamagedError("it names a class of a very long name")
        if self._protocol < 3:  # such files name things as Python 2 did
            module, name = NAME_MAPPING.get((module, name), (module, name))
            module = IMPORT_MAPPING.get(module, module)
        full = f"{module}.{name}"
        if harms(full):
            raise RefusedError(readable(full), readable(self._entry()))
        self.container(known(full))

    def _entry(self) -> str:
        """The keys of the dicts that are being filled, with dots between."""
        names: list[str] = []
        for level in reversed([*(self._without_filled(one) for one in self.marked), self.objects]):
            end = len(level)
            while end and type(level[end - 1]) is str:
                names.insert(0, level[end - 1])
                end -= 2  # the dict that it is a key of, where that stands before it
                if end < 0 or type(level[end]) not in (dict, OrderedDict):
                    break
                if level[end] and self._protocol:  # whole, and the value before the key
                    break
        return ".".join(names)

    def _without_filled(self, level: list[Any]) -> list[Any]:
        """Objects without the last, if it is what the marked ones above will be put into."""
        return level[:-1] if level and type(level[-1]) in (dict, OrderedDict, list) else level

    def reduce(self) -> None:
        args = self.pop()
        self._call(args)

    def _call(self, args: object) -> None:
        if type(args) is not tuple:
            raise DamagedError("it calls a function without arguments")
        self.objects[-1] = call(self._budget, self.objects[-1], args)

    def new_object_ex(self) -> None:
        keywords, args = self.pop(), self.pop()
        self._call(args)
        if type(self.objects[-1]) is Standin and type(keywords) is dict:
            self.objects[-1].parts.append(keywords)

    def instance(self) -> None:
        args = self.pop_mark()
        module, name = self.line(), self.line()
        self._name(module, name)
        self._call(tuple(args))

    def object_(self) -> None:
        function, *args = self.pop_mark()
        self.push(function)
        self._call(tuple(args))

    def build(self) -> None:
        state = self.pop()
        target = self.objects[-1]
        if type(target) is Standin:
            target.build(state)
        elif type(target) is Array:
            target.build(self._budget, state)
        elif not isinstance(target, Tensor | OrderedDict):
            # Of those two, hooks and versions, which weights do not need. Nothing else has a state.
            raise DamagedError("it sets the state of what has none")

    def persistent_line(self) -> None:
        self.container(self._persistent(self.line()))

    def persistent_binary(self) -> None:
        self.container(self._persistent(self.pop()))


def _integer(text: str) -> int:
    try:
        return int(text[: LONGEST_NUMBER + 1])
    except ValueError:
        raise DamagedError("it has a number that is none") from None


STOP = pickle.STOP[0]
OPCODES: Mapping[int, Callable[[Machine], None]] = {
    code[0]: do
    for code, do in {
        # Numbers and texts
        pickle.PROTO: Machine.proto,
        pickle.FRAME: Machine.frame,
        pickle.NONE: lambda m: m.push(None),
        pickle.NEWTRUE: lambda m: m.push(True),
        pickle.NEWFALSE: lambda m: m.push(False),
        pickle.INT: Machine.integer_line,
        pickle.LONG: Machine.long_line,
        pickle.FLOAT: Machine.float_line,
        pickle.BININT: lambda m: m.push(m.number("<i")),
        pickle.BININT1: lambda m: m.push(m.number("B")),
        pickle.BININT2: lambda m: m.push(m.number("<H")),
        pickle.LONG1: lambda m: m.long("B"),
        pickle.LONG4: lambda m: m.long("<i"),
        pickle.BINFLOAT: Machine.float_binary,
        pickle.STRING: Machine.string_line,
        pickle.BINSTRING: lambda m: m.text("<i"),
        pickle.SHORT_BINSTRING: lambda m: m.text("B"),
        pickle.UNICODE: Machine.unicode_line,
        pickle.BINUNICODE: lambda m: m.text("<I"),
        pickle.SHORT_BINUNICODE: lambda m: m.text("B"),
        pickle.BINUNICODE8: lambda m: m.text("<Q"),
        pickle.BINBYTES: lambda m: m.bytes_("<I"),
        pickle.SHORT_BINBYTES: lambda m: m.bytes_("B"),
        pickle.BINBYTES8: lambda m: m.bytes_("<Q"),
        pickle.BYTEARRAY8: lambda m: m.bytes_("<Q"),
        # The stack
        pickle.MARK: Machine.mark,
        pickle.POP: Machine.pop_one,
        pickle.POP_MARK: lambda m: m.pop_mark().clear(),
        pickle.DUP: lambda m: m.push(m.objects[-1]),
        pickle.PUT: lambda m: m.put(_integer(m.line())),
        pickle.BINPUT: lambda m: m.put(m.number("B")),
        pickle.LONG_BINPUT: lambda m: m.put(m.number("<I")),
        pickle.MEMOIZE: lambda m: m.put(len(m.memo)),
        pickle.GET: lambda m: m.get(_integer(m.line())),
        pickle.BINGET: lambda m: m.get(m.number("B")),
        pickle.LONG_BINGET: lambda m: m.get(m.number("<I")),
        # Containers
        pickle.EMPTY_TUPLE: lambda m: m.push(()),
        pickle.EMPTY_LIST: lambda m: m.container([]),
        pickle.EMPTY_DICT: lambda m: m.container({}),
        pickle.EMPTY_SET: lambda m: m.container(set()),
        pickle.TUPLE: lambda m: m.container(tuple(m.pop_mark())),
        pickle.TUPLE1: lambda m: m.tuple_of(1),
        pickle.TUPLE2: lambda m: m.tuple_of(2),
        pickle.TUPLE3: lambda m: m.tuple_of(3),
        pickle.LIST: lambda m: m.container(m.pop_mark()),
        pickle.DICT: Machine.dict_of_marked,
        pickle.FROZENSET: Machine.frozen_set,
        pickle.APPEND: Machine.append,
        pickle.APPENDS: lambda m: m._extend(m.pop_mark()),
        pickle.ADDITEMS: Machine.add_items,
        pickle.SETITEM: Machine.set_item,
        pickle.SETITEMS: Machine.set_items,
        # Objects
        pickle.GLOBAL: Machine.global_lines,
        pickle.STACK_GLOBAL: Machine.stack_global,
        pickle.REDUCE: Machine.reduce,
        pickle.NEWOBJ: Machine.reduce,
        pickle.NEWOBJ_EX: Machine.new_object_ex,
        pickle.INST: Machine.instance,
        pickle.OBJ: Machine.object_,
        pickle.BUILD: Machine.build,
        pickle.PERSID: Machine.persistent_line,
        pickle.BINPERSID: Machine.persistent_binary,
    }.items()
}
