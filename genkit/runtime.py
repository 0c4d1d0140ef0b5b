"""Devices, providers and sessions: the only module that imports ONNX Runtime.

On the processor there are two providers: ONNX Runtime's own (cpu), and OpenVINO's, which
is taken for pictures where it computes in bfloat16 (genkit.openvino).

What ONNX Runtime says of itself is no help in finding a GPU: its GPU build lists the CUDA
provider on a machine without one. So the driver is asked first, and afterwards the session
which provider it really has. The CUDA parts are tested with stand-ins for the driver and for
ONNX Runtime; none of them has run on a GPU yet.
"""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genkit.card import PRECISIONS, Card
from genkit.devices import (
    CPU,
    OPENVINO,
    Device,
    bfloat16_units,
    default_threads,
    parse_device,
    probe_driver,
)
from genkit.errors import (
    GenkitWarning,
    ModelError,
    RuntimeUnavailableError,
    UsageError,
    first_line,
)
from genkit.library_output import hushed, owns_process
from genkit.model import Model
from genkit.once import once
from genkit.openvino import find_engine, open_graph
from genkit.session import Session

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "RuntimeOptions",
    "Session",
    "choose_precision",
    "cuda_status",
    "onnxruntime",
    "open_file",
    "open_session",
    "openvino_status",
]

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
INSTALL_CUDA = "pip install 'genkit-onnx[cuda]' (NVIDIA's libraries, 2 GB)"
MOST_THREADS = 1024
OR_CPU = "; or use --device cpu"
# The severities of ONNX Runtime's default logger. Its own setting per session does not
# silence the providers.
LOG_ERRORS, LOG_NOTHING = 3, 4
# A graph of one node, y = x, to try a provider with.
IDENTITY = bytes.fromhex(
    "080a3a370a100a017812017922084964656e746974791201675a0f0a0178120a"
    "0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001014"
)


