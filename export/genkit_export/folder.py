"""Writing a model folder: graphs, tokenisers, card; whole or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto

import genkit
from genkit.card import CARD, FORMAT
from genkit.card_json import parse_card
from genkit.errors import UsageError
from genkit.writing import removed_if_killed

from .onnx_builder import OPSET

DTYPES: Mapping[int, str] = {
    TensorProto.INT64: "int64",
    TensorProto.INT32: "int32",
    TensorProto.FLOAT: "float32",
    TensorProto.UINT8: "uint8",
    TensorProto.BOOL: "bool",
}


@dataclass(frozen=True)
class Exported:
    """What an exporter made of a network."""

    graphs: Mapping[str, Mapping[str, str]]
    """Role -> precision -> file name in the folder."""
    meanings: Mapping[str, Mapping[str, str]]
    """Role -> input or output name -> what it means."""
    differences: Mapping[str, Mapping[str, float]]
    """Role -> precision -> largest difference against PyTorch."""
    tolerance: float
    default_precision: Mapping[str, str]
    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Precision -> the largest difference allowed, where it is not `tolerance`."""


@contextmanager
def new_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when all went well. Raises UsageError if
    something is there already and is not to be overwritten.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; the output of an export is a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"{out} is not empty", hint="choose another folder, or add --overwrite")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    folder.chmod(0o755)
    try:
        with removed_if_killed(folder):
            yield folder
        # What the export does not make (pictures, the checkpoint itself) stays where it was.
        for path in folder.iterdir():
            out.mkdir(exist_ok=True)
            path.replace(out / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_only(precision: str, exported: Exported, folder: Path) -> Exported:
    """Leave out the graphs of all other precisions, which were compared as well."""

    def kept(table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        return {role: {precision: row[precision]} for role, row in table.items()}

    for files in exported.graphs.values():
        for other in files.keys() - {precision}:
            (folder / files[other]).unlink()
    return replace(
        exported,
        graphs=kept(exported.graphs),
        differences=kept(exported.differences),
        default_precision=dict.fromkeys(exported.default_precision, precision),
    )


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph with its weights inside."""
    path.write_bytes(model.SerializeToString())


def write_card(folder: Path, fields: Mapping[str, Any], exported: Exported) -> None:
    """Complete the card's fields from the graphs in the folder, check it, and write it."""
    card = dict(fields) | {
        "format": FORMAT,
        "graphs": {
            role: {precision: _file(folder / name) for precision, name in files.items()}
            for role, files in exported.graphs.items()
        },
        "interface": {
            role: _interface(folder / next(iter(files.values())), exported.meanings[role])
            for role, files in exported.graphs.items()
        },
        "default_precision": dict(exported.default_precision),
        "export": {
            "genkit": genkit.__version__,
            "torch": torch.__version__.partition("+")[0],
            "opset": OPSET,
            "differences": exported.differences,
            "tolerance": exported.tolerance,
            **({"tolerances": exported.tolerances} if exported.tolerances else {}),
        },
    }
    parse_card(card)
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _file(path: Path) -> dict[str, str | int]:
    data = path.read_bytes()
    return {"file": path.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _interface(path: Path, meanings: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    graph = onnx.load(path, load_external_data=False).graph

    def describe(values: Sequence[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
        return [
            {
                "name": value.name,
                "dtype": DTYPES[value.type.tensor_type.elem_type],
                "shape": [
                    axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim
                ],
                "description": meanings[value.name],
            }
            for value in values
        ]

    return {"inputs": describe(graph.input), "outputs": describe(graph.output)}
