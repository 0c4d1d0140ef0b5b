"""The tensors of a nested content, by the names on the way to them."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from .pickles import DamagedError, Name, Standin, printable
from .pickles.budget import Budget

TRANSPARENT = frozenset(["_modules", "_parameters", "_buffers", "_content", "_val"])
"""Attributes that stand for no part of a name: of a pickled network, and of OmegaConf's nodes."""
DEEPEST = 300
MOST_AGAIN = 100_000
"""Entries of things that are met again on another way."""
NAMES_SLACK, NAMES_GROWTH, NAMES_MOST = 1 << 24, 16, 1 << 28
"""Bytes that all names may take: the slack, and so many times the file, but not more than the last."""
LARGEST = 1 << 64
PLAIN_PARTS, PLAIN_TOTAL = 10_000, 3_000_000
"""Items of a list that is taken for a setting, and of all of them."""

LISTS = (list, tuple, set, frozenset)
SCALARS = (str, bytes, float, bool, int)
HERE = object()
"""The key of what stands for no part of a name either: the parts of a stand-in."""

Entries = list[tuple[object, object]]


def flatten(content: object, size: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and the plain values: strings, numbers, and lists of them. `size` is that of the
    file, in bytes. Where things contain each other, each way is followed once around.

    A thing that has tensors gets names by every way to it, as in `state_dict()` of networks that
    share a part; but not very many of them. One that has none gets those of the first way.
    Raises DamagedError for names that take far more room than the file.
    """
    room = Budget(min(NAMES_SLACK + NAMES_GROWTH * size, NAMES_MOST), "its names are far too long")
    bearing = _bearing(content)
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for name, leaf in _leaves(content, bearing, room):
        if isinstance(leaf, Tensor):
            if name in tensors and tensors[name] is not leaf:
                raise DamagedError(f"it has two tensors with the name {name[:100]!r}")
            tensors[name] = leaf
        else:
            values[name] = leaf
    return tensors, values


def _leaves(content: object, bearing: set[int], room: Budget) -> Iterator[tuple[str, object]]:
    """Tensors and plain values with their names, in the order of the file."""
    entered: set[int] = set()
    on_the_way: set[int] = set()
    again, plain = MOST_AGAIN, Budget(PLAIN_TOTAL, "")
    # A frame for each thing that is being looked at: it, its name, and the entries that are left.
    frames: list[tuple[object, str, Iterator[tuple[object, object]]]] = []
    one: tuple[str, object] | None = ("", content)
    while True:
        if one is not None:
            name, value = one
            if not _is_container(value, bearing):
                if isinstance(value, Tensor) or _is_plain(value, plain):
                    yield name, value
            elif id(value) not in on_the_way and len(frames) < DEEPEST:
                known = id(value) in entered
                if not known or (id(value) in bearing and again > 0):
                    entries = _entries(value)
                    again -= len(entries) + 1 if known else 0
                    entered.add(id(value))
                    on_the_way.add(id(value))
                    frames.append((value, name, iter(entries)))
        if not frames:
            return
        above, name, left = frames[-1]
        entry = next(left, None)
        if entry is None:
            on_the_way.discard(id(above))
            frames.pop()
            one = None
        else:
            below = _below(name, entry[0])
            room.take(len(below))
            one = below, entry[1]


def _bearing(content: object) -> set[int]:
    """The ids of the containers that have tensors in them, however deep."""
    found: set[int] = set()
    above: dict[int, list[int]] = {id(content): []}
    waiting = [content]
    while waiting:
        value = waiting.pop()
        for _, inner in _entries(value):
            if isinstance(inner, Tensor):
                found.add(id(value))
            elif isinstance(inner, dict | Standin | list | tuple):
                if id(inner) not in above:
                    above[id(inner)] = []
                    waiting.append(inner)
                above[id(inner)].append(id(value))
    rising = list(found)
    while rising:
        for one in above[rising.pop()]:
            if one not in found:
                found.add(one)
                rising.append(one)
    return found


def _is_container(value: object, bearing: set[int]) -> bool:
    """Lists are, if there are tensors in them; else they are plain values."""
    if type(value) in (list, tuple):
        return id(value) in bearing
    return isinstance(value, dict | Standin)


def _entries(value: Any) -> Entries:
    """What is in a container, with keys."""
    if type(value) is dict or type(value) is OrderedDict:
        return list(value.items())
    if isinstance(value, Standin):
        # Many objects may share a part, which is therefore a container of its own.
        return [(HERE, part) for part in (value.items, *value.parts) if part]
    if type(value) in (list, tuple):
        return list(enumerate(value))
    return []


def _below(name: str, key: object) -> str:
    """The name of an entry. Those that are called by no text or number have a star."""
    if key is HERE:
        return name
    if type(key) is str:
        part = key
    elif type(key) in (int, bool, float, type(None)) and not _is_huge(key):
        part = str(key)
    else:
        part = key.full if type(key) is Name else "*"
    if part in TRANSPARENT:
        return name
    part = printable(part)
    return f"{name}.{part}" if name else part


def _is_plain(value: Any, room: Budget) -> bool:
    """Whether it is a string or a number, or made of not very many of these."""
    if type(value) not in LISTS:
        return type(value) in SCALARS and not _is_huge(value)
    most = left = min(PLAIN_PARTS, room.left)
    waiting, plain = [value], True
    while waiting and plain:
        one = waiting.pop()
        if type(one) in LISTS:
            left -= len(one) + 1
            plain = left >= 0
            waiting += one if plain else ()
        else:
            plain = one is None or (type(one) in SCALARS and not _is_huge(one))
    room.take(most - max(left, 0))
    return plain


def _is_huge(value: object) -> bool:
    """Whether it is a number that takes long to write, or cannot be written."""
    return type(value) is int and abs(value) >= LARGEST
