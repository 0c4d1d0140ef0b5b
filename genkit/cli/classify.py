"""``genkit classify``: pictures in, what they show out, a row for each label."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.ahead import batches_ahead
from genkit.cli.options import (
    DeviceOption,
    FilesFromOption,
    JsonOption,
    ModelOption,
    NullOption,
    OutputOption,
    OverwriteOption,
    PicturesArgument,
    PrecisionOption,
    QuietOption,
    RecursiveOption,
    StripOption,
    ThreadsOption,
    VerboseOption,
    streams_of,
)
from genkit.cli.pictures import read_bytes, read_names, read_picture, save_picture
from genkit.errors import ExitCode, InputError, UsageError
from genkit.files import PIPE, Job, Source, find_sources, plan, stream_sources
from genkit.streams import Streams, json_line

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from genkit.images import Picture
    from genkit.pixels import Pixels
    from genkit.tasks.classify import Classifier, Guess

__all__ = ["app"]

TASK = "classify"
BATCH = 8
DIGITS = 6
"""Of a probability: how many pictures run together can change the seventh."""
WIDEST = 32
"""Characters of the column of labels on a terminal; a longer one stands out."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def classify(
    ctx: typer.Context,
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
    attention: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Write each picture under a map of where the model looks, dark to bright.",
            show_default=False,
        ),
    ] = None,
    strip: StripOption = False,
    overwrite: OverwriteOption = False,
    recursive: RecursiveOption = False,
    files_from: FilesFromOption = None,
    null: NullOption = False,
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
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
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
    \\r or \\n.

    Pictures are answered in order, as they come. One that cannot be used is reported on standard
    error, the others are done, and the exit code is 1. Transparent pixels are seen as white.

    --json writes one object a line: input, width, height, labels (a list of label and
    probability), attention (the file that was written) and error. Whatever does not apply is null.
    """
    streams = streams_of(ctx, quiet, verbose)
    if json and tsv:
        raise UsageError("--json and --tsv are both given", hint="leave one of them out")
    if overwrite and attention is None:
        raise UsageError("--overwrite is for the pictures of --attention, which is not given")
    if strip and attention is None:
        raise UsageError("--strip-metadata is for the pictures of --attention, which is not given")
    if attention == PIPE:
        raise UsageError("standard output is for the labels", hint="--attention FILE")
    named, listed = read_names(streams, inputs, files_from=files_from, null=null)
    growing = files_from is not None and attention is None
    if not growing:
        named += listed
    exclude = None if attention is None else Path(attention)
    known = (
        [] if growing and not named else find_sources(named, recursive=recursive, exclude=exclude)
    )
    sources = chain(known, stream_sources(listed, recursive=recursive))
    jobs = None if attention is None else plan(known, attention, None)
    names = None if labels is None else _read_labels(labels)
    from genkit.model import find
    from genkit.runtime import RuntimeOptions
    from genkit.tasks.classify import Classifier, prepare, rank

    found = find(TASK, model)
    spec = found.card.image
    assert spec is not None
    if names is not None and len(names) != len(spec.labels):
        raise UsageError(
            f"{labels} has {len(names)} labels, {found.card.name} tells {len(spec.labels)} apart"
        )
    called = names or spec.labels

    def load(source: Source, piped: bytes | None) -> Loaded:
        picture = read_picture(source, piped)
        pixels = prepare(picture, spec)
        kept = None if attention is None else picture
        return Loaded(picture.size, pixels, kept, picture.notes)

    size = batch or (BATCH if attention is None else 1)
    write = _as_json if json else _as_rows
    failed = False
    with streams.output(output) as out, batches_ahead(streams, sources, load, size) as batches:
        classifier = Classifier(found, RuntimeOptions(device, precision, threads))
        streams.note(f"{found.card.name} on {classifier.runs_on}")
        maps = None if jobs is None else _Maps(classifier, jobs, overwrite, strip)
        if not (json or tsv) and out.isatty():
            write = partial(_as_table, width=min(max(map(len, called)), WIDEST))
        with _progress(streams, None if growing else len(known)) as advance:
            for loaded in batches:
                for result in _classify(
                    classifier, loaded, lambda found: rank(found, called, top, threshold), maps
                ):
                    if result.error is not None:
                        failed = True
                        streams.report(result.error, str(result.source))
                    for note in result.notes:
                        streams.warn(f"{result.source}: {note}")
                    out.write(write(result))
                out.flush()
                advance(len(loaded))
    if maps is not None and maps.kept:
        streams.tell(f"kept {maps.kept} that were there already; --overwrite replaces them")
    if failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


@dataclass(frozen=True)
class Loaded:
    """A picture that was read."""

    size: tuple[int, int]
    """Height and width."""
    pixels: Pixels
    """What the network sees of it."""
    picture: Picture | None
    """The whole of it, if it is wanted later."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it was read."""


