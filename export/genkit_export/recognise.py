"""Which layout a checkpoint is of, by the names of its tensors."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from genkit.errors import InputError, UsageError

from .checkpoints.layout import Layout, Settings, pattern
from .read import Checkpoint
from .sound import never_ran

AVERAGED = re.compile(r"ema|avg", re.IGNORECASE)
"""Of a generator and its running average, the average is the better one."""
NEAREST = 3
SHOWN = 4


@dataclass(frozen=True)
class Fit:
    """How well a layout fits."""

    layout: Layout
    prefix: str
    """What stands before all names."""
    missing: tuple[str, ...]
    """Keys of the layout that are not there."""
    prefixes: tuple[str, ...] = ()
    """Other prefixes that fit as well."""

    @property
    def share(self) -> float:
        """Of the layout's keys that are there."""
        return 1 - len(self.missing) / len(self.layout.keys) if self.layout.keys else 0.0


def recognise(checkpoint: Checkpoint, layouts: Sequence[Layout], forced: str | None) -> Fit:
    """The first layout that fits, or the forced one. Raises InputError if none does, which names
    the nearest ones and what they lack; UsageError for a layout that is not known.
    """
    if forced:
        names = ", ".join(one.name for one in layouts)
        layouts = [one for one in layouts if forced in (one.name, one.architecture)]
        if not layouts:
            raise UsageError(f"no such layout: {forced!r}", hint=f"one of: {names}")
    for layout in layouts:
        if layout.header and layout.header in checkpoint.metadata:
            return Fit(layout, "", ())
    fits = [fit(layout, checkpoint.tensors) for layout in layouts if layout.keys]
    for found in fits:
        if not found.missing:
            return found
    raise _unknown(checkpoint, sorted(fits, key=lambda fit: -fit.share)[:NEAREST], bool(forced))


def fit(layout: Layout, names: Iterable[str]) -> Fit:
    """The prefix behind which most of a layout's keys stand."""
    expressions = {key: re.compile(rf"((?:.+\.)?){pattern(key)}") for key in layout.keys}
    found: dict[str, set[str]] = {}
    for name in names:
        for key, expression in expressions.items():
            if match := expression.fullmatch(name):
                found.setdefault(match[1], set()).add(key)
    if not found:
        return Fit(layout, "", layout.keys)

    def rank(prefix: str) -> tuple[object, ...]:
        return (-len(found[prefix]), not AVERAGED.search(prefix), len(prefix), prefix)

    best, *others = sorted(found, key=rank)
    missing = tuple(key for key in layout.keys if key not in found[best])
    return Fit(layout, best, missing, tuple(p for p in others if found[p] == found[best]))


def choose_prefix(fit: Fit, settings: Settings, tensors: Mapping[str, Tensor]) -> str:
    """Which of several networks of a file is taken: a setting, if there are several. One whose
    batch norms never saw a batch, as an average of parameters alone, is not the first choice.
    """
    names = [prefix.removesuffix(".") for prefix in (fit.prefix, *fit.prefixes)]

    def idle(name: str) -> bool:
        start = f"{name}." if name else ""
        parts = ((key, tensor) for key, tensor in tensors.items() if key.startswith(start))
        return not fit.layout.own_statistics and never_ran(parts)

    if fit.prefixes:
        chosen = settings.assume("part", next((n for n in names if not idle(n)), names[0]))
    else:
        chosen = settings.read("part", names[0]) if names[0] else ""
    if chosen not in names:
        raise UsageError(f"no such part: {chosen!r}", hint=f"one of: {', '.join(names)}")
    if idle(chosen):
        settings.notes.append(
            f"no batch ever went through {chosen or 'the network'}: the statistics of its norms are "
            "those it was made with, and what it makes is not what it was trained for"
        )
    elif chosen != names[0] and idle(names[0]):
        settings.notes.append(f"no batch ever went through {names[0]}, so {chosen} is taken")
    return f"{chosen}." if chosen else ""


def _unknown(checkpoint: Checkpoint, nearest: Sequence[Fit], forced: bool) -> InputError:
    near = [fit for fit in nearest if fit.share or forced]
    names = sorted(checkpoint.tensors)
    held = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")
    hints = [f"{one.layout.name}, but for {', '.join(one.missing)}" for one in near]
    hints[:1] = [f"nearest is {hint}" for hint in hints[:1]]
    if not hints:
        hints = ["no key of any layout is in it"]
    return InputError(
        f"{checkpoint.path} is of no layout that genkit knows",
        hint=f"{'; '.join(hints)}; it holds {held or 'no tensors'}",
    )
