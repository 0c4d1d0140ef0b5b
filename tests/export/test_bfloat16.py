"""bf16 in the card: offered where it was measured and is close, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genkit_export import bfloat16
from genkit_export.bfloat16 import offer_bf16
from genkit_export.folder import Exported

EXPORTED = Exported(
    graphs={"generate": {"fp32": "g.onnx"}},
    meanings={},
    differences={"generate": {"fp32": 1e-6}},
    tolerance=1e-4,
    default_precision={"cpu": "fp32"},
)


class Negative(nn.Module):
    """255 - image, and half a level more before it is rounded."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return 255.4 - image.float(), 255 - image


def make_inputs(batch: int, height: int, width: int) -> dict[str, Tensor]:
    return {"image": torch.full((batch, height, width, 3), 100, dtype=torch.uint8)}


Offer = Callable[..., tuple[Exported, str]]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Offer bf16 on a machine where it is some levels off, or cannot be measured."""

    def offer(
        levels: int = 5, units: bool | None = True, reason: str = "", breaks: str = ""
    ) -> tuple[Exported, str]:
        def run(outputs: Any, feeds: Any) -> Any:
            assert outputs == ["result"]
            if breaks:
                raise RuntimeError(breaks)
            return [155 + levels * (feeds["image"] == 100)]

        def open_graph(ort: Any, path: Path, settings: Any, precision: str) -> Any:
            assert (path, precision) == (Path("folder/g.onnx"), "bf16")
            return (None, reason) if reason else (SimpleNamespace(run=run), "")

        monkeypatch.setattr(bfloat16, "open_graph", open_graph)
        monkeypatch.setattr(bfloat16, "bfloat16_units", lambda: units)
        said: list[str] = []
        shapes = [(1, 2, 3), (2, 4, 4)]
        offered = offer_bf16(
            EXPORTED, "generate", Negative(), Path("folder"), make_inputs, shapes, 0.05,
            said.append,
        )  # fmt: skip
        return offered, said[0]

    return offer


def test_it_is_offered_where_pictures_are_close(offer: Offer) -> None:
    offered, said = offer()
    difference = pytest.approx(4.6 / 255, rel=1e-5)  # 160 for 155.4
    assert offered == replace(
        EXPORTED,
        differences={"generate": {"fp32": 1e-6, "bf16": difference}},
        tolerances={"bf16": 0.05},
        default_precision={"cpu": "fp32", "openvino": "bf16"},
    )
    assert said == "g.onnx: in bf16 pixels differ from PyTorch's by at most 1.8e-02"


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ({"levels": 14}, "at most 5.3e-02; it is not offered, for 5e-02 is allowed"),
        ({"units": False}, "not offered: this processor is not known to have bfloat16 units"),
        ({"units": None}, "not offered: this processor is not known to have bfloat16 units"),
        ({"breaks": "no such\nat 0"}, "not offered: OpenVINO cannot run it: no such"),
        ({"reason": "it is old"}, "not offered: OpenVINO cannot be used: it is old"),
    ],
)
def test_it_is_not_offered_otherwise_and_the_export_goes_on(
    offer: Offer, description: Any, reason: str
) -> None:
    offered, said = offer(**description)
    assert offered == EXPORTED
    assert said.endswith(reason)
