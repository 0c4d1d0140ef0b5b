"""Stand-ins for models of pictures: they make a negative, of the picture or of its hole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLES = {"cyclegan": "generate", "inpaint": "inpaint"}
CHANNELS = {"image": 3, "mask": 1, "result": 3}
INPUTS = {"cyclegan": ["image"], "inpaint": ["image", "mask"]}
NO_RESIZE = {"mode": "none"}
PAD = {"multiple": 8, "mode": "reflect", "side": "both"}


def graph(task: str) -> bytes:
    """result = 255 - image, where the mask is not 0 if there is one."""
    from onnx import TensorProto, helper

    def value(name: str) -> Any:
        shape = ["batch", "height", "width", CHANNELS[name]]
        return helper.make_tensor_value_info(name, TensorProto.UINT8, shape)

    node = helper.make_node
    if task == "cyclegan":
        nodes = [node("BitwiseNot", ["image"], ["result"])]
    else:
        nodes = [
            node("BitwiseNot", ["image"], ["negative"]),
            node("Cast", ["mask"], ["hole"], to=TensorProto.BOOL),
            node("Where", ["hole", "negative", "image"], ["result"]),
        ]
    body = helper.make_graph(nodes, task, [value(n) for n in INPUTS[task]], [value("result")])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def convolutions() -> bytes:
    """A graph for ``cyclegan`` of three random convolutions: work for a provider."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    node, weights = helper.make_node, []
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Div", ["float", "white"], ["x0"]),
        node("Transpose", ["x0"], ["y0"], perm=[0, 3, 1, 2]),
    ]
    for i, (given, made) in enumerate([(3, 32), (32, 32), (32, 3)]):
        kernel = random.normal(0, (9 * given) ** -0.5, (made, given, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{i}"))
        nodes.append(node("Conv", [f"y{i}", f"kernel{i}"], [f"y{i + 1}"], pads=[1] * 4))
    nodes += [
        node("Transpose", ["y3"], ["z"], perm=[0, 2, 3, 1]),
        node("Sigmoid", ["z"], ["share"]),
        node("Mul", ["share", "white"], ["level"]),
        node("Round", ["level"], ["rounded"]),
        node("Cast", ["rounded"], ["result"], to=TensorProto.UINT8),
    ]
    weights.append(numpy_helper.from_array(np.float32(255), "white"))

    def value(name: str) -> Any:
        shape = ["batch", "height", "width", CHANNELS[name]]
        return helper.make_tensor_value_info(name, TensorProto.UINT8, shape)

    body = helper.make_graph(nodes, "convolutions", [value("image")], [value("result")], weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def write_model(folder: Path, task: str, data: bytes | None = None, **image: Any) -> Path:
    """Write a model folder, of the graph that makes a negative or of another; ``image`` changes
    fields of the card's image section.
    """
    folder.mkdir(parents=True)
    role = ROLES[task]
    data = data or graph(task)
    (folder / "graph.onnx").write_bytes(data)

    def interface(names: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "dtype": "uint8",
                "shape": ["batch", "height", "width", CHANNELS[name]],
                "description": name,
            }
            for name in names
        ]

    digest = hashlib.sha256(data).hexdigest()
    card = {
        "format": 1,
        "task": task,
        "name": folder.name,
        "architecture": "none",
        "description": "Makes a negative.",
        "license": "CC0-1.0",
        "tags": [],
        "graphs": {role: {"fp32": {"file": "graph.onnx", "size": len(data), "sha256": digest}}},
        "interface": {role: {"inputs": interface(INPUTS[task]), "outputs": interface(["result"])}},
        "default_precision": {"cpu": "fp32"},
        "image": {"resize": NO_RESIZE, "pad": PAD, **image},
        "origin": {"sha256": "0" * 64, "layout": "none", "data": [], "figures": []},
        "export": {
            "genkit": "0.1.0",
            "torch": "none",
            "opset": 20,
            "differences": {role: {"fp32": 0.0}},
            "tolerance": 0.0,
        },
    }
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


class NegativeSession:
    """Does what the graph does; keeps the feeds, and runs out of memory above a size."""

    summary = "cpu (a test), fp32, 1 thread(s)"

    def __init__(self) -> None:
        self.feeds: list[Mapping[str, NDArray[Any]]] = []
        self.most = 1 << 40
        """Pixels of a picture for which there is memory."""
        self.released: list[Mapping[str, NDArray[Any]]] = []

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """Height and width of the picture of each run."""
        return [feed["image"].shape[1:3] for feed in self.feeds]

    def release(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        self.released.append(feeds)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        image = feeds["image"]
        if image.shape[1] * image.shape[2] > self.most:
            raise MemoryError
        self.feeds.append(feeds)
        if "mask" in feeds:
            return [np.where(feeds["mask"] > 127, 255 - image, image)]
        return [255 - image]
