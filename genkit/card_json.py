"""Reading and checking a model.json.

Whatever does not fit raises CardError with the path of the field
(``graphs.translate.int8.size``). Unknown fields are refused, for a misspelt one would be
ignored in silence; only ``origin`` and ``export`` may hold more than is asked of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genkit.card import (
    FORMAT,
    PRECISIONS,
    Card,
    Doubt,
    FileFacts,
    GraphFile,
    ImageSpec,
    Interface,
    Languages,
    LatentSpec,
    Pad,
    Resize,
    TensorSpec,
    TextSpec,
    TokenizerFiles,
)
from genkit.errors import CardError
from genkit.fields import Field, optional
from genkit.naming import NAME, NAME_RULE
from genkit.registry import TASKS, Task
from genkit.runtime.engines import ENGINES

__all__ = ["parse_card", "read_card"]

DTYPES = ("bool", "uint8", "int32", "int64", "float16", "float32")
RESIZE_MODES = ("stretch", "shortest_edge", "none")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
PAD_MODES = ("reflect", "symmetric", "edge", "constant")
PAD_SIDES = ("bottom_right", "both")
SHA256 = r"[0-9a-f]{64}"
SECTIONS = ("text", "image", "latent")
LEAST_LONGEST = 8
STAND_INS = ("at", "hash", "letters", "x", "greek", "flags")
"""The families of genkit/text/stand_ins.py; a test holds that they are the same."""
FILES = "files"
"""The files that are no graphs. Optional: cards from before it do not tell of them."""
COMPUTED = "bf16"
"""A precision that an fp32 file can be computed in: see Card.export."""
REQUIRED = (
    "format",
    "task",
    "name",
    "architecture",
    "description",
    "license",
    "graphs",
    "interface",
    "default_precision",
    "origin",
    "export",
)


def read_card(path: Path) -> Card:
    """Read and check a model.json. Raises CardError, which names the file and the field."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise CardError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        raise CardError(f"{path} is not JSON: {error}") from error
    try:
        return parse_card(data)
    except CardError as error:
        raise CardError(f"{path}: {error.message}", hint=error.hint) from error


def parse_card(data: object) -> Card:
    """Check the contents of a model.json. Raises CardError, which names the field."""
    root = Field(data)
    _check_format(root.object(("format", "task"), more=True)["format"])
    task = TASKS[root.object(("task",), more=True)["task"].one_of(TASKS)]
    fields = root.object((*REQUIRED, task.section), ("tags", FILES, *SECTIONS))
    fields[task.section].object(task.fields, more=True)
    graphs = _graphs(fields["graphs"], task)
    defaults = fields["default_precision"].table(ENGINES, required=("cpu",))
    card = Card(
        format=FORMAT,
        task=fields["task"].text(),
        name=fields["name"].matching(NAME, NAME_RULE),
        architecture=fields["architecture"].text(),
        description=fields["description"].text(),
        license=fields["license"].text(),
        tags=optional(fields, "tags", lambda field: field.texts(least=0), ()),
        graphs=graphs,
        interface={
            role: _interface(field)
            for role, field in fields["interface"].table(graphs, required=graphs).items()
        },
        default_precision={kind: field.text() for kind, field in defaults.items()},
        text=optional(fields, "text", _text, None),
        image=optional(fields, "image", _image, None),
        latent=optional(fields, "latent", _latent, None),
        origin=_origin(fields["origin"]),
        export=_export(fields["export"], graphs),
        file_facts=optional(fields, FILES, _files, {}),
    )
    _check_files(fields, card)
    for kind, default in defaults.items():
        default.one_of(card.precisions(task.role, kind))
    return card


def _check_format(field: Field) -> None:
    if field.integer(1) > FORMAT:
        field.fail(
            f"is {field.value}, newer than this genkit reads ({FORMAT})",
            "pip install --upgrade genkit-onnx",
        )


def _graphs(field: Field, task: Task) -> dict[str, dict[str, GraphFile]]:
    roles = field.table((task.role, *task.optional_roles), required=(task.role,))
    graphs = {
        role: {
            precision: _graph_file(graph) for precision, graph in files.table(PRECISIONS).items()
        }
        for role, files in roles.items()
    }
    for role, files in graphs.items():
        if not files:
            roles[role].fail("must not be empty")
    return graphs


