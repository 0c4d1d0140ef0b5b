"""What there is to run on: the processors of this process and NVIDIA's devices.

The driver is asked directly, without ONNX Runtime. Where there is a GPU this is tested with a
stand-in for the driver's library; it has met a real one once (an H200, driver 580).
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from genkit.errors import UsageError
from genkit.once import once
from genkit.runtime.engines import ENGINES, spellings

__all__ = [
    "CPU",
    "Device",
    "Driver",
    "bfloat16_units",
    "default_threads",
    "parse_device",
    "probe_driver",
]

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}

NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE, also the driver's answer to an empty CUDA_VISIBLE_DEVICES."""


@dataclass(frozen=True)
class Device:
    """A place to run: ``cpu``, ``openvino`` (the same processor), or ``cuda:0`` and so on."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if ENGINES[self.kind].numbered else self.kind


CPU = Device("cpu")


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says: the names of its devices, or why it has none."""

    devices: tuple[str, ...]
    reason: str


def parse_device(text: str) -> Device | None:
    """What ``--device`` names; None for ``auto``. Raises UsageError."""
    if text == "auto":
        return None
    kind, colon, index = text.partition(":")
    row = ENGINES.get(kind)
    if row is None or (colon and not (row.numbered and re.fullmatch(r"\d+", index))):
        hint = f"one of: {', '.join(spellings('{0}, {0}:N'))}"
        raise UsageError(f"unknown device {text!r}", hint=hint)
    return Device(kind, int(index or 0))


@once
def probe_driver() -> Driver:
    """Ask NVIDIA's driver for its devices: a fraction of a millisecond where there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(name)
    except OSError:
        return Driver((), f"there is no NVIDIA driver: {name} is not found")
    count = ctypes.c_int()
    status = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        what = "finds no device" if status in (0, NO_DEVICE) else f"does not start (error {status})"
        return Driver((), f"the NVIDIA driver {what}")
    names = []
    for index in range(count.value):
        buffer = ctypes.create_string_buffer(256)
        cuda.cuDeviceGetName(buffer, len(buffer), index)
        names.append(buffer.value.decode(errors="replace"))
    return Driver(tuple(names), f"the NVIDIA driver has {len(names)} device(s)")


@once
def bfloat16_units() -> bool | None:
    """Whether the processor multiplies bfloat16 in hardware (AVX512_BF16 or AMX).

    None where the system does not say: only Linux does.
    """
    try:
        text = CPU_INFO.read_text()
    except OSError:
        return None
    flags = re.search(r"^flags\s*:(.*)", text, re.MULTILINE)
    return flags is not None and not BFLOAT16_FLAGS.isdisjoint(flags[1].split())


def default_threads() -> int:
    """How many processors this process may use.

    ONNX Runtime counts those of the machine, which is too many under taskset or in a batch
    job that owns a part of it.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
