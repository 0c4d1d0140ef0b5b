"""The table of engines: what can run a graph, and what ``--device`` calls it.

An engine is a module with the functions of `protocol.Engine`. It is imported when it is asked
for: the command line and the cards read this table alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from genkit.runtime.engines import cpu, cuda, openvino
    from genkit.runtime.engines.protocol import Engine

    # Each of the modules is an engine.
    _CPU: Engine = cpu
    _CUDA: Engine = cuda
    _OPENVINO: Engine = openvino

__all__ = ["AUTO", "ENGINES", "EngineRow", "engine", "spellings"]


@dataclass(frozen=True)
class EngineRow:
    """What is known of an engine before it is imported."""

    title: str
    module: str
    numbered: bool = False
    """Whether there can be several such devices: ``cuda:1``."""
    optional: bool = False
    """Whether nobody has to miss it where it is not."""
    auto: str = ""
    """What ``--device auto`` takes it for."""
    needs: str = ""
    """What a precision needs that is computed by this engine, and has no file."""


ENGINES: Mapping[str, EngineRow] = {
    "cpu": EngineRow("the CPU", "genkit.runtime.engines.cpu"),
    "cuda": EngineRow(
        "CUDA", "genkit.runtime.engines.cuda", numbered=True, auto="a GPU if there is one"
    ),
    "openvino": EngineRow(
        "OpenVINO",
        "genkit.runtime.engines.openvino",
        optional=True,
        auto="OpenVINO for pictures where it computes in bfloat16",
        needs="OpenVINO and a processor with bfloat16 units",
    ),
}
"""Kind of device -> the engine for it."""
AUTO = ("cuda", "openvino", "cpu")
"""In this order ``--device auto`` tries them; the last one takes everything."""


def engine(kind: str) -> Engine:
    """The engine for a kind of device."""
    return cast("Engine", import_module(ENGINES[kind].module))


def spellings(form: str) -> Iterator[str]:
    """What ``--device`` can be; ``form`` is that of a device which may be numbered: ``{}[:N]``."""
    yield "auto"
    for kind, row in ENGINES.items():
        yield form.format(kind) if row.numbered else kind
