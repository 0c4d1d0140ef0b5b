"""What a model folder holds: its graphs, its card, and the hashes of both."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto

import genkit
from genkit.card import CARD, FORMAT
from genkit.card_json import FILES, parse_card

from .onnx_builder import OPSET
from .parity import check

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
        tolerances={p: limit for p, limit in exported.tolerances.items() if p == precision},
        default_precision=dict.fromkeys(exported.default_precision, precision),
    )


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph with its weights inside."""
    path.write_bytes(model.SerializeToString())


def write_card(
    folder: Path, fields: Mapping[str, Any], exported: Exported, others: Iterable[str] = ()
) -> None:
    """Complete the card's fields from the graphs and the other files in the folder, check it, and
    write it. Raises CardError for a card that is not whole, ModelError for a graph that is further
    from PyTorch than its tolerance.
    """
    facts = {name: _facts(folder / name) for name in sorted(others)}
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
        **({FILES: facts} if facts else {}),
        "export": {
            "genkit": genkit.__version__,
            "torch": torch.__version__.partition("+")[0],
            "opset": OPSET,
            "differences": exported.differences,
            "tolerance": exported.tolerance,
            **({"tolerances": exported.tolerances} if exported.tolerances else {}),
        },
    }
    checked = parse_card(card)
    for role, differences in exported.differences.items():
        for precision, difference in differences.items():
            check(f"{role} in {precision}", difference, checked.tolerance(precision))
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _file(path: Path) -> dict[str, str | int]:
    return {"file": path.name, **_facts(path)}


def _facts(path: Path) -> dict[str, str | int]:
    data = path.read_bytes()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


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
