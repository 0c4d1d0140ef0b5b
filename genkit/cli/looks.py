"""The steps of ``genkit classify``: an image is read, named, and shown with where the network looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genkit.cli.inputs import read_source
from genkit.cli.pictures import Kept, kept_or_refused, save_picture
from genkit.images import Picture, decode
from genkit.model import Model
from genkit.pixels import Pixels
from genkit.provenance import Record, hash_of, made_by
from genkit.runtime import RuntimeOptions
from genkit.targets import Job
from genkit.tasks.classify import ATTENTION, Classifier, overlay, prepare
from genkit.writing import is_there

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Looks", "Seen"]


@dataclass(frozen=True)
class _Loaded:
    size: tuple[int, int]
    """Height and width."""
    pixels: Pixels
    """What the network sees of it."""
    picture: Picture | None
    """The whole of it, if it is to be written under a map."""
    record: Record | None
    kept: Kept | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Made:
    scores: NDArray[np.float32]
    attention: NDArray[np.float32] | None


@dataclass(frozen=True)
class Seen:
    """What became of an image: the probabilities of all labels, and its map."""

    size: tuple[int, int]
    """Height and width."""
    scores: NDArray[np.float32]
    kept: Kept | None
    """Its map, if that was there already."""
    notes: tuple[str, ...]
    """What a person should know about how it was read."""


class Looks:
    """A classifier, and what is done with each image before and after it."""

    def __init__(self, model: Model, options: RuntimeOptions, overwrite: bool, strip: bool) -> None:
        assert model.card.image is not None
        self._model, self._spec, self._options = model, model.card.image, options
        self._overwrite, self._strip = overwrite, strip
        self._classifier: Classifier | None = None

    def open(self, *, attention: bool) -> Classifier:
        """Open the model. Raises UsageError for a map of a model that cannot tell."""
        self._classifier = Classifier(self._model, self._options)
        if attention:
            self._classifier.open_attention()
        return self._classifier

    def load(self, job: Job, piped: bytes | None) -> _Loaded:
        """Read an image, and look whether its map is there."""
        data = read_source(job.source, piped)
        picture = decode(data)
        pixels = prepare(picture, self._spec)
        record = kept = None
        if job.target is not None and ATTENTION in self._model.card.graphs:
            graphs = self._model.card.graph_files(ATTENTION)
            asked = self._options.precision if self._options.precision in graphs else "auto"
            record = made_by(self._model, ATTENTION, precision=asked)
            record |= {"input": hash_of(data), "format": job.kind}
            if self._strip:
                record["strip_metadata"] = True
            if is_there(job.target) and not self._overwrite:
                kept = kept_or_refused(job.target, record)
        wanted = job.target is not None and kept is None
        shown = picture if wanted else None
        return _Loaded(picture.size, pixels, shown, record, kept, picture.notes)

    def run(self, batch: Sequence[_Loaded]) -> list[_Made]:
        """The probabilities for a batch, and where the network looks if that is wanted."""
        assert self._classifier is not None
        scores = self._classifier.probabilities([loaded.pixels for loaded in batch])
        maps = (
            None if loaded.picture is None else self._classifier.attention(loaded.pixels)
            for loaded in batch
        )
        return [_Made(*made) for made in zip(scores, maps, strict=True)]

    def save(self, job: Job, loaded: _Loaded, made: _Made) -> Seen:
        """Write the map of an image, if it is wanted."""
        if loaded.picture is not None and made.attention is not None:
            assert self._classifier is not None
            precision = self._classifier.open_attention().precision
            record = None if loaded.record is None else loaded.record | {"precision": precision}
            shown = overlay(loaded.picture, made.attention, self._spec)
            save_picture(shown, job, record=record, strip=self._strip)
        return Seen(loaded.size, made.scores, loaded.kept, loaded.notes)
