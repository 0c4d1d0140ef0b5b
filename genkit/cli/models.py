"""``genkit models``: what models are there, what they are, and whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from json import loads
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genkit.cli.options import (
    JsonOption,
    QuietOption,
    VerboseOption,
    require_subcommand,
    streams_of,
)
from genkit.errors import ExitCode, ModelError
from genkit.model import CARD, Model, find, scan, search_path, verify
from genkit.runtime.engines import ENGINES

if TYPE_CHECKING:
    from genkit.card import Card, Interface

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME|DIR", help="A model's name, or its folder.", show_default=False),
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", help="Only models for this task.", show_default=False),
]


@app.callback()
def models(ctx: typer.Context) -> None:
    """List, show and check the models that are there.

    They are looked for in the folders of $GENKIT_MODELS, in the user's data directory, and
    among those that came with genkit. The first of a name counts.
    """
    require_subcommand(ctx)


@app.command("list")
def list_command(
    ctx: typer.Context,
    task: TaskOption = None,
    json: JsonOption = False,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """List the models: task, name, precisions, size, description.

    A broken model is reported on standard error, and listed with its error by --json.
    """
    streams = streams_of(ctx, quiet, verbose)
    rows = []
    found = list(scan(task))
    for folder, model in found:
        if json:
            streams.write_json(_record(folder.parent.name, folder.name, str(folder), model))
        elif isinstance(model, ModelError):
            streams.warn(f"broken model: {model.message}")
        else:
            rows.append(_row(model))
    streams.write(_table(rows))
    if not found:
        streams.tell(f"no models; looked in {', '.join(map(str, search_path()))}")


@app.command()
def show(
    ctx: typer.Context,
    name: Name,
    task: TaskOption = None,
    json: JsonOption = False,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """Show what a model is, what its graphs take and give, and how good it was measured to be.

    --json writes the card itself (model.json) as one line.
    """
    streams = streams_of(ctx, quiet, verbose)
    model = find(task, name)
    if json:
        streams.write_json(loads((model.path / CARD).read_bytes()))
    else:
        streams.write("".join(f"{line}\n" for line in _description(model)))


@app.command("verify")
def verify_command(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|DIR]...",
            help="Models to check; all of them by default.",
            show_default=False,
        ),
    ] = None,
    task: TaskOption = None,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """Compare the files of models with the hashes in their cards.

    A line a model on standard output; the exit code is 1 if one is damaged.
    """
    streams = streams_of(ctx, quiet, verbose)
    chosen: list[tuple[str, Model | ModelError]] = [
        (f"{folder.parent.name}/{folder.name}", model)
        for folder, model in (() if names else scan(task))
    ]
    chosen += [(name, find(task, name)) for name in names or ()]
    total = sum(_size(model) for _, model in chosen if isinstance(model, Model))
    failed = False
    with streams.progress("verifying", total) as advance:
        for name, model in chosen:
            problems = [model.message] if isinstance(model, ModelError) else verify(model, advance)
            for problem in problems:
                streams.error(problem)
            if isinstance(model, Model) and (unknown := model.card.unhashed()):
                streams.warn(
                    f"{name}: its card has no hash of {', '.join(unknown)}: export the model again"
                )
            failed = failed or bool(problems)
            streams.write(f"{name}: {'damaged' if problems else 'ok'}\n")
    if failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


@app.command()
def path(
    ctx: typer.Context,
    name: Name,
    task: TaskOption = None,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """Print the folder of a model."""
    streams_of(ctx, quiet, verbose).write(f"{find(task, name).path}\n")


def _row(model: Model) -> tuple[str, ...]:
    card = model.card
    return (
        card.task,
        model.path.name,
        ",".join(_precisions(model.card, *model.card.graphs)),
        _human(_size(model)),
        card.description.splitlines()[0],
    )


def _record(task: str, name: str, folder: str, model: Model | ModelError) -> dict[str, Any]:
    record: dict[str, Any] = {"task": task, "name": name, "path": folder}
    if isinstance(model, ModelError):
        unknown = dict.fromkeys(("precisions", "bytes", "tags", "description"))
        return {**record, **unknown, "error": model.message}
    return {
        **record,
        "precisions": _precisions(model.card, *model.card.graphs),
        "bytes": _size(model),
        "tags": model.card.tags,
        "description": model.card.description,
        "error": None,
    }


def _description(model: Model) -> Iterator[str]:
    card = model.card
    yield f"{card.task}/{card.name}: {card.description}"
    yield f"folder: {model.path}"
    yield f"architecture: {card.architecture}"
    yield f"licence: {card.license}"
    if card.text is not None and card.text.languages is not None:
        languages = card.text.languages
        yield f"languages: {', '.join(languages.source)} to {', '.join(languages.target)}"
    for names, what in (
        (card.image.labels if card.image else (), "labels"),
        (card.latent.classes if card.latent else (), "classes"),
    ):
        if names:
            yield f"{what}: {', '.join(names)}"
    for role, files in card.graphs.items():
        yield f"graph {role}:"
        for precision in _precisions(card, role):
            graph = files.get(precision)
            # OpenVINO computes the fp32 graph in it.
            file = f"{graph.file}, {_human(graph.size)}" if graph else "computed by OpenVINO"
            devices = [kind for kind, used in card.default_precision.items() if used == precision]
            default = f", the default on {' and '.join(devices)}" if devices else ""
            yield f"  {precision}: {file}{default}"
        yield from _interface(card.interface[role])
    for figure in card.origin["figures"]:
        yield f"measured: {figure['measure']} {figure['value']} on {figure['on']}"
    if "limitations" in card.origin:
        yield f"limitations: {card.origin['limitations']}"


def _interface(interface: Interface) -> Iterator[str]:
    for title, tensors in (("takes", interface.inputs), ("gives", interface.outputs)):
        for tensor in tensors:
            shape = ", ".join(map(str, tensor.shape))
            yield f"  {title} {tensor.name}: {tensor.dtype} [{shape}], {tensor.description}"


def _precisions(card: Card, *roles: str) -> list[str]:
    """The precisions that some roles can be run in, each once."""
    found = (p for role in roles for kind in ENGINES for p in card.precisions(role, kind))
    return list(dict.fromkeys(found))


def _size(model: Model) -> int:
    return sum(facts.size for facts in model.card.facts().values())


def _human(size: int) -> str:
    exponent = min((len(str(size)) - 1) // 3, 3)
    return f"{size / 1000**exponent:.1f}{('B', 'kB', 'MB', 'GB')[exponent]}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns in line, parted by two spaces, for the eye as well as for awk."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in rows
    )
