"""The records of what made the pictures of ``genkit sample``: of one, and of many in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from genkit.card import LatentSpec
from genkit.cli.shots import Plan, Shot
from genkit.provenance import Record, hash_of

__all__ = ["Recorder"]


@dataclass(frozen=True)
class Recorder:
    """Says what makes a picture (see genkit.provenance)."""

    model: Record
    """The model, and the options that all pictures share."""
    latent: LatentSpec
    kind: str
    """The format that is written."""
    quality: int | None
    fps: float
    precision: Callable[[], str]
    """The precision that the opened model runs in."""

    def of_shot(self, shot: Shot) -> Record:
        """What is to make a picture. Raises InputError for noise that is of no use."""
        return self.model | self._written() | self._options(shot)

    def of_plan(self, plan: Plan) -> Record:
        """What is to make a file of all pictures of a plan: those of many are a hash."""
        if plan.layout == "files":
            (shot,) = plan.shots()
            return self.of_shot(shot)
        options = (json.dumps(self._options(shot)).encode() for shot in plan.shots())
        names = json.dumps([plan.row_names, plan.column_names]).encode()
        record = self.model | self._written() | {"layout": plan.layout, "count": plan.count}
        if plan.layout == "grid":
            record |= {"columns": plan.columns, "rows": plan.rows}
        else:
            record["fps"] = self.fps
        return record | {"images": hash_of(*options, names)}

    def completed(self, record: Record) -> Record:
        """A record with what is known when the model is open."""
        return record | {"precision": self.precision()}

    def class_of(self, shot: Shot) -> str | None:
        """The name of its class."""
        return None if shot.label is None else self.latent.classes[shot.label]

    def truncation_of(self, shot: Shot) -> float | None:
        """Its truncation, if the model has one."""
        return None if self.latent.truncation == "none" else shot.truncation

    def _written(self) -> Record:
        lossy = self.quality is not None and self.kind in ("jpeg", "webp")
        return {"format": self.kind} | ({"quality": self.quality} if lossy else {})

    def _options(self, shot: Shot) -> Record:
        options: Record = {"class": self.class_of(shot), "truncation": self.truncation_of(shot)}
        if shot.seed is not None:
            options["seed"] = shot.seed
        else:
            options["noise"] = hash_of(shot.noise().tobytes())
        return {name: value for name, value in options.items() if value is not None}
