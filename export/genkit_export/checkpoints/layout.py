"""What the layouts of published checkpoints have in common.

A layout is a file of this package with a tuple of keys and a function, and a row of `LAYOUTS` in
`registry.py`. The function gets the tensors under the names that the layout's authors gave them,
says through `Settings` what every hyper-parameter is and where it knows that from, and returns the
same tensors under the names of an architecture.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from torch import Tensor

from genkit.errors import InputError, UsageError
from genkit_export.quantize import Ranges
from genkit_export.read import Checkpoint

Value = TypeVar("Value")
Weights = dict[str, Tensor]
NO = ("no", "false", "off", "0")
YES = ("yes", "true", "on", "1")


@dataclass(frozen=True)
class Setting:
    """A hyper-parameter, or another fact of a model that is not in its tensors."""

    name: str
    value: Any
    source: Literal["read", "assumed", "given"]
    """From the file, from what is usual for the layout, or from the user."""

    @property
    def flag(self) -> str:
        """What overrides it on the command line."""
        return f"--set {self.name}={shown(self.value)}"


class MissingTensorError(LookupError):
    """A checkpoint lacks a tensor that its layout has; the argument is its name."""


class Tensors(dict[str, Tensor]):
    """Tensors by name; one that is not there is the checkpoint's fault, not ours."""

    def __missing__(self, name: str) -> Tensor:
        raise MissingTensorError(name)


class Settings:
    """Collects what a layout finds out; what the user gave goes before it."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._given = dict(given or {})
        self._found: dict[str, Setting] = {}
        self.notes: list[str] = []
        """What a person should know besides, a line each."""

    def read(self, name: str, value: Value) -> Value:
        """A value that the file tells."""
        return self._add(name, value, "read")

    def assume(self, name: str, value: Value) -> Value:
        """A value that is usual where the file does not tell."""
        return self._add(name, value, "assumed")

    def get(self, name: str, found: Mapping[str, Any], default: Value) -> Value:
        """A value of a configuration, or else the default of its authors' code. Raises InputError
        if it is of another type.
        """
        value = found.get(name)
        if value is None:
            return self.assume(name, default)
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise InputError(f"in the configuration, {name} is {value!r}, unlike {default!r}")
        return self.read(name, value)

    def is_given(self, name: str) -> bool:
        """Whether the user says it."""
        return name in self._given

    def list(self) -> list[Setting]:
        """All of them. Raises UsageError for given ones that the layout does not have."""
        for name in self._given.keys() - self._found:
            raise UsageError(
                f"this layout has no setting {name!r}", hint=f"it has {', '.join(self._found)}"
            )
        return list(self._found.values())

    def _add(self, name: str, value: Value, source: Literal["read", "assumed"]) -> Value:
        if name not in self._given:
            self._found[name] = Setting(name, value, source)
            return value
        given: Value = _parse(name, self._given[name], value)
        self._found[name] = Setting(name, given, "given")
        return given


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, made fit for an architecture."""

    config: Mapping[str, Any]
    """Fields of the architecture's config dataclass."""
    weights: Mapping[str, Tensor]
    card: Mapping[str, Any] = field(default_factory=dict)
    """What the card says besides what every card says."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files that belong into the model folder: tokenisers."""
    ranges: Ranges = field(default_factory=dict)
    architecture: str | None = None
    """Where the file itself names it."""


@dataclass(frozen=True)
class Layout:
    """How a kind of checkpoint is recognised and read."""

    name: str
    architecture: str
    """A row of `ARCHITECTURES`; empty where `load` refuses what is recognised."""
    task: str
    keys: tuple[str, ...]
    """Names of tensors that every such checkpoint has; `*` stands for a number. All of them may
    stand behind the same prefix, as in `state_dict.generator.`."""
    load: Callable[[Weights, Checkpoint, Settings], Loaded]
    title: str
    """What it is, for people, and for the description of a model."""
    own_statistics: bool = False
    """Whether batch norms use those of the picture itself, so that the stored ones do not matter."""
    header: str = ""
    """Instead of keys: what the header of the file has."""


def pattern(key: str) -> str:
    """The regular expression of a key of a layout."""
    return re.escape(key).replace(r"\*", r"\d+")


def count(weights: Mapping[str, Tensor], key: str) -> int:
    """How many different numbers stand for the `*` of a key."""
    return len(numbers(weights, key))


def numbers(weights: Mapping[str, Tensor], key: str) -> list[int]:
    """The numbers that stand for the `*` of a key, in order."""
    expression = re.compile(re.escape(key).replace(r"\*", r"(\d+)"))
    return sorted({int(found[1]) for name in weights if (found := expression.fullmatch(name))})


def shown(value: object) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    return str(value)


def _parse(name: str, text: str, like: object) -> Any:
    """A value of the command line, of the type of the one that it takes the place of. Raises
    UsageError.
    """
    try:
        match like:
            case bool():
                if text.lower() not in NO + YES:
                    raise ValueError
                return text.lower() in YES
            case int():
                return int(text)
            case float():
                return float(text)
            case tuple() | list():
                one = like[0] if like else ""
                return type(like)(_parse(name, part.strip(), one) for part in text.split(","))
    except ValueError:
        kind = {bool: "yes or no", int: "a whole number", float: "a number"}[type(like)]
        raise UsageError(f"--set {name}={text}: {name} is {kind}") from None
    return text
