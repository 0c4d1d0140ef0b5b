"""OpenVINO: it computes convolutions in bfloat16 where the processor can, which ONNX Runtime's own
kernels cannot.

It comes as a provider for ONNX Runtime, a library of its own that is registered with it. The
provider's release 1.8 serves Intel's processors only, by a look at their vendor; on others
OpenVINO's own package is used, where it is installed. Both hold the same kernels. The module
``onnxruntime`` is passed in, for genkit.runtime.library alone imports it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from genkit.card import Card
from genkit.errors import RuntimeUnavailableError, first_line
from genkit.library_output import hushed
from genkit.once import once
from genkit.runtime import devices, library
from genkit.runtime.devices import Device
from genkit.runtime.engines.protocol import Order, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COMPLAINT",
    "CURE",
    "REOPENS",
    "Way",
    "check",
    "find_engine",
    "import_quietly",
    "open",
    "open_graph",
    "precisions",
    "status",
    "suits",
]

REOPENS = False
COMPLAINT, CURE = "OpenVINO is not used", ""
PROVIDER = "OpenVINOExecutionProvider"
PROVIDER_PACKAGE = "onnxruntime_ep_openvino"
OWN_PACKAGE = "openvino"
CONVERTER = "openvino.tools.ovc"
INSTALL = "pip install 'genkit-onnx[openvino]' for Intel's processors, openvino for others"
PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


def status() -> Status:
    """See protocol.Engine."""
    way, reason, cure = find_engine(library.onnxruntime())
    if way is None:
        return Status(False, reason, cure)
    units = {True: "has", False: "has no", None: "may have"}[devices.bfloat16_units()]
    return Status(True, f"by {way.name}; the processor {units} bfloat16 units", "")


def check(device: Device) -> None:
    """See protocol.Engine."""
    way, cause, cure = find_engine(library.onnxruntime())
    if way is None:
        raise RuntimeUnavailableError(
            f"cannot use OpenVINO: {cause}", hint=f"{cure}; or use --device cpu"
        )


def precisions(card: Card, role: str) -> tuple[str, ...]:
    """See protocol.Engine. bf16 is none on a processor without units for it."""
    found = card.precisions(role, "openvino")
    if devices.bfloat16_units() is False:
        return tuple(precision for precision in found if precision != "bf16")
    return found


def suits(card: Card, role: str, precision: str) -> tuple[bool, str]:
    """See protocol.Engine. It is taken for pictures in bfloat16, and missed by nobody."""
    wanted = precision
    if wanted == "auto":
        wanted = card.default_precision.get("openvino", "fp32")
    takes = (
        wanted == "bf16"
        and wanted in card.precisions(role, "openvino")
        and devices.bfloat16_units() is True
        and find_engine(library.onnxruntime())[0] is not None
    )
    return takes, "for pictures in bfloat16" if takes else ""


def open(order: Order) -> tuple[Any, str]:  # noqa: A001
    """See protocol.Engine. Every precision is computed from the fp32 graph."""
    path = order.model.graph(order.role, "fp32")
    return open_graph(library.onnxruntime(), path, order.settings(), order.precision)


class Way(Protocol):
    """A way to OpenVINO."""

    name: str

    def open(self, path: Path, settings: Any, config: Mapping[str, str]) -> Any:
        """A session of a graph; ``settings`` are ONNX Runtime's, ``config`` OpenVINO's."""


@dataclass(frozen=True)
class Provider:
    """OpenVINO under ONNX Runtime."""

    ort: Any
    device: Any
    name = "its provider"

    def open(self, path: Path, settings: Any, config: Mapping[str, str]) -> Any:
        options = {"load_config": json.dumps({"CPU": config})}
        settings.add_provider_for_devices([self.device], options)
        return self.ort.InferenceSession(str(path), settings)


@dataclass(frozen=True)
class Package:
    """OpenVINO by itself."""

    core: Any
    name = "its own package"

    def open(self, path: Path, settings: Any, config: Mapping[str, str]) -> Any:
        return _Compiled(self.core.compile_model(str(path), "CPU", dict(config)))


class _Compiled:
    """A compiled model of OpenVINO's, with as much of a session's methods as genkit needs."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def get_inputs(self) -> list[_Named]:
        return [_Named(port.get_any_name()) for port in self._compiled.inputs]

    def get_outputs(self) -> list[_Named]:
        return [_Named(port.get_any_name()) for port in self._compiled.outputs]

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any]) -> list[NDArray[Any]]:
        # A request of its own: two threads may run at once, and results are not overwritten.
        results = self._compiled.create_infer_request().infer(feeds)
        return [results[name] for name in outputs]


@dataclass(frozen=True)
class _Named:
    name: str


@once
def find_engine(ort: Any) -> tuple[Way | None, str, str]:
    """The way to OpenVINO on this machine; or None, why there is none, and the cure.

    The provider is registered within about 20 ms, the package is imported within 150.
    """
    reason, cure = "it is not installed", INSTALL
    for package, find in ((PROVIDER_PACKAGE, _find_provider), (OWN_PACKAGE, _find_package)):
        if find_spec(package) is None:
            continue
        try:
            with hushed():
                engine = find(ort)
        except Exception as error:  # ONNX Runtime's have no base of their own
            reason = f"{package} does not load: {first_line(error)}"
            continue
        if engine is not None:
            return engine, "", ""
        reason = "its provider serves Intel's processors only, and this is none"
        cure = f"pip install {OWN_PACKAGE}"
    return None, reason, cure


def _find_provider(ort: Any) -> Way | None:
    library = import_module(PROVIDER_PACKAGE).get_library_path()
    ort.register_execution_provider_library("OpenVINO", library)
    for device in ort.get_ep_devices():
        if device.ep_name == PROVIDER and device.ep_metadata.get("ov_device") == "CPU":
            return Provider(ort, device)
    return None


def _find_package(_: Any) -> Way:
    return Package(import_quietly().Core())


def import_quietly() -> Any:
    """The module ``openvino`` without its converter, which tells Intel over the network that it
    was imported; the module itself does without, where it is not to be had.

    Other threads can import the converter meanwhile.
    """
    if OWN_PACKAGE in sys.modules or CONVERTER in sys.modules:
        return import_module(OWN_PACKAGE)
    without = _Without(CONVERTER)
    sys.meta_path.insert(0, without)
    try:
        return import_module(OWN_PACKAGE)
    finally:
        sys.meta_path.remove(without)


class _Without:
    """An import hook by which a module is not to be had in the thread that made the hook."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = get_ident()

    def find_spec(self, name: str, *_: Any) -> None:
        if name == self._name and get_ident() == self._thread:
            raise ModuleNotFoundError(f"no module named {name!r} here", name=name)


def open_graph(ort: Any, path: Path, settings: Any, precision: str) -> tuple[Any, str]:
    """A session of an fp32 graph, computed in fp32 or bf16; or None and the reason why not.

    Takes 0.25 s for a CycleGAN generator of two million weights (one core); OpenVINO's cache of
    compiled models saves a tenth of that, and is not used. The first picture of a size takes up
    to 20 ms longer than the next, and nothing is compiled anew. A picture is the same in any
    batch; with another number of threads it can differ (by 3 levels of 255 in bf16, measured).
    """
    engine, reason, _ = find_engine(ort)
    if engine is None:
        return None, reason
    config = {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        "INFERENCE_NUM_THREADS": str(settings.intra_op_num_threads),
    }
    with hushed():
        try:
            return engine.open(path, settings, config), ""
        except Exception as error:
            return None, first_line(error)
