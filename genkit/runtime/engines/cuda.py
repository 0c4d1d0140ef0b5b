"""ONNX Runtime's CUDA provider.

What ONNX Runtime says of itself is no help in finding a GPU: its GPU build lists the CUDA
provider on a machine without one. So the driver is asked first, and afterwards the session
which provider it really has. This is tested with stand-ins for the driver and for ONNX
Runtime; none of it has run on a GPU yet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from genkit.card import Card
from genkit.errors import RuntimeUnavailableError, first_line
from genkit.library_output import hushed, owns_process
from genkit.runtime import devices, library
from genkit.runtime.devices import Device
from genkit.runtime.engines import cpu
from genkit.runtime.engines.protocol import Order, Status

__all__ = ["COMPLAINT", "CURE", "REOPENS", "check", "open", "precisions", "status", "suits"]

PROVIDER = "CUDAExecutionProvider"
REOPENS = False
COMPLAINT = "the GPU is not used"
CURE = "pip install 'genkit-onnx[cuda]' (NVIDIA's libraries, 2 GB)"
# A graph of one node, y = x, to try a provider with.
IDENTITY = bytes.fromhex(
    "080a3a370a100a017812017922084964656e746974791201675a0f0a0178120a"
    "0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001014"
)


def status() -> Status:
    """See protocol.Engine."""
    missing = _missing()
    if missing:
        return Status(False, missing, _cure())
    session, cause = _session(IDENTITY, library.settings(1, False), Device("cuda"), "fp32")
    if session is None:
        return Status(False, cause, CURE)
    return Status(True, devices.probe_driver().reason, "")


def check(device: Device) -> None:
    """See protocol.Engine."""
    missing = _missing()
    if missing:
        raise RuntimeUnavailableError(
            f"cannot use CUDA: {missing}", hint=f"{_cure()}; or use --device cpu"
        )
    count = len(devices.probe_driver().devices)
    if device.index >= count:
        raise RuntimeUnavailableError(
            f"there is no {device}: the machine has {count} GPU(s)",
            hint=f"--device cuda:0 to cuda:{count - 1}",
        )


def precisions(card: Card, role: str) -> tuple[str, ...]:
    """See protocol.Engine."""
    return card.precisions(role, "cuda")


def suits(card: Card, role: str, precision: str) -> tuple[bool, str]:
    """See protocol.Engine."""
    missing = _missing()
    return not missing, missing or devices.probe_driver().reason


def open(order: Order) -> tuple[Any, str]:  # noqa: A001
    """See protocol.Engine."""
    settings = order.settings()
    # Only a few kernels have a second, quicker form whose result varies.
    settings.use_deterministic_compute = True
    return _session(order.graph, settings, order.device, order.precision)


def _missing() -> str:
    """What stands against CUDA before a session is made; empty if nothing does."""
    driver = devices.probe_driver()
    if not driver.devices:
        return driver.reason
    if PROVIDER not in library.onnxruntime().get_available_providers():
        return "this build of ONNX Runtime has no CUDA provider"
    return ""


def _cure() -> str:
    if not devices.probe_driver().devices:
        return "install NVIDIA's driver"
    return "pip uninstall onnxruntime && pip install onnxruntime-gpu"


def _session(graph: Path | bytes, settings: Any, device: Device, precision: str) -> tuple[Any, str]:
    """A session on a GPU, or None and the reason why there is none.

    ONNX Runtime tells the reason only in its log, and its loader of NVIDIA's libraries prints
    to stdout: the command line catches both.
    """
    ort = library.onnxruntime()
    options = {
        "device_id": str(device.index),
        # The default measures every convolution anew for each image size that it meets.
        "cudnn_conv_algo_search": "HEURISTIC",
        # TF32 keeps ten bits of each factor: not what fp32 promises.
        "use_tf32": str(int(precision != "fp32")),
    }
    ours = owns_process()
    with hushed() as caught:
        if ours:
            ort.set_default_logger_severity(library.LOG_ERRORS)
        try:
            ort.preload_dlls()
            session = ort.InferenceSession(
                graph if isinstance(graph, bytes) else str(graph),
                settings,
                providers=[(PROVIDER, options), cpu.PROVIDER],
            )
        except Exception as error:
            return None, first_line(error)
        finally:
            if ours:
                ort.set_default_logger_severity(library.LOG_NOTHING)
        printed = caught()
    if PROVIDER in session.get_providers():
        return session, ""
    match = re.search(r"with error: (.+)", printed) or re.search(r"(Failed to load .+)", printed)
    silent = "ONNX Runtime does not say why" if ours else "'genkit info' tells why"
    return None, match[1].strip() if match else silent
