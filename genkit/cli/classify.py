"""``genkit classify``: pictures in, what they show out, a row for each label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.groups import grouped
from genkit.cli.inputs import read_bytes, read_names, tell_left_out
from genkit.cli.options import (
    JsonOption,
    ListingOptions,
    MessageOptions,
    ModelOption,
    OutputOption,
    OverwriteOption,
    PicturesArgument,
    RunOptions,
    StripOption,
)
from genkit.cli.pictures import Counts, tell_kept
from genkit.cli.pipeline import Steps, run_items
from genkit.cli.rows import WIDEST, Result, as_json, as_rows, as_table
from genkit.errors import ExitCode, InputError, UsageError
from genkit.files import LeftOut, find_sources, stream_sources
from genkit.model import find
from genkit.streams import Streams, printable
from genkit.targets import Job, plan, refuse_targets
from genkit.writing import is_stdout

if TYPE_CHECKING:
    from genkit.cli.looks import Seen

__all__ = ["app"]

TASK = "classify"
BATCH = 8

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class AttentionOptions:
    """Images of where the model looks."""

    attention: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Write each picture under a map of where the model looks, dark to bright.",
            show_default=False,
        ),
    ] = None
    strip: StripOption = False
    overwrite: OverwriteOption = False


@app.command()
@grouped
def classify(
    ctx: typer.Context,
    *,
    inputs: PicturesArgument = None,
    output: OutputOption = None,
    model: ModelOption = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Labels for each picture.")] = 5,
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="P", help="Leave out labels that are less likely."),
    ] = 0.0,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What to call the model's classes, one a line, in its order.",
            show_default="the names in the model",
        ),
    ] = None,
    maps: AttentionOptions,
    listing: ListingOptions,
    tsv: Annotated[
        bool, typer.Option("--tsv", help="Part columns by tabs on a terminal too.")
    ] = False,
    json: JsonOption = False,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Run so many pictures together.",
            show_default=f"{BATCH}, or 1 with --attention",
        ),
    ] = None,
    runtime: RunOptions,
    messages: MessageOptions,
) -> None:
    """Name what pictures show.

    \b
    genkit classify photo.jpg
    genkit classify -r photos --top 1 | cut -f 2 | sort | uniq -c
    genkit classify -r photos | awk -F '\\t' '$1 > 0.9 && $2 == "cat" { print $3 }'
    find . -name '*.jpg' | genkit classify --files-from - --json | jq -r '.labels[0].label'

    Each label has a row of three columns, probability, label and file, and the likeliest labels
    of a picture come first. On a terminal the columns are aligned with spaces; anywhere else, and
    with --tsv, they are parted by one tab, and a tab or a line break in a name is written \\t,
    \\r or \\n. On a terminal all characters that would control it are written so.

    Pictures are answered in order, as they come. What goes wrong with one is reported on standard
    error, the others are done, and the exit code is 1. Transparent pixels are seen as white.

    --json writes one object a line: input, width, height, labels (a list of label and
    probability), attention (the file that was written) and error. Whatever does not apply is null.
    """
    streams, attention = messages.streams(ctx), maps.attention
    if json and tsv:
        raise UsageError("--json and --tsv are both given", hint="leave one of them out")
    if maps.overwrite and attention is None:
        raise UsageError("--overwrite is for the pictures of --attention, which is not given")
    if maps.strip and attention is None:
        raise UsageError("--strip-metadata is for the pictures of --attention, which is not given")
    if attention is not None and is_stdout(attention):
        raise UsageError("standard output is for the labels", hint="--attention FILE")
    named, listed = read_names(streams, inputs, files_from=listing.files_from, null=listing.null)
    growing = listing.files_from is not None and attention is None
    left_out = LeftOut()
    known = []
    if named or not growing:
        exclude = [] if attention is None else [Path(attention)]
        at_once = iter(()) if growing else listed
        known = find_sources(
            named, at_once, recursive=listing.recursive, exclude=exclude, left_out=left_out
        )
    if attention is not None:
        jobs = plan(known, attention, None)
    else:
        jobs = [Job(source, None, "") for source in known]
    read = [source.path for source in known] + [
        labels,
        None if listing.files_from is None else Path(listing.files_from),
    ]
    if output is not None and not is_stdout(str(output)):
        refuse_targets([output], [path for path in read if path is not None])
    tell_left_out(streams, left_out)
    names = None if labels is None else _read_labels(labels)
    found = find(TASK, model)
    spec = found.card.image
    assert spec is not None
    if names is not None and len(names) != len(spec.labels):
        raise UsageError(
            f"{labels} has {len(names)} labels, {found.card.name} tells {len(spec.labels)} apart"
        )
    called = names or spec.labels

    def all_jobs() -> Iterator[Job]:
        """The jobs, and those of a list that may still be growing."""
        yield from jobs
        any_listed = False
        late = LeftOut()
        for source in (
            stream_sources(listed, recursive=listing.recursive, left_out=late) if growing else ()
        ):
            any_listed = True
            yield Job(source, None, "")
        tell_left_out(streams, late)
        if not (jobs or any_listed):
            raise UsageError("no pictures are named", hint="name files or folders, or - for a pipe")

    write = as_json if json else as_rows
    from genkit.cli.looks import Looks
    from genkit.tasks.classify import rank

    looks = Looks(found, runtime.options(), maps.overwrite, maps.strip)
    counts = Counts()
    with (
        streams.output(output) as out,
        _progress(streams, None if growing else len(jobs)) as advance,
    ):
        if not (json or tsv) and out.isatty():
            width = min(max(len(printable(label)) for label in called), WIDEST)
            write = partial(as_table, width=width)

        def begin() -> None:
            classifier = looks.open(attention=attention is not None)
            streams.note(f"{found.card.name} on {classifier.runs_on}")

        def report(job: Job, outcome: Seen | InputError) -> None:
            if isinstance(outcome, InputError):
                counts.fail(outcome)
                streams.report(outcome, str(job.source))
                result = Result(job.source, outcome)
            else:
                for note in outcome.notes:
                    streams.warn(f"{job.source}: {note}")
                if outcome.kept is not None:
                    counts.keep(outcome.kept)
                guesses = rank(outcome.scores, called, top, threshold)
                result = Result(job.source, None, outcome.size, guesses, job.target)
            out.write(write(result))
            out.flush()
            advance(1)

        run_items(
            all_jobs(),
            Steps(
                load=looks.load,
                run=looks.run,
                save=looks.save,
                report=report,
                pipe=lambda job: streams.stdin.read() if job.source.path is None else None,
                begin=begin,
            ),
            size=batch or (BATCH if attention is None else 1),
        )
    tell_kept(streams, counts, json=False)
    if counts.failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a file. Raises InputError or UsageError."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8") from error
    if not text.strip():
        raise UsageError(f"{path} is empty")
    labels = tuple(line.strip() for line in text.rstrip().split("\n"))
    if not all(labels):
        raise UsageError(f"{path} has a blank line between its labels")
    return labels


def _progress(
    streams: Streams, total: int | None
) -> AbstractContextManager[Callable[[float], None]]:
    """A progress bar, but for a person who already sees the rows come."""
    if streams.stdout.isatty():
        return nullcontext(lambda _: None)
    return streams.progress("pictures", total, unit="images")
