"""What the card of a model (model.json) holds, for every task.

A card says what a program needs to know to run the graphs: which files there are, what goes
in and comes out, and what happens outside the graph (tokeniser, resizing, noise). These are
the facts; genkit.card_json reads and checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genkit.errors import ModelError
from genkit.registry import TASKS

__all__ = [
    "CARD",
    "FORMAT",
    "PRECISIONS",
    "Card",
    "Doubt",
    "FileFacts",
    "GraphFile",
    "ImageSpec",
    "Interface",
    "Languages",
    "LatentSpec",
    "Pad",
    "Resize",
    "TensorSpec",
    "TextSpec",
    "TokenizerFiles",
]

CARD = "model.json"
FORMAT = 1
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class FileFacts:
    """What a file of the folder must be."""

    size: int
    sha256: str


@dataclass(frozen=True)
class GraphFile:
    """An ONNX file of the folder."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph; a dimension is a number, or a name if it is free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    description: str


@dataclass(frozen=True)
class Interface:
    """What goes into a graph and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class TokenizerFiles:
    """File names of the tokenisers (tokenizer.json); one that serves both ends stands twice."""

    source: str
    target: str


@dataclass(frozen=True)
class Languages:
    """What a model translates from and to, as language codes."""

    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True)
class Doubt:
    """Where a translation is marked as doubtful, as validation shows or by default."""

    log_probability: float = -2.0
    """The least mean log probability of a token."""
    length_ratio: tuple[float, float] = (0.3, 3.0)
    """Least and most target tokens for each source token."""


@dataclass(frozen=True)
class TextSpec:
    """How text becomes the ids that a graph takes, and back."""

    tokenizer: TokenizerFiles
    pad_id: int
    max_positions: int
    """The most tokens of a sequence, special ones included."""
    languages: Languages | None
    decoder_start_id: int | None
    eos_id: int | None
    mask_id: int | None
    suppress_ids: tuple[int, ...]
    """Ids that are never generated."""
    language_tokens: Mapping[str, int]
    """Target language -> the id that stands first in the source."""
    longest: int | None = None
    """The most source tokens of a sentence that is translated in one piece, as measured."""
    stand_ins: Mapping[str, float] | None = None
    """Family of stand-ins (genkit/text/stand_ins.py) -> the share of them that was copied, the
    best first. Families that are not copied are not there."""
    doubtful: Doubt | None = None


@dataclass(frozen=True)
class Resize:
    """How a picture is brought to the size that a graph takes.

    ``stretch`` brings both sides to size / crop_pct, ``shortest_edge`` the shorter one, and then
    the size is cut from the middle; ``none`` leaves it as it is.
    """

    mode: str
    size: tuple[int, int] | None
    """Height and width."""
    interpolation: str
    antialias: bool
    crop_pct: float


@dataclass(frozen=True)
class Pad:
    """How a picture is filled up to a multiple of some pixels."""

    multiple: int
    mode: str
    side: str
    smallest: int = 1
    """Sides that are shorter are filled up to the multiple that is as long."""


@dataclass(frozen=True)
class ImageSpec:
    """What happens to a picture before it goes into a graph."""

    resize: Resize
    pad: Pad | None
    labels: tuple[str, ...]
    """The classes that a classifier tells apart, in its order."""
    channels: int = 3
    """Of the picture that the graph takes: 3 are sRGB, 4 are sRGB and alpha."""


@dataclass(frozen=True)
class LatentSpec:
    """The noise that a generator takes."""

    shape: tuple[int, ...]
    distribution: str
    truncation: str
    """Where truncation acts: on the noise, inside the graph, both, or nowhere."""
    classes: tuple[str, ...]
    """The classes of a conditional generator, in its order."""
    default_truncation: float = 1.0
    """What it is sampled with unless another is asked for, 0 to 1."""


@dataclass(frozen=True)
class Card:
    """A model.json that has been checked."""

    format: int
    task: str
    name: str
    architecture: str
    description: str
    license: str
    tags: tuple[str, ...]
    graphs: Mapping[str, Mapping[str, GraphFile]]
    """Role -> precision -> file."""
    interface: Mapping[str, Interface]
    """Role -> inputs and outputs."""
    default_precision: Mapping[str, str]
    """Kind of device (cpu, cuda, openvino) -> what ``--precision auto`` takes there, as measured
    at export. A card whose ``openvino`` is bf16 lets ``--device auto`` take OpenVINO."""
    text: TextSpec | None
    image: ImageSpec | None
    latent: LatentSpec | None
    origin: Mapping[str, Any]
    export: Mapping[str, Any]
    """How the graphs were made. ``differences``: role -> precision -> largest difference against
    PyTorch, at most ``tolerance``, or what ``tolerances`` says for a precision (cards from before
    int8 had one of its own hold int8 to nothing).

    bf16 may stand there without a file of its own: OpenVINO then computes the fp32 file in
    bfloat16, and this is what the export has measured of it."""
    file_facts: Mapping[str, FileFacts] = field(default_factory=dict)
    """The files that are no graphs (tokenisers), by name; empty in cards from before they had it."""

    @property
    def role(self) -> str:
        """The role of the graph that every model of the task has."""
        return TASKS[self.task].role

    def graph_files(self, role: str) -> Mapping[str, GraphFile]:
        """The files of a role by precision. Raises ModelError if the model has no such role."""
        if role not in self.graphs:
            raise ModelError(f"{self.name} has no graph for {role!r}")
        return self.graphs[role]

    def precisions(self, role: str, kind: str) -> tuple[str, ...]:
        """What a role can be run in on a kind of device; ModelError as in graph_files().

        That is the precisions of its files. OpenVINO is given the fp32 file alone, and not that
        of a text model; it computes in full precision or, if the export has measured it, in bf16.
        """
        files = tuple(self.graph_files(role))
        if kind != "openvino":
            return files
        if self.text is not None or "fp32" not in files:
            return ()
        measured = self.export["differences"][role]
        return ("fp32", "bf16") if "bf16" in measured else ("fp32",)

    def all_graphs(self) -> tuple[GraphFile, ...]:
        """The graphs of all roles and precisions, each file once."""
        graphs = (graph for files in self.graphs.values() for graph in files.values())
        return tuple({graph.file: graph for graph in graphs}.values())

    def files(self) -> tuple[str, ...]:
        """The names of all files that the card speaks of, each once."""
        names = [*(graph.file for graph in self.all_graphs()), *self.other_files()]
        return tuple(dict.fromkeys(names))

    def other_files(self) -> tuple[str, ...]:
        """The names of the files that are no graphs, each once."""
        names = [*self.file_facts]
        if self.text is not None:
            names += [self.text.tokenizer.source, self.text.tokenizer.target]
        return tuple(dict.fromkeys(names))

    def facts(self) -> Mapping[str, FileFacts]:
        """Size and hash of every file that the card tells them of, by name."""
        graphs = {g.file: FileFacts(g.size, g.sha256) for g in self.all_graphs()}
        return {**graphs, **self.file_facts}

    def unhashed(self) -> tuple[str, ...]:
        """The files that nothing can be compared with: tokenisers of cards without ``files``."""
        known = self.facts()
        return tuple(name for name in self.files() if name not in known)

    def tolerance(self, precision: str) -> float:
        """The largest difference against PyTorch that a precision may have."""
        own = self.export.get("tolerances", {}).get(precision)
        return float(self.export["tolerance"] if own is None else own)