@dataclass(frozen=True)
class Result:
    """What became of a picture; with an error, of the rest only the source counts."""

    source: Source
    error: InputError | None
    size: tuple[int, int] = (0, 0)
    guesses: Sequence[Guess] = ()
    map: Path | None = None
    """The picture of where the network looks."""
    notes: tuple[str, ...] = ()


class _Maps:
    """Writes the pictures of where the network looks, in the order of the jobs."""

    def __init__(
        self, classifier: Classifier, jobs: Sequence[Job], overwrite: bool, strip: bool
    ) -> None:
        classifier.open_attention()
        self._classifier, self._jobs, self._overwrite = classifier, iter(jobs), overwrite
        self._strip = strip
        self.kept = 0

    def write(self, loaded: Loaded | InputError) -> Path | None:
        """Write the next one, if its picture was read, and is wanted. Raises InputError."""
        from genkit.tasks.classify import overlay

        job = next(self._jobs)
        if isinstance(loaded, InputError) or loaded.picture is None:
            return None
        assert job.target is not None
        if job.target.is_file() and not self._overwrite:
            self.kept += 1
        else:
            attention = self._classifier.attention(loaded.pixels)
            picture = overlay(loaded.picture, attention, self._classifier.spec)
            save_picture(picture, job, strip=self._strip)
        return job.target


def _classify(
    classifier: Classifier,
    batch: Sequence[tuple[Source, Future[Loaded]]],
    rank: Callable[[NDArray[np.float32]], list[Guess]],
    maps: _Maps | None,
) -> Iterator[Result]:
    """The results for a batch, in its order."""
    read = [(source, _result(future)) for source, future in batch]
    prepared = [loaded.pixels for _, loaded in read if isinstance(loaded, Loaded)]
    found = iter(_probabilities(classifier, prepared))
    for source, loaded in read:
        try:
            written = maps.write(loaded) if maps else None
            if isinstance(loaded, InputError):
                raise loaded
            scores = next(found)
            if isinstance(scores, InputError):
                raise scores
        except InputError as error:
            yield Result(source, error)
        else:
            yield Result(source, None, loaded.size, rank(scores), written, loaded.notes)


def _result(future: Future[Loaded]) -> Loaded | InputError:
    try:
        return future.result()
    except InputError as error:
        return error


def _probabilities(
    classifier: Classifier, prepared: Sequence[Pixels]
) -> Sequence[NDArray[np.float32] | InputError]:
    try:
        return list(classifier.probabilities(prepared))
    except InputError as error:
        if len(prepared) == 1:
            return [error]
        return [_probabilities(classifier, [pixels])[0] for pixels in prepared]


def _read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a file. Raises InputError or UsageError."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8") from error
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


# How a result is written.


def _as_rows(result: Result) -> bytes:
    """Columns parted by tabs. File names need not be UTF-8, and stay as they are."""
    return b"".join(
        f"{guess.probability:.{DIGITS}f}\t{_escaped(guess.label)}\t".encode()
        + _name(result)
        + b"\n"
        for guess in result.guesses
    )


def _as_table(result: Result, width: int) -> bytes:
    return b"".join(
        f"{guess.probability:.{DIGITS}f}  {_escaped(guess.label):<{width}}  ".encode()
        + _name(result)
        + b"\n"
        for guess in result.guesses
    )


def _as_json(result: Result) -> bytes:
    good = result.error is None
    guesses = [
        {"label": guess.label, "probability": round(guess.probability, DIGITS)}
        for guess in result.guesses
    ]
    return json_line(
        {
            "input": str(result.source.path or PIPE),
            "width": result.size[1] if good else None,
            "height": result.size[0] if good else None,
            "labels": guesses if good else None,
            "attention": None if result.map is None else str(result.map),
            "error": None if result.error is None else result.error.message,
        }
    )


def _name(result: Result) -> bytes:
    return os.fsencode(_escaped(str(result.source.path or PIPE)))


def _escaped(text: str) -> str:
    """Text that is one column of one row."""
    return text.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")
