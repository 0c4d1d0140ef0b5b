"""``genkit translate`` on documents: one from a pipe or a file, or those of a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from genkit.cli.document_jobs import DocumentJob
from genkit.cli.document_records import Records, State
from genkit.documents.formats import Format
from genkit.documents.segment import Segment
from genkit.documents.translating import Outcome, Translate, translate_segments
from genkit.errors import ExitCode, InputError, UsageError
from genkit.streams import Streams
from genkit.writing import atomic_file

if TYPE_CHECKING:
    from genkit.documents.glossary import Glossary
    from genkit.model import Model
    from genkit.runtime import RuntimeOptions
    from genkit.tasks.translate import Translator
    from genkit.tasks.translations import Translation

__all__ = [
    "DocumentWork",
    "open_when_needed",
    "stream_with_terms",
    "translate_files",
    "translate_one",
]

NAMES_IN_SUMMARY = 4


@dataclass(frozen=True)
class DocumentWork:
    """How documents are translated.

    ``settings`` are those of the formats. ``count`` is told of each translation, and None of
    each input that failed; ``warnings`` are those about a translation.
    """

    streams: Streams
    translate: Translate
    glossary: Glossary | None
    settings: Mapping[str, bool | str | None]
    count: Callable[[Translation | None], None]
    warnings: Callable[[Translation], Iterable[str]]

    def run(self, kind: Format, data: bytes, name: str) -> bytes:
        """Translate a document. Raises InputError."""
        document = kind.parse(data, **self.settings)
        segments = document.segments
        pieces = []
        with self.streams.progress(name or kind.name, len(segments)) as advance:
            for outcome in translate_segments(segments, self.translate, self.glossary):
                pieces.append(outcome.pieces)
                self._report(outcome, name)
                advance(1)
        return document.render(pieces)

    def _report(self, outcome: Outcome, name: str) -> None:
        number = outcome.segment.line
        where = ", ".join(part for part in (name, f"line {number}" if number else "") if part)
        if outcome.pieces is None:
            shown = " ".join(outcome.segment.text.split())
            shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
            self.streams.warn(f"{where}: left as it is, for its markup would be lost: {shown}")
        for translation in outcome.translations:
            self.count(translation)
            for warning in self.warnings(translation):
                self.streams.warn(f"{where}: {warning}")


def open_when_needed(
    streams: Streams, model: Model, options: RuntimeOptions, **settings: Any
) -> Translate:
    """What translates with these settings; the model is opened at the first call, if there is
    one: in a folder, all may be done already.
    """

    @cache
    def opened() -> Callable[..., list[Translation]]:
        from genkit.tasks.translate import Translator

        translator = Translator(model, options)
        streams.note(f"{model.card.name} on {translator.runs_on}")
        return partial(translator.translate, **settings)

    def translate(
        texts: Sequence[str], *, spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Translation]:
        results = opened()(texts, spans=spans)
        for result in results:
            if result.error is not None:
                raise InputError(f"a sentence {result.error}", hint="--beam-size 1 takes least")
        return results

    return translate


def stream_with_terms(
    translator: Translator,
    terms: Glossary,
    settings: dict[str, Any],
    lists: Iterable[Sequence[str] | None],
) -> Generator[list[Translation], None, None]:
    """As ``Translator.stream``, with a glossary's translations in place of its terms."""
    for texts in lists:
        if texts is not None:
            lines = [terms.apply(Segment((text,))) for text in texts]
            spans = [line.spans for line in lines]
            yield translator.translate([line.text for line in lines], spans=spans, **settings)


def translate_one(
    work: DocumentWork, kind: Format, data: bytes, name: str, output: Path | None
) -> None:
    """Translate a document to a file or to standard output. Raises InputError and UsageError."""
    if kind.name == "docx" and output is None and work.streams.stdout.isatty():
        raise UsageError("a terminal cannot show a Word document", hint="add -o FILE, or a pipe")
    try:
        result = work.run(kind, data, name)
    except InputError as error:
        raise InputError(
            f"{name}: {error.message}" if name else error.message, hint=error.hint
        ) from error
    with work.streams.output(output) as out:
        out.write(result)


def translate_files(
    work: DocumentWork, jobs: Sequence[DocumentJob], records: Records | None, *, overwrite: bool
) -> None:
    """Do the jobs, and leave with the exit code for failure if one failed.

    Without ``records`` there is one job. A file that cannot be used is reported, and the others
    are done.
    """
    for kind in {job.kind.name: job.kind for job in jobs if job.kind is not None}.values():
        kind.check()
    summary = _Summary(work.streams)
    for job in jobs:
        try:
            state = State.TO_DO if overwrite or records is None else records.state(job)
            if job.kind is None:
                summary.add("copied as they are", job, _copy(job))
            elif state is State.TO_DO:
                _translate(work, job, job.kind, records)
                summary.add("translated", job)
            else:
                summary.add(_SKIPPED[state], job)
        except InputError as error:
            summary.failed += 1
            work.count(None)
            work.streams.report(error, str(job.source))
        except OSError as error:
            if error.filename is None or Path(error.filename) != job.source:
                raise  # a full disk is no fault of this input
            summary.failed += 1
            work.count(None)
            work.streams.error(f"{job.source}: {error.strerror}")
    if records is not None:
        summary.tell()
    if summary.failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


_SKIPPED = {
    State.DONE: "skipped, done already",
    State.EDITED: "kept, edited since they were made (--overwrite replaces them)",
    State.FOREIGN: "kept, there already (--overwrite replaces them)",
}


def _translate(work: DocumentWork, job: DocumentJob, kind: Format, records: Records | None) -> None:
    data = job.source.read_bytes()
    result = work.run(kind, data, str(job.source))
    if job.target is None:
        work.streams.write(result)
        return
    job.target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(job.target) as file:
        file.write(result)
    if records is not None:
        records.add(job, data, result)


def _copy(job: DocumentJob) -> bool:
    """Copy a file unless that was done; whether it was."""
    assert job.target is not None
    if job.target.exists():
        old, new = job.target.stat(), job.source.stat()
        if old.st_mtime_ns >= new.st_mtime_ns:
            return False
    job.target.parent.mkdir(parents=True, exist_ok=True)
    with job.source.open("rb") as source, atomic_file(job.target) as target:
        shutil.copyfileobj(source, target)
    return True


@dataclass
class _Summary:
    """What became of the files, said at the end with the first names of each kind."""

    streams: Streams
    failed: int = 0
    _names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, job: DocumentJob, said: bool = True) -> None:
        self.streams.note(f"{job.source}: {what}")
        if said:
            self._names.setdefault(what, []).append(job.place.as_posix())

    def tell(self) -> None:
        for what, names in self._names.items():
            shown = ", ".join(names[:NAMES_IN_SUMMARY])
            if len(names) > NAMES_IN_SUMMARY:
                shown += f" and {len(names) - NAMES_IN_SUMMARY} more"
            self.streams.tell(f"{len(names)} {what}: {shown}")
