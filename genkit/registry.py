"""The table of tasks and commands.

A row of `TASKS` is all that the rest of genkit knows of a task: the command line makes its
subcommand from it, ``genkit.load`` its object, the card its checks, and the export what it may
write. Nothing is imported here, and nothing is registered anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TASKS", "TOOLS", "Command", "Task", "commands"]


@dataclass(frozen=True)
class Command:
    """A subcommand of ``genkit``."""

    help: str
    """Its line in ``genkit --help``, which is the first of its own help."""
    command: str
    """The module that holds a Typer application ``app``."""


@dataclass(frozen=True)
class Task(Command):
    """What a model can be for: a subcommand, a class, and what the card of such a model has."""

    module: str
    """Where the class of its models lives."""
    cls: str
    """The class, which is made from a Model and RuntimeOptions."""
    role: str
    """The graph that every model of the task has."""
    takes: tuple[str, ...]
    """What goes into a model; the first is the section of the card that tells of it."""
    gives: tuple[str, ...]
    """What comes out."""
    fields: tuple[str, ...] = ()
    """Fields of the section that the cards of other tasks may leave out."""
    optional_roles: tuple[str, ...] = ()
    """Graphs that a model may have besides."""

    @property
    def section(self) -> str:
        """The section that the card of such a model must have."""
        return self.takes[0]


TASKS: Mapping[str, Task] = {
    "translate": Task(
        help="Translate text, line by line, and documents.",
        command="genkit.cli.translate",
        module="genkit.tasks.translate",
        cls="Translator",
        role="translate",
        takes=("text",),
        gives=("text",),
        fields=("languages", "decoder_start_id", "eos_id"),
    ),
    "fill": Task(
        help="Fill the gaps in a text, line by line.",
        command="genkit.cli.fill",
        module="genkit.tasks.fill",
        cls="Filler",
        role="fill",
        takes=("text",),
        gives=("text",),
        fields=("mask_id",),
    ),
    "classify": Task(
        help="Name what pictures show.",
        command="genkit.cli.classify",
        module="genkit.tasks.classify",
        cls="Classifier",
        role="classify",
        takes=("image",),
        gives=("labels",),
        fields=("labels",),
        optional_roles=("attention",),
    ),
    "sample": Task(
        help="Make pictures from noise.",
        command="genkit.cli.sample",
        module="genkit.tasks.sample",
        cls="Sampler",
        role="generate",
        takes=("latent",),
        gives=("image",),
    ),
    "cyclegan": Task(
        help="Turn photographs into photographs of another kind.",
        command="genkit.cli.cyclegan",
        module="genkit.tasks.cyclegan",
        cls="PictureTranslator",
        role="generate",
        takes=("image",),
        gives=("image",),
    ),
    "inpaint": Task(
        help="Fill holes in photographs.",
        command="genkit.cli.inpaint",
        module="genkit.tasks.inpaint",
        cls="Inpainter",
        role="inpaint",
        takes=("image", "mask"),
        gives=("image",),
    ),
}
"""Name, which is also that of the folder of its models, -> what there is to know."""

TOOLS: Mapping[str, Command] = {
    "models": Command("List, show and check the models that are there.", "genkit.cli.models"),
    "export": Command("Turn a trained checkpoint into a model folder.", "genkit.cli.export"),
    "info": Command("Show versions and devices, and whether a GPU is used.", "genkit.cli.info"),
}
"""The subcommands that are no tasks."""


def commands() -> dict[str, Command]:
    """All subcommands, in the order of ``genkit --help``."""
    return {**TASKS, **TOOLS}
