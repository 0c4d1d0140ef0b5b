"""The tasks, one module each: data in, arrays, the graph, data out. No printing, no argv."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, overload

from genkit.errors import UsageError

if TYPE_CHECKING:
    from genkit.tasks.classify import Classifier
    from genkit.tasks.cyclegan import PictureTranslator
    from genkit.tasks.fill import Filler
    from genkit.tasks.inpaint import Inpainter
    from genkit.tasks.sample import Sampler
    from genkit.tasks.translate import Translator

__all__ = ["TASKS", "load"]

# Task -> where its class lives. Every class is made from a Model and RuntimeOptions.
TASKS = {
    "translate": ("genkit.tasks.translate", "Translator"),
    "fill": ("genkit.tasks.fill", "Filler"),
    "classify": ("genkit.tasks.classify", "Classifier"),
    "sample": ("genkit.tasks.sample", "Sampler"),
    "cyclegan": ("genkit.tasks.cyclegan", "PictureTranslator"),
    "inpaint": ("genkit.tasks.inpaint", "Inpainter"),
}


@overload
def load(
    task: Literal["translate"],
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Translator: ...


@overload
def load(
    task: Literal["fill"],
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Filler: ...


@overload
def load(
    task: Literal["classify"],
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Classifier: ...


@overload
def load(
    task: Literal["sample"],
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Sampler: ...


@overload
def load(
    task: Literal["cyclegan"],
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> PictureTranslator: ...


@overload
def load(
    task: Literal["inpaint"],
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Inpainter: ...


@overload
def load(
    task: str,
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Any: ...


def load(
    task: str,
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Any:
    """Open a model for a task and return something to call.

    ``model`` is a name or the path of a model folder; None takes the task's default. The other
    arguments mean what the options of the command line mean. Raises GenkitError: UsageError,
    ModelError or RuntimeUnavailableError.
    """
    if task not in TASKS:
        raise UsageError(f"unknown task {task!r}", hint=f"one of: {', '.join(TASKS)}")
    from genkit.model import find
    from genkit.runtime import RuntimeOptions

    module, name = TASKS[task]
    options = RuntimeOptions(device=device, precision=precision, threads=threads)
    return getattr(import_module(module), name)(find(task, model), options)
