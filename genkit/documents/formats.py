"""The table of formats: names, suffixes, modules and the libraries that they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any, cast

from genkit.documents.segment import Document
from genkit.errors import RuntimeUnavailableError, UsageError

__all__ = ["FORMATS", "Format", "format_of", "parse_format"]


@dataclass(frozen=True)
class Format:
    """A kind of file that can be taken apart.

    ``function`` is ``module:function`` in this package and takes bytes, and the settings that
    are named in ``settings``. ``requires`` is the module of a library of the extra.
    """

    name: str
    suffixes: tuple[str, ...]
    function: str
    requires: str | None = None
    library: str | None = None
    settings: frozenset[str] = field(default_factory=frozenset)
    declares: bool = False
    """Whether files say themselves in which encoding they are."""

    def check(self) -> None:
        """Raise RuntimeUnavailableError unless the library that this needs is installed."""
        if self.requires is not None and find_spec(self.requires) is None:
            raise RuntimeUnavailableError(
                f"{self.name} files need {self.library}, which is not installed",
                hint="pip install 'genkit-onnx[documents]'",
            )

    def parse(self, data: bytes, **settings: Any) -> Document:
        """Take a file apart, with those of the settings that it has.

        The setting ``encoding`` is that of files which are not UTF-8 and do not say what they are.
        Raises InputError if it is broken, RuntimeUnavailableError if a library is missing.
        """
        self.check()
        module, _, function = self.function.partition(":")
        parse: Callable[..., Any] = getattr(import_module(f"genkit.documents.{module}"), function)
        known = {name: settings[name] for name in self.settings & settings.keys()}
        encoding = settings.get("encoding")
        if encoding is None or self.declares:
            return cast(Document, parse(data, **known))
        from genkit.documents.recoding import recoded

        return recoded(data, encoding, partial(parse, **known))


FORMATS = {
    kind.name: kind
    for kind in (
        Format("text", (".txt", ".text"), "plain:parse", settings=frozenset({"paragraphs"})),
        Format(
            "markdown",
            (".md", ".markdown", ".mdown", ".mkd"),
            "markdown:parse",
            "markdown_it",
            "markdown-it-py",
        ),
        Format("html", (".html", ".htm", ".xhtml"), "html:parse", declares=True),
        Format("srt", (".srt",), "subtitles:parse_srt"),
        Format("vtt", (".vtt",), "subtitles:parse_vtt"),
        Format(
            "po",
            (".po", ".pot"),
            "po:parse",
            "polib",
            "polib",
            frozenset({"overwrite", "fuzzy"}),
            declares=True,
        ),
        Format("json", (".json", ".jsonl", ".ndjson"), "json_values:parse"),
        Format("docx", (".docx",), "word:parse", "docx", "python-docx", declares=True),
    )
}
"""By name. Suffixes are those of file names that stand for a format."""

_BY_SUFFIX = {suffix: kind for kind in FORMATS.values() for suffix in kind.suffixes}


def format_of(name: str | PurePath) -> Format | None:
    """The format that the suffix of a file name stands for."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def parse_format(name: str) -> Format:
    """The format of that name or suffix. Raises UsageError."""
    found = FORMATS.get(name.lower()) or _BY_SUFFIX.get(f".{name.lower()}")
    if found is None:
        raise UsageError(f"unknown format {name!r}", hint=f"one of: {', '.join(FORMATS)}")
    return found
