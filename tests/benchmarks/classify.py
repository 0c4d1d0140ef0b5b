"""genkit against timm, PyTorch, the transformers pipeline, ONNX Runtime and OpenVINO: pictures a
second, files in, labels out, one run.

    python tests/benchmarks/classify.py [--model DIR ...] [--pictures DIR] [--rounds 5]

Always measured are ViT-B/16 and Swin-T with random weights, the same in every engine; with --model
also a model folder with its checkpoint inside. Without --pictures the files are made: photographs'
size, random fields of colour. Each engine has a process of its own, so that their thread pools do
not disturb one another; they take turns, round by round, and the table shows medians. Engines whose
package is missing are left out; timm needs torchvision.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # where helpers of the tests lie
from vision_models import mend_torchvision

from genkit.runtime.devices import bfloat16_units

Run = Callable[[Sequence[Path]], list[str]]
"""A batch of files to their labels."""

BATCHES = (1, 8, 32)
FILES = 64
SIZE = (480, 640)
SLOW, SLOW_TURNS = ("transformers", "timm bf16"), 1
"""Engines that can be far behind, and how many turns they take."""


def threads() -> int:
    return len(os.sched_getaffinity(0))


def run_genkit(folder: Path, precision: str) -> Run:
    import genkit
    from genkit.images import decode

    classify = genkit.load("classify", str(folder), precision=precision)

    def run(paths: Sequence[Path]) -> list[str]:
        pictures = [decode(path.read_bytes()) for path in paths]
        return [guesses[0].label for guesses in classify(pictures, top=1)]

    return run


def prepared(paths: Sequence[Path], folder: Path) -> tuple[np.ndarray[Any, Any], Sequence[str]]:
    """Pictures as the card's resize leaves them (n, h, w, 3), and the labels: what the engines that
    have no pre-processing of their own begin with.
    """
    from genkit.model import open_model
    from genkit.pixels import fit

    image = open_model(folder).card.image
    assert image is not None
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return np.stack([fit(picture, image.resize) for picture in pictures]), image.labels


def run_onnxruntime(folder: Path) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(
        str(folder / "classify.fp32.onnx"), settings, providers=["CPUExecutionProvider"]
    )

    def run(paths: Sequence[Path]) -> list[str]:
        pictures, labels = prepared(paths, folder)
        (found,) = session.run(None, {"image": pictures})
        return [labels[i] for i in found.argmax(1)]

    return run


def run_openvino(folder: Path, precision: str) -> Run:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(str(folder / "classify.fp32.onnx"), "CPU", settings)

    def run(paths: Sequence[Path]) -> list[str]:
        pictures, labels = prepared(paths, folder)
        return [labels[i] for i in model([pictures])[0].argmax(1)]

    return run


def run_torch(folder: Path, autocast: bool, timm_name: str | None) -> Run:
    """The network in PyTorch: timm's, or ours where timm has none such."""
    import torch

    from genkit_export.checkpoints import genkit as own
    from genkit_export.read import read
    from genkit_export.registry import ARCHITECTURES

    torch.set_num_threads(threads())
    path = folder / "checkpoint.safetensors"
    description = own.describe(read(path))
    assert description is not None
    row = ARCHITECTURES[description.architecture]
    config = row.config(**description.config)
    network = row.network(config) if timm_name is None else timm_network(timm_name)
    own.load_weights(path, network)
    network.eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in (config.mean, config.std))

    @torch.inference_mode()
    def run(paths: Sequence[Path]) -> list[str]:
        pictures, labels = prepared(paths, folder)
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        with torch.autocast("cpu", torch.bfloat16, autocast):
            logits = network((x - mean) / std)
        return [labels[i] for i in logits.argmax(1)]

    return run


def timm_network(name: str) -> Any:
    mend_torchvision()
    import timm

    return timm.create_model(name)


