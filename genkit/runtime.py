"""Devices, providers and sessions: the only module that imports ONNX Runtime.

What ONNX Runtime says of itself is no help in finding a GPU: its GPU build lists the CUDA
provider on a machine without one. So the driver is asked first, and afterwards the session
which provider it really has. The CUDA parts are tested with stand-ins for the driver and for
ONNX Runtime; none of them has run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from genkit.errors import ModelError, RuntimeUnavailableError, UsageError
from genkit.model import PRECISIONS, Card, Model
from genkit.streams import captured_output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Device",
    "Driver",
    "RuntimeOptions",
    "Session",
    "choose_precision",
    "default_threads",
    "onnxruntime",
    "open_session",
    "parse_device",
    "probe_driver",
]

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
INSTALL_CUDA = "pip install 'genkit-onnx[cuda]' (NVIDIA's libraries, 2 GB), or use --device cpu"
# The severities of ONNX Runtime's default logger. Its own setting per session does not
# silence the providers.
LOG_ERRORS, LOG_NOTHING = 3, 4


@dataclass(frozen=True)
class RuntimeOptions:
    """Where and how to run: what --device, --precision and --threads say."""

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Device:
    """A place to run: ``cpu``, or ``cuda:0`` and so on."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


CPU = Device("cpu")


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says: the names of its devices, or why it has none."""

    devices: tuple[str, ...]
    reason: str


class Session:
    """A graph that is ready to run."""

    def __init__(
        self, session: Any, *, device: Device, precision: str, threads: int, reason: str
    ) -> None:
        self._session = session
        self.device = str(device)
        self.precision = precision
        self.threads = threads
        self.reason = reason
        """Why it runs on this device, for a person at -v."""
        self.inputs: tuple[str, ...] = tuple(spec.name for spec in session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(spec.name for spec in session.get_outputs())

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[np.ndarray[Any, Any]]:
        """Run the graph; returns the named outputs, or all of them, in order."""
        wanted = self.outputs if outputs is None else outputs
        result: list[np.ndarray[Any, Any]] = self._session.run(list(wanted), dict(feeds))
        return result


def open_session(
    model: Model,
    role: str,
    options: RuntimeOptions,
    *,
    spinning: bool = True,
    threads: int | None = None,
) -> Session:
    """Make a session of one of the model's graphs.

    ``spinning`` keeps threads awake between runs: quicker while there is work, a waste of a
    core while waiting for a pipe. ``threads`` overrides those of the options, for a caller
    that runs several sessions side by side.

    Raises UsageError for a device or precision that makes no sense, RuntimeUnavailableError
    when CUDA was asked for and is not to be had, ModelError for a graph that does not load.
    """
    count = threads or options.threads or default_threads()
    device, reason = _choose_device(options.device)

    def make(device: Device) -> tuple[Any, str, str]:
        precision = choose_precision(model.card, role, device.kind, options.precision)
        session, printed = _create(model, role, precision, device, count, spinning)
        return session, precision, printed

    session, precision, printed = make(device)
    if device.kind == "cuda" and CUDA_PROVIDER not in session.get_providers():
        cause = f"the CUDA provider does not load: {_cause(printed)}"
        if options.device != "auto":
            raise RuntimeUnavailableError(cause, hint=INSTALL_CUDA)
        warnings.warn(f"not using the GPU: {cause}. {INSTALL_CUDA}", RuntimeWarning, stacklevel=2)
        device, reason = CPU, cause
        session, precision, _ = make(device)
    return Session(session, device=device, precision=precision, threads=count, reason=reason)


def parse_device(text: str) -> Device | None:
    """What ``--device`` names; None for ``auto``. Raises UsageError."""
    if text == "auto":
        return None
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", text)
    if match is None:
        raise UsageError(f"unknown device {text!r}", hint="one of: auto, cpu, cuda, cuda:N")
    return CPU if text == "cpu" else Device("cuda", int(match[1] or 0))


def choose_precision(card: Card, role: str, kind: str, asked: str) -> str:
    """The precision to run a role's graph in, on a kind of device.

    ``auto`` takes what the card was measured to be best with, or full precision where the
    card names none for this device. Raises UsageError for a precision that the model lacks.
    """
    available = card.graph_files(role)
    if asked == "auto":
        preferred = (card.default_precision.get(kind), "fp32", *available)
        return next(precision for precision in preferred if precision in available)
    if asked not in available:
        known = asked in PRECISIONS
        raise UsageError(
            f"{card.name} has no {asked} graph" if known else f"unknown precision {asked!r}",
            hint=f"{card.name} has: auto, {', '.join(available)}",
        )
    return asked


def default_threads() -> int:
    """How many processors this process may use.

    ONNX Runtime counts those of the machine, which is too many under taskset or in a batch
    job that owns a part of it.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def probe_driver() -> Driver:
    """Ask NVIDIA's driver for its devices: a fraction of a millisecond where there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(name)
    except OSError:
        return Driver((), f"there is no NVIDIA driver ({name} is not found)")
    count = ctypes.c_int()
    status = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        # 100 is CUDA_ERROR_NO_DEVICE, also the answer to an empty CUDA_VISIBLE_DEVICES.
        what = "finds no device" if status in (0, 100) else f"does not start (error {status})"
        return Driver((), f"the NVIDIA driver {what}")
    names = []
    for index in range(count.value):
        buffer = ctypes.create_string_buffer(256)
        cuda.cuDeviceGetName(buffer, len(buffer), index)
        names.append(buffer.value.decode(errors="replace"))
    return Driver(tuple(names), f"the NVIDIA driver has {len(names)} device(s)")


@cache
def onnxruntime() -> Any:
    """The module ``onnxruntime``, silenced. Raises RuntimeUnavailableError with the cure."""
    try:
        # Some releases print about GPUs that they cannot find while they are imported.
        with captured_output():
            import onnxruntime as module
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise RuntimeUnavailableError(
            "ONNX Runtime is not installed", hint="pip install genkit-onnx"
        ) from error
    except ImportError as error:  # a library that it needs, or two of its builds in one place
        raise RuntimeUnavailableError(
            f"ONNX Runtime does not load: {error}", hint="genkit info tells which builds are there"
        ) from error
    module.set_default_logger_severity(LOG_NOTHING)
    return module


def _choose_device(asked: str) -> tuple[Device, str]:
    """The device that ``--device`` comes to on this machine, and why."""
    wanted = parse_device(asked)
    if wanted == CPU:
        return CPU, "asked for"
    missing = _why_no_cuda()
    if wanted is None:
        return (CPU, missing) if missing else (Device("cuda"), probe_driver().reason)
    if missing:
        raise RuntimeUnavailableError(f"cannot use CUDA: {missing}", hint=_cure())
    count = len(probe_driver().devices)
    if wanted.index >= count:
        raise RuntimeUnavailableError(
            f"there is no {wanted}: the machine has {count} GPU(s)",
            hint=f"--device cuda:0 to cuda:{count - 1}",
        )
    return wanted, "asked for"


def _why_no_cuda() -> str:
    """What stands against CUDA before a session is made; empty if nothing does."""
    driver = probe_driver()
    if not driver.devices:
        return driver.reason
    if CUDA_PROVIDER not in onnxruntime().get_available_providers():
        return "this build of ONNX Runtime has no CUDA provider"
    return ""


def _cure() -> str:
    if not probe_driver().devices:
        return "install NVIDIA's driver, or use --device cpu; genkit info tells what is there"
    return "pip uninstall onnxruntime && pip install onnxruntime-gpu, or use --device cpu"


def _create(
    model: Model, role: str, precision: str, device: Device, threads: int, spinning: bool
) -> tuple[Any, str]:
    """Make a session; returns it with whatever the libraries printed meanwhile."""
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = LOG_NOTHING
    # Numbers too small to matter slow a badly scaled model down eightfold.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    path = model.graph(role, precision)
    arguments: dict[str, Any] = {}
    if device.kind == "cuda":
        options.use_deterministic_compute = True
        arguments["providers"] = [(CUDA_PROVIDER, _cuda_options(device, precision)), CPU_PROVIDER]
    else:
        arguments["providers"] = [CPU_PROVIDER]
        if model.card.text is not None:
            # SkipLayerNormalization: 147 us at 256 rows, Add and LayerNormalization 19 us.
            arguments["disabled_optimizers"] = ["SkipLayerNormFusion"]
    try:
        if device.kind != "cuda":
            return ort.InferenceSession(str(path), options, **arguments), ""
        with captured_output() as caught:
            ort.set_default_logger_severity(LOG_ERRORS)  # the reason of a failure is a log line
            try:
                ort.preload_dlls()
                session = ort.InferenceSession(str(path), options, **arguments)
            finally:
                ort.set_default_logger_severity(LOG_NOTHING)
            return session, caught()
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path} does not load: {first_line}", hint=f"genkit models verify {model.path}"
        ) from error


def _cuda_options(device: Device, precision: str) -> dict[str, str]:
    return {
        "device_id": str(device.index),
        # The default measures every convolution anew for each image size that it meets.
        "cudnn_conv_algo_search": "HEURISTIC",
        # TF32 keeps ten bits of each factor: not what fp32 promises.
        "use_tf32": str(int(precision != "fp32")),
    }


def _cause(printed: str) -> str:
    """The reason in what ONNX Runtime logged about a provider that did not load."""
    match = re.search(r"with error: (.+)", printed) or re.search(r"(Failed to load .+)", printed)
    if match:
        return match[1].strip()
    return "ONNX Runtime does not say why"
