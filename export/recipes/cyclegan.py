"""Train summer to winter and winter to summer on the Yosemite photographs.

    python export/recipes/cyclegan.py --data DIR --out DIR [--resume | --init DIR]

The data folder holds `yosemite-train.zip`. The output folder ends with a folder for each direction:
`checkpoint.safetensors` and the exported model in `model`, measured.
"""

import itertools
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from cyclegan_data import (
    HELD_OUT_EVERY,
    SEASONS,
    ClassifierConfig,
    Photographs,
    crops,
    load_classifier,
    share_called,
    to_float,
)
from genkit_export import export_checkpoint
from genkit_export.architectures.cyclegan import (
    PatchDiscriminator,
    ResnetConfig,
    ResnetGenerator,
    initialize,
)
from genkit_export.checkpoints import genkit as own
from genkit_export.cyclegan import image_section
from loop import Loop, LoopConfig, descend
from options import recipe_options, use_all_cores
from precision import autocast, hardware

# The rate falls to zero over the second half, as in the paper.
LOOP = LoopConfig(steps=20_000, decay=0.5, validate_every=1500)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LIMITATIONS = {
    "winter": "Greens turn brown and grey and light turns cold, but snow is rarely added; clouds and "
    "bright rock can break up into speckles.",
    "summer": "Snow mostly stays where it is deep; what was snow and dark forest can become soft and "
    "spotted with black; nights stay nights.",
}
"""What was seen to go wrong on held-out photographs, by the season that is made."""


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of the paper where it differs."""

    network: ResnetConfig = ResnetConfig(  # noqa: RUF009
        width=32,  # 64
        blocks=6,  # 9 at 256 x 256, 6 at 128 x 128
        upsample="resize",  # transposed convolutions, which leave a checkerboard
    )
    judge_width: int = 48  # 64
    crop: int = 128  # 256 of 286
    batch: int = 1
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    cycle: float = 10.0
    identity: float = 5.0
    """Paid by one generator a step, by turns, and doubled: five passes instead of six."""
    pool: int = 50
    classifier: ClassifierConfig = ClassifierConfig()  # noqa: RUF009
    seed: int = 1
    loop: LoopConfig = LOOP


class Pool:
    """Pictures that were made before. Half of what a judge sees is from here, so that it does not
    forget. It is not part of a saved run: a resumed one begins with an empty pool.
    """

    def __init__(self, size: int, rng: random.Random) -> None:
        self.size, self.rng = size, rng
        self.pictures: list[Tensor] = []

    def exchange(self, made: Tensor) -> Tensor:
        """Some of these pictures and some older ones: (n, 3, h, w)."""
        shown = []
        for picture in made.detach():
            if len(self.pictures) < self.size:
                self.pictures.append(picture)
            elif self.rng.random() < 0.5:
                place = self.rng.randrange(self.size)
                self.pictures[place], picture = picture, self.pictures[place]
            shown.append(picture)
        return torch.stack(shown)


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    out.mkdir(parents=True, exist_ok=True)
    photos = Photographs.read(data)
    classifier = load_classifier(photos, out / "classifier.pt", hp.classifier).to(DEVICE)
    # By the season that they make, or know.
    generators = nn.ModuleDict({season: ResnetGenerator(hp.network) for season in SEASONS})
    judges = nn.ModuleDict({season: PatchDiscriminator(hp.judge_width) for season in SEASONS})
    for network in (generators, judges):
        initialize(network)
        network.to(DEVICE)
    if init:
        for source, target in itertools.permutations(SEASONS):
            own.load_weights(
                init / f"{source}2{target}" / "checkpoint.safetensors", generators[target]
            )
    optimizers = {
        name: torch.optim.Adam(modules.parameters(), hp.learning_rate, hp.betas)
        for name, modules in (("generators", generators), ("judges", judges))
    }
    modules = {"generators": generators, "judges": judges}
    loop = Loop(out, hp.loop, modules, optimizers, averaged="generators")
    if resume:
        loop.resume()
    pools = {season: Pool(hp.pool, random.Random(hp.seed)) for season in SEASONS}

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        rng = random.Random(f"{hp.seed}/{step}")
        real = {s: crops(photos.train[s], hp.batch, hp.crop, rng).to(DEVICE) for s in SEASONS}
        judges.requires_grad_(False)
        losses, made = generator_losses(generators, judges, real, hp, SEASONS[step % 2])
        descend(optimizers["generators"], sum(losses.values(), torch.zeros((), device=DEVICE)))
        judges.requires_grad_(True)
        shown = {season: pools[season].exchange(made[season]) for season in SEASONS}
        losses["judge"] = judge_loss(judges, real, shown)
        descend(optimizers["judges"], losses["judge"])
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        with autocast(DEVICE):
            figures = measure(average, classifier, photos)
            save_samples(average, photos, out / "samples.png")
        # A few dozen photographs say too little of seasons to choose by: the last is the best.
        return loop.step, figures

    loop.run(take_step, validate)
    best = nn.ModuleDict({season: ResnetGenerator(hp.network) for season in SEASONS})
    best.load_state_dict(torch.load(out / "best.pt", weights_only=True, map_location="cpu"))
    figures = measure(best.to(DEVICE).eval(), classifier, photos)
    for source, target in itertools.permutations(SEASONS):
        finish(best[target].cpu(), out / f"{source}2{target}", source, target, figures, hp, loop)


def generator_losses(
    generators: nn.ModuleDict,
    judges: nn.ModuleDict,
    real: Mapping[str, Tensor],
    hp: Hyperparameters,
    turn: str,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What both generators have to answer for, and what they made, by season. The identity loss is
    the one of `turn`.
    """
    losses = {name: torch.zeros((), device=DEVICE) for name in ("fool", "cycle", "identity")}
    made = {}
    with autocast(DEVICE):
        for source, target in itertools.permutations(SEASONS):
            made[target] = generators[target](real[source])
            back = generators[source](made[target])
            verdict = judges[target](made[target]).float()
            losses["fool"] = losses["fool"] + F.mse_loss(verdict, torch.ones_like(verdict))
            losses["cycle"] = losses["cycle"] + hp.cycle * F.l1_loss(back.float(), real[source])
        same = generators[turn](real[turn]).float()
        losses["identity"] = 2 * hp.identity * F.l1_loss(same, real[turn])
    return losses, {season: pictures.float() for season, pictures in made.items()}


