"""What every engine can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from genkit.card import Card
from genkit.model import Model
from genkit.runtime import library
from genkit.runtime.devices import Device

__all__ = ["Engine", "Order", "Status"]


class Status(NamedTuple):
    """Whether an engine can be used here, why (not), and what to do about it."""

    usable: bool
    reason: str
    cure: str


@dataclass(frozen=True)
class Order:
    """A graph that is to be opened, and how."""

    model: Model
    role: str
    precision: str
    device: Device
    threads: int
    spinning: bool

    @property
    def graph(self) -> Path:
        """The file of the precision. Raises ModelError if the model has no such graph."""
        return self.model.graph(self.role, self.precision)

    def settings(self) -> Any:
        """What all sessions share, as ONNX Runtime's SessionOptions of their own."""
        return library.settings(self.threads, self.spinning)


class Engine(Protocol):
    """A way to run graphs; a module of this package."""

    REOPENS: bool
    """Whether a graph can be opened anew in a process that was forked."""
    COMPLAINT: str
    """What is said where ``--device auto`` would have taken it, and it does not open."""
    CURE: str
    """What to do where a graph does not open."""

    def status(self) -> Status:
        """For ``genkit info``: whether it can be used here. Raises RuntimeUnavailableError."""

    def check(self, device: Device) -> None:
        """Raises RuntimeUnavailableError where a device that was asked for is not there."""

    def precisions(self, card: Card, role: str) -> tuple[str, ...]:
        """What a role can be run in here; none for a model that this engine does not run."""

    def suits(self, card: Card, role: str, precision: str) -> tuple[bool, str]:
        """Whether ``--device auto`` takes it for a graph, and why (not), for a person."""

    def open(self, order: Order) -> tuple[Any, str]:
        """A session, or None and the reason why there is none. Raises ModelError."""
