"""What was translated before: a record in the folder of the results.

A line of JSON for each file that was done, the last one counts. So a run that was interrupted
goes on where it was, and a result that somebody has edited is not lost.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genkit.cli.document_jobs import DocumentJob

__all__ = ["RECORD", "Records", "State", "digest"]

RECORD = ".genkit-translate.jsonl"


class State(enum.Enum):
    """What there is of a result."""

    TO_DO = "to do"
    DONE = "done"
    EDITED = "edited"
    """It was changed after it was made, and is not up to date."""
    FOREIGN = "foreign"
    """It was not made by this command."""


def digest(data: bytes | Mapping[str, Any]) -> str:
    """A short name for bytes, or for settings."""
    if not isinstance(data, bytes):
        data = json.dumps(data, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:32]


class Records:
    """The record of an output folder. Lines of it that cannot be read are passed over."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._path = folder / RECORD
        self._settings = settings
        self._known: dict[str, dict[str, str]] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                row = json.loads(line)
                self._known[row["file"]] = row
            except (ValueError, TypeError, KeyError):
                continue

    def state(self, job: DocumentJob) -> State:
        """Whether there is anything to do for a job. Raises OSError if its files cannot be read."""
        if job.target is None or not job.target.exists():
            return State.TO_DO
        row = self._known.get(job.place.as_posix())
        if row is None:
            return State.FOREIGN
        newer = job.target.stat().st_mtime_ns >= job.source.stat().st_mtime_ns
        if (
            newer
            and row.get("settings") == self._settings
            and row.get("source") == digest(job.source.read_bytes())
        ):
            return State.DONE
        same = row.get("result") == digest(job.target.read_bytes())
        return State.TO_DO if same else State.EDITED

    def add(self, job: DocumentJob, source: bytes, result: bytes) -> None:
        """Remember that a job is done."""
        row = {
            "file": job.place.as_posix(),
            "source": digest(source),
            "result": digest(result),
            "settings": self._settings,
        }
        self._known[row["file"]] = row
        with self._path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
