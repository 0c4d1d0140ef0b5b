"""Which images to read: those that are named, in folders, or in lists of names."""

from __future__ import annotations

import codecs
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genkit.errors import InputError, UsageError

__all__ = [
    "IMAGES",
    "KINDS",
    "PIPE",
    "READABLE",
    "SUFFIXES",
    "LeftOut",
    "Source",
    "find_sources",
    "is_same",
    "kind_inside",
    "split_list",
    "stream_sources",
]

PIPE = "-"
KINDS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
"""What can be written, and the suffix of a new file of that kind."""
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
READABLE = (*SUFFIXES, ".gif")
IMAGES = (
    *READABLE,
    *(".apng", ".avif", ".bmp", ".dib", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".psd"),
)
"""The files of a folder that are taken for images whatever they hold: one that is broken, or of a
kind that is not read, is reported. Files of other names are looked into.
"""
RAW = (".arw", ".cr2", ".dng", ".nef", ".nrw", ".orf", ".pef", ".rw2", ".sr2", ".srw")
"""Files of cameras that begin as TIFF does, and hold a preview where a TIFF has its image."""
DROPPINGS = ("thumbs.db", "desktop.ini")
"""What systems leave in folders of images: not worth a word."""
# What files begin with.
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"GIF8", "gif"),
)
MOST_KINDS_TOLD = 4


@dataclass(frozen=True)
class Source:
    """An image to read."""

    path: Path | None
    """None is standard input."""
    place: Path
    """Where its result goes below an output folder, the suffix aside."""
    problem: InputError | None = field(default=None, compare=False)
    """Why it cannot be used, if that was found while it was looked for."""

    def __str__(self) -> str:
        return "standard input" if self.path is None else str(self.path)


@dataclass
class LeftOut:
    """Counts the files of folders that are not taken for images."""

    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, name: str) -> None:
        """Count a file; what a system leaves in every folder does not count."""
        if name.lower() not in DROPPINGS:
            self.kinds[Path(name).suffix.lower() or "no suffix"] += 1

    def __str__(self) -> str:
        total = self.kinds.total()
        told = self.kinds.most_common(MOST_KINDS_TOLD)
        rest = total - sum(count for _, count in told)
        parts = [f"{count} {kind}" for kind, count in told] + ([f"{rest} others"] if rest else [])
        files = "file that is no image" if total == 1 else "files that are no images"
        return f"left out {total} {files} ({', '.join(parts)})"


def find_sources(
    names: Sequence[str],
    listed: Iterable[str] = (),
    *,
    recursive: bool = False,
    exclude: Sequence[Path] = (),
    left_out: LeftOut | None = None,
) -> list[Source]:
    """The images that were named: files, folders, or ``-`` for standard input; then those of a
    list, in which ``-`` is the name of a file.

    A file of a folder is an image if its suffix or its first bytes say so. Subfolders are
    searched only if ``recursive``. Files and folders of ``exclude`` (results, masks) are never
    found in a folder. What cannot be looked at is a source with a problem. Raises UsageError if
    there are no images at all.
    """
    hidden = {os.path.realpath(path) for path in exclude}
    left_out = LeftOut() if left_out is None else left_out
    sources: list[Source] = []
    for name in names:
        if name == PIPE:
            sources.append(Source(None, Path("stdin")))
        else:
            sources += _found(name, recursive, hidden, left_out)
    for name in listed:
        sources += _found(name, recursive, hidden, left_out)
    if not sources:
        raise UsageError("no pictures are named", hint="name files or folders, or - for a pipe")
    problems = [
        source.problem for source in sources if isinstance(source.problem, _EmptyFolderError)
    ]
    if len(problems) == len(sources):
        message = f"{sources[0]} {problems[0].message}"
        raise UsageError(message, hint=problems[0].hint)
    if sum(source.path is None for source in sources) > 1:
        raise UsageError("standard input holds one picture, but - is named twice")
    return sources


