"""genkit against PyTorch, ONNX Runtime and OpenVINO: same weights, same pictures, one run.

    python tests/benchmarks/images.py [--model NAME|DIR | --random] [--repeats 7]

One picture in memory: bytes of pixels in, bytes of pixels out. genkit's is the whole of its call,
with padding and colours; the others' is the network. A folder: JPEG files in, JPEG files of
quality 95 out. genkit runs its command line, in a process of its own (start-up and loading of the
model included) and in a process that has run before; the others are given a loop of decode, run,
encode in a process that has loaded the model. The bare network is genkit's session on arrays, once
for each file.

Each engine has a process of its own, so that their thread pools do not disturb one another; they
take turns, round by round, and the tables show medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from genkit.model import find
from genkit.pixels import Pixels
from genkit.runtime.devices import bfloat16_units, default_threads
from genkit.runtime.engines.openvino import import_quietly

if TYPE_CHECKING:
    from torch import nn

ROLE = "generate"
QUALITY = 95
Run = Callable[[Pixels], Pixels]
"""Pixels (H, W, 3) to pixels."""


@dataclass(frozen=True)
class Work:
    """What an engine can be asked for."""

    picture: Run
    """A picture in memory."""
    network: Run
    """The same without what is around the network."""
    folder: Callable[[Path, Path], None]
    """Pictures of one folder to another."""
    about: str = ""


def genkit_engine(folder: Path, device: str, precision: str) -> Work:
    from genkit.cli.app import main as command
    from genkit.images import Picture
    from genkit.model import open_model
    from genkit.runtime import RuntimeOptions, open_session
    from genkit.streams import Streams
    from genkit.tasks.cyclegan import PictureTranslator

    model, options = open_model(folder), RuntimeOptions(device, precision)
    translate = PictureTranslator(model, options)
    session = open_session(model, ROLE, options)

    def run_folder(source: Path, target: Path) -> None:
        arguments = command_line(folder, device, precision, source, target)
        assert command(arguments, Streams(io.BytesIO(), io.BytesIO(), io.StringIO())) == 0

    return Work(
        lambda pixels: translate(Picture(pixels)).pixels,
        lambda pixels: session.run({"image": pixels[None]})[0][0],
        run_folder,
        translate.runs_on,
    )


def command_line(model: Path, device: str, precision: str, source: Path, target: Path) -> list[str]:
    options = {"model": model, "device": device, "precision": precision, "output": target}
    return ["cyclegan", *(f"--{name}={value}" for name, value in options.items()), str(source)]


def torch_engine(folder: Path, bfloat16: bool) -> Work:
    import torch

    torch.set_num_threads(default_threads())
    network = load_generator(folder)

    @torch.inference_mode()
    def run(pixels: Pixels) -> Pixels:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            _, result = network(torch.from_numpy(pixels)[None])
        made: Pixels = result[0].numpy()
        return made

    return simple(run)


def onnxruntime_engine(graph: Path) -> Work:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = default_threads()
    session = onnxruntime.InferenceSession(str(graph), settings, ["CPUExecutionProvider"])
    return simple(lambda pixels: session.run(None, {"image": pixels[None]})[0][0])


def openvino_engine(graph: Path) -> Work:
    openvino = import_quietly()
    precision = "bf16" if bfloat16_units() else "f32"
    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": default_threads()}
    compiled = openvino.Core().compile_model(str(graph), "CPU", config)
    return simple(lambda pixels: compiled(pixels[None])[0][0])


def simple(run: Run) -> Work:
    """What one writes around a network for a folder of pictures."""

    def run_folder(source: Path, target: Path) -> None:
        target.mkdir()
        for path in sorted(source.iterdir()):
            pixels = np.array(Image.open(path).convert("RGB"))
            Image.fromarray(run(pixels)).save(target / path.name, quality=QUALITY, subsampling=0)

    return Work(run, run, run_folder)


def load_generator(folder: Path) -> nn.Module:
    """The PyTorch network of a model folder's checkpoint, from bytes to bytes."""
    from genkit_export.architectures.cyclegan import with_own_statistics
    from genkit_export.checkpoints import genkit as own
    from genkit_export.cyclegan import PictureGenerator
    from genkit_export.read import read
    from genkit_export.registry import ARCHITECTURES

    path = folder / "checkpoint.safetensors"
    description = own.describe(read(path))
    assert description is not None
    architecture = ARCHITECTURES[description.architecture]
    network = architecture.network(architecture.config(**description.config))
    own.load_weights(path, network)
    with_own_statistics(network.eval())
    return PictureGenerator(network)


