"""``genkit fill``: what may stand in the gaps of each line, and how likely each line is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from genkit.cli.groups import grouped
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
from genkit.errors import ExitCode, InputError, UsageError
from genkit.memory import TOO_LARGE
from genkit.streams import json_line
from genkit.text import Line, LineReader

if TYPE_CHECKING:
    from genkit.tasks.fill import Filling, JointFillings, Likelihood

    Result: TypeAlias = Filling | JointFillings | Likelihood

__all__ = ["app"]

TASK = "fill"
SMALLEST_WINDOW, LARGEST_WINDOW = 1 << 11, 1 << 15
"""Bytes of lines that are worked on at a time: of the first ones, and at most."""
TOP = 5
MOST_TEXTS = 64
"""Gaps of a line whose answers are each given with the whole line: more would be the square."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@grouped
def fill(
    ctx: typer.Context,
    *,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Text with gaps. Without it, or for -, lines are read from standard input.",
            show_default=False,
        ),
    ] = None,
    input_file: InputOption = None,
    output: OutputOption = None,
    model: ModelOption = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Answers for each gap; with 1, each line is written with its gaps filled.",
            show_default="5, or all targets",
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,WORD...",
            help="Rank these and nothing else.",
            show_default=False,
            callback=text_option,
        ),
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="Fill all gaps of a line together.")
    ] = False,
    score: Annotated[
        bool, typer.Option("--score", help="Fill nothing: say how likely each line is.")
    ] = False,
    json: JsonOption = False,
    runtime: RunOptions,
    messages: MessageOptions,
) -> None:
    """Fill the gaps in a text, line by line.

    \b
    genkit fill "The [MASK] barked all night."
    genkit fill --targets dog,cat,moon "The ___ barked all night."
    genkit fill --top 1 --joint < gaps.txt > filled.txt
    genkit fill --score < sentences.txt | sort -gr

    A gap is written [MASK], <mask> or ___; the underscores of snake_case___name are none. Each answer has a row, with tabs between line
    number, number of the gap, probability, answer, and the line with it; the best come first.
    With --joint, a row has line number, probability of all answers together, the answers with
    spaces between them, and the line. With --top 1 the line alone is written. With --score,
    each line comes after its pseudo-log-likelihood and a tab: 0 is certain.

    Blank lines stay blank. A line without a gap, or that cannot be read, comes out empty, with
    a message on standard error, and the exit code is 1 at the end. In a line that is too long
    for the model, a gap sees what is around it. A line of which the model knows no word is
    warned of.

    --json writes one object a line: line (its number), source, windowed (it was too long),
    unknown (the model knows none of its words), error, and text (the line, filled) and masks
    (for each gap its answers: answer, probability and text of each; in a line with more than 64
    gaps, text is null); with --joint text and fillings (answers, probability and text of each);
    with --score score, tokens and perplexity. Whatever does not apply is null.
    """
    streams = messages.streams(ctx)
    if texts == ["-"]:
        texts = None
    if texts and input_file is not None:
        raise UsageError("both TEXT and --input are given", hint="leave one of them out")
    if score and (joint or targets is not None or top is not None):
        raise UsageError("--score fills nothing", hint="leave out --joint, --targets and --top")
    if joint and targets is not None:
        raise UsageError("--targets are for one gap at a time", hint="leave out --joint")
    words = [word.strip() for word in targets.split(",")] if targets is not None else []
    if not all(words):
        raise UsageError("--targets has an empty word", hint="--targets dog,cat")
    write: Callable[[Line, Any, str | None], Iterable[bytes]]
    if score:
        write = _as_scored_json if json else _as_scored
    elif joint:
        write = _as_joint_json if json else _as_text if top == 1 else _as_joint_rows
    else:
        write = _as_json if json else _as_text if top == 1 else _as_rows
    from genkit.model import find
    from genkit.tasks.fill import Filler

    found = find(TASK, model)
    with open_input(texts, input_file, streams) as (name, stream), streams.output(output) as out:
        reader = LineReader(stream)  # reads while the model is loaded
        filler = Filler(found, runtime.options())
        streams.note(f"{found.card.name} on {filler.runs_on}")
        if stream.isatty():
            streams.tell("type a line and Enter; Ctrl-D ends")
        if score:
            work: Callable[[list[str]], Sequence[Any]] = filler.score
        elif joint:
            work = partial(filler.fill_jointly, top=top or TOP)
        else:
            work = partial(filler.fill, top=top, targets=words)
        failed = False
        for lines in read_windows(reader, SMALLEST_WINDOW, LARGEST_WINDOW):
            for line, result, error in _results(lines, work):
                where = f"{name}line {line.number}"
                if error is not None:
                    failed = True
                    streams.error(f"{where}: {error}")
                elif result is not None:
                    if result.windowed:
                        streams.warn(
                            f"{where}: longer than {filler.longest} tokens: only what is around "
                            f"each {'token' if score else 'gap'} was read"
                        )
                    if result.unknown:
                        streams.warn(f"{where}: the model knows none of its words")
                try:
                    out.writelines(write(line, result, error))
                except MemoryError:
                    failed = True
                    streams.error(f"{where}: {TOO_LARGE}")
                    out.writelines(write(line, None, TOO_LARGE))
            out.flush()
    if failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _results(
    lines: Sequence[Line], work: Callable[[list[str]], Sequence[Any]]
) -> Iterator[tuple[Line, Any, str | None]]:
    """Each line with its result, or why it has none; blank lines have neither."""
    results = iter(work([line.text for line in lines if _usable(line)]))
    for line in lines:
        result = next(results) if _usable(line) else None
        if isinstance(result, InputError):
            yield line, None, result.message
        else:
            yield line, result, line.error


