"""Train a network that fills holes, on the Yosemite photographs.

    python export/recipes/inpaint.py --data DIR --out DIR [--resume | --init CHECKPOINT]

The data folder holds `yosemite-train.zip`. The output folder ends with `checkpoint.safetensors` and
the exported model in `model`, measured.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from cyclegan_data import HELD_OUT_EVERY, Photographs, crops
from genkit_export import export_checkpoint
from genkit_export.architectures.cyclegan import PatchDiscriminator, initialize
from genkit_export.architectures.inpaint import Gated, GatedConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.inpaint import image_section
from inpaint_data import KINDS, Hole, draw_hole
from inpaint_quality import Pixels, Quality, average, holes_of, judge, measure
from loop import Loop, LoopConfig, descend
from options import recipe_options, use_all_cores
from precision import autocast, hardware

LOOP = LoopConfig(steps=9000, warmup=100, decay=0.95, average=0.998, validate_every=500)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LIMITATIONS = (
    "Fills smoothly: lines are led on over scratches and narrow strokes, but large holes get no "
    "texture."
)
"""What was seen on held-out photographs."""


@dataclass(frozen=True)
class Hyperparameters:
    """Ours; the losses are those of LaMa (section 2.3) without the pretrained network, and with
    decibels for the pixels, as in NAFNet (Chen et al., "Simple Baselines for Image Restoration",
    2022): so an easy picture, where there is something to gain, counts as much as a hard one.
    """

    network: GatedConfig = GatedConfig()  # noqa: RUF009
    judge_width: int = 32
    crop: int = 128
    batch: int = 8
    learning_rate: float = 5e-4
    judge_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 2.0
    pixel: float = 0.1
    fool: float = 0.03
    feature: float = 0.5
    judged_from: float = 0.9
    """Share of the steps after which the judge takes part; before, pixels alone are compared."""
    seed: int = 1
    loop: LoopConfig = LOOP


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    out.mkdir(parents=True, exist_ok=True)
    photos = Photographs.read(data)
    known = torch.cat(list(photos.train.values()))
    held_out = [photo.permute(1, 2, 0).numpy() for photo in torch.cat(list(photos.valid.values()))]
    network = Gated(hp.network)
    if init:
        own.load_weights(init, network)
    critic = PatchDiscriminator(hp.judge_width)
    initialize(critic)
    modules = {"network": network.to(DEVICE), "judge": critic.to(DEVICE)}
    optimizers = {
        "network": torch.optim.Adam(network.parameters(), hp.learning_rate, hp.betas),
        "judge": torch.optim.Adam(critic.parameters(), hp.judge_learning_rate, hp.betas),
    }
    loop = Loop(out, hp.loop, modules, optimizers, averaged="network")
    if resume:
        loop.resume()

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        rng = random.Random(f"{hp.seed}/{step}")
        real = (crops(known, hp.batch, hp.crop, rng) + 1) / 2
        holes = draw_holes(hp.batch, hp.crop, rng)
        real, holes = real.to(DEVICE), holes.to(DEVICE)
        with autocast(DEVICE):
            whole = fill(network, real, holes)
        losses = {"pixel": pixel_loss(whole, real, holes)}
        total = hp.pixel * losses["pixel"]
        judged = step >= hp.judged_from * hp.loop.steps
        if judged:
            critic.requires_grad_(False)
            with autocast(DEVICE):
                losses |= fooling_losses(critic, whole, real)
            critic.requires_grad_(True)
            total = total + hp.fool * losses["fool"] + hp.feature * losses["feature"]
        descend(optimizers["network"], total, hp.clip_norm)
        if judged:
            with autocast(DEVICE):
                losses["judge"] = judge_loss(critic, whole.detach(), real)
            descend(optimizers["judge"], losses["judge"])
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        filler = make_filler(average, fast=True)
        save_samples(filler, held_out[:: len(held_out) // 6 or 1][:6], out / "samples.png")
        # The judge costs decibels: the best network is the last.
        return loop.step, quick_measure(filler, held_out)

    loop.run(take_step, validate)
    network.load_state_dict(torch.load(out / "best.pt", weights_only=True, map_location="cpu"))
    finish(network.eval(), out, held_out, hp, loop)


def draw_holes(count: int, size: int, rng: random.Random) -> Tensor:
    """Holes of one or more kinds a picture: (count, 1, size, size), 1 where it is missing. The more
    is missing, the more there is to learn from.
    """
    holes = np.zeros((count, 1, size, size), np.float32)
    for hole in holes:
        for kind in rng.sample(list(KINDS), rng.randint(1, len(KINDS))):
            hole[0, draw_hole(kind, size, size, rng)] = 1
    return torch.from_numpy(holes)


def fill(network: nn.Module, pictures: Tensor, holes: Tensor) -> Tensor:
    """Pictures (n, 3, h, w), 0..1, whose holes (n, 1, h, w) the network has filled."""
    filled: Tensor = network(torch.cat([pictures * (1 - holes), holes], 1))
    return torch.where(holes > 0, filled, pictures)


def pixel_loss(whole: Tensor, real: Tensor, holes: Tensor) -> Tensor:
    """Decibels of error in the hole, averaged over pictures: 0 is as wrong as black for white."""
    errors = (whole - real).square().mean(1, keepdim=True).sum((1, 2, 3)) / holes.sum((1, 2, 3))
    return 10 * (errors + 1e-5).log10().mean()


def fooling_losses(critic: PatchDiscriminator, whole: Tensor, real: Tensor) -> dict[str, Tensor]:
    """What the judge says of filled pictures (least squares), and how far what it sees in them is
    from what it sees in the true ones.
    """
    made, true = see(critic, whole), see(critic, real)
    distances = [F.l1_loss(a.float(), b.float()) for a, b in zip(made, true, strict=True)]
    return {
        "fool": (made[-1].float() - 1).square().mean(),
        "feature": torch.stack(distances[:-1]).mean(),
    }


def judge_loss(critic: PatchDiscriminator, whole: Tensor, real: Tensor) -> Tensor:
    """Least squares: photographs are 1, filled pictures 0."""
    false, true = critic(whole * 2 - 1).float(), critic(real * 2 - 1).float()
    return (false.square().mean() + (true - 1).square().mean()) / 2


def see(critic: PatchDiscriminator, pictures: Tensor) -> list[Tensor]:
    """The activations of the judge, its verdict last."""
    x, seen = pictures * 2 - 1, []
    for layer in critic.model:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            seen.append(x)
    return [*seen, x]


def make_filler(network: nn.Module, *, fast: bool) -> Any:
    """The network as a function of pixels, in bfloat16 if it is to be `fast`."""

    @torch.no_grad()
    def filler(picture: Pixels, hole: Hole) -> Pixels:
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].to(DEVICE) / 255
        holes = torch.from_numpy(hole)[None, None].to(DEVICE).float()
        with autocast(DEVICE, enabled=fast):
            whole = fill(network, x, holes)
        pixels: Pixels = (whole[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return pixels

    return filler


def quick_measure(filler: Any, pictures: Sequence[Pixels]) -> Mapping[str, float]:
    """Decibels by kind of hole, each on a third of the pictures."""
    figures = {}
    for i, kind in enumerate(KINDS):
        some = pictures[i :: len(KINDS)]
        qualities = [
            judge(filler(picture, hole), picture, hole)
            for picture, hole in zip(some, holes_of(some, kind), strict=True)
        ]
        figures[f"{kind}_psnr"] = average(qualities).psnr
    return figures


def save_samples(filler: Any, pictures: Sequence[Pixels], path: Path) -> None:
    """A sheet to look at: for each kind of hole a row of pictures with holes above the filled."""
    rows = []
    for kind in KINDS:
        holes = holes_of(pictures, kind)
        torn = [picture * ~hole[..., None] for picture, hole in zip(pictures, holes, strict=True)]
        rows.append(np.concatenate(torn, 1))
        filled = [filler(picture, hole) for picture, hole in zip(pictures, holes, strict=True)]
        rows.append(np.concatenate(filled, 1))
    Image.fromarray(np.concatenate(rows)).save(path)


def finish(
    network: Gated, out: Path, held_out: Sequence[Pixels], hp: Hyperparameters, loop: Loop
) -> None:
    """Write the checkpoint, measured, and export it."""
    path = out / "checkpoint.safetensors"
    network.half().float()  # as the checkpoint holds it
    qualities = measure(make_filler(network.to(DEVICE), fast=False), held_out)
    description = own.Description("gated", asdict(hp.network), card_of(qualities, hp, loop.seconds))
    own.write(path, network.cpu(), description)
    export_checkpoint(path, out / "model", overwrite=True, report=print)


def card_of(
    qualities: Mapping[str, Quality], hp: Hyperparameters, seconds: float
) -> dict[str, Any]:
    """What the model's card says besides what the export finds out."""
    measures = {"PSNR in the hole, dB": "psnr", "SSIM": "ssim", "mean absolute error, 0..1": "l1"}
    return {
        "task": "inpaint",
        "name": "landscapes",
        "description": "Fills strokes, boxes and scratches in photographs of landscapes",
        "license": "research use only (the photographs are from Flickr)",
        "tags": ["default"],
        "image": image_section(hp.network),
        "origin": {
            "recipe": "export/recipes/inpaint.py",
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
            "limitations": LIMITATIONS,
            "figures": [
                {
                    "measure": measure,
                    "on": f"held-out photographs, {kind}",
                    "value": round(getattr(quality, name), 4),
                }
                for kind, quality in qualities.items()
                for measure, name in measures.items()
            ],
        },
    }


def main() -> None:
    options = recipe_options(__doc__, LOOP.steps).parse_args()
    use_all_cores()
    hp = Hyperparameters(loop=replace(LOOP, steps=options.steps, minutes=options.minutes))
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
