"""``genkit translate``: a filter, one line in and one line out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.document_options import DocumentOptions
from genkit.cli.document_request import request_of, settings_digest
from genkit.cli.groups import grouped
from genkit.cli.language_pairs import find_for
from genkit.cli.lines import open_input, read_windows
from genkit.cli.options import (
    InputOption,
    JsonOption,
    MessageOptions,
    ModelOption,
    OutputOption,
    RunOptions,
    text_option,
)
from genkit.cli.search_options import SearchOptions
from genkit.cli.translated_lines import (
    Totals,
    as_json,
    as_rows,
    as_scored,
    as_text,
    warnings_of,
)
from genkit.errors import ExitCode, UsageError
from genkit.text import Line, LineReader

if TYPE_CHECKING:
    from genkit.tasks.translate import Translation

__all__ = ["app"]

SMALLEST_WINDOW, LARGEST_WINDOW = 1 << 12, 1 << 16
"""Bytes of lines that are translated at a time: of the first ones, and at most a thread."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@grouped
def translate(
    ctx: typer.Context,
    *,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Text to translate. Without it, or for -, lines are read from standard input.",
            show_default=False,
        ),
    ] = None,
    input_file: InputOption = None,
    output: OutputOption = None,
    documents: DocumentOptions,
    model: ModelOption = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="LANG",
            help="Take a model that translates from this language.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="LANG",
            help="Take a model that translates to this language.",
            show_default=False,
        ),
    ] = None,
    search: SearchOptions,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="What each line's translation starts with.",
            show_default=False,
            callback=text_option,
        ),
    ] = "",
    n_best: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Write the N best that differ: line number, score and text, by tabs.",
        ),
    ] = 1,
    scores: Annotated[
        bool, typer.Option("--scores", help="Write the score and a tab before each translation.")
    ] = False,
    json: JsonOption = False,
    protect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX",
            help="Keep what matches as it is, besides what is known to be no language.",
            show_default=False,
        ),
    ] = None,
    no_protect: Annotated[
        bool,
        typer.Option("--no-protect", help="Translate placeholders, URLs, tags and the like too."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Warn of lines whose translation is likely to be wrong."),
    ] = False,
    batch_tokens: Annotated[
        int, typer.Option(metavar="N", help="Most source tokens of a batch, padding counted.")
    ] = 512,
    runtime: RunOptions,
    stats: Annotated[
        bool, typer.Option("--stats", help="Say at the end how much was done, and how fast.")
    ] = False,
    messages: MessageOptions,
) -> None:
    """Translate text, one line in and one line out, or documents.

    \b
    genkit translate "Good morning."
    genkit translate < book.txt > book.de.txt
    tail -f log | genkit translate --scores
    genkit translate -i README.md -o README.de.md
    genkit translate -r docs -o docs.de

    In a document (--format, or the suffix of -i) only language is translated; structure, markup
    and code stay byte for byte. With -r, what is done already by the same model and settings is
    skipped, results that were edited are kept, and files of other formats are copied.

    Blank lines, line ends, and the white space between sentences are kept, and so is what
    holds no letter. Placeholders ({name}, %s), URLs, tags, code, paths, dates, numbers, emoji and
    the like come back as they are; --protect REGEX adds to them, --no-protect turns that off.
    Bullets, quotes and brackets stay, and so do CAPITALS. Lines are written as soon as they are
    done. A line that cannot be read (it is not UTF-8, or has a NUL byte) comes out empty, with a
    message on standard error, and the exit code is 1 at the end.

    A score is the sum over a line's sentences of log probability / length ** P: 0 is certain.
    With --n-best, a line of several sentences has the best combinations of theirs.

    --json writes one object a line: line (its number), source, translation, score,
    alternatives (the rest of --n-best: translation and score of each), truncated (--max-length
    was reached), doubtful (what --check warns of: a score or a length that is far off), lost
    (what was to be kept and was not) and error. Whatever does not apply is null.
    """
    streams = messages.streams(ctx)
    if texts == ["-"]:
        texts = None
    if texts and input_file is not None:
        raise UsageError("both TEXT and --input are given", hint="leave one of them out")
    request = request_of(streams, texts, input_file, output, documents)
    if request is not None and (json or scores or n_best > 1 or prefix):
        raise UsageError(
            "--json, --scores, --n-best and --prefix are for lines, not for documents",
            hint="--format text reads any file as lines",
        )
    terms = None
    if documents.glossary is not None:
        from genkit.documents.glossary import Glossary

        terms = Glossary.read(documents.glossary)
    from genkit.decoding import Decoding
    from genkit.tasks.translate import Translator
    from genkit.text.spans import compile_patterns

    compile_patterns(tuple(protect or ()))  # a mistake is told before the model is loaded
    decoding = Decoding(
        **asdict(search),
        n_best=n_best,
    )
    found = find_for(model, source, target)
    totals = Totals()
    if request is not None:
        from genkit.cli.translate_documents import DocumentWork, open_when_needed

        call = open_when_needed(
            streams,
            found,
            runtime.options(),
            decoding=decoding,
            to=target,
            scores=check,
            batch_tokens=batch_tokens,
            protect=not no_protect,
            patterns=protect or (),
        )
        warnings = partial(warnings_of, check=check)
        work = DocumentWork(streams, call, terms, request.settings, totals.add, warnings)
        others = (target, runtime.precision, terms, no_protect, protect)
        try:
            request.run(work, settings_digest(found, decoding, request, *others))
        finally:
            if stats:
                streams.tell(str(totals))
        return
    write = as_json if json else as_rows if n_best > 1 else as_scored if scores else as_text
    with open_input(texts, input_file, streams) as (name, stream), streams.output(output) as out:
        reader = LineReader(stream)  # reads while the model is loaded
        translator = Translator(found, runtime.options())
        streams.note(f"{found.card.name} on {translator.runs_on}")
        if stream.isatty():
            streams.tell("type a line and Enter; Ctrl-D ends")
        stream_texts = partial(
            translator.stream,
            decoding=decoding,
            prefix=prefix,
            to=target,
            scores=scores or json or check,
            batch_tokens=batch_tokens,
            protect=not no_protect,
            patterns=protect or (),
        )
        windows = read_windows(reader, SMALLEST_WINDOW, LARGEST_WINDOW * translator.threads)
        if terms is not None:
            from genkit.cli.translate_documents import stream_with_terms

            stream_texts = partial(stream_with_terms, translator, terms, stream_texts.keywords)
        with closing(_translated(windows, stream_texts)) as done:
            for window in done:
                for line, result in window:
                    where = f"{name}line {line.number}"
                    if result is None:
                        streams.error(f"{where}: {line.error}")
                    else:
                        for warning in warnings_of(result, check):
                            streams.warn(f"{where}: {warning}")
                    totals.add(result)
                    out.write(write(line, result))
                out.flush()
    if stats:
        streams.tell(str(totals))
    if totals.failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _translated(
    windows: Iterator[list[Line]],
    stream: Callable[[Iterator[list[str] | None]], Generator[list[Translation], None, None]],
) -> Generator[list[tuple[Line, Translation | None]], None, None]:
    """The lines of each window, each with its translation unless it cannot be used."""
    begun: deque[list[Line]] = deque()

    def texts() -> Iterator[list[str] | None]:
        for lines in windows:
            if lines:
                begun.append(lines)
                yield [line.text for line in lines if line.error is None]
            else:
                yield None

    with closing(stream(texts())) as results:
        for result in results:
            translations = iter(result)
            yield [
                (line, None) if line.error is not None else _outcome(line, next(translations))
                for line in begun.popleft()
            ]


def _outcome(line: Line, result: Translation) -> tuple[Line, Translation | None]:
    """A line with its translation, or with the reason why it has none."""
    if result.error is None:
        return line, result
    return replace(line, error=f"{result.error}; --beam-size 1 takes least"), None
