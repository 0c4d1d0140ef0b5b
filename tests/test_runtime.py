"""Sessions: devices, precisions, threads, and silence.

The GPU is a stand-in: a driver that says it has one, and an ONNX Runtime whose CUDA provider
loads or does not. What is run on the CPU is the real ONNX Runtime.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import folders
import numpy as np
import onnx
import picture_model
import pytest
import shouting_model
from shell import python

from genkit.card_json import parse_card
from genkit.errors import InputError, ModelError, RuntimeUnavailableError, UsageError
from genkit.library_output import own_process
from genkit.model import Model, open_model
from genkit.runtime import RuntimeOptions, Session, choose_precision, devices, library, open_session
from genkit.runtime.devices import CPU, Driver, probe_driver
from genkit.runtime.engines import AUTO, ENGINES, cuda, engine, spellings

LOG = (
    "\x1b[1;31m2026-11-24 08:28:52.3 [E:onnxruntime:Default, provider_bridge_ort.cc:2458] "
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library libonnxruntime_providers_cuda.so "
    "with error: libcublasLt.so.13: cannot open shared object file\n\x1b[m\n"
)
CAUSE = "libcublasLt.so.13: cannot open shared object file"


class StandIn:
    """ONNX Runtime with a CUDA provider that loads, logs why it does not, or raises."""

    ExecutionMode = SimpleNamespace(ORT_SEQUENTIAL="sequential")

    def __init__(self, *, built: bool = True, loads: bool = True, raises: str = "") -> None:
        self.built, self.loads, self.raises = built, loads, raises
        self.severity: int | None = None
        self.sessions: list[SimpleNamespace] = []

    def SessionOptions(self) -> Any:  # noqa: N802
        settings = SimpleNamespace(entries={})
        settings.add_session_config_entry = settings.entries.__setitem__
        return settings

    def set_default_logger_severity(self, severity: int) -> None:
        self.severity = severity

    def preload_dlls(self) -> None:
        print("Failed to load libcudnn.so.9")

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"] * self.built + ["CPUExecutionProvider"]

    def InferenceSession(self, graph: Any, settings: Any, **arguments: Any) -> Any:  # noqa: N802
        wanted = [p if isinstance(p, str) else p[0] for p in arguments["providers"]]
        if "CUDAExecutionProvider" in wanted and self.raises:
            raise ValueError(self.raises)
        if "CUDAExecutionProvider" in wanted and not self.loads:
            wanted.remove("CUDAExecutionProvider")
            if self.severity == library.LOG_ERRORS:
                os.write(2, LOG.encode())  # from C++, below Python's streams
        session = SimpleNamespace(
            graph=graph,
            settings=settings,
            arguments=arguments,
            get_providers=lambda: wanted,
            get_inputs=list,
            get_outputs=list,
        )
        self.sessions.append(session)
        return session


@pytest.fixture(autouse=True)
def command_line() -> Iterator[None]:
    """The process is the command line's own: what libraries print is caught."""
    with own_process():
        yield


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    """A machine with some GPUs, and ONNX Runtime as it is described."""

    def install(gpus: int = 1, **description: Any) -> StandIn:
        stand_in = StandIn(**description)
        driver = Driver(tuple(f"GPU {i}" for i in range(gpus)), f"{gpus} device(s)")
        monkeypatch.setattr(devices, "probe_driver", lambda: driver)
        monkeypatch.setattr(library, "onnxruntime", lambda: stand_in)
        return stand_in

    return install


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "probe_driver", lambda: Driver((), "there is no NVIDIA driver"))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model that cannot be run, with int8 as the default of the CPU and fp32 of CUDA."""
    return open_model(folders.write(tmp_path, "translate"))


def open_on(model: Model, device: str = "auto", precision: str = "auto") -> Any:
    role = next(iter(model.card.graphs))
    return open_session(model, role, RuntimeOptions(device, precision))


class TestAuto:
    def test_takes_the_gpu_that_is_there(self, gpu: Callable[..., StandIn], model: Model) -> None:
        stand_in = gpu()
        session = open_on(model)
        assert (session.device, session.precision, session.reason) == (
            "cuda:0",
            "fp32",
            "1 device(s)",
        )
        assert len(stand_in.sessions) == 1

    def test_takes_the_cpu_where_there_is_no_gpu_and_does_not_try_cuda(
        self, gpu: Callable[..., StandIn], model: Model
    ) -> None:
        stand_in = gpu(0)
        session = open_on(model)
        assert (session.device, session.precision) == ("cpu", "int8")
        assert [s.arguments["providers"] for s in stand_in.sessions] == [["CPUExecutionProvider"]]

    def test_is_silent_about_a_build_without_cuda(
        self, gpu: Callable[..., StandIn], model: Model
    ) -> None:
        gpu(built=False)
        session = open_on(model)
        assert session.device == "cpu"
        assert session.reason == "this build of ONNX Runtime has no CUDA provider"

    @pytest.mark.parametrize(
        ("description", "cause"),
        [({"loads": False}, CAUSE), ({"raises": "out of memory\nat 0x1"}, "out of memory")],
    )
    def test_warns_when_there_is_a_gpu_that_cannot_be_used(
        self, gpu: Callable[..., StandIn], model: Model, description: Any, cause: str
    ) -> None:
        gpu(**description)
        with pytest.warns(RuntimeWarning, match=f"^the GPU is not used: {cause}; pip install"):
            session = open_on(model)
        assert (session.device, session.precision, session.reason) == ("cpu", "int8", cause)


class TestCuda:
    def test_is_given_what_it_needs(self, gpu: Callable[..., StandIn], model: Model) -> None:
        stand_in = gpu(3)
        assert open_on(model, "cuda:2").device == "cuda:2"
        (session,) = stand_in.sessions
        assert session.arguments["providers"] == [
            (
                "CUDAExecutionProvider",
                {"device_id": "2", "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
            ),
            "CPUExecutionProvider",
        ]
        assert session.settings.use_deterministic_compute

    def test_may_round_factors_only_below_full_precision(
        self, gpu: Callable[..., StandIn], model: Model
    ) -> None:
        stand_in = gpu()
        open_on(model, "cuda", "int8")
        assert stand_in.sessions[0].arguments["providers"][0][1]["use_tf32"] == "1"

    def test_is_never_replaced_by_the_cpu_without_a_driver(
        self, model: Model, no_gpu: None
    ) -> None:
        with pytest.raises(
            RuntimeUnavailableError, match="cannot use CUDA: there is no NVIDIA driver"
        ) as caught:
            open_on(model, "cuda")
        assert caught.value.hint == "install NVIDIA's driver; or use --device cpu"

    @pytest.mark.parametrize(
        ("description", "cause", "cure"),
        [
            ({"built": False}, "this build .* has no CUDA provider", "onnxruntime-gpu"),
            ({"loads": False}, CAUSE, r"genkit-onnx\[cuda\]"),
            ({"raises": "out of memory"}, "out of memory", r"genkit-onnx\[cuda\]"),
        ],
    )
    def test_is_never_replaced_by_the_cpu(
        self, gpu: Callable[..., StandIn], model: Model, description: Any, cause: str, cure: str
    ) -> None:
        stand_in = gpu(**description)
        with pytest.raises(RuntimeUnavailableError, match=f"cannot use CUDA: {cause}") as caught:
            open_on(model, "cuda")
        assert re.search(cure, caught.value.hint or "")
        assert stand_in.severity in (None, library.LOG_NOTHING)

    def test_knows_how_many_there_are(self, gpu: Callable[..., StandIn], model: Model) -> None:
        gpu(2)
        with pytest.raises(
            RuntimeUnavailableError, match=r"no cuda:2: the machine has 2"
        ) as caught:
            open_on(model, "cuda:2")
        assert caught.value.hint == "--device cuda:0 to cuda:1"

    def test_prints_nothing(
        self, gpu: Callable[..., StandIn], model: Model, capfd: pytest.CaptureFixture[str]
    ) -> None:
        gpu(loads=False)
        with pytest.raises(RuntimeUnavailableError):
            open_on(model, "cuda")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("gpus", "description", "usable", "reason"),
        [
            (1, {}, True, "1 device(s)"),
            (1, {"loads": False}, False, CAUSE),
            (1, {"built": False}, False, "this build of ONNX Runtime has no CUDA provider"),
            (0, {}, False, "0 device(s)"),
        ],
    )
    def test_status(
        self,
        gpu: Callable[..., StandIn],
        gpus: int,
        description: Any,
        usable: bool,
        reason: str,
    ) -> None:
        gpu(gpus, **description)
        found = cuda.status()
        assert found[:2] == (usable, reason)
        assert bool(found[2]) is not usable

    def test_the_graph_that_tries_the_provider_is_one_node(self) -> None:
        graph = onnx.load_from_string(cuda.IDENTITY)
        onnx.checker.check_model(graph)
        assert [node.op_type for node in graph.graph.node] == ["Identity"]


class TestPrecision:
    @pytest.mark.parametrize(
        ("task", "role", "kind", "asked", "chosen"),
        [
            ("translate", "translate", "cpu", "auto", "int8"),
            ("translate", "translate", "cuda", "auto", "fp32"),
            ("translate", "translate", "cuda", "int8", "int8"),
            ("classify", "classify", "openvino", "auto", "bf16"),
            ("classify", "attention", "openvino", "auto", "fp32"),
            ("fill", "fill", "cuda", "auto", "fp32"),
        ],
    )
    def test_choice(
        self,
        task: str,
        role: str,
        kind: str,
        asked: str,
        chosen: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(devices, "bfloat16_units", lambda: True)
        assert choose_precision(parse_card(folders.card(task)), role, kind, asked) == chosen

    def test_auto_takes_what_there_is(self) -> None:
        data = folders.card("fill")
        del data["graphs"]["fill"]["fp32"]
        data["export"]["differences"] = {"fill": {}}
        assert choose_precision(parse_card(data), "fill", "cuda", "auto") == "int8"

    @pytest.mark.parametrize(
        ("asked", "problem"),
        [("bf16", "en-de has no bf16 graph"), ("fp64", "unknown precision 'fp64'")],
    )
    def test_one_that_the_model_lacks(self, model: Model, asked: str, problem: str) -> None:
        with pytest.raises(UsageError, match=f"^{problem}$") as caught:
            open_on(model, precision=asked)
        assert caught.value.hint == "en-de has: auto, fp32, int8"


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class TestSession:
    """The real ONNX Runtime, on the CPU."""

    @pytest.fixture(autouse=True)
    def cpu(self, no_gpu: None) -> None:
        pass

    @pytest.fixture
    def shout(self, tmp_path: Path) -> Model:
        return open_model(shouting_model.write_model(tmp_path / "shout"))

    def test_gives_memory_back(self, tmp_path: Path) -> None:
        """What a run has taken stays in the arena, until it is released."""
        path = picture_model.write_model(tmp_path / "m", "cyclegan", picture_model.convolutions())
        session = open_session(open_model(path), "generate", RuntimeOptions("cpu", threads=1))
        small = {"image": np.zeros((1, 8, 8, 3), np.uint8)}
        session.run({"image": np.zeros((1, 1024, 1024, 3), np.uint8)})
        before = resident()
        session.run(small)
        kept = resident()
        session.release(small)
        assert kept > before - (100 << 20)
        assert resident() < kept - (100 << 20)

    def test_runs_and_tells_its_names(self, shout: Model) -> None:
        session = open_on(shout)
        assert session.inputs == tuple(shouting_model.INPUTS)
        assert session.outputs == ("tokens", "scores")
        feeds = {
            name: np.zeros([1] * len(shape), np.dtype(dtype))
            for name, (dtype, shape) in shouting_model.INPUTS.items()
        }
        feeds["beam_size"] = np.array(2)
        tokens, scores = session.run(feeds)
        assert (tokens.shape, scores.tolist()) == ((1, 2, 1), [[-1, -1]])
        (alone,) = session.run(feeds, ["scores"])
        assert alone.tolist() == scores.tolist()

    def test_threads(self, shout: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "default_threads", lambda: 5)
        options = RuntimeOptions(threads=3)
        sessions = [
            open_session(shout, "translate", RuntimeOptions()),
            open_session(shout, "translate", options),
            open_session(shout, "translate", options, threads=1),
        ]
        assert [session.threads for session in sessions] == [5, 3, 1]
        counts = [s._session.get_session_options().intra_op_num_threads for s in sessions]
        assert counts == [5, 3, 1]

    @pytest.mark.parametrize("spinning", [True, False])
    def test_settings(self, shout: Model, spinning: bool) -> None:
        session = open_session(shout, "translate", RuntimeOptions(), spinning=spinning)
        settings = session._session.get_session_options()
        assert settings.get_session_config_entry("session.set_denormal_as_zero") == "1"
        entry = settings.get_session_config_entry("session.intra_op.allow_spinning")
        assert entry == str(int(spinning))

    def test_text_is_run_without_the_slow_fusion(
        self, gpu: Callable[..., StandIn], tmp_path: Path
    ) -> None:
        stand_in = gpu(0)
        for task in ("fill", "cyclegan"):
            open_on(open_model(folders.write(tmp_path, task)))
        disabled = [session.arguments["disabled_optimizers"] for session in stand_in.sessions]
        assert disabled == [["SkipLayerNormFusion"], []]

    def test_a_damaged_graph_is_refused_in_one_line(self, model: Model) -> None:
        with pytest.raises(ModelError, match=r"int8\.onnx does not load: .*Protobuf") as caught:
            open_on(model)
        assert "\n" not in caught.value.message
        assert caught.value.hint == f"genkit models verify {model.path}"

    def test_prints_nothing(self, shout: Model, capfd: pytest.CaptureFixture[str]) -> None:
        open_on(shout)
        assert capfd.readouterr() == ("", "")


class TestOnnxruntime:
    @pytest.fixture(autouse=True)
    def forget(self) -> Iterator[None]:
        library.onnxruntime.cache_clear()
        yield
        library.onnxruntime.cache_clear()

    def test_it_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(
            RuntimeUnavailableError, match="ONNX Runtime is not installed"
        ) as caught:
            library.onnxruntime()
        assert caught.value.hint == "pip install genkit-onnx"

    def test_it_is_broken(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "onnxruntime.py").write_text("raise ImportError('DLL load failed')")
        monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(RuntimeUnavailableError, match="does not load: DLL load failed"):
            library.onnxruntime()

    def test_what_it_prints_while_it_is_imported_is_not_seen(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        code = "import os; os.write(1, b'GPU?'); print('no GPU')\n"
        code += "def set_default_logger_severity(level): os.write(2, b'level %d' % level)"
        (tmp_path / "onnxruntime.py").write_text(code)
        monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        library.onnxruntime()
        assert capfd.readouterr() == ("", "level 4")


def test_a_real_machine_without_a_gpu_is_quick_to_say_so() -> None:
    """Not a stand-in: the GPU build of ONNX Runtime on a machine that may have no GPU."""
    code = (
        "from genkit.runtime.devices import probe_driver\n"
        "from genkit.runtime.engines import cuda\n"
        "print(bool(probe_driver().devices) or cuda.status()[0])"
    )
    run = python(code)
    assert run == (0, f"{bool(probe_driver().devices)}\n", "")


def test_the_reason_is_found_in_the_log_of_the_real_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A driver that is not there is made up, so that the real CUDA provider is tried."""
    if probe_driver().devices or "CUDAExecutionProvider" not in (
        library.onnxruntime().get_available_providers()
    ):
        pytest.skip("needs the GPU build of ONNX Runtime on a machine without a GPU")
    monkeypatch.setattr(devices, "probe_driver", lambda: Driver(("made up",), "made up"))
    usable, reason, cure = cuda.status()
    assert not usable
    assert re.match(r"lib\w+\.so\S*: cannot open shared object file|\w+.dll", reason)
    assert "genkit-onnx[cuda]" in cure
    assert capfd.readouterr() == ("", "")