def _graph_file(field: Field) -> GraphFile:
    fields = field.object(("file", "size", "sha256"))
    return GraphFile(
        file=fields["file"].file_name(),
        size=fields["size"].integer(1),
        sha256=fields["sha256"].matching(SHA256, "64 hexadecimal digits"),
    )


def _files(field: Field) -> dict[str, FileFacts]:
    """Size and hash of files that are no graphs, by their names."""
    files = {}
    for name, facts in field.table().items():
        Field(name, facts.path).file_name()
        values = facts.object(("size", "sha256"))
        files[name] = FileFacts(
            size=values["size"].integer(),
            sha256=values["sha256"].matching(SHA256, "64 hexadecimal digits"),
        )
    return files


def _check_files(fields: Mapping[str, Field], card: Card) -> None:
    """A card that tells of files tells of all, and of each once."""
    graphs = {graph.file for graph in card.all_graphs()}
    for name in card.file_facts:
        if name in graphs:
            fields[FILES].fail(f"{name} is a graph")
    if FILES in fields:
        fields[FILES].table(required=card.unhashed())


def _interface(field: Field) -> Interface:
    fields = field.object(("inputs", "outputs"))
    return Interface(
        inputs=tuple(map(_tensor, fields["inputs"].list())),
        outputs=tuple(map(_tensor, fields["outputs"].list())),
    )


def _tensor(field: Field) -> TensorSpec:
    fields = field.object(("name", "dtype", "shape", "description"))
    return TensorSpec(
        name=fields["name"].text(),
        dtype=fields["dtype"].one_of(DTYPES),
        shape=tuple(
            axis.text() if isinstance(axis.value, str) else axis.integer(1)
            for axis in fields["shape"].list(least=0)
        ),
        description=fields["description"].text(),
    )


def _text(field: Field) -> TextSpec:
    fields = field.object(
        ("tokenizer", "pad_id", "max_positions"),
        (
            "languages",
            "decoder_start_id",
            "eos_id",
            "mask_id",
            "suppress_ids",
            "language_tokens",
            "longest",
            "stand_ins",
            "doubtful",
        ),
    )
    return TextSpec(
        tokenizer=_tokenizer(fields["tokenizer"]),
        pad_id=fields["pad_id"].integer(),
        max_positions=fields["max_positions"].integer(1),
        languages=optional(fields, "languages", _languages, None),
        decoder_start_id=optional(fields, "decoder_start_id", Field.integer, None),
        eos_id=optional(fields, "eos_id", Field.integer, None),
        mask_id=optional(fields, "mask_id", Field.integer, None),
        suppress_ids=optional(fields, "suppress_ids", Field.integers, ()),
        language_tokens=optional(fields, "language_tokens", _ids_by_language, {}),
        longest=optional(fields, "longest", lambda field: field.integer(LEAST_LONGEST), None),
        stand_ins=optional(fields, "stand_ins", _stand_ins, None),
        doubtful=optional(fields, "doubtful", _doubt, None),
    )


def _stand_ins(field: Field) -> dict[str, float]:
    return {
        family: share.number(least=0, most=1) for family, share in field.table(STAND_INS).items()
    }


def _doubt(field: Field) -> Doubt:
    fields = field.object(("log_probability", "length_ratio"))
    ratio = fields["length_ratio"].list()
    if len(ratio) != 2:
        fields["length_ratio"].fail(f"must be 2 numbers, is {len(ratio)}")
    least = ratio[0].number()
    return Doubt(
        log_probability=fields["log_probability"].number(least=-100, most=0),
        length_ratio=(least, ratio[1].number(least=least)),
    )


def _tokenizer(field: Field) -> TokenizerFiles:
    fields = field.object(("source",), ("target",))
    source = fields["source"].file_name()
    return TokenizerFiles(source, optional(fields, "target", Field.file_name, source))


def _languages(field: Field) -> Languages:
    fields = field.object(("source", "target"))
    return Languages(fields["source"].texts(), fields["target"].texts())


def _ids_by_language(field: Field) -> dict[str, int]:
    return {language: value.integer() for language, value in field.table().items()}


