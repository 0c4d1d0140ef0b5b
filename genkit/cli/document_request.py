"""Whether ``genkit translate`` was asked for documents, and for which.

Lines are what it is mostly asked for, so nothing else is imported before it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genkit.errors import InputError, UsageError
from genkit.streams import Streams

if TYPE_CHECKING:
    from genkit.cli.document_options import DocumentOptions
    from genkit.cli.translate_documents import DocumentWork
    from genkit.decoding import Decoding
    from genkit.documents.formats import Format
    from genkit.model import Model

__all__ = ["DocumentRequest", "request_of", "settings_digest"]


@dataclass(frozen=True)
class DocumentRequest:
    """Documents to translate: files and folders (``recursive``), a file, TEXT or a pipe."""

    names: tuple[str, ...] | None
    """Of -r; None for a single document."""
    texts: tuple[str, ...] | None
    input_file: Path | None
    kind: Format | None
    output: Path | None
    settings: Mapping[str, bool | str | None]

    def run(self, work: DocumentWork, made_by: str) -> None:
        """Translate. ``made_by`` stands for the model and the settings. Raises GenkitError."""
        from genkit.cli.document_jobs import plan_documents
        from genkit.cli.document_records import Records
        from genkit.cli.translate_documents import translate_files, translate_one
        from genkit.targets import is_folder

        if self.names is None:
            name = "" if self.input_file is None else str(self.input_file)
            assert self.kind is not None
            translate_one(work, self.kind, self._read(work.streams), name, self.output)
            return
        jobs = plan_documents(self.names, self.output, self.kind)
        into = self.output
        is_one = into is None or not (
            len(jobs) > 1 or is_folder(str(into)) or any(map(os.path.isdir, self.names))
        )
        records = None if is_one or into is None else Records(into, made_by)
        translate_files(work, jobs, records, overwrite=bool(self.settings["overwrite"]))

    def _read(self, streams: Streams) -> bytes:
        if self.texts is not None:
            return b"".join(os.fsencode(text) + b"\n" for text in self.texts)
        if self.input_file is None:
            return streams.stdin.read()
        try:
            return self.input_file.read_bytes()
        except OSError as error:
            raise InputError(f"{self.input_file}: {error.strerror}") from error


def request_of(
    streams: Streams,
    texts: Sequence[str] | None,
    input_file: Path | None,
    output: Path | None,
    options: DocumentOptions,
) -> DocumentRequest | None:
    """The documents that the arguments ask for; None if they are lines of text.

    Raises UsageError, and RuntimeUnavailableError if the format needs a library that is not
    installed.
    """
    if not (
        options.recursive
        or options.format is not None
        or options.paragraphs
        or options.encoding
        or input_file
        or any("." in t for t in texts or ())
    ):
        return None
    from genkit.documents.formats import FORMATS, format_of, parse_format

    settings: dict[str, bool | str | None] = {
        "paragraphs": options.paragraphs,
        "overwrite": options.overwrite,
        "fuzzy": options.fuzzy,
    }
    if options.encoding is not None:
        from genkit.documents.recoding import encoding_named

        settings["encoding"] = encoding_named(options.encoding)
    forced = None if options.format is None else parse_format(options.format)
    if output is not None and str(output) == "-":
        output = None
    if input_file is not None and str(input_file) == "-":
        input_file = None
    if options.recursive:
        named = (*(texts or ()), *([str(input_file)] if input_file is not None else ()))
        return DocumentRequest(named, None, None, forced, output, settings)
    if input_file is not None and input_file.is_dir():
        raise UsageError(f"{input_file} is a folder", hint=f"-r {input_file} -o FOLDER")
    found = forced or (format_of(input_file) if input_file is not None else None) or FORMATS["text"]
    if found.name == "text" and not options.paragraphs and options.encoding is None:
        _hint_at_files(streams, texts)
        return None
    if output is not None and output.is_dir():
        raise UsageError(f"{output} is a folder", hint="name a file, or add -r for many of them")
    found.check()
    given = None if texts is None else tuple(texts)
    return DocumentRequest(None, given, input_file, found, output, settings)


def _hint_at_files(streams: Streams, texts: Sequence[str] | None) -> None:
    """Say what to do if a text is rather the name of a file."""
    from genkit.documents.formats import format_of

    for text in texts or ():
        if " " not in text and format_of(text) is not None and Path(text).is_file():
            streams.warn(f"{text} is taken for text; to translate the file: -i {text}")


def settings_digest(
    model: Model, decoding: Decoding, request: DocumentRequest, *others: object
) -> str:
    """What stands for a model and its settings: results that differ in it may differ."""
    from genkit.cli.document_records import digest

    graphs = {
        f"{role} {precision}": file.sha256
        for role, files in model.card.graphs.items()
        for precision, file in files.items()
    }
    chosen = {name: on for name, on in request.settings.items() if name != "overwrite"}
    return digest(
        {
            "model": model.card.name,
            "graphs": graphs,
            "decoding": asdict(decoding),
            "documents": chosen,
            "others": list(others),
        }
    )
