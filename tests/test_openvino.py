"""OpenVINO: when it is taken, what it is given, and that it is never replaced in silence.

Most of it with stand-ins for ONNX Runtime and for both of OpenVINO's packages; the last class runs
the real ones, where they are installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import folders
import numpy as np
import picture_model
import pytest
from shell import genkit, python

from genkit.errors import RuntimeUnavailableError, UsageError
from genkit.images import Picture, encode
from genkit.library_output import own_process
from genkit.model import Model, open_model
from genkit.runtime import RuntimeOptions, devices, library, open_session
from genkit.runtime.devices import Driver, bfloat16_units
from genkit.runtime.engines import cuda, openvino


class StandIn:
    """ONNX Runtime, and OpenVINO's library as it is described."""

    ExecutionMode = SimpleNamespace(ORT_SEQUENTIAL="sequential")

    def __init__(self, devices: tuple[str, ...], breaks: str, refuses: str) -> None:
        self.devices, self.breaks, self.refuses = devices, breaks, refuses
        self.registered: list[tuple[str, str]] = []
        self.sessions: list[Any] = []

    def register_execution_provider_library(self, name: str, path: str) -> None:
        os.write(1, b"OpenVINO talks")  # from C++, below Python's streams
        if self.breaks:
            raise RuntimeError(self.breaks)
        self.registered.append((name, path))

    def get_ep_devices(self) -> list[Any]:
        own = [SimpleNamespace(ep_name="CPUExecutionProvider", ep_metadata={})]
        return own + [
            SimpleNamespace(ep_name="OpenVINOExecutionProvider", ep_metadata={"ov_device": device})
            for device in self.devices
        ]

    def SessionOptions(self) -> Any:  # noqa: N802
        settings = SimpleNamespace(provider=None)
        settings.add_session_config_entry = lambda *_: None

        def add(devices: list[Any], options: dict[str, str]) -> None:
            settings.provider = (devices[0].ep_metadata["ov_device"], options)

        settings.add_provider_for_devices = add
        return settings

    def InferenceSession(self, graph: str, settings: Any, **arguments: Any) -> Any:  # noqa: N802
        if settings.provider and self.refuses:
            raise RuntimeError(self.refuses)
        os.write(2, b"OpenVINO talks")
        session = SimpleNamespace(
            graph=Path(graph).name, settings=settings, get_inputs=list, get_outputs=list
        )
        self.sessions.append(session)
        return session


class Core:
    """OpenVINO's own package."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in

    def compile_model(self, path: str, device: str, config: dict[str, str]) -> Any:
        def port(name: str) -> Any:
            return SimpleNamespace(get_any_name=lambda: name)

        def request() -> Any:
            return SimpleNamespace(infer=lambda feeds: {"result": 255 - feeds["image"]})

        self.stand_in.sessions.append((Path(path).name, device, config))
        return SimpleNamespace(
            inputs=[port("image")], outputs=[port("result")], create_infer_request=request
        )


Machine = Callable[..., StandIn]


@pytest.fixture(autouse=True)
def command_line() -> Iterator[None]:
    """The process is the command line's own: what libraries print is caught."""
    with own_process():
        yield


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without a GPU, with a processor and a provider of some kind."""

    def install(
        *,
        installed: bool = True,
        own_package: bool = False,
        units: bool | None = True,
        devices: tuple[str, ...] = ("NPU", "CPU"),
        breaks: str = "",
        refuses: str = "",
    ) -> StandIn:
        stand_in = StandIn(devices, breaks, refuses)
        provider, own = ModuleType("onnxruntime_ep_openvino"), ModuleType("openvino")
        provider.get_library_path = lambda: "the library"  # type: ignore[attr-defined]
        own.Core = lambda: Core(stand_in)  # type: ignore[attr-defined]
        packages = {m.__name__: m for m in (provider,) * installed + (own,) * own_package}
        for name, package in packages.items():
            monkeypatch.setitem(sys.modules, name, package)
        monkeypatch.setattr(openvino, "find_spec", packages.get)
        monkeypatch.setattr("genkit.runtime.devices.bfloat16_units", lambda: units)
        monkeypatch.setattr(
            "genkit.runtime.devices.probe_driver", lambda: Driver((), "no NVIDIA driver")
        )
        monkeypatch.setattr(library, "onnxruntime", lambda: stand_in)
        return stand_in

    return install


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model of pictures, whose bf16 was measured for one of its roles."""
    return open_model(folders.write(tmp_path, "classify"))


def open_on(
    model: Model, device: str = "auto", precision: str = "auto", role: str = "classify"
) -> Any:
    return open_session(model, role, RuntimeOptions(device, precision, threads=3))