def judge_loss(
    judges: nn.ModuleDict, real: Mapping[str, Tensor], shown: Mapping[str, Tensor]
) -> Tensor:
    """Least squares: photographs are 1, made pictures 0."""
    loss = torch.zeros((), device=DEVICE)
    with autocast(DEVICE):
        for season in SEASONS:
            true, false = (
                judges[season](real[season]).float(),
                judges[season](shown[season]).float(),
            )
            loss = loss + (F.mse_loss(true, torch.ones_like(true)) + false.square().mean()) / 2
    return loss


@torch.no_grad()
def measure(generators: nn.Module, classifier: nn.Module, photos: Photographs) -> dict[str, float]:
    """On the held-out photographs, for each direction: the cycle error (mean absolute, 0..1), and
    the share that the classifier calls the target season, before and after.
    """
    assert isinstance(generators, nn.ModuleDict)
    figures = {}
    for source, target in itertools.permutations(SEASONS):
        batches = [to_float(b).to(DEVICE) for b in photos.valid[source].split(8)]
        made = [generators[target](batch) for batch in batches]
        errors = [
            (generators[source](new) - old).abs().mean((1, 2, 3))
            for new, old in zip(made, batches, strict=True)
        ]
        name = f"{source}2{target}"
        figures[f"{name}_cycle"] = float(torch.cat(errors).mean()) / 2
        figures[f"{name}_before"] = share_called(classifier, batches, target)
        figures[f"{name}_called"] = share_called(classifier, made, target)
    return figures


@torch.no_grad()
def save_samples(generators: nn.Module, photos: Photographs, path: Path) -> None:
    """A sheet to look at: for each direction a row of held-out photographs above what they became."""
    assert isinstance(generators, nn.ModuleDict)
    rows = []
    for source, target in itertools.permutations(SEASONS):
        old = to_float(photos.valid[source][::12]).to(DEVICE)
        rows += [old, generators[target](old).float()]
    sheet = torch.cat([torch.cat(list(row[:6]), 2) for row in rows], 1)
    pixels = ((sheet.cpu().permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8)
    Image.fromarray(pixels.numpy()).save(path)


def finish(
    network: nn.Module,
    out: Path,
    source: str,
    target: str,
    figures: Mapping[str, float],
    hp: Hyperparameters,
    loop: Loop,
) -> None:
    """Write the checkpoint of one direction and export it."""
    out.mkdir(exist_ok=True)
    path = out / "checkpoint.safetensors"
    card = card_of(source, target, figures, hp, loop.seconds)
    own.write(path, network, own.Description("cyclegan", asdict(hp.network), card))
    export_checkpoint(path, out / "model", overwrite=True, report=print)


def card_of(
    source: str, target: str, figures: Mapping[str, float], hp: Hyperparameters, seconds: float
) -> dict[str, Any]:
    """What the model's card says besides what the export finds out."""
    name = f"{source}2{target}"
    measures = {
        "cycle error, mean absolute, 0..1": "cycle",
        f"share called {target} by a classifier, before": "before",
        f"share called {target} by a classifier, after": "called",
    }
    return {
        "task": "cyclegan",
        "name": name,
        "description": f"Landscapes of {source} as if in {target}",
        "license": "research use only (the photographs are from Flickr)",
        "tags": ["default"] if source == "summer" else [],
        "image": image_section(hp.network),
        "origin": {
            "recipe": "export/recipes/cyclegan.py",
            "arguments": asdict(hp),
            "minutes": round(seconds / 60),
            "hardware": hardware(DEVICE),
            "data": [
                {
                    "name": "summer2winter_yosemite, training set (CycleGAN's authors, Flickr)",
                    "license": "research use",
                }
            ],
            "held_out": f"every {HELD_OUT_EVERY}th photograph of the training set",
            "limitations": LIMITATIONS[target],
            "figures": [
                {
                    "measure": measure,
                    "on": f"held-out photographs of {source}",
                    "value": round(figures[f"{name}_{key}"], 4),
                }
                for measure, key in measures.items()
            ],
        },
    }


def main() -> None:
    options = recipe_options(
        __doc__, LOOP.steps, "begin with the weights of a finished run: a folder for each direction"
    ).parse_args()
    use_all_cores()
    hp = Hyperparameters(loop=replace(LOOP, steps=options.steps, minutes=options.minutes))
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
