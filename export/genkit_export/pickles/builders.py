"""The few functions and classes of which something is made, by the names that files call them.

Each gets the budget and what the file passes, which may be anything. Where it makes a copy, it takes
from the budget. Source of the names: `torch/_utils.py`, and `_get_allowed_globals` in
`torch/_weights_only_unpickler.py`.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .budget import Budget, DamagedError
from .names import Name, Standin
from .storages import MOST_DIMENSIONS, Storage, tensor

ITEM = 64
"""What an item of a dict or a set takes, in bytes."""
DEEPEST_CALL = 20
MOST_PARTS = 1000
UNHASHABLE = (list, dict, OrderedDict, set, bytearray)
NUMBERS = re.compile(r"[<>=|]?[biufc](1|2|4|8|16)")
"""The types of numpy that are numbers."""


class Array:
    """An array of numpy, of numbers, as it is pickled. The state comes after it is made."""

    __slots__ = ("tensor",)

    def __init__(self) -> None:
        self.tensor: Tensor | None = None

    def build(self, budget: Budget, state: object) -> None:
        """What its `__setstate__` gets: (version, shape, type, in Fortran's order, bytes)."""
        if type(state) is not tuple or len(state) != 5 or type(state[4]) not in (bytes, str):
            return  # objects, which no weights are
        _, shape, dtype, fortran, data = state
        if type(data) is str:  # bytes of Python 2
            budget.take(len(data))
            data = data.encode("latin1")
        self.tensor = _from_numpy(budget, shape, dtype, data, fortran is True)


def hashable(key: object) -> Hashable:
    """A key for a dict or a set. Raises DamagedError for what cannot be one, or would take very
    long to hash.
    """
    if type(key) in UNHASHABLE:
        raise DamagedError("a dict has a key that can be none")
    if type(key) is not tuple:
        return key
    waiting = list(key)
    for _ in range(MOST_PARTS):
        if not waiting:
            return key
        one = waiting.pop()
        if type(one) in UNHASHABLE:
            raise DamagedError("a dict has a key that can be none")
        if type(one) is tuple:
            waiting += one
    raise DamagedError("a dict has a key of very many parts")


def call(budget: Budget, function: object, args: tuple[Any, ...], depth: int = 0) -> object:
    """What stands for the result of a call."""
    if isinstance(function, torch.dtype):
        return Standin(str(function))
    if type(function) is not Name:
        if type(function) is not Standin:
            raise DamagedError("it calls what is no function")
        return Standin(function.name)
    if function.full == "torch._tensor._rebuild_from_type_v2" and depth < DEEPEST_CALL:
        make, _, inner, _ = args
        return call(budget, make, _tuple(inner), depth + 1)
    make_it = BUILDERS.get(function.full)
    made = make_it(budget, *args) if make_it else None
    budget.take(ITEM)
    return Standin(function.full) if made is None else made


def _tuple(value: object) -> tuple[Any, ...]:
    if type(value) is not tuple:
        raise DamagedError("it calls a function without arguments")
    return value


def _same_list(budget: Budget, items: object = (), *_: object) -> object:
    return items if type(items) in (list, tuple) else None


def _first(budget: Budget, value: object, *_: object) -> object:
    return value


def _parameter(budget: Budget, data: object = None, *_: object) -> object:
    return data if isinstance(data, Tensor) else None


def _tensor_v2(
    budget: Budget, storage: Any, offset: Any, size: Any, stride: Any, *_: Any
) -> Tensor:
    return tensor(budget, storage, offset, size, stride)


def _tensor_v3(
    budget: Budget,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    *_: Any,
) -> Tensor:
    if not isinstance(dtype, torch.dtype):
        raise DamagedError("a tensor is of no type")
    return tensor(budget, storage, offset, size, stride, dtype)


def _device(budget: Budget, *place: object) -> str | None:
    if not all(type(part) in (str, int) for part in place) or len(place) > 2:
        return None
    return ":".join(str(part)[:20] for part in place)


def _encode(budget: Budget, text: object, *_: object) -> bytes:
    if type(text) is not str:
        raise DamagedError("bytes are made from something that is no text")
    budget.take(len(text))
    return text.encode("latin1")


def _bytearray(budget: Budget, data: object = b"", *_: object) -> bytes | None:
    if type(data) is str:
        return _encode(budget, data)
    return data if type(data) is bytes else None


def _set(budget: Budget, items: object = (), *_: object) -> set[Any] | None:
    if type(items) not in (list, tuple, set):
        return None
    budget.take(ITEM * len(items))  # type: ignore[arg-type]
    return {hashable(item) for item in items}  # type: ignore[attr-defined]


def _dict(budget: Budget, items: object = (), *_: object) -> dict[Any, Any] | None:
    """A new dict, from a dict or from pairs; `defaultdict(list)` has a function there."""
    if isinstance(items, dict):
        items = tuple(items.items())
    made: dict[Any, Any] = OrderedDict()
    if type(items) not in (list, tuple):
        return made
    budget.take(ITEM * len(items))  # type: ignore[arg-type]
    for pair in items:  # type: ignore[attr-defined]
        if type(pair) not in (list, tuple) or len(pair) != 2:
            return None
        made[hashable(pair[0])] = pair[1]
    return made


def _object(budget: Budget, cls: object, base: object = None, state: object = None) -> object:
    """`copyreg._reconstructor`: an object of Python 2, or of a subclass of dict or list."""
    if type(cls) is not Name:
        return None
    if cls.full == "collections.OrderedDict":
        return _dict(budget, state)
    return Standin(cls.full, state) if type(state) in (dict, list) else Standin(cls.full)


def _new_object(budget: Budget, cls: object, *args: object) -> object:
    """`copyreg.__newobj__`."""
    return call(budget, cls, args)


def _complex(budget: Budget, *parts: object) -> complex | None:
    if len(parts) == 2 and all(type(one) in (int, float) for one in parts):
        return complex(*map(float, parts))  # type: ignore[arg-type]
    return None


def _array(budget: Budget, *_: object) -> Array:
    return Array()


def _numpy_dtype(budget: Budget, code: object = None, *_: object) -> Standin:
    """Of which only the code counts. Its state tells the order of bytes."""
    return Standin("numpy.dtype", code)


def _scalar(budget: Budget, dtype: object, data: object = None) -> object:
    if type(data) is str:
        data = data.encode("latin1")
    value = _from_numpy(budget, (), dtype, data, False)
    return None if value is None else value.item()


def _device_tensor(budget: Budget, array: object, *_: object) -> Tensor | None:
    """Of Apple's GPUs and others, saved by way of numpy."""
    return array.tensor if type(array) is Array else None


def _from_numpy(
    budget: Budget, shape: object, dtype: object, data: object, fortran: bool
) -> Tensor | None:
    """A tensor of an array's bytes, or None where they are no numbers that PyTorch has."""
    if type(dtype) is not Standin or type(data) is not bytes or type(shape) is not tuple:
        return None
    code = dtype.parts[0] if dtype.parts else None
    if type(code) is not str or not NUMBERS.fullmatch(code) or len(shape) > MOST_DIMENSIONS:
        return None
    big = any(type(p) is tuple and len(p) > 1 and p[1] == ">" for p in dtype.parts)
    budget.take(len(data))
    try:
        numbers = np.frombuffer(data, np.dtype(code).newbyteorder(">" if big else "="))
        numbers = numbers.astype(numbers.dtype.newbyteorder("="))  # a copy, which can be written
        flat = torch.from_numpy(numbers)
    except (TypeError, ValueError):
        return None
    if fortran:
        shape = shape[::-1]
    strides = [1]
    for n in reversed(shape):
        strides.insert(0, strides[0] * n if type(n) is int else -1)
    made = tensor(budget, Storage(flat.dtype, flat.view(torch.uint8)), 0, shape, strides[1:])
    return made.permute(*reversed(range(made.ndim))) if fortran else made


BUILDERS: Mapping[str, Callable[..., object]] = {
    "torch.Size": _same_list,
    "torch.device": _device,
    "torch.Tensor": _parameter,
    "torch.autograd.variable.Variable": _parameter,
    "torch.nn.parameter.Buffer": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _parameter,
    "torch._utils._rebuild_device_tensor_from_numpy": _device_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_xla_tensor": _device_tensor,
    "torch.jit._pickle.build_boollist": _same_list,
    "torch.jit._pickle.build_doublelist": _same_list,
    "torch.jit._pickle.build_intlist": _same_list,
    "torch.jit._pickle.build_tensorlist": _same_list,
    "torch.jit._pickle.restore_type_tag": _first,
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    "builtins.dict": _dict,
    "builtins.frozenset": _set,
    "builtins.list": _same_list,
    "builtins.set": _set,
    "builtins.tuple": _same_list,
    "collections.Counter": _dict,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "copyreg.__newobj__": _new_object,
    "copyreg._reconstructor": _object,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.dtype": _numpy_dtype,
}
