"""The options of ``genkit translate`` that are about documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DocumentOptions"]


@dataclass(frozen=True)
class DocumentOptions:
    """What is translated besides lines, and how it is read and written."""

    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive",
            "-r",
            help="Arguments are files and folders, not text: translate the documents in them into "
            "the folder of -o, and copy the other files.",
        ),
    ] = False
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="text|markdown|html|srt|vtt|po|json|docx",
            help="What the input is: only language is translated, all else stays as it is.",
            show_default="by the file's suffix, else text",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The encoding of documents that are not UTF-8 and do not say what they are, such "
            "as cp1252; the results have it too.",
            show_default=False,
        ),
    ] = None
    paragraphs: Annotated[
        bool,
        typer.Option(
            "--paragraphs",
            help="Plain text: join the lines of a paragraph, and break them anew at its width.",
        ),
    ] = False
    glossary: Annotated[
        Path | None,
        typer.Option(
            "--glossary",
            metavar="FILE",
            help="Lines of a term, a tab and its translation; one without a translation is kept.",
            show_default=False,
        ),
    ] = None
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results of -r that are there already, and translations in PO files.",
        ),
    ] = False
    fuzzy: Annotated[
        bool,
        typer.Option(help="PO: mark what was translated as fuzzy, to be reviewed."),
    ] = True
