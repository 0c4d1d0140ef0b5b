"""A stand-in for a translation model: it "translates" a text into capital letters.

Its tokeniser knows the letters, a few marks and, as bytes, everything else; its graph has the
interface of a real one, takes all the settings, and ignores most of them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

EOS, PAD = 0, 1
MAX_POSITIONS = 64
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TOKENS = ["</s>", "<pad>", *BYTES, "▁", *"0123456789.,;:!?'-", *ascii_lowercase, *ascii_uppercase]
IDS = {token: i for i, token in enumerate(TOKENS)}
SHOUT = np.array([IDS.get(t.upper(), i) for i, t in enumerate(TOKENS)])
"""Token -> its capital."""
COPY = np.arange(len(TOKENS))
"""Token -> itself."""

INPUTS: dict[str, tuple[str, list[int | str]]] = {
    "input_ids": ("int64", ["batch", "source"]),
    "prefix_ids": ("int64", ["batch", "prefix"]),
    "beam_size": ("int64", []),
    "length_penalty": ("float32", []),
    "early_stopping": ("bool", []),
    "min_length": ("int64", []),
    "max_length": ("int64", ["batch"]),
    "repetition_penalty": ("float32", []),
    "no_repeat_ngram_size": ("int64", []),
    "return_scores": ("bool", []),
}
OUTPUTS: dict[str, tuple[str, list[int | str]]] = {
    "tokens": ("int64", ["batch", "beam_size", "target"]),
    "scores": ("float32", ["batch", "beam_size"]),
}


def tokenizer() -> Tokenizer:
    """A token a character, UTF-8 bytes where there is none, ``</s>`` at the end."""
    backend = Tokenizer(models.BPE(IDS, [], byte_fallback=True))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    backend.add_special_tokens(["</s>", "<pad>"])
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", EOS)]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return backend


def graph(table: NDArray[Any] = SHOUT) -> bytes:
    """tokens[i, j] = table[input_ids[i]] and scores[i, j] = -1 for every j of the beam."""
    from onnx import TensorProto, helper, numpy_helper

    types = {
        "int64": TensorProto.INT64,
        "float32": TensorProto.FLOAT,
        "bool": TensorProto.BOOL,
    }

    def values(table: dict[str, tuple[str, list[int | str]]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, types[dtype], shape)
            for name, (dtype, shape) in table.items()
        ]

    constants = {
        "shout": table,
        "one": np.array([1]),
        "zero": np.array([0]),
        "minus": np.array([-1], np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Gather", ["shout", "input_ids"], ["shouted"]),
        node("Unsqueeze", ["shouted", "one"], ["one_beam"]),
        node("Unsqueeze", ["beam_size", "zero"], ["beams"]),
        node("Concat", ["one", "beams", "one"], ["shape"], axis=0),
        node("Expand", ["one_beam", "shape"], ["tokens"]),
        node("Shape", ["input_ids"], ["batch"], end=1),
        node("Concat", ["batch", "beams"], ["score_shape"], axis=0),
        node("Expand", ["minus", "score_shape"], ["scores"]),
    ]
    body = helper.make_graph(
        nodes,
        "shout",
        values(INPUTS),
        values(OUTPUTS),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def write_model(
    folder: Path, name: str = "shout", *, table: NDArray[Any] = SHOUT, **text: Any
) -> Path:
    """Write a model folder; ``table`` has the token that each becomes, and ``text`` changes fields
    of the card's text section."""
    folder.mkdir(parents=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    data = graph(table)
    (folder / "shout.onnx").write_bytes(data)

    def interface(table: dict[str, tuple[str, list[int | str]]]) -> list[dict[str, Any]]:
        return [
            {"name": name, "dtype": dtype, "shape": shape, "description": name}
            for name, (dtype, shape) in table.items()
        ]

    digest = hashlib.sha256(data).hexdigest()
    card = {
        "format": 1,
        "task": "translate",
        "name": name,
        "architecture": "none",
        "description": "Turns English into loud English.",
        "license": "CC0-1.0",
        "tags": [],
        "graphs": {
            "translate": {"fp32": {"file": "shout.onnx", "size": len(data), "sha256": digest}}
        },
        "interface": {"translate": {"inputs": interface(INPUTS), "outputs": interface(OUTPUTS)}},
        "default_precision": {"cpu": "fp32"},
        "text": {
            "tokenizer": {"source": "tokenizer.json"},
            "languages": {"source": ["en"], "target": ["loud"]},
            "decoder_start_id": PAD,
            "eos_id": EOS,
            "pad_id": PAD,
            "max_positions": MAX_POSITIONS,
            **text,
        },
        "origin": {"sha256": "0" * 64, "layout": "none", "data": [], "figures": []},
        "export": {
            "genkit": "0.1.0",
            "torch": "none",
            "opset": 20,
            "differences": {"translate": {"fp32": 0.0}},
            "tolerance": 0.0,
        },
    }
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


Feeds = Mapping[str, NDArray[Any]]


class ShoutingSession:
    """Shouts as the graph does, and obeys the prefix and the max length. Hypothesis j ends with j exclamation marks and scores -(tokens + j) / 10.

    A sentence with a question mark never ends. Keeps the feeds of every run.
    """

    device = "cpu"
    precision = "fp32"
    reason = "a test"

    def __init__(self) -> None:
        self.feeds: list[Feeds] = []
        self.error: Exception | None = None
        """What to raise instead."""
        self.together = 1
        """How many runs have to be under way before one ends."""
        self._under_way = threading.Condition()

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        assert outputs == ["tokens", "scores"]
        with self._under_way:
            self.feeds.append(feeds)
            self._under_way.notify_all()
            self._under_way.wait_for(lambda: len(self.feeds) >= self.together)
        if self.error is not None:
            raise self.error
        beam = int(feeds["beam_size"])
        rows, scores = [], []
        for source, prefix, most in zip(
            feeds["input_ids"], feeds["prefix_ids"], feeds["max_length"], strict=True
        ):
            words = [i for i in source.tolist() if i != PAD]
            assert words[-1] == EOS
            forced = [i for i in prefix.tolist() if i != PAD]
            shouted = [*forced, *SHOUT[words[:-1]].tolist()]
            for j in range(beam):
                ids = [*shouted, *[IDS["!"]] * j, EOS]
                if IDS["?"] in words:
                    ids = [*shouted, *[IDS["?"]] * MAX_POSITIONS]
                rows.append(ids[: int(most)])
                scores.append(-(len(words) + j) / 10 if feeds["return_scores"] else 0.0)
        width = max(map(len, rows))
        padded = [[*row, *[PAD] * (width - len(row))] for row in rows]
        count = len(feeds["input_ids"])
        return [
            np.array(padded).reshape(count, beam, width),
            np.array(scores, np.float32).reshape(count, beam),
        ]