def random_model(folder: Path) -> Path:
    """A model folder with the network of the shipped models and random weights."""
    import torch

    from genkit_export import cyclegan, export_checkpoint
    from genkit_export.architectures.cyclegan import ResnetConfig, ResnetGenerator
    from genkit_export.checkpoints import genkit as own

    torch.manual_seed(0)
    network = ResnetGenerator(ResnetConfig(32, 6, upsample="resize"))
    card = {
        "task": "cyclegan",
        "name": "random",
        "description": "Random weights",
        "license": "CC0-1.0",
        "image": cyclegan.image_section(network.config),
        "origin": {"data": [], "figures": []},
    }
    folder.mkdir()
    checkpoint = folder / "checkpoint.safetensors"
    own.write(checkpoint, network, own.Description("cyclegan", asdict(network.config), card))
    return export_checkpoint(checkpoint, folder, overwrite=True)


def serve(connection: Connection, make: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    """A worker process: times what it is asked to."""
    work = make(*arguments)
    connection.send(work.about)
    while True:
        try:
            what, *given = connection.recv()
        except EOFError:  # the benchmark is over
            return
        start = time.perf_counter()
        getattr(work, what)(*given)
        connection.send(time.perf_counter() - start)


class Engine:
    """An engine in a process of its own."""

    def __init__(self, make: Callable[..., Work], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, make, arguments), daemon=True).start()
        self.about: str = self._connection.recv()

    def time(self, what: str, *given: Any) -> float:
        """Seconds that a piece of its work takes."""
        self._connection.send((what, *given))
        seconds: float = self._connection.recv()
        return seconds


Timed = dict[str, Callable[[], float]]
"""Column -> what is timed, in seconds."""


def measure(timed: Timed, repeats: int) -> dict[str, float]:
    """Medians; the columns take turns."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(repeats + 1):  # the first one warms up
        for name, run in timed.items():
            seconds = run()
            if turn:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def print_row(size: int, medians: dict[str, float], scale: float) -> None:
    """The medians, and below them their ratios to genkit's."""
    print(f"{size:>5}" + "".join(f"{value * scale:>15,.1f}" for value in medians.values()))
    ours = medians["genkit auto"]
    print(" " * 5 + "".join(f"{value / ours:>14.2f}x" for value in medians.values()), flush=True)


def scene(size: int, seed: int) -> Pixels:
    """Hills of colour with some grain: about as hard to encode as a photograph."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    grain = random.normal(0, 8, smooth.shape)
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def run_process(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "genkit", *arguments], check=True)


def timed(run: Callable[..., object], *arguments: Any) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--model", default="summer2winter", metavar="NAME|DIR")
    weights.add_argument("--random", action="store_true", help="random weights, exported first")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--pictures", type=int, default=50, help="files in the folder")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        folder = random_model(scratch / "random") if options.random else None
        model = find("cyclegan", folder or options.model)
        graph = model.graph(ROLE, "fp32")
        engines = {
            "genkit auto": Engine(genkit_engine, model.path, "auto", "auto"),
            "genkit fp32": Engine(genkit_engine, model.path, "cpu", "fp32"),
            "PyTorch": Engine(torch_engine, model.path, False),
            "PyTorch bf16": Engine(torch_engine, model.path, True),
            "ONNX Runtime": Engine(onnxruntime_engine, graph),
        }
        if importlib.util.find_spec("openvino"):
            engines["OpenVINO"] = Engine(openvino_engine, graph)
        ours = engines["genkit auto"]
        header = " size" + "".join(f"{name:>15}" for name in engines)
        print(f"genkit auto: {ours.about}")
        print(f"\nOne picture in memory, milliseconds\n{header}  network alone")
        for size in options.sizes:
            pixels = scene(size, 0)
            columns: Timed = {
                name: partial(engine.time, "picture", pixels) for name, engine in engines.items()
            }
            columns["network alone"] = partial(ours.time, "network", pixels)
            print_row(size, measure(columns, options.repeats), 1e3)

        print(f"\nA folder of {options.pictures} files, seconds")
        print(f"{header} genkit process  network alone")
        targets = (scratch / f"out{i}" for i in itertools.count())

        def fill(engine: Engine, source: Path) -> float:
            return engine.time("folder", source, next(targets))

        def fill_by_process(source: Path) -> float:
            return timed(
                run_process, command_line(model.path, "auto", "auto", source, next(targets))
            )

        def run_alone(pixels: Pixels) -> float:
            return sum(ours.time("network", pixels) for _ in range(options.pictures))

        for size in options.sizes:
            source = scratch / f"{size}"
            source.mkdir()
            for seed in range(options.pictures):
                image = Image.fromarray(scene(size, seed))
                image.save(source / f"{seed:02}.jpg", quality=90)
            columns = {name: partial(fill, engine, source) for name, engine in engines.items()}
            columns["genkit process"] = partial(fill_by_process, source)
            columns["network alone"] = partial(run_alone, scene(size, 0))
            print_row(size, measure(columns, options.repeats), 1)


if __name__ == "__main__":
    main()
