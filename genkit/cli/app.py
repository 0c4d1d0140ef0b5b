"""The ``genkit`` command: its subcommands, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genkit import __version__
from genkit.errors import ExitCode, GenkitError
from genkit.streams import Streams, drop_stdout

__all__ = ["COMMANDS", "app", "main"]

# Subcommand -> the line that ``genkit --help`` shows. The module genkit.cli.<subcommand> has a
# Typer application ``app`` and is imported when the subcommand is run, not before.
COMMANDS = {
    "translate": "Translate text, line by line.",
    "models": "List, show and check the models that are there.",
    "export": "Turn a trained checkpoint into a model folder.",
    "info": "Show versions and devices, and whether a GPU is used.",
}
