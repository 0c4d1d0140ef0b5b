"""Which engine runs a graph, and in which precision.

On the processor there are two: ONNX Runtime's own kernels (cpu), and OpenVINO, which is taken for
pictures where it computes in bfloat16.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

from genkit.card import PRECISIONS, Card
from genkit.errors import GenkitWarning, RuntimeUnavailableError, UsageError
from genkit.model import Model
from genkit.runtime import devices
from genkit.runtime.devices import Device, parse_device
from genkit.runtime.engines import AUTO, ENGINES, engine
from genkit.runtime.engines.protocol import Engine, Order
from genkit.runtime.session import Session

__all__ = ["RuntimeOptions", "choose_precision", "open_session"]

MOST_THREADS = 1024


@dataclass(frozen=True)
class RuntimeOptions:
    """Where and how to run: what --device, --precision and --threads say. Raises UsageError."""

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise UsageError(f"there are 1 to {MOST_THREADS} threads, not {self.threads}")


def open_session(
    model: Model,
    role: str,
    options: RuntimeOptions,
    *,
    spinning: bool = True,
    threads: int | None = None,
) -> Session:
    """Make a session of one of the model's graphs.

    ``spinning`` keeps threads awake between runs: quicker while there is work, a waste of a
    core while waiting for a pipe. ``threads`` overrides those of the options, for a caller
    that runs several sessions side by side.

    Raises UsageError for a device or precision that makes no sense, RuntimeUnavailableError
    when CUDA or OpenVINO was asked for and is not to be had, ModelError for a graph that does
    not load.
    """
    count = threads or options.threads or devices.default_threads()
    wanted = parse_device(options.device)
    against = ""
    for kind in AUTO if wanted is None else (wanted.kind,):
        chosen, device, reason = engine(kind), wanted or Device(kind), "asked for"
        if wanted is None:
            takes, reason = chosen.suits(model.card, role, options.precision)
            if not takes:
                against = against or reason
                continue
        else:
            chosen.check(device)
        precision = choose_precision(model.card, role, kind, options.precision)
        order = Order(model, role, precision, device, count, spinning)
        session, cause = chosen.open(order)
        if session is not None:
            reopen = partial(_reopen, chosen, order) if chosen.REOPENS else None
            return Session(session, device, precision, count, reason or against, reopen)
        cure = f"{chosen.CURE}; or use --device cpu" if chosen.CURE else "use --device cpu"
        if wanted is not None:
            raise RuntimeUnavailableError(f"cannot use {ENGINES[kind].title}: {cause}", hint=cure)
        advice = f"; {cure}" if chosen.CURE else ""
        warnings.warn(f"{chosen.COMPLAINT}: {cause}{advice}", GenkitWarning, stacklevel=2)
        against = against or cause
    raise AssertionError("the last engine takes every graph, or raises")


def _reopen(chosen: Engine, order: Order) -> Any:
    return chosen.open(order)[0]


def choose_precision(card: Card, role: str, kind: str, asked: str) -> str:
    """The precision to run a role's graph in, on a kind of device.

    ``auto`` takes what the card was measured to be best with, or full precision where the
    card names none for this device. Raises UsageError for a precision that the model or the
    device lacks.
    """
    available = engine(kind).precisions(card, role)
    if not available:
        raise UsageError(f"{card.name} is not for {ENGINES[kind].title}", hint="add --device cpu")
    if asked == "auto":
        preferred = (card.default_precision.get(kind, "fp32"), "fp32", *available)
        return next(precision for precision in preferred if precision in available)
    if asked not in available:
        if asked not in PRECISIONS:
            problem = f"unknown precision {asked!r}"
        elif needs := _needs(card, role, asked):
            problem = f"{asked} needs {needs}"
        else:
            problem = f"{card.name} has no {asked} graph"
        raise UsageError(problem, hint=f"{card.name} has: auto, {', '.join(available)}")
    return asked


def _needs(card: Card, role: str, precision: str) -> str:
    """What it takes to run a precision that only some engine computes; empty if none does."""
    found = (
        r.needs for k, r in ENGINES.items() if r.needs and precision in card.precisions(role, k)
    )
    return next(found, "")
