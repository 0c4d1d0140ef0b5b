"""A stand-in for generators: a small one with random weights, of the layers that real ones have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = 20
SIZE = 8
CLASSES = ["airplane", "cat", "ship"]
LATENT = {"shape": [NOISE], "distribution": "normal", "truncation": "latent", "classes": CLASSES}


@cache
def graph(conditional: bool, truncated: bool) -> bytes:
    """z (and class, and truncation) -> image: a dense layer, transposed and plain convolutions,
    attention, and the byte tail."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.RandomState(0)
    constants: list[Any] = []
    nodes: list[Any] = []

    def weight(*shape: int) -> str:
        scale = 2 / np.sqrt(np.prod(shape[1:]))
        return constant((random.standard_normal(shape) * scale).astype(np.float32))

    def constant(value: NDArray[Any]) -> str:
        name = f"c{len(constants)}"
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"v{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def shaped(value: str, *shape: int) -> str:
        return node("Reshape", value, constant(np.array(shape)))

    value = helper.make_tensor_value_info
    inputs = [value("z", TensorProto.FLOAT, ["batch", NOISE])]
    x = node("Gemm", "z", weight(NOISE, 256))
    if conditional:
        inputs.append(value("class", TensorProto.INT64, ["batch"]))
        x = node("Add", x, node("Gather", weight(len(CLASSES), 256), "class"))
    if truncated:
        inputs.append(value("truncation", TensorProto.FLOAT, []))
        x = node("Mul", x, "truncation")
    x = shaped(x, 0, 16, 4, 4)
    flat = shaped(node("Conv", x, weight(16, 16, 1, 1)), 0, 16, 16)
    turned = node("Transpose", flat, perm=[0, 2, 1])
    mixed = node("MatMul", flat, node("Softmax", node("MatMul", turned, flat), axis=-1))
    x = node("Relu", node("Add", x, shaped(mixed, 0, 16, 4, 4)))
    x = node("ConvTranspose", x, weight(16, 16, 4, 4), strides=[2, 2], pads=[1] * 4)
    x = node("Tanh", node("Conv", x, weight(3, 16, 3, 3), pads=[1] * 4))
    half = constant(np.float32(127.5))
    x = node("Round", node("Add", node("Mul", x, half), half))
    x = node("Cast", node("Transpose", x, perm=[0, 2, 3, 1]), to=TensorProto.UINT8, name="image")
    body = helper.make_graph(
        nodes, "sample", inputs, [value(x, TensorProto.UINT8, ["batch", SIZE, SIZE, 3])], constants
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def write_model(folder: Path, **latent: Any) -> Path:
    """Write a model folder; ``latent`` changes fields of the card's section of that name."""
    section = {**LATENT, **latent}
    inputs = [("z", "float32", ["batch", *section["shape"]])]
    if section["classes"]:
        inputs.append(("class", "int64", ["batch"]))
    if section["truncation"] in ("graph", "both"):
        inputs.append(("truncation", "float32", []))
    folder.mkdir(parents=True)
    data = graph(bool(section["classes"]), len(inputs) > 1 and inputs[-1][0] == "truncation")
    (folder / "graph.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()

    def tensor(name: str, dtype: str, shape: list[Any]) -> dict[str, Any]:
        return {"name": name, "dtype": dtype, "shape": shape, "description": name}

    if not section["classes"]:
        del section["classes"]
    card = {
        "format": 1,
        "task": "sample",
        "name": folder.name,
        "architecture": "none",
        "description": "Makes noise.",
        "license": "CC0-1.0",
        "tags": [],
        "graphs": {
            "generate": {"fp32": {"file": "graph.onnx", "size": len(data), "sha256": digest}}
        },
        "interface": {
            "generate": {
                "inputs": [tensor(*fields) for fields in inputs],
                "outputs": [tensor("image", "uint8", ["batch", SIZE, SIZE, 3])],
            }
        },
        "default_precision": {"cpu": "fp32"},
        "latent": section,
        "origin": {"sha256": "0" * 64, "layout": "none", "data": [], "figures": []},
        "export": {
            "genkit": "0.1.0",
            "torch": "none",
            "opset": 20,
            "differences": {"generate": {"fp32": 0.0}},
            "tolerance": 0.0,
        },
    }
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


class EchoSession:
    """Makes pictures that say what they were made from; keeps the feeds, and may lack memory."""

    summary = "a test"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.feeds: list[Mapping[str, NDArray[Any]]] = []
        self.most = 1 << 30
        """Pictures at a time for which there is memory."""

    @property
    def batches(self) -> list[int]:
        return [len(feed["z"]) for feed in self.feeds]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        if len(feeds["z"]) > self.most:
            raise MemoryError
        self.feeds.append(feeds)
        marks = (np.abs(feeds["z"].reshape(len(feeds["z"]), -1)[:, 0]) * 50).astype(np.uint8)
        return [np.broadcast_to(marks[:, None, None, None], (len(marks), 4, 4, 3)).copy()]
