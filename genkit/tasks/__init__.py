"""The tasks, one module each: data in, arrays, the graph, data out. No printing, no argv."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from genkit.errors import UsageError
from genkit.registry import TASKS

if TYPE_CHECKING:
    from genkit.tasks.classify import Classifier
    from genkit.tasks.cyclegan import PictureTranslator
    from genkit.tasks.fill import Filler
    from genkit.tasks.inpaint import Inpainter
    from genkit.tasks.sample import Sampler
    from genkit.tasks.translate import Translator

__all__ = ["RuntimeArguments", "load"]


class RuntimeArguments(TypedDict, total=False):
    """Where and how to run; the arguments mean what the options of the command line mean."""

    device: str
    precision: str
    threads: int | None


# fmt: off
@overload
def load(task: Literal["translate"], model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Translator: ...
@overload
def load(task: Literal["fill"], model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Filler: ...
@overload
def load(task: Literal["classify"], model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Classifier: ...
@overload
def load(task: Literal["sample"], model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Sampler: ...
@overload
def load(task: Literal["cyclegan"], model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> PictureTranslator: ...
@overload
def load(task: Literal["inpaint"], model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Inpainter: ...
@overload
def load(task: str, model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Any: ...
# fmt: on


def load(task: str, model: str | None = None, **runtime: Unpack[RuntimeArguments]) -> Any:
    """Open a model for a task and return something to call.

    ``model`` is a name or the path of a model folder; None takes the task's default. The other
    arguments (``device``, ``precision``, ``threads``) mean what the options of the command line
    mean. Raises GenkitError: UsageError, ModelError or RuntimeUnavailableError.
    """
    if task not in TASKS:
        raise UsageError(f"unknown task {task!r}", hint=f"one of: {', '.join(TASKS)}")
    from genkit.model import find
    from genkit.runtime import RuntimeOptions

    row, options = TASKS[task], RuntimeOptions(**runtime)
    return getattr(import_module(row.module), row.cls)(find(task, model), options)