class TestAuto:
    def test_takes_it_for_a_measured_bf16(self, machine: Machine, model: Model) -> None:
        stand_in = machine()
        session = open_on(model)
        assert (session.device, session.precision, session.reason) == (
            "openvino",
            "bf16",
            "for pictures in bfloat16",
        )
        assert len(stand_in.sessions) == 1
        assert open_on(model, precision="bf16").device == "openvino"

    @pytest.mark.parametrize(
        "description",
        [
            {"installed": False},
            {"units": False},
            {"units": None},
            {"devices": ("NPU",)},
            {"breaks": "an older ABI"},
        ],
        ids=str,
    )
    def test_goes_on_as_before_where_it_cannot(
        self, machine: Machine, model: Model, description: Any
    ) -> None:
        machine(**description)
        session = open_on(model)
        assert (session.device, session.precision) == ("cpu", "fp32")
        assert session.reason == "no NVIDIA driver"

    def test_leaves_the_reference_to_onnx_runtime_itself(
        self, machine: Machine, model: Model
    ) -> None:
        machine()
        assert open_on(model, precision="fp32").device == "cpu"

    def test_leaves_a_role_that_was_not_measured(self, machine: Machine, model: Model) -> None:
        machine()
        session = open_on(model, role="attention")
        assert (session.device, session.precision) == ("cpu", "fp32")

    def test_leaves_a_card_that_does_not_want_it(self, machine: Machine, tmp_path: Path) -> None:
        machine()
        changes = {"default_precision": {"cpu": "fp32", "openvino": "fp32"}}
        model = open_model(folders.write(tmp_path, "classify", **changes))
        assert open_on(model).device == "cpu"
        assert open_on(model, precision="bf16").device == "openvino"

    def test_leaves_text_and_does_not_look_for_the_provider(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        stand_in = machine()
        text = open_model(folders.write(tmp_path, "fill"))
        assert open_on(text, role="fill").device == "cpu"
        assert stand_in.registered == []

    def test_warns_when_it_cannot_run_a_graph(self, machine: Machine, model: Model) -> None:
        machine(refuses="no such operator\nat 0x1")
        with pytest.warns(RuntimeWarning, match=r"^OpenVINO is not used: no such operator$"):
            session = open_on(model)
        assert (session.device, session.precision) == ("cpu", "fp32")

    def test_comes_after_a_gpu(
        self, machine: Machine, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stand_in = machine()
        monkeypatch.setattr(devices, "probe_driver", lambda: Driver(("GPU",), "a driver"))
        gpu = SimpleNamespace(get_inputs=list, get_outputs=list)
        monkeypatch.setattr(cuda, "_missing", lambda: "")
        monkeypatch.setattr(cuda, "_session", lambda *_: (gpu, ""))
        assert open_on(model).device == "cuda:0"
        assert stand_in.registered == []


class TestAskedFor:
    def test_is_given_what_it_needs(self, machine: Machine, model: Model) -> None:
        stand_in = machine()
        session = open_on(model, "openvino")
        assert (session.device, session.precision, session.threads) == ("openvino", "bf16", 3)
        assert session.reason == "asked for"
        assert stand_in.registered == [("OpenVINO", "the library")]
        (opened,) = stand_in.sessions
        assert opened.graph == "classify.fp32.onnx"
        device, options = opened.settings.provider
        assert device == "CPU"
        assert options.keys() == {"load_config"}
        assert json.loads(options["load_config"]) == {
            "CPU": {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": "3"}
        }

    def test_in_full_precision(self, machine: Machine, model: Model) -> None:
        stand_in = machine(units=False)
        assert open_on(model, "openvino").precision == "fp32"
        assert open_on(model, "openvino", "fp32").precision == "fp32"
        for opened in stand_in.sessions:
            assert '"INFERENCE_PRECISION_HINT": "f32"' in opened.settings.provider[1]["load_config"]

    def test_its_library_is_registered_once(self, machine: Machine, model: Model) -> None:
        stand_in = machine()
        for _ in range(3):
            open_on(model, "openvino")
        assert len(stand_in.registered) == 1

    @pytest.mark.parametrize(
        ("description", "cause", "hint"),
        [
            (
                {"installed": False},
                "it is not installed",
                f"{openvino.INSTALL}; or use --device cpu",
            ),
            (
                {"breaks": "an older ABI\nat 0x1"},
                "onnxruntime_ep_openvino does not load: an older ABI",
                f"{openvino.INSTALL}; or use --device cpu",
            ),
            (
                {"devices": ("NPU",)},
                "its provider serves Intel's processors only, and this is none",
                "pip install openvino; or use --device cpu",
            ),
            ({"refuses": "no such operator\nat 0x1"}, "no such operator", "use --device cpu"),
        ],
    )
    def test_is_never_replaced_by_another(
        self, machine: Machine, model: Model, description: Any, cause: str, hint: str
    ) -> None:
        machine(**description)
        with pytest.raises(RuntimeUnavailableError) as caught:
            open_on(model, "openvino")
        assert (caught.value.message, caught.value.hint) == (f"cannot use OpenVINO: {cause}", hint)

    def test_prints_nothing(
        self, machine: Machine, model: Model, capfd: pytest.CaptureFixture[str]
    ) -> None:
        machine()
        open_on(model, "openvino")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("task", ["translate", "fill"])
    def test_text_is_refused(self, machine: Machine, tmp_path: Path, task: str) -> None:
        machine()
        text = open_model(folders.write(tmp_path, task))
        with pytest.raises(UsageError, match=f"^{text.card.name} is not for OpenVINO$"):
            open_on(text, "openvino", role=task)


class TestOwnPackage:
    @pytest.mark.parametrize(
        "description",
        [{"installed": False}, {"devices": ("NPU",)}, {"breaks": "an older ABI"}],
        ids=str,
    )
    def test_is_used_where_the_provider_is_not_to_be_had(
        self, machine: Machine, model: Model, description: Any
    ) -> None:
        stand_in = machine(own_package=True, **description)
        session = open_on(model)
        assert (session.device, session.precision, session.threads) == ("openvino", "bf16", 3)
        assert (session.inputs, session.outputs) == (("image",), ("result",))
        config = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": "3"}
        assert stand_in.sessions == [("classify.fp32.onnx", "CPU", config)]
        (result,) = session.run({"image": np.array([5], np.uint8)})
        assert result.tolist() == [250]
        assert openvino.status()[1] == "by its own package; the processor has bfloat16 units"

    def test_the_provider_is_quicker_to_load_and_comes_first(
        self, machine: Machine, model: Model
    ) -> None:
        machine(own_package=True)
        open_on(model)
        assert openvino.status()[1].startswith("by its provider")

    def test_its_import_tells_nobody(self, tmp_path: Path) -> None:
        """A package that looks like the real one: the converter's import goes to the network."""
        package = tmp_path / "openvino"
        (package / "tools" / "ovc").mkdir(parents=True)
        (package / "tools" / "__init__.py").write_text("")
        (package / "tools" / "ovc" / "__init__.py").write_text("print('telling')")
        (package / "__init__.py").write_text(
            "try:\n    import openvino.tools.ovc\nexcept ImportError:\n    pass\n"
        )
        code = "import sys; sys.path.insert(0, sys.argv[1])\n"
        quietly = "from genkit.runtime.engines.openvino import import_quietly; import_quietly()\n"
        assert python(f"{code}import openvino", str(tmp_path)).out == "telling\n"
        assert python(f"{code}{quietly}", str(tmp_path)) == (0, "", "")
        assert python(f"{code}{quietly}import openvino.tools.ovc", str(tmp_path)).out == "telling\n"

    @pytest.mark.skipif(openvino.find_spec("openvino") is None, reason="needs OpenVINO's package")
    def test_the_import_of_the_real_one_tells_nobody(self) -> None:
        code = """
import sys
from genkit.runtime.engines.openvino import import_quietly
import_quietly().Core()
print([name for name in sys.modules if "ovc" in name or "telemetry" in name])
"""
        assert python(code) == (0, "[]\n", "")


class TestBf16:
    @pytest.mark.parametrize(
        ("device", "description"),
        [
            ("cpu", {}),
            ("openvino", {"units": False}),
            ("auto", {"units": False}),
            ("auto", {"installed": False}),
        ],
    )
    def test_is_an_error_where_it_cannot_be_had(
        self, machine: Machine, model: Model, device: str, description: Any
    ) -> None:
        machine(**description)
        problem = "bf16 needs OpenVINO and a processor with bfloat16 units"
        with pytest.raises(UsageError, match=f"^{problem}$") as caught:
            open_on(model, device, "bf16")
        assert caught.value.hint == "cifar has: auto, fp32"

    def test_is_an_error_where_it_was_not_measured(self, machine: Machine, model: Model) -> None:
        machine()
        with pytest.raises(UsageError, match=r"^cifar has no bf16 graph$"):
            open_on(model, "openvino", "bf16", role="attention")

    def test_is_obeyed_where_nobody_knows_of_units(self, machine: Machine, model: Model) -> None:
        machine(units=None)
        assert open_on(model, "openvino", "bf16").precision == "bf16"


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({}, (True, "by its provider; the processor has bfloat16 units", "")),
        ({"units": False}, (True, "by its provider; the processor has no bfloat16 units", "")),
        ({"units": None}, (True, "by its provider; the processor may have bfloat16 units", "")),
        (
            {"installed": False},
            (
                False,
                "it is not installed",
                openvino.INSTALL,
            ),
        ),
    ],
)
def test_status(machine: Machine, description: Any, expected: tuple[bool, str, str]) -> None:
    machine(**description)
    assert openvino.status() == expected


def test_the_command_says_what_to_do(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real ONNX Runtime, and no provider."""
    monkeypatch.setattr(openvino, "find_engine", openvino.find_engine.__wrapped__)
    monkeypatch.setattr(openvino, "find_spec", lambda _: None)
    picture_model.write_model(models / "cyclegan" / "negative", "cyclegan")
    picture = models / "a.png"
    picture.write_bytes(encode(Picture(np.zeros((4, 4, 3), np.uint8)), "png"))
    run = genkit("cyclegan", "--device", "openvino", str(picture), "-o", str(models / "b.png"))
    assert run.code == 3
    assert run.err == (
        "genkit: cannot use OpenVINO: it is not installed\n"
        "hint: pip install 'genkit-onnx[openvino]' for Intel's processors, openvino for others; "
        "or use --device cpu\n"
    )


class TestTheRealOne:
    """OpenVINO itself."""

    @pytest.fixture(autouse=True)
    def openvino(self) -> None:
        usable, reason, _ = openvino.status()
        if not usable:
            pytest.skip(reason)

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        return open_model(_with_bf16(tmp_path / "convolutions"))

    def run(self, model: Model, image: Any, device: str, precision: str) -> Any:
        options = RuntimeOptions(device, precision, threads=1)
        (result,) = open_session(model, "generate", options).run({"image": image})
        return result.astype(int)

    def test_full_precision_is_that_of_the_cpu(self, model: Model) -> None:
        image = noise(2, 24, 40)
        expected = self.run(model, image, "cpu", "fp32")
        assert expected.std() > 10
        assert np.abs(self.run(model, image, "openvino", "fp32") - expected).max() <= 1

    @pytest.mark.skipif(not bfloat16_units(), reason="the processor has no bfloat16 units")
    def test_bfloat16_is_what_auto_takes_and_is_really_used(self, model: Model) -> None:
        image = noise(2, 64, 40)
        expected = self.run(model, image, "cpu", "fp32")
        off = np.abs(self.run(model, image, "auto", "auto") - expected)
        if devices.probe_driver().devices:
            pytest.skip("auto takes the GPU")
        assert 0.001 < off.mean() < 0.5
        assert off.max() <= 5
        np.testing.assert_array_equal(
            self.run(model, image, "openvino", "bf16"), self.run(model, image, "auto", "auto")
        )

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_a_picture_does_not_depend_on_its_neighbours(
        self, model: Model, precision: str
    ) -> None:
        if precision == "bf16" and not bfloat16_units():
            pytest.skip("the processor has no bfloat16 units")
        session = open_session(model, "generate", RuntimeOptions("openvino", precision))
        for batch, height, width in [(1, 24, 32), (3, 56, 40), (2, 24, 32), (5, 8, 8)]:
            images = noise(batch, height, width)
            (together,) = session.run({"image": images})
            for i in range(batch):
                (alone,) = session.run({"image": images[i : i + 1]})
                np.testing.assert_array_equal(alone[0], together[i])

    def test_nothing_is_printed(self, model: Model) -> None:
        code = """
import sys
import numpy as np
from pathlib import Path
from genkit.model import open_model
from genkit.runtime import RuntimeOptions, open_session
session = open_session(open_model(Path(sys.argv[1])), "generate", RuntimeOptions("openvino"))
session.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})
"""
        assert python(code, str(model.path)) == (0, "", "")

    def test_too_little_memory_is_told_apart(self, model: Model) -> None:
        if sys.platform != "linux":
            pytest.skip("needs a limit of memory")
        code = """
import resource, sys
import numpy as np
from pathlib import Path
from genkit.model import open_model
from genkit.runtime import RuntimeOptions, open_session
session = open_session(open_model(Path(sys.argv[1])), "generate", RuntimeOptions("openvino"))
session.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    session.run({"image": np.zeros((1, 2000, 2000, 3), np.uint8)})
except MemoryError:
    print("no memory")
"""
        assert python(code, str(model.path)) == (0, "no memory\n", "")


def _with_bf16(folder: Path) -> Path:
    """A model of convolutions whose card says that bf16 was measured."""
    picture_model.write_model(folder, "cyclegan", picture_model.convolutions())
    path = folder / "model.json"
    card = json.loads(path.read_text())
    card["default_precision"]["openvino"] = "bf16"
    card["export"]["differences"]["generate"]["bf16"] = 0.02
    card["export"]["tolerances"] = {"bf16": 0.05}
    path.write_text(json.dumps(card))
    return folder


def noise(*shape: int) -> Any:
    return np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), np.uint8)
