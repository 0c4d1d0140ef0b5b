"""The options of ``genkit translate`` that are about the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

__all__ = ["SearchOptions"]


@dataclass(frozen=True)
class SearchOptions:
    """How a translation is searched for."""

    beam_size: Annotated[
        int,
        typer.Option(
            metavar="N", help="Hypotheses to follow at a time; 1 is quickest (greedy search)."
        ),
    ] = 4
    length_penalty: Annotated[
        float,
        typer.Option(
            metavar="P",
            help="Rank by log probability / length ** P: more favours longer translations.",
        ),
    ] = 0.6
    early_stopping: Annotated[
        bool,
        typer.Option(
            help="Stop at as many complete hypotheses as beams, or search until none can be better."
        ),
    ] = False
    max_length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Most tokens of a sentence's translation.",
            show_default="3 x source + 20",
        ),
    ] = None
    no_repeat_ngram_size: Annotated[
        int,
        typer.Option(metavar="N", help="Never repeat N tokens in a sentence; 0 is off."),
    ] = 0
    repetition_penalty: Annotated[
        float,
        typer.Option(metavar="P", help="Above 1, make tokens less probable that were used."),
    ] = 1.0
