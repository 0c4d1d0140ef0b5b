"""What the recipes of the GAN family share: losses, moments of norms, watching for collapse, ending."""

import argparse
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cifar_features import SHIPPED, load_judge
from gan_data import card_origin, normal, save_sheet, truncated_normal
from gan_quality import Reference, agreement
from genkit_export import export_checkpoint
from genkit_export.architectures.biggan import StoredStatistics
from genkit_export.checkpoints import genkit as own
from genkit_export.sample import (
    Config,
    Generator,
    by_truncation,
    class_count,
    latent_section,
    latent_size,
)
from loop import Loop, LoopConfig
from options import recipe_options
from pictures import Pictures, to_bytes
from precision import autocast, hardware

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 100
"""Pictures that are made at a time when nothing is learned."""
MOMENT_BATCHES = 20
WARM_UP = 3
"""Steps of a kind before one is recorded."""

Step = Callable[[int], Mapping[str, float | Tensor]]


def cross_entropy(real: Tensor, made: Tensor) -> Tensor:
    """Of verdicts, logits that a picture is real."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


JUDGE_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "non-saturating": cross_entropy,
    "minimax": cross_entropy,
    "hinge": lambda real, made: F.relu(1 - real).mean() + F.relu(1 + made).mean(),
    "wasserstein": lambda real, made: made.mean() - real.mean(),
}
"""By name: from verdicts on real and on made pictures."""
GENERATOR_LOSSES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "non-saturating": lambda made: F.softplus(-made).mean(),
    "minimax": lambda made: -F.softplus(made).mean(),
    "hinge": lambda made: -made.mean(),
    "wasserstein": lambda made: -made.mean(),
}


def begin(
    out: Path,
    config: LoopConfig,
    generator: nn.Module,
    judge: nn.Module,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    *,
    init: Path | None,
    resume: bool,
) -> Loop:
    """The loop of a run of two networks, each with an optimizer, that averages the generator."""
    # With the channels last the convolutions take a fifth less time.
    modules = {
        name: module.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, module in (("generator", generator), ("judge", judge))
    }
    if init:
        own.load_weights(init, generator)
    optimizers = {name: optimizer(module.parameters()) for name, module in modules.items()}
    if DEVICE == "cuda":
        for group in (group for one in optimizers.values() for group in one.param_groups):
            group |= {"capturable": True, "lr": torch.tensor(group["lr"], device=DEVICE)}
    loop = Loop(out, config, modules, optimizers, averaged="generator")
    if resume:
        loop.resume()
    return loop


def replayed(take_step: Step, kind: Callable[[int], Hashable] = lambda _: None) -> Step:
    """A step recorded on a GPU as a graph, one for each kind of step, all of which do the same: the
    thousands of small kernels take longer to launch than to run. On a CPU the step as it is.
    """
    if DEVICE != "cuda":
        return take_step
    taken: Counter[Hashable] = Counter()
    graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Mapping[str, float | Tensor]]] = {}

    def step(at: int) -> Mapping[str, float | Tensor]:
        key = kind(at)
        taken[key] += 1
        if taken[key] <= WARM_UP:  # what is chosen or made in the first ones must not be recorded
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                figures = take_step(at)
            torch.cuda.current_stream().wait_stream(side)
            return figures
        if key not in graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                figures = take_step(at)
            graphs[key] = graph, figures
        graph, figures = graphs[key]
        graph.replay()
        return figures

    return step


def noise_for(config: Config, count: int, truncation: float = 1.0) -> Tensor:
    """Noise as the command that samples draws it."""
    kind = truncated_normal if class_count(config) else normal
    return kind(count, latent_size(config)).to(DEVICE) * truncation


@torch.no_grad()
def make(
    network: nn.Module, config: Config, count: int, seed: int = 0, truncation: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Pictures, uint8 (count, 3, side, side), of a network in evaluation mode, always of the same
    noise, and their classes, int64 (count,).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        noise = noise_for(config, count, truncation)
    labels = torch.arange(count) % max(class_count(config), 1)
    parts = []
    for chosen in torch.arange(count).split(BATCH):
        inputs = [noise[chosen.to(DEVICE)]]
        if class_count(config):
            inputs.append(labels[chosen].to(DEVICE))
        if by_truncation(config):
            inputs.append(torch.tensor(truncation, device=DEVICE))
        with autocast(DEVICE):
            parts.append(to_bytes(network(*inputs).float()).cpu())
    return torch.cat(parts), labels


@torch.no_grad()
def settle_moments(
    network: nn.Module, config: Config, truncation: float = 1.0, batches: int = MOMENT_BATCHES
) -> None:
    """Give the norms of a network the moments of its own pictures, averaged over some batches:
    averaged weights do not have those of the weights that were trained.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, StoredStatistics)
    norms = [module for module in network.modules() if isinstance(module, kinds)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.train()
    for done in range(batches):
        for norm in norms:
            norm.momentum = 1 / (done + 1)
        inputs = [noise_for(config, BATCH, truncation)]
        if class_count(config):
            inputs.append(torch.randint(class_count(config), (BATCH,), device=DEVICE))
        network(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@torch.no_grad()
def settle_all_moments(network: Generator) -> None:
    """The moments of every truncation that the norms have a row for; the last is that of 1."""
    config = network.config
    if not by_truncation(config):
        settle_moments(network, config)
        return
    norms = [module for module in network.modules() if isinstance(module, StoredStatistics)]
    count = len(norms[0].stored_mean)
    for row in range(count):
        settle_moments(network, config, row / (count - 1))
        for norm in norms:
            norm.stored_mean[row] = norm.stored_mean[-1]
            norm.stored_var[row] = norm.stored_var[-1]


class Watch:
    """Judges the averaged generator of a run and shows its pictures in `samples.png`.

    The figure is minus the distance, so that the best and not the last weights are kept when a
    generator collapses; its diversity is logged.
    """

    def __init__(self, config: Config, judge: Path, pictures: Pictures, out: Path) -> None:
        self.config, self.out = config, out
        self.reference = Reference(load_judge(judge).to(DEVICE), pictures)

    def __call__(self, average: nn.Module) -> tuple[float, dict[str, float]]:
        settle_moments(average, self.config)
        made, labels = make(average, self.config, self.reference.count)
        save_sheet(made[:100], self.out / "samples.png")
        figures = self.reference.quick(made)
        if class_count(self.config):
            figures["agreement"] = agreement(self.reference.judge, made, labels)
        return -figures["distance"], figures


@dataclass(frozen=True)
class About:
    """What a recipe tells of its model."""

    architecture: str
    name: str
    description: str
    recipe: str
    truncation: float = 1.0
    """What it is sampled with unless another is asked for, and measured with."""


def finish(
    network: Generator, about: About, hp: Any, pictures: Pictures, watch: Watch, loop: Loop
) -> None:
    """Measure the best generator of a run, write its checkpoint and export it."""
    network.load_state_dict(
        torch.load(loop.out / "best.pt", weights_only=True, map_location=DEVICE)
    )
    settle_all_moments(network.to(DEVICE))
    count = watch.reference.count
    made, labels = make(network, network.config, count, seed=1, truncation=about.truncation)
    figures = asdict(watch.reference.measure(made))
    if class_count(network.config):
        figures["agreement"] = agreement(watch.reference.judge, made, labels)
    save_sheet(made[:100], loop.out / "samples.png")
    machine = hardware(DEVICE)
    on = f"{len(made)} pictures, in features of a CIFAR-10 classifier"
    measured = [
        {"measure": FIGURES[key], "on": on, "value": round(value, 4)}
        for key, value in figures.items()
    ]
    names = pictures.classes if class_count(network.config) else ()
    card = {
        "task": "sample",
        "name": about.name,
        "description": about.description,
        "license": "research use only",
        "tags": ["default"] if about.architecture == "biggan" else [],
        "latent": latent_section(network.config, names, about.truncation),
        "origin": card_origin(about.recipe, asdict(hp), loop.seconds, machine, pictures, measured),
    }
    path = loop.out / "checkpoint.safetensors"
    whole = deepcopy(network).cpu()
    own.write(path, whole, own.Description(about.architecture, asdict(network.config), card))
    export_checkpoint(path, loop.out / "model", overwrite=True, report=print)


FIGURES = {
    "distance": "Frechet distance to the training pictures, in multiples of the held-out ones'",
    "precision": "precision (3 neighbours)",
    "recall": "recall (3 neighbours)",
    "diversity": "mean distance of two pictures, in multiples of real ones'",
    "nearest": "distance of the two most alike, in multiples of real ones'",
    "agreement": "share that the classifier gives the class asked for",
}


def arguments(doc: str | None, steps: int) -> argparse.ArgumentParser:
    """The options that all these recipes have."""
    parser = recipe_options(doc, steps)
    parser.add_argument(
        "--judge", type=Path, default=SHIPPED, help="checkpoint of cifar_features.py"
    )
    return parser