def _usable(line: Line) -> bool:
    return line.error is None and bool(line.text.strip())


# How a line is written, in parts. The result of one that is blank or cannot be used is None; only
# the latter has an error.


def _as_text(
    line: Line, result: Filling | JointFillings | None, error: str | None
) -> Iterator[bytes]:
    text = result.filled if result else "" if error else line.text
    yield (text + line.end).encode()


def _as_rows(line: Line, result: Filling | None, error: str | None) -> Iterator[bytes]:
    # One at a time: each has the whole line, and a line can have thousands of gaps.
    rows = (
        (str(number), _short(answer.probability), answer.text, answer.filled)
        for number, answers in enumerate(result.masks if result else (), 1)
        for answer in answers
    )
    return _rows(line, rows if result else [("",) * 4])


def _as_joint_rows(line: Line, result: JointFillings | None, error: str | None) -> Iterator[bytes]:
    rows = (
        (_short(filling.probability), " ".join(filling.answers), filling.filled)
        for filling in (result.fillings if result else ())
    )
    return _rows(line, rows if result else [("",) * 3])


def _as_scored(line: Line, result: Likelihood | None, error: str | None) -> Iterator[bytes]:
    score = f"{result.score:.4f}" if result else ""
    yield f"{score}\t{'' if error else line.text}{line.end}".encode()


def _as_json(line: Line, result: Filling | None, error: str | None) -> Iterator[bytes]:
    whole = result is not None and len(result.masks) <= MOST_TEXTS
    masks = result and [
        [
            {"answer": a.text, "probability": a.probability, "text": a.filled if whole else None}
            for a in answers
        ]
        for answers in result.masks
    ]
    yield _json(line, result, error, text=result and result.filled, masks=masks)


def _as_joint_json(line: Line, result: JointFillings | None, error: str | None) -> Iterator[bytes]:
    fillings = result and [
        {"answers": list(f.answers), "probability": f.probability, "text": f.filled}
        for f in result.fillings
    ]
    yield _json(line, result, error, text=result and result.filled, fillings=fillings)


def _as_scored_json(line: Line, result: Likelihood | None, error: str | None) -> Iterator[bytes]:
    yield _json(
        line,
        result,
        error,
        score=result and result.score,
        tokens=result and result.tokens,
        perplexity=result and result.perplexity,
    )


def _rows(line: Line, rows: Iterable[tuple[str, ...]]) -> Iterator[bytes]:
    between = ""
    for row in rows:
        yield (between + "\t".join((str(line.number), *row))).encode()
        between = line.end or "\n"
    yield line.end.encode()


def _json(line: Line, result: Result | None, error: str | None, **fields: Any) -> bytes:
    known = {"line": line.number, "source": line.text, **fields}
    about = {"windowed": result and result.windowed, "unknown": result and result.unknown}
    return json_line(known | about | {"error": error})


def _short(probability: float) -> str:
    return f"{probability:.4g}"