def _image(field: Field) -> ImageSpec:
    fields = field.object(("resize",), ("pad", "labels", "channels"))
    if "channels" in fields and fields["channels"].integer() not in (3, 4):
        fields["channels"].fail(f"must be 3 or 4, is {fields['channels'].value}")
    return ImageSpec(
        resize=_resize(fields["resize"]),
        pad=optional(fields, "pad", _pad, None),
        labels=optional(fields, "labels", Field.texts, ()),
        channels=optional(fields, "channels", Field.integer, 3),
    )


def _resize(field: Field) -> Resize:
    rest = ("size", "interpolation", "antialias", "crop_pct")
    fields = field.object(("mode",), rest)
    mode = fields["mode"].one_of(RESIZE_MODES)
    if mode == "none":
        field.object(("mode",))
        return Resize(mode, None, "bilinear", True, 1.0)
    field.object(("mode", *rest))
    height, width = fields["size"].integers(least=1, count=2)
    return Resize(
        mode=mode,
        size=(height, width),
        interpolation=fields["interpolation"].one_of(INTERPOLATIONS),
        antialias=fields["antialias"].flag(),
        crop_pct=fields["crop_pct"].number(least=0.01, most=1),
    )


def _pad(field: Field) -> Pad:
    fields = field.object(("multiple", "mode", "side"), ("smallest",))
    return Pad(
        multiple=fields["multiple"].integer(1),
        mode=fields["mode"].one_of(PAD_MODES),
        side=fields["side"].one_of(PAD_SIDES),
        smallest=optional(fields, "smallest", lambda found: found.integer(1), 1),
    )


def _latent(field: Field) -> LatentSpec:
    rest = ("classes", "default_truncation")
    fields = field.object(("shape", "distribution", "truncation"), rest)
    spec = LatentSpec(
        shape=fields["shape"].integers(least=1),
        distribution=fields["distribution"].one_of(("normal", "truncated_normal")),
        truncation=fields["truncation"].one_of(("none", "latent", "graph", "both")),
        classes=optional(fields, "classes", Field.texts, ()),
        default_truncation=optional(fields, "default_truncation", _share, 1.0),
    )
    if spec.truncation == "none" and spec.default_truncation != 1:
        fields["default_truncation"].fail("a model without truncation has none")
    return spec


def _share(field: Field) -> float:
    return field.number(least=0, most=1)


def _origin(field: Field) -> Mapping[str, Any]:
    """Where the weights come from; a recipe and its arguments may be added, and more."""
    fields = field.object(("sha256", "layout", "data", "figures"), more=True)
    fields["sha256"].matching(SHA256, "64 hexadecimal digits")
    fields["layout"].text()
    for data in fields["data"].list(least=0):
        names = data.object(("name", "license"), more=True)
        names["name"].text()
        names["license"].text()
    for figure in fields["figures"].list(least=0):
        parts = figure.object(("measure", "on", "value"), more=True)
        parts["measure"].text()
        parts["on"].text()
        parts["value"].number(least=-math.inf)
    if "limitations" in fields:
        fields["limitations"].text()
    return dict(field.value)


def _export(field: Field, graphs: Mapping[str, Mapping[str, GraphFile]]) -> Mapping[str, Any]:
    """How the graphs were made, and how far they are from PyTorch."""
    fields = field.object(("genkit", "torch", "opset", "differences", "tolerance"), more=True)
    fields["genkit"].text()
    fields["torch"].text()
    fields["opset"].integer(1)
    fields["tolerance"].number()
    computed = False
    for role, differences in fields["differences"].table(graphs, required=graphs).items():
        files = graphs[role]
        choices = (*files, COMPUTED) if "fp32" in files else (*files,)
        measured = differences.table(choices)
        for difference in measured.values():
            difference.number()
        computed = computed or not measured.keys() <= files.keys()
    if computed:  # less exact than any file is, it needs a tolerance of its own
        fields = field.object(("tolerances",), more=True)
        fields["tolerances"].table(required=(COMPUTED,))
    if "tolerances" in fields:
        for tolerance in fields["tolerances"].table(PRECISIONS).values():
            tolerance.number()
    return dict(field.value)
