"""Devices: what --device says, and what NVIDIA's driver says (a stand-in for it, here)."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shell import python

from genkit.errors import UsageError
from genkit.runtime import devices
from genkit.runtime.devices import (
    CPU,
    Device,
    bfloat16_units,
    default_threads,
    parse_device,
    probe_driver,
)

NO_DEVICE, BROKEN = 100, 999


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """The driver is asked once a process."""
    probe_driver.cache_clear()
    yield
    probe_driver.cache_clear()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a driver with some devices, or that fails in some way, in place of the real one."""

    def install(*names: str, init: int = 0) -> None:
        def count(where: Any) -> int:
            where._obj.value = len(names)
            return 0

        def name(buffer: Any, size: int, index: int) -> int:
            assert len(names[index]) < size
            buffer.value = names[index].encode()
            return 0

        library = SimpleNamespace(
            cuInit=lambda _: init, cuDeviceGetCount=count, cuDeviceGetName=name
        )
        monkeypatch.setattr(ctypes, "CDLL", lambda _: library)

    return install


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", None),
        ("cpu", CPU),
        ("cuda", Device("cuda", 0)),
        ("cuda:0", Device("cuda", 0)),
        ("cuda:12", Device("cuda", 12)),
        ("openvino", Device("openvino")),
    ],
)
def test_the_option(text: str, device: Device | None) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize(
    "text", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:a", "cpu:0", "cpu ", "openvino:0"]
)
def test_what_is_no_device(text: str) -> None:
    with pytest.raises(UsageError, match="unknown device") as caught:
        parse_device(text)
    assert caught.value.hint == "one of: auto, cpu, cuda, cuda:N, openvino"


def test_a_device_is_spelt_as_the_option_is() -> None:
    assert [str(CPU), str(Device("openvino")), str(Device("cuda", 1))] == [
        "cpu",
        "openvino",
        "cuda:1",
    ]


class TestDriver:
    def test_its_devices_have_names(self, driver: Callable[..., None]) -> None:
        driver("NVIDIA H100", "NVIDIA T4")
        assert probe_driver().devices == ("NVIDIA H100", "NVIDIA T4")
        assert probe_driver().reason == "the NVIDIA driver has 2 device(s)"

    def test_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise OSError(f"{name}: cannot open shared object file")

        monkeypatch.setattr(ctypes, "CDLL", missing)
        monkeypatch.setattr(sys, "platform", "linux")
        assert probe_driver().devices == ()
        assert probe_driver().reason == "there is no NVIDIA driver: libcuda.so.1 is not found"

    @pytest.mark.parametrize(
        ("init", "reason"),
        [
            (0, "the NVIDIA driver finds no device"),
            (NO_DEVICE, "the NVIDIA driver finds no device"),
            (BROKEN, "the NVIDIA driver does not start (error 999)"),
        ],
    )
    def test_it_has_no_device(self, driver: Callable[..., None], init: int, reason: str) -> None:
        driver(init=init)
        assert (probe_driver().devices, probe_driver().reason) == ((), reason)

    def test_the_library_that_is_asked_is_that_of_the_system(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def note(name: str) -> None:
            asked.append(name)
            raise OSError

        monkeypatch.setattr(ctypes, "CDLL", note)
        for platform in ("linux", "win32"):
            monkeypatch.setattr(sys, "platform", platform)
            probe_driver.cache_clear()
            probe_driver()
        assert asked == ["libcuda.so.1", "nvcuda.dll"]


class TestBfloat16:
    @pytest.fixture(autouse=True)
    def forget(self) -> Iterator[None]:
        """The processor is asked once a process."""
        bfloat16_units.cache_clear()
        yield
        bfloat16_units.cache_clear()

    @pytest.mark.parametrize(
        ("flags", "units"),
        [
            ("fpu avx512f avx512_bf16 amx_tile", True),  # of Zen 4
            ("fpu amx_bf16 avx512_bf16 amx_int8", True),  # of Sapphire Rapids
            ("fpu avx2 avx512f avx512_vnni", False),
            ("", False),
        ],
    )
    def test_linux_tells_what_the_processor_has(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, units: bool
    ) -> None:
        info = tmp_path / "cpuinfo"
        info.write_text(f"model name\t: avx512_bf16\nflags\t\t: {flags}\nbugs\t\t: none\n\n" * 2)
        monkeypatch.setattr(devices, "CPU_INFO", info)
        assert bfloat16_units() is units

    def test_other_systems_do_not(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "none")
        assert bfloat16_units() is None

    def test_a_processor_of_another_kind(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        info = tmp_path / "cpuinfo"
        info.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
        monkeypatch.setattr(devices, "CPU_INFO", info)
        assert bfloat16_units() is False


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_threads_are_the_processors_of_the_process_not_of_the_machine() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from genkit.runtime.devices import default_threads; print(default_threads())"
    assert python(code).out == "1\n"
    assert default_threads() == len(os.sched_getaffinity(0))


def test_threads_where_affinity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1
