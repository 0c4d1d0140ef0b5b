"""A stand-in for a classifier: it tells red, green and blue pictures apart, and looks at light."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folders
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = ["red", "green", "blue"]
SIZE = 8
"""Height and width of what it sees."""
PATCH = 4
SHARPNESS = 8
RESIZE = {
    "mode": "shortest_edge",
    "size": [SIZE, SIZE],
    "interpolation": "bicubic",
    "antialias": True,
    "crop_pct": 1.0,
}


def probabilities(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the graph computes: softmax of the mean colours; (N, H, W, 3) -> (N, 3)."""
    logits = image.astype(np.float32).mean((1, 2)) * np.float32(SHARPNESS / 255)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
    return result


def graph(role: str, size: int | None) -> bytes:
    """The graph of a role, for pictures of one size or of any."""
    from onnx import TensorProto, helper

    node, side = helper.make_node, size or "side"
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", side, side, 3])
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        for name, values in {"plane": [1, 2], "channel": [3], "first": [1]}.items()
    ]
    constants.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [SHARPNESS / 255]))
    cast = node("Cast", ["image"], ["values"], to=TensorProto.FLOAT)
    if role == "classify":
        nodes = [
            cast,
            node("ReduceMean", ["values", "plane"], ["means"], keepdims=0),
            node("Mul", ["means", "scale"], ["logits"]),
            node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
        name, shape = "probabilities", ["batch", len(LABELS)]
    else:
        nodes = [
            cast,
            node("ReduceMean", ["values", "channel"], ["light"], keepdims=0),
            node("Unsqueeze", ["light", "first"], ["map"]),
            node("AveragePool", ["map"], ["pooled"], kernel_shape=[PATCH] * 2, strides=[PATCH] * 2),
            node("Squeeze", ["pooled", "first"], ["rollout"]),
        ]
        name, shape = "rollout", ["batch", "rows", "columns"]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    body = helper.make_graph(nodes, role, [image], [output], constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def write_model(
    folder: Path,
    *,
    attention: bool = True,
    resize: Mapping[str, Any] = RESIZE,
    labels: Sequence[str] = LABELS,
) -> Path:
    """Write a model folder: the fixture card, with graphs that run."""
    folder.mkdir(parents=True)
    roles = ["classify", "attention"] if attention else ["classify"]
    card = folders.card("classify")
    for section in (card["graphs"], card["interface"], card["export"]["differences"]):
        for role in set(section) - set(roles):
            del section[role]
    for role in roles:
        data = graph(role, resize["size"][0] if "size" in resize else None)
        file = f"{role}.fp32.onnx"
        (folder / file).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        card["graphs"][role] = {"fp32": {"file": file, "size": len(data), "sha256": digest}}
        card["export"]["differences"][role] = {"fp32": 0.0}
    card["name"] = folder.name
    card["default_precision"] = {"cpu": "fp32"}
    card["image"] = {"resize": dict(resize), "labels": list(labels)}
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


class ColourSession:
    """Does what the graphs do; keeps the sizes of batches, and runs out of memory above one."""

    summary = "cpu (a test), fp32, 1 thread(s)"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.most = 1 << 30
        """Pictures of a batch for which there is memory."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        image = feeds["image"]
        if len(image) > self.most:
            raise MemoryError
        self.batches.append(len(image))
        return [probabilities(image)]
