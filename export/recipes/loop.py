"""The training loop that every recipe shares: schedule, averaged weights, checkpoints, log.

A recipe supplies the modules, the optimizers and a function that takes one step; so one loop serves
a classifier with one optimizer and a GAN with two.
"""

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genkit.writing import atomic_file


@dataclass(frozen=True)
class LoopConfig:
    """When things happen, in steps unless said otherwise."""

    steps: int
    minutes: float = math.inf
    """A run ends after so many at the latest, its schedule compressed."""
    warmup: int = 0
    decay: float = 0.3
    """Share of the steps, at the end, in which the learning rate falls to zero. It is constant
    before, so that a run can be prolonged."""
    average: float = 0.999
    """Decay of the exponential moving average of the weights."""
    log_every: int = 50
    validate_every: int = 500
    save_minutes: float = 5.0

    def progress(self, step: int, minutes: float = 0.0) -> float:
        """The share of the run that is over after so many steps and minutes."""
        return min(max(step / max(self.steps, 1), minutes / self.minutes), 1.0)

    def rate(self, step: int, minutes: float = 0.0) -> float:
        """Learning rate at a step as a share of its peak: up, level, down."""
        up = (step + 1) / max(self.warmup, 1)
        left = self.steps * (1 - self.progress(step, minutes))
        return min(up, 1.0, left / max(self.steps * self.decay, 1))


def descend(
    optimizers: Optimizer | Collection[Optimizer], loss: Tensor, clip_norm: float = math.inf
) -> Tensor:
    """Take one step of an optimizer, or of several that share the weights, down the gradient of a
    loss, a gradient of at most that norm; returns the norm that it had.
    """
    optimizers = (optimizers,) if isinstance(optimizers, Optimizer) else optimizers
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    weights = [weight for group in groups for weight in group["params"]]
    norm: Tensor = nn.utils.clip_grad_norm_(weights, clip_norm)
    for optimizer in optimizers:
        optimizer.step()
    return norm


class Loop:
    """Trains `modules` with `optimizers`, keeping a moving average of `modules[averaged]`.

    `out` receives `run.pt` (everything needed to resume), `log.jsonl`, and `best.pt`: the averaged
    weights with the best validation figure so far.
    """

    def __init__(
        self,
        out: Path,
        config: LoopConfig,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        averaged: str,
    ) -> None:
        self.out, self.config, self.modules, self.optimizers = out, config, modules, optimizers
        self.peak = {
            name: [float(group["lr"]) for group in optimizer.param_groups]
            for name, optimizer in optimizers.items()
        }
        self.source = modules[averaged]
        self.average = deepcopy(self.source).eval().requires_grad_(False)
        self.step = 0
        self.best = -math.inf
        self.seconds = 0.0
        out.mkdir(parents=True, exist_ok=True)

    @property
    def progress(self) -> float:
        """The share of the run that is over."""
        return self.config.progress(self.step, self.seconds / 60)

    def resume(self) -> None:
        """Go on where `run.pt` in the output folder stopped; from the start if there is none."""
        path = self.out / "run.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate  # where it was: a tensor on the device, or a number
        self.average.load_state_dict(state["average"])
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
        torch.set_rng_state(state["rng"])

    def save(self) -> None:
        self._write(
            "run.pt",
            {
                "modules": {name: module.state_dict() for name, module in self.modules.items()},
                "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
                "average": self.average.state_dict(),
                "step": self.step,
                "best": self.best,
                "seconds": self.seconds,
                "rng": torch.get_rng_state(),
            },
        )

    def run(
        self,
        take_step: Callable[[int], Mapping[str, float | Tensor]],
        validate: Callable[[nn.Module], tuple[float, Mapping[str, float]]],
    ) -> None:
        """Train until `config.steps`.

        `take_step(step)` trains once and returns figures to log. `validate(average)` judges the
        averaged network: one number, the higher the better, and figures to log.
        """
        # Sums of tensors stay on their device until they are logged: to read one is to wait for it.
        sums: defaultdict[str, float | Tensor] = defaultdict(float)
        count = 0  # of steps since the last line of the log
        began = saved = time.monotonic()
        while self.progress < 1:
            self._set_rates()
            for name, value in take_step(self.step).items():
                sums[name] = sums[name] + value
            self.step += 1
            count += 1
            self._update_average()
            now = time.monotonic()
            self.seconds, began = self.seconds + now - began, now
            if self.step % self.config.log_every == 0:
                self._log({name: float(total) / count for name, total in sums.items()})
                sums.clear()
                count = 0
            done = self.progress == 1
            if self.step % self.config.validate_every == 0 or done:
                figure, figures = validate(self.average)
                self._log(figures)
                if figure >= self.best:
                    self.best = figure
                    self._write("best.pt", self.average.state_dict())
            if now - saved > 60 * self.config.save_minutes or done:
                self.save()
                saved = now

    def _set_rates(self) -> None:
        rate = self.config.rate(self.step, self.seconds / 60)
        for name, optimizer in self.optimizers.items():
            for group, peak in zip(optimizer.param_groups, self.peak[name], strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(peak * rate)
                else:
                    group["lr"] = peak * rate

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows closely, or it would remember the random start.
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        mine = list(self.average.parameters())
        torch._foreach_lerp_(mine, list(self.source.parameters()), 1 - decay)
        for own, other in zip(self.average.buffers(), self.source.buffers(), strict=True):
            own.copy_(other)

    def _log(self, figures: Mapping[str, float]) -> None:
        line = {"step": self.step, "minutes": round(self.seconds / 60, 1)}
        line |= {name: round(value, 4) for name, value in figures.items()}
        text = json.dumps(line)
        print(text, flush=True)
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(text + "\n")

    def _write(self, name: str, state: Mapping[str, Any]) -> None:
        with atomic_file(self.out / name) as file:
            torch.save(state, file)