@dataclass(frozen=True)
class RuntimeOptions:
    """Where and how to run: what --device, --precision and --threads say. Raises UsageError."""

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise UsageError(f"there are 1 to {MOST_THREADS} threads, not {self.threads}")


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
    when CUDA or OpenVINO was asked for and is not to be had, ModelError for a graph that does
    not load.
    """
    count = threads or options.threads or default_threads()
    device, reason = _choose_device(options.device)
    if device.kind == "cuda":
        precision = choose_precision(model.card, role, "cuda", options.precision)
        settings = _settings(count, spinning)
        # Only a few kernels have a second, quicker form whose result varies.
        settings.use_deterministic_compute = True
        session, cause = _cuda_session(model.graph(role, precision), settings, device, precision)
        if session is not None:
            return Session(session, device, precision, count, reason)
        if options.device != "auto":
            raise RuntimeUnavailableError(f"cannot use CUDA: {cause}", hint=INSTALL_CUDA + OR_CPU)
        warnings.warn(
            f"the GPU is not used: {cause}; {INSTALL_CUDA}{OR_CPU}", GenkitWarning, stacklevel=2
        )
        reason = cause
    if device == OPENVINO or _takes_openvino(model.card, role, options):
        precision = choose_precision(model.card, role, "openvino", options.precision)
        settings = _settings(count, spinning)
        session, cause = open_graph(onnxruntime(), model.graph(role, "fp32"), settings, precision)
        if session is not None:
            why = reason if device == OPENVINO else "for pictures in bfloat16"
            return Session(session, OPENVINO, precision, count, why)
        if options.device != "auto":
            raise RuntimeUnavailableError(f"cannot use OpenVINO: {cause}", hint="use --device cpu")
        warnings.warn(f"OpenVINO is not used: {cause}", GenkitWarning, stacklevel=2)
    precision = choose_precision(model.card, role, "cpu", options.precision)
    open_one = partial(_cpu_session, model, role, precision, count, spinning)
    return Session(open_one(), CPU, precision, count, reason, reopen=open_one)


def open_file(path: Path, *, text: bool) -> Any:
    """ONNX Runtime's own session of a graph file, on the CPU and under the settings that every run
    has there: for an export, which is to compare what will run.
    """
    return _load(path, _settings(default_threads(), False), text=text)


def cuda_status() -> tuple[bool, str, str]:
    """Whether CUDA can be used here, why (not), and what to do about it. For ``genkit info``."""
    missing = _why_no_cuda()
    if missing:
        return False, missing, _cure()
    session, cause = _cuda_session(IDENTITY, _settings(1, False), Device("cuda"), "fp32")
    if session is None:
        return False, cause, INSTALL_CUDA
    return True, probe_driver().reason, ""


def openvino_status() -> tuple[bool, str, str]:
    """Whether OpenVINO can be used here, why (not), and what to do about it."""
    engine, reason, cure = find_engine(onnxruntime())
    if engine is None:
        return False, reason, cure
    units = {True: "has", False: "has no", None: "may have"}[bfloat16_units()]
    return True, f"by {engine.name}; the processor {units} bfloat16 units", ""


def choose_precision(card: Card, role: str, kind: str, asked: str) -> str:
    """The precision to run a role's graph in, on a kind of device.

    ``auto`` takes what the card was measured to be best with, or full precision where the
    card names none for this device. Raises UsageError for a precision that the model or the
    device lacks.
    """
    available = card.precisions(role, kind)
    if not available:
        raise UsageError(f"{card.name} is not for OpenVINO", hint="add --device cpu")
    if kind == "openvino" and bfloat16_units() is False:
        available = tuple(precision for precision in available if precision != "bf16")
    if asked == "auto":
        preferred = (card.default_precision.get(kind, "fp32"), "fp32", *available)
        return next(precision for precision in preferred if precision in available)
    if asked not in available:
        if asked not in PRECISIONS:
            problem = f"unknown precision {asked!r}"
        elif asked in card.precisions(role, "openvino"):
            problem = f"{asked} needs OpenVINO and a processor with bfloat16 units"
        else:
            problem = f"{card.name} has no {asked} graph"
        raise UsageError(problem, hint=f"{card.name} has: auto, {', '.join(available)}")
    return asked


@once
def onnxruntime() -> Any:
    """The module ``onnxruntime``, silenced. Raises RuntimeUnavailableError with the cure.

    A program that had imported it before keeps its own setting for what is logged.
    """
    ours = owns_process() or "onnxruntime" not in sys.modules
    try:
        # Some releases print about GPUs that they cannot find while they are imported.
        with hushed():
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
    if ours:
        module.set_default_logger_severity(LOG_NOTHING)
    # For a program that imported it before genkit could turn that off (see genkit/__init__.py).
    getattr(module, "disable_telemetry_events", lambda: None)()
    return module


def _choose_device(asked: str) -> tuple[Device, str]:
    """The device that ``--device`` comes to on this machine, and why."""
    wanted = parse_device(asked)
    if wanted == CPU:
        return CPU, "asked for"
    if wanted == OPENVINO:
        engine, cause, cure = find_engine(onnxruntime())
        if engine is None:
            raise RuntimeUnavailableError(f"cannot use OpenVINO: {cause}", hint=cure + OR_CPU)
        return OPENVINO, "asked for"
    missing = _why_no_cuda()
    if wanted is None:
        return (CPU, missing) if missing else (Device("cuda"), probe_driver().reason)
    if missing:
        raise RuntimeUnavailableError(f"cannot use CUDA: {missing}", hint=_cure() + OR_CPU)
    count = len(probe_driver().devices)
    if wanted.index >= count:
        raise RuntimeUnavailableError(
            f"there is no {wanted}: the machine has {count} GPU(s)",
            hint=f"--device cuda:0 to cuda:{count - 1}",
        )
    return wanted, "asked for"


def _takes_openvino(card: Card, role: str, options: RuntimeOptions) -> bool:
    """Whether ``--device auto`` takes OpenVINO instead of the CPU: for pictures in bfloat16."""
    wanted = options.precision
    if wanted == "auto":
        wanted = card.default_precision.get("openvino", "fp32")
    return (
        options.device == "auto"
        and wanted == "bf16"
        and wanted in card.precisions(role, "openvino")
        and bfloat16_units() is True
        and find_engine(onnxruntime())[0] is not None
    )


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
        return "install NVIDIA's driver"
    return "pip uninstall onnxruntime && pip install onnxruntime-gpu"


def _settings(threads: int, spinning: bool) -> Any:
    """The settings that all sessions share, as ONNX Runtime's SessionOptions."""
    ort = onnxruntime()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = LOG_NOTHING
    # Numbers too small to matter slow a badly scaled model down eightfold.
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return settings


def _cpu_session(model: Model, role: str, precision: str, threads: int, spinning: bool) -> Any:
    settings = _settings(threads, spinning)
    path = model.graph(role, precision)
    try:
        return _load(path, settings, text=model.card.text is not None)
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise ModelError(
            f"{path} does not load: {first_line(error)}", hint=f"genkit models verify {model.path}"
        ) from error


def _load(path: Path, settings: Any, *, text: bool) -> Any:
    # SkipLayerNormalization takes 147 us at 256 rows; Add and LayerNormalization take 19.
    disabled = ["SkipLayerNormFusion"] if text else []
    return onnxruntime().InferenceSession(
        str(path), settings, providers=[CPU_PROVIDER], disabled_optimizers=disabled
    )


def _cuda_session(
    graph: Path | bytes, settings: Any, device: Device, precision: str
) -> tuple[Any, str]:
    """A session on a GPU, or None and the reason why there is none.

    ONNX Runtime tells the reason only in its log, and its loader of NVIDIA's libraries prints
    to stdout: the command line catches both.
    """
    ort = onnxruntime()
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
            ort.set_default_logger_severity(LOG_ERRORS)
        try:
            ort.preload_dlls()
            session = ort.InferenceSession(
                graph if isinstance(graph, bytes) else str(graph),
                settings,
                providers=[(CUDA_PROVIDER, options), CPU_PROVIDER],
            )
        except Exception as error:
            return None, first_line(error)
        finally:
            if ours:
                ort.set_default_logger_severity(LOG_NOTHING)
        printed = caught()
    if CUDA_PROVIDER in session.get_providers():
        return session, ""
    match = re.search(r"with error: (.+)", printed) or re.search(r"(Failed to load .+)", printed)
    silent = "ONNX Runtime does not say why" if ours else "'genkit info' tells why"
    return None, match[1].strip() if match else silent
