"""genkit against PyTorch, ONNX Runtime and OpenVINO: same generator, same noise, one run.

    python tests/benchmarks/sample.py [--model NAME|DIR] [--rounds 7] [--seconds 1]

DIR is a model folder that holds checkpoint.safetensors, from which PyTorch's network is made. A
call makes 1, 16 or 256 pictures. genkit's starts from seeds and ends in arrays of bytes, as its
Python interface has it: drawing the noise is part of it. The others are given the noise and end in
the same bytes. Each engine has a process of its own, so that their thread pools do not disturb one
another; they take turns, round by round, for about so many seconds each, and the table shows
medians. Before that their pictures are compared with genkit's on the CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genkit.model import Model, find, open_model
from genkit.noise import draw
from genkit.pixels import Pixels
from genkit.runtime.devices import default_threads
from genkit.tasks.sample import BATCH, label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

ROLE = "generate"
COUNTS = (1, 16, 256)
Run = Callable[[int], Pixels]
"""How many, to pictures (N, H, W, 3)."""


def genkit_engine(folder: Path, device: str, precision: str) -> Run:
    from genkit.runtime import RuntimeOptions
    from genkit.tasks.sample import Sampler

    sample = Sampler(open_model(folder), RuntimeOptions(device, precision))
    print(f"genkit: {sample.runs_on}", flush=True)
    return lambda count: np.stack(list(sample(range(count), batch_size=min(count, BATCH))))


def torch_engine(folder: Path, bfloat16: bool) -> Run:
    import torch

    torch.set_num_threads(default_threads())
    model, network = open_model(folder), load_generator(folder)

    @torch.inference_mode()
    def run(count: int) -> Pixels:
        given = {name: torch.from_numpy(value) for name, value in feeds(model, count).items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            _, pictures = network(given["z"], given.get("class"), given.get("truncation"))
        made: Pixels = pictures.numpy()
        return made

    return run


def onnxruntime_engine(folder: Path) -> Run:
    import onnxruntime

    model = open_model(folder)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = default_threads()
    graph = str(model.graph(ROLE, "fp32"))
    session = onnxruntime.InferenceSession(graph, settings, ["CPUExecutionProvider"])
    return lambda count: session.run(None, feeds(model, count))[0]


def openvino_engine(folder: Path, precision: str) -> Run:
    import openvino

    model = open_model(folder)
    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": default_threads()}
    compiled = openvino.Core().compile_model(str(model.graph(ROLE, "fp32")), "CPU", config)
    return lambda count: compiled(feeds(model, count))[0]


_noise: dict[int, dict[str, NDArray[Any]]] = {}


def feeds(model: Model, count: int) -> dict[str, NDArray[Any]]:
    """The inputs that genkit makes of the seeds from 0 on; made once."""
    latent = model.card.latent
    assert latent is not None
    if count not in _noise:
        truncation = np.array(latent.default_truncation, np.float32)
        z = np.stack([draw(i, latent) for i in range(count)])
        made: dict[str, NDArray[Any]] = {"z": z}
        if latent.truncation in ("latent", "both"):
            made["z"] = z * truncation
        if latent.classes:
            labels = range(len(latent.classes))
            made["class"] = np.array([label_of(i, labels) for i in range(count)], np.int64)
        if latent.truncation in ("graph", "both"):
            made["truncation"] = truncation
        _noise[count] = made
    return _noise[count]


def load_generator(folder: Path) -> nn.Module:
    """The PyTorch network of a model folder's checkpoint, from noise to bytes."""
    from genkit_export import sample
    from genkit_export.checkpoints import genkit as own
    from genkit_export.read import read
    from genkit_export.registry import ARCHITECTURES

    checkpoint = read(folder / "checkpoint.safetensors")
    description = own.describe(checkpoint)
    assert description is not None
    architecture = ARCHITECTURES[description.architecture]
    network = architecture.network(architecture.config(**description.config))
    network.load_state_dict(
        {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in checkpoint.tensors.items()
        }
    )
    return sample.Sampler(network).eval()


def serve(connection: Connection, make: Callable[..., Run], arguments: tuple[Any, ...]) -> None:
    """A worker process: runs what it is asked to, and tells the seconds and the last pictures."""
    run = make(*arguments)
    while True:
        try:
            count, calls = connection.recv()
        except EOFError:  # the benchmark is over
            return
        start = time.perf_counter()
        for _ in range(calls):
            pictures = run(count)
        connection.send((time.perf_counter() - start, pictures))


@dataclass(frozen=True)
class Engine:
    """An engine in a process of its own."""

    name: str
    connection: Connection

    @classmethod
    def start(cls, name: str, make: Callable[..., Run], *arguments: Any) -> Engine:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, make, arguments), daemon=True).start()
        theirs.close()  # so that a worker that dies is noticed
        return cls(name, ours)

    def run(self, count: int, calls: int = 1) -> tuple[float, Pixels]:
        """Seconds of all calls together, and what the last one made."""
        self.connection.send((count, calls))
        seconds, pictures = self.connection.recv()
        return seconds, pictures


def engines(folder: Path) -> list[Engine]:
    found = [
        Engine.start("genkit cpu", genkit_engine, folder, "cpu", "fp32"),
        Engine.start("genkit auto", genkit_engine, folder, "auto", "auto"),
        Engine.start("torch", torch_engine, folder, False),
        Engine.start("torch bf16", torch_engine, folder, True),
        Engine.start("onnxruntime", onnxruntime_engine, folder),
    ]
    if importlib.util.find_spec("openvino") is None:
        print("OpenVINO is not installed, and not measured")
        return found
    return [
        *found,
        Engine.start("openvino", openvino_engine, folder, "f32"),
        Engine.start("openvino bf16", openvino_engine, folder, "bf16"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model's name, or the path of its folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1, help="of an engine's turn")
    options = parser.parse_args()
    folder = find("sample", options.model).path
    if not (folder / "checkpoint.safetensors").is_file():
        parser.error(f"{folder} has no checkpoint.safetensors")

    running = engines(folder)
    _, expected = running[0].run(COUNTS[-1])
    print("\nMean difference from the first one's pictures, of 256 levels:")
    for engine in running:
        _, pictures = engine.run(COUNTS[-1])
        difference = np.abs(pictures.astype(int) - expected).mean()
        print(f"  {engine.name:<14}{difference:.4f}")
    print("\nPictures a second.")
    print(f"{'at a time':>9}" + "".join(f"{engine.name:>14}" for engine in running))
    for count in COUNTS:
        calls = []
        for engine in running:  # the second call is warm, and tells how many fill a turn
            engine.run(count)
            calls.append(max(round(options.seconds / engine.run(count)[0]), 1))
        rates: list[list[float]] = [[] for _ in running]
        for _ in range(options.rounds):
            for engine, number, mine in zip(running, calls, rates, strict=True):
                mine.append(count * number / engine.run(count, number)[0])
        cells = "".join(f"{statistics.median(mine):>14,.1f}" for mine in rates)
        print(f"{count:>9}{cells}", flush=True)


if __name__ == "__main__":
    main()
