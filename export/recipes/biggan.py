"""Train BigGAN on CIFAR-10, by class.

    python export/recipes/biggan.py --data DIR --out DIR [--judge CHECKPOINT]
        [--resume | --init CHECKPOINT]

The data folder holds `cifar10-train.zip`; the judge comes from `cifar_features.py`. The output folder
ends with `checkpoint.safetensors` and the exported model in `model`, measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

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
from genkit_export.architectures.biggan import (
    BigGan,
    BigGanConfig,
    BigGanDiscriminator,
    initialize,
)
from genkit_export.architectures.spectral import orthogonality
from loop import LoopConfig, descend
from options import use_all_cores
from pictures import Pictures, read_cifar
from precision import autocast

LOOP = LoopConfig(
    steps=7_650, warmup=100, decay=0.3, average=0.999, log_every=100, validate_every=2000
)


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of the paper's code for CIFAR-10 where it differs."""

    network: BigGanConfig = BigGanConfig(  # noqa: RUF009
        multiples=(4, 4, 2, 1),  # (4, 4, 4, 4), five times the work
        attention=(16,),  # none
        norm_eps=1e-4,  # 1e-5
        statistics=11,  # 1
    )
    judge_width: int = 64
    judge_multiples: tuple[int, ...] = (2, 2, 4, 4)  # (4, 4, 4, 4)
    judge_downs: tuple[bool, ...] = (True, True, False, False)
    judge_attention: tuple[int, ...] = (16,)  # none
    judge_steps: int = 2  # 4
    batch: int = 128  # 50
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.999)
    orthogonal: float = 1e-4  # 0 for CIFAR-10
    """Weight of the generator's orthogonal regularisation."""
    augmented: bool = True
    """Differentiable augmentation (Zhao et al., 2020)."""
    truncation: float = 0.5
    """What the model is sampled with by default. Of 0.3 to 1, its distance is the smallest there."""
    seed: int = 1
    loop: LoopConfig = LOOP


def networks(hp: Hyperparameters) -> tuple[BigGan, BigGanDiscriminator]:
    """Generator and judge."""
    c = hp.network
    judge = BigGanDiscriminator(
        hp.judge_width, c.classes, hp.judge_multiples, hp.judge_downs, hp.judge_attention, c.size
    )
    generator = BigGan(c)
    initialize(generator)
    initialize(judge)
    return generator, judge


def train(
    data: Path, out: Path, judged_by: Path, *, resume: bool, init: Path | None, hp: Hyperparameters
) -> None:
    torch.manual_seed(hp.seed)
    pictures: Pictures = read_cifar(data).to(DEVICE)
    generator, judge = networks(hp)
    adam = partial(torch.optim.Adam, lr=hp.learning_rate, betas=hp.betas)
    loop = begin(out, hp.loop, generator, judge, adam, init=init, resume=resume)
    watch = Watch(hp.network, judged_by, pictures, out)

    def make() -> tuple[Tensor, Tensor]:
        labels = torch.randint(hp.network.classes, (hp.batch,), device=DEVICE)
        noise = normal(hp.batch, hp.network.latent, DEVICE)
        with autocast(DEVICE):
            made: Tensor = generator(noise, labels)
        return made.float(), labels

    def verdicts(x: Tensor, labels: Tensor) -> Tensor:
        x = augment(x) if hp.augmented else x
        with autocast(DEVICE):
            seen: Tensor = judge(x, labels)
        return seen.float()

    def take_step(_: int) -> Mapping[str, float | Tensor]:
        generator.train()
        judge.requires_grad_(True)
        seen = torch.zeros(())
        for _ in range(hp.judge_steps):
            real, real_labels = draw(pictures, hp.batch)
            with torch.no_grad():
                made, labels = make()
            # One pass over both is one power iteration, and no norm of the judge mixes them.
            both = torch.cat([real, made])
            on_real, on_made = verdicts(both, torch.cat([real_labels, labels])).chunk(2)
            seen = JUDGE_LOSSES["hinge"](on_real, on_made)
            descend(loop.optimizers["judge"], seen)
        judge.requires_grad_(False)
        made, labels = make()
        fooled = GENERATOR_LOSSES["hinge"](verdicts(made, labels))
        loss = fooled
        if hp.orthogonal:
            loss = loss + hp.orthogonal * orthogonality(generator)
        descend(loop.optimizers["generator"], loss)
        return {"judge": seen.detach(), "generator": fooled.detach()}

    loop.run(replayed(take_step), watch)
    what = "Small pictures of animals and vehicles, by class"
    best = networks(hp)[0]
    about = About("biggan", "biggan", what, "biggan", hp.truncation)
    finish(best, about, hp, pictures, watch, loop)


def main() -> None:
    parser = arguments(__doc__, LOOP.steps)
    parser.add_argument("--batch", type=int, default=Hyperparameters.batch)
    options = parser.parse_args()
    use_all_cores()
    hp = Hyperparameters(
        batch=options.batch, loop=replace(LOOP, steps=options.steps, minutes=options.minutes)
    )
    train(options.data, options.out, options.judge, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