def test_out_of_memory_is_told_apart() -> None:
    """Such messages as ONNX Runtime passes on: of C++, of its own allocator, of CUDA."""

    class Full:
        def __init__(self, message: str) -> None:
            self.message = message

        def get_inputs(self) -> list[object]:
            return []

        get_outputs = get_inputs

        def run(self, *_: object) -> None:
            raise RuntimeError(self.message)

    def session(message: str) -> Session:
        return Session(Full(message), CPU, "fp32", 1, "a test")

    for message in (
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: std::bad_alloc",
        "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9",
        "CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED; CUDA failure 2: out of memory",
    ):
        with pytest.raises(MemoryError):
            session(message).run({})
    with pytest.raises(RuntimeError, match="Invalid argument"):
        session("Invalid argument").run({})


def test_results_that_are_no_numbers_are_the_inputs_failure() -> None:
    """A picture without a guess, or a text without a word, would say nothing of what went wrong."""
    result = [np.array([0.5, np.nan], np.float32)]
    inner = SimpleNamespace(get_inputs=list, get_outputs=list, run=lambda *_: result)
    session = Session(inner, CPU, "fp32", 1, "")
    with pytest.raises(InputError, match="gives no numbers"):
        session.run({})
    result[0] = np.array([0.5, -np.inf], np.float32)
    assert session.run({}) == result


class TestEngines:
    @pytest.mark.parametrize("kind", ENGINES)
    def test_can_be_asked(self, kind: str, no_gpu: None) -> None:
        found = engine(kind).status()
        assert found.usable is not bool(found.cure)
        assert found.usable or found.reason

    def test_auto_knows_them_all_and_ends_with_one_that_takes_everything(
        self, model: Model
    ) -> None:
        assert sorted(AUTO) == sorted(ENGINES)
        assert engine(AUTO[-1]).suits(model.card, "translate", "auto") == (True, "")

    def test_their_names_are_what_the_option_says(self) -> None:
        assert list(spellings("{}[:N]")) == ["auto", "cpu", "cuda[:N]", "openvino"]
        from genkit.cli.options import DeviceOption

        (option,) = DeviceOption.__metadata__  # type: ignore[attr-defined]
        assert option.metavar == "auto|cpu|cuda[:N]|openvino"
        assert all(row.auto in option.help for row in ENGINES.values())
