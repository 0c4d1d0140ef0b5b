"""Train a progressive GAN on the Yosemite photographs, from 4 x 4 to 64 x 64.

    python export/recipes/progressive.py --data DIR --out DIR [--judge CHECKPOINT]
        [--resume | --init CHECKPOINT]

The data folder holds `yosemite-train.zip`; the judge comes from `cifar_features.py`. The output folder
ends with `checkpoint.safetensors` and the exported model in `model`, measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_data import augment, draw, normal
from gan_training import (
    DEVICE,
    GENERATOR_LOSSES,
    JUDGE_LOSSES,
    About,
    Watch,
    arguments,
    begin,
    finish,
    replayed,
)
from genkit_export.architectures.progressive import (
    Progressive,
    ProgressiveConfig,
    ProgressiveDiscriminator,
)
from loop import LoopConfig, descend
from options import use_all_cores
from pictures import Pictures, read_yosemite
from precision import autocast

LOOP = LoopConfig(
    steps=10_700, warmup=100, decay=0.2, average=0.999, log_every=200, validate_every=4000
)


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of the paper where it differs."""

    network: ProgressiveConfig = ProgressiveConfig(  # noqa: RUF009
        depths=(192, 192, 192, 96, 48),  # (512, 512, 512, 512, 256)
        latent=128,  # 512
    )
    shares: tuple[float, ...] = (0.05, 0.1, 0.15, 0.25, 0.45)  # equal
    """Of the steps, for each scale; the first half of them fades it in."""
    batch: int = 32  # 16
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)
    slope: float = 0.3
    """Weight of the judge's squared slope at real pictures (Mescheder et al., 2018), with the
    non-saturating loss. WGAN-GP in the paper, which costs two passes more in every step. The
    shipped weights were made with 10, under which the judge learned too little."""
    slope_every: int = 8
    """It is paid in one step of so many, and as much larger."""
    augmented: bool = True
    """Differentiable augmentation (Zhao et al., 2020), for 2,000 photographs are few."""
    seed: int = 1
    loop: LoopConfig = LOOP


def stage(progress: float, shares: tuple[float, ...]) -> tuple[int, float]:
    """How many scales are in use after a share of the run, and the weight of the coarser picture."""
    begin = 0.0
    for level, share in enumerate(shares, 1):
        length = share / sum(shares)
        if progress < begin + length or level == len(shares):
            passed = (progress - begin) / length
            return level, max(0.0, 1 - 2 * passed) if level > 1 else 0.0
        begin += length
    raise ValueError("there is no scale")


class Staged(nn.Module):
    """A generator as far as it has grown, its pictures enlarged to their final size."""

    def __init__(self, network: nn.Module, level: int, fade: float) -> None:
        super().__init__()
        assert isinstance(network, Progressive)
        self.network, self.level, self.fade = network, level, fade

    def forward(self, z: Tensor) -> Tensor:
        pictures = self.network(z, self.level, self.fade)
        return F.interpolate(pictures, (self.network.config.size,) * 2)


def slope_at(judge: nn.Module, real: Tensor, level: int, fade: float | Tensor) -> Tensor:
    """The judge's squared slope at real pictures (batch, 3, side, side), a scalar."""
    real = real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(real, level, fade).sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def train(
    data: Path, out: Path, judged_by: Path, *, resume: bool, init: Path | None, hp: Hyperparameters
) -> None:
    torch.manual_seed(hp.seed)
    pictures: Pictures = read_yosemite(data, hp.network.size).to(DEVICE)
    generator = Progressive(hp.network)
    judge = ProgressiveDiscriminator(hp.network)
    adam = partial(torch.optim.Adam, lr=hp.learning_rate, betas=hp.betas)
    loop = begin(out, hp.loop, generator, judge, adam, init=init, resume=resume)
    watch = Watch(hp.network, judged_by, pictures, out)
    last = len(hp.network.depths)
    weight = torch.zeros((), device=DEVICE)  # of the coarser picture

    def now() -> tuple[int, float]:
        """Level and fade; a checkpoint has grown already."""
        return (last, 0.0) if init else stage(loop.progress, hp.shares)

    def kind(at: int) -> tuple[int, bool, bool]:
        level, fade = now()
        return level, fade > 0, at % hp.slope_every == 0

    def take_step(at: int) -> Mapping[str, float | Tensor]:
        level, fades, sloped = kind(at)
        fade = weight if fades else 0.0
        real = F.avg_pool2d(draw(pictures, hp.batch)[0], 2 ** (last - level))

        def verdicts(x: Tensor) -> Tensor:
            x = augment(x) if hp.augmented else x
            with autocast(DEVICE):
                seen: Tensor = judge(x, level, fade)
            return seen.float()

        noise = normal(hp.batch, hp.network.latent, DEVICE)
        with autocast(DEVICE):
            made = generator(noise, level, fade).float()
        judge.requires_grad_(True)
        seen = JUDGE_LOSSES["non-saturating"](verdicts(real), verdicts(made.detach()))
        loss = seen
        if sloped:
            loss = loss + hp.slope / 2 * hp.slope_every * slope_at(judge, real, level, fade)
        descend(loop.optimizers["judge"], loss)
        judge.requires_grad_(False)
        fooled = GENERATOR_LOSSES["non-saturating"](verdicts(made))
        descend(loop.optimizers["generator"], fooled)
        return {"judge": seen.detach(), "generator": fooled.detach(), "level": level - fade}

    graphed = replayed(take_step, kind)

    def step(at: int) -> Mapping[str, float | Tensor]:
        weight.fill_(now()[1])
        return graphed(at)

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        """Only the whole network can be the best one."""
        level, fade = now()
        figure, figures = watch(Staged(average, level, fade))
        whole = level == last and not fade
        return (figure if whole else -float("inf")), figures

    loop.run(step, validate)
    what = "Mountains, forests and lakes of Yosemite"
    best = Progressive(hp.network)
    about = About("progressive", "progressive", what, "progressive")
    finish(best, about, hp, pictures, watch, loop)


def main() -> None:
    options = arguments(__doc__, LOOP.steps).parse_args()
    use_all_cores()
    hp = Hyperparameters(loop=replace(LOOP, steps=options.steps, minutes=options.minutes))
    train(options.data, options.out, options.judge, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
