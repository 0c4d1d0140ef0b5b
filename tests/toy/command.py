"""``genkit toy``."""

from __future__ import annotations

from typing import Annotated

import typer

from genkit.cli.options import ModelOption, streams_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def toy(
    ctx: typer.Context, count: Annotated[int, typer.Argument()], model: ModelOption = None
) -> None:
    """Say how much noise there would be."""
    from genkit.tasks import load

    streams_of(ctx).write(f"{load('toy', model)(count)}\n")