def run_transformers(twin: Path) -> Run:
    import torch

    mend_torchvision()
    from transformers import ViTImageProcessorPil, pipeline

    torch.set_num_threads(threads())
    processor = ViTImageProcessorPil.from_pretrained(twin)
    classify = pipeline("image-classification", model=str(twin), image_processor=processor)

    def run(paths: Sequence[Path]) -> list[str]:
        found = classify([str(path) for path in paths], top_k=1, batch_size=len(paths))
        return [guesses[0]["label"] for guesses in found]

    return run


def serve(connection: Connection, make: Callable[..., Run], arguments: tuple[Any, ...]) -> None:
    """A worker process: times what it is asked to."""
    try:
        run = make(*arguments)
    except ImportError as error:
        connection.send(str(error).strip().splitlines()[0])
        return
    connection.send(None)
    while True:
        try:
            batches = connection.recv()
        except EOFError:  # the benchmark is over
            return
        start = time.perf_counter()
        for paths in batches:
            run(paths)
        connection.send(time.perf_counter() - start)


class Engine:
    """An engine in a process of its own."""

    def __init__(self, name: str, make: Callable[..., Run], *arguments: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.problem: str | None = self._connection.recv()
        """Why it cannot run, if it cannot."""

    def time(self, batches: Sequence[Sequence[Path]]) -> float:
        """Seconds for all batches."""
        self._connection.send(batches)
        seconds: float = self._connection.recv()
        return seconds

    def stop(self) -> None:
        self._connection.close()
        self._process.join()


@contextmanager
def running(wanted: Sequence[tuple[Any, ...]]) -> Iterator[list[Engine]]:
    """The engines that can run; the others are said to be missing."""
    engines = [Engine(*arguments) for arguments in wanted]
    try:
        for engine in engines:
            if engine.problem is not None:
                print(f"(left out: {engine.name}: {engine.problem})")
        yield [engine for engine in engines if engine.problem is None]
    finally:
        for engine in engines:
            engine.stop()


def measure(engines: Sequence[Engine], files: Sequence[Path], batch: int, rounds: int) -> None:
    """Print a row: pictures a second."""
    # As many pictures a turn in every row, but for a single one fewer.
    count = max(min(len(files), 8 * batch), batch)
    batches = [files[i : i + batch] for i in range(0, count, batch)]
    seconds: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for turn in range(rounds + 1):  # the first one warms up
        for engine in engines:
            if engine.name in SLOW and turn > SLOW_TURNS:
                continue
            took = engine.time(batches)
            if turn:
                seconds[engine.name].append(took)
    rates = {name: count / statistics.median(values) for name, values in seconds.items()}
    ours = rates["genkit"]
    others = "".join(f"{rate:>10.1f} {ours / rate:>5.2f}x" for rate in list(rates.values())[1:])
    print(f"{batch:>5}{ours:>10.1f}{others}", flush=True)


def make_pictures(folder: Path) -> list[Path]:
    """JPEG files of photographs' size: random fields of colour with some noise."""
    random = np.random.default_rng(0)
    paths = []
    for i in range(FILES):
        fields = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(fields).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + random.normal(0, 8, (*SIZE, 3))
        paths.append(folder / f"{i:03}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def random_model(kind: str, folder: Path) -> tuple[Path, Path]:
    """ViT-B/16 or Swin-T with random weights: a model folder, and a folder of transformers' with the
    same weights.
    """
    import torch
    from safetensors.torch import load_file

    mend_torchvision()
    import transformers

    from genkit_export import export_checkpoint
    from genkit_export.architectures import swin, vit
    from genkit_export.architectures.swin import Swin
    from genkit_export.architectures.vit import ViT
    from genkit_export.checkpoints import genkit as own
    from genkit_export.checkpoints import swin as swin_layouts
    from genkit_export.checkpoints import vit as vit_layouts
    from genkit_export.classify import image_section

    torch.manual_seed(0)
    network: Any
    twin: Any
    if kind == "vit":
        network, layout = ViT(vit.base()), vit_layouts.from_transformers
        theirs = transformers.ViTConfig(**vit_layouts.transformers_config(network.config))
        twin = transformers.ViTForImageClassification(theirs)
    else:
        network, layout = Swin(swin.tiny()), swin_layouts.from_transformers
        theirs = transformers.SwinConfig(**swin_layouts.transformers_config(network.config))
        twin = transformers.SwinForImageClassification(theirs)
    # Half precision, as a checkpoint has it.
    twin.half().float().save_pretrained(folder / "twin")
    config = network.config
    transformers.ViTImageProcessorPil(
        image_mean=list(config.mean),
        image_std=list(config.std),
        resample=Image.Resampling.BICUBIC,
        size={"height": config.image_size, "width": config.image_size},
    ).save_pretrained(folder / "twin")
    network.load_state_dict(layout(load_file(folder / "twin" / "model.safetensors")))
    labels = [f"LABEL_{i}" for i in range(config.num_classes)]
    card = {
        "task": "classify",
        "name": kind,
        "description": "Random weights",
        "license": "CC0-1.0",
        "image": image_section(config, labels, crop_pct=0.9),
        "origin": {"data": [], "figures": []},
    }
    path = folder / "checkpoint.safetensors"
    own.write(path, network, own.Description(kind, asdict(config), card))
    model = export_checkpoint(path, folder / "model")
    shutil.move(path, model / path.name)
    return model, folder / "twin"


def engines_of(folder: Path, timm_name: str | None, twin: Path | None) -> list[tuple[Any, ...]]:
    """What there is to measure a model with: name, maker, its arguments."""
    name = "timm" if timm_name else "torch"
    engines: list[tuple[Any, ...]] = [
        ("genkit", run_genkit, folder, "auto"),
        ("ORT", run_onnxruntime, folder),
        (f"{name}", run_torch, folder, False, timm_name),
        (f"{name} bf16", run_torch, folder, True, timm_name),
    ]
    if twin is not None:
        engines.append(("transformers", run_transformers, twin))
    if importlib.util.find_spec("openvino"):
        engines += [("OpenVINO", run_openvino, folder, "f32")]
        if bfloat16_units():
            engines += [("OV bf16", run_openvino, folder, "bf16")]
        else:
            print("(left out: OpenVINO in bfloat16: this processor would take minutes a picture)")
    return engines


def benchmark(
    title: str, wanted: Sequence[tuple[Any, ...]], files: Sequence[Path], rounds: int
) -> None:
    """Print a model's table."""
    print(f"\n{title}")
    with running(wanted) as engines:
        names = "".join(f"{engine.name:>17}" for engine in engines[1:])
        print(f"batch    genkit{names}")
        for batch in BATCHES:
            measure(engines, files, batch, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--pictures", type=Path, help="folder of JPEG or PNG files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=FILES, help="at most so many pictures")
    options = parser.parse_args()
    print("Pictures a second, and how many times faster genkit is.")
    with tempfile.TemporaryDirectory() as scratch:
        if options.pictures:
            suffixes = {".jpg", ".jpeg", ".png"}
            files = sorted(p for p in options.pictures.rglob("*") if p.suffix.lower() in suffixes)
            if len(files) < max(BATCHES):
                parser.error(f"{options.pictures} has {len(files)} pictures; {max(BATCHES)} needed")
        else:
            files = make_pictures(Path(scratch))
        files = files[: max(options.files, max(BATCHES))]
        for folder in options.model:
            benchmark(str(folder), engines_of(folder, None, None), files, options.rounds)
        for kind, title, timm_name in (
            ("vit", "ViT-B/16, random weights", "vit_base_patch16_224"),
            ("swin", "Swin-T, random weights", "swin_tiny_patch4_window7_224"),
        ):
            place = Path(scratch) / kind
            place.mkdir()
            folder, twin = random_model(kind, place)
            benchmark(title, engines_of(folder, timm_name, twin), files, options.rounds)


if __name__ == "__main__":
    main()