def stream_sources(
    names: Iterable[str], *, recursive: bool = False, left_out: LeftOut | None = None
) -> Iterator[Source]:
    """The images of a list of files and folders, each as soon as it is named."""
    left_out = LeftOut() if left_out is None else left_out
    for name in names:
        yield from _found(name, recursive, set(), left_out)


def split_list(chunks: Iterable[bytes], null: bool) -> Iterator[str]:
    """The names in a list of files, each as soon as it is there whole: one a line, or separated
    by NUL bytes.

    A list of lines may begin with a byte order mark, and be in UTF-16 if it says so by one
    (PowerShell writes such lists). Its blank lines, and those of white space alone, are no names.
    """
    end = b"\0" if null else b"\n"
    begun = b""
    for chunk in chunks if null else _without_mark(chunks):
        *names, begun = (begun + chunk).split(end)
        yield from _decoded(names, null)
    yield from _decoded([begun], null)


def kind_inside(path: Path) -> str | None:
    """The kind of image that a plain file holds, by its first bytes: png, jpeg, webp, tiff, gif.

    Pipes are not touched: they can be read once. Raises OSError if it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return None
    with path.open("rb", buffering=0) as file:
        start = file.read(12)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in MAGIC if start.startswith(magic)), None)


def is_same(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file or folder that is there."""
    try:
        return first.samefile(second)
    except (OSError, ValueError):
        return False


class _EmptyFolderError(InputError):
    """A folder that holds nothing to read."""


def _decoded(names: Iterable[bytes], null: bool) -> Iterator[str]:
    for name in names:
        if not null:
            name = name.removesuffix(b"\r")
        if name if null else name.strip():
            yield os.fsdecode(name)


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a list as UTF-8 without a byte order mark."""
    chunks = iter(chunks)
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= 3 or not start.startswith((b"\xef", b"\xff", b"\xfe")):
            break
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    yield decoder.decode(start).encode()
    for chunk in chunks:
        yield decoder.decode(chunk).encode()


def _found(name: str, recursive: bool, hidden: set[str], left_out: LeftOut) -> Iterator[Source]:
    """The images of a file or folder that was named; at least one source, maybe with a problem."""
    path = Path(name)
    try:
        if not name:
            raise InputError("an empty name is no file")
        folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        folder = False  # said when it is read
    except (OSError, ValueError, InputError) as error:
        yield Source(path, Path(path.name), _problem(error))
        return
    if not folder:
        yield Source(path, Path(path.name))
        return
    found = _images(path, recursive, hidden, left_out)
    first = next(found, None)
    if first is None:
        hint = None if recursive else "-r looks into its subfolders too"
        first = Source(path, Path(path.name), _EmptyFolderError("holds no pictures", hint=hint))
    yield first
    yield from found


def _images(folder: Path, recursive: bool, hidden: set[str], left_out: LeftOut) -> Iterator[Source]:
    waiting = [folder]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(below) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Source(below, below.relative_to(folder), _problem(error))
            continue
        folders = []
        for entry in entries:
            path = below / entry.name
            if entry.name.startswith(".") or (hidden and os.path.realpath(path) in hidden):
                continue
            if _is_folder(entry):
                if recursive and not entry.is_symlink():
                    folders.append(path)
                elif recursive:
                    left_out.kinds["linked folder"] += 1
                continue
            try:
                taken = _is_image(path)
            except OSError as error:
                yield Source(path, path.relative_to(folder), _problem(error))
                continue
            if taken:
                yield Source(path, path.relative_to(folder))
            else:
                left_out.add(entry.name)
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_image(path: Path) -> bool:
    """Whether a file of a folder is to be read. Raises OSError where that cannot be told."""
    suffix = path.suffix.lower()
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return False  # a pipe or a socket, whatever it is called
        return suffix in IMAGES or (suffix not in RAW and kind_inside(path) is not None)
    except FileNotFoundError:  # a link that leads nowhere
        return suffix in IMAGES


def _problem(error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError):
        return InputError(error.strerror or str(error))
    return InputError(
        "its name has a NUL byte", hint="-0 parts the names at them; or the list is UTF-16"
    )
