"""Train DCGAN, or the original fully connected GAN, on CIFAR-10.

    python export/recipes/dcgan.py --data DIR --out DIR [--judge CHECKPOINT]
        [--resume | --init CHECKPOINT] [--network gan] [--loss minimax] ...

The data folder holds `cifar10-train.zip`; the judge comes from `cifar_features.py`. The output folder
ends with `checkpoint.safetensors` and the exported model in `model`, measured. What practice has
taught since the paper is on by default, and each piece has an option that takes it away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_data import draw, normal, uniform
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
from genkit_export.architectures.dcgan import Dcgan, DcganConfig, DcganDiscriminator, initialize
from genkit_export.architectures.gan import Gan, GanConfig, GanDiscriminator
from loop import LoopConfig, descend
from options import use_all_cores
from pictures import Pictures, read_cifar
from precision import autocast

LOOP = LoopConfig(steps=14_500, decay=0.4, log_every=200, validate_every=3000)
NOISES = {"normal": normal, "uniform": uniform}
DESCRIPTIONS = {
    "dcgan": "Small pictures of animals and vehicles, by a convolutional network",
    "gan": "Small pictures of animals and vehicles, by a fully connected network",
}


@dataclass(frozen=True)
class Hyperparameters:
    """Ours, with the value of the paper where it differs."""

    kind: Literal["dcgan", "gan"] = "dcgan"
    network: DcganConfig | GanConfig = DcganConfig(32)  # noqa: RUF009  # 64 x 64, 128 wide
    judge_width: int = 64  # 128
    loss: str = "non-saturating"
    """Or `minimax`, whose gradient fades where the judge is sure."""
    noise: str = "normal"  # uniform
    """A cube has corners and no direction is like another; a Gaussian ball has none."""
    separate_batches: bool = True
    """Whether the judge's batch norm sees real and made pictures apart."""
    label_smoothing: float = 0.1  # 0
    """Real pictures are labelled by chance between 1 less so much and 1."""
    label_noise: float = 0.0
    """Share of labels that are wrong on purpose."""
    batch: int = 64  # 128
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    seed: int = 1
    loop: LoopConfig = LOOP


def networks(hp: Hyperparameters) -> tuple[Dcgan | Gan, nn.Module]:
    """Generator and judge."""
    if isinstance(hp.network, GanConfig):
        return Gan(hp.network), GanDiscriminator(hp.network)
    generator = Dcgan(hp.network)
    judge = DcganDiscriminator(hp.network.size, hp.judge_width, hp.network.channels)
    initialize(generator)
    initialize(judge)
    return generator, judge


def judge_loss(judge: nn.Module, real: Tensor, made: Tensor, hp: Hyperparameters) -> Tensor:
    """What the judge has to answer for, on real and made pictures (batch, 3, side, side)."""
    with autocast(DEVICE):
        if hp.separate_batches:
            on_real, on_made = judge(real).float(), judge(made).float()
        else:
            on_real, on_made = judge(torch.cat([real, made])).float().chunk(2)
    if not hp.label_smoothing and not hp.label_noise:
        return JUDGE_LOSSES[hp.loss](on_real, on_made)
    loss = torch.zeros((), device=DEVICE)
    for verdicts, label in ((on_real, 1.0), (on_made, 0.0)):
        labels = torch.full_like(verdicts, label)
        if label:
            labels -= hp.label_smoothing * torch.rand_like(labels)
        wrong = torch.rand_like(labels) < hp.label_noise
        loss = loss + F.binary_cross_entropy_with_logits(
            verdicts, torch.where(wrong, 1 - labels, labels)
        )
    return loss


def train(
    data: Path, out: Path, judged_by: Path, *, resume: bool, init: Path | None, hp: Hyperparameters
) -> None:
    torch.manual_seed(hp.seed)
    pictures: Pictures = read_cifar(data).to(DEVICE)
    generator, judge = networks(hp)
    adam = partial(torch.optim.Adam, lr=hp.learning_rate, betas=hp.betas)
    loop = begin(out, hp.loop, generator, judge, adam, init=init, resume=resume)
    watch = Watch(hp.network, judged_by, pictures, out)

    def take_step(_: int) -> Mapping[str, float | Tensor]:
        real = draw(pictures, hp.batch)[0]
        noise = NOISES[hp.noise](hp.batch, hp.network.latent, DEVICE)
        with autocast(DEVICE):
            made = generator(noise)
        judge.requires_grad_(True)
        seen = judge_loss(judge, real, made.detach().float(), hp)
        descend(loop.optimizers["judge"], seen)
        judge.requires_grad_(False)
        with autocast(DEVICE):
            verdicts = judge(made).float()
        fooled = GENERATOR_LOSSES[hp.loss](verdicts)
        descend(loop.optimizers["generator"], fooled)
        return {"judge": seen.detach(), "generator": fooled.detach()}

    loop.run(replayed(take_step), watch)
    if hp.noise != "normal":
        print("not exported: genkit draws Gaussian noise, and this generator learned another")
        return
    best = networks(hp)[0]
    about = About(hp.kind, hp.kind, DESCRIPTIONS[hp.kind], "dcgan")
    finish(best, about, hp, pictures, watch, loop)


def main() -> None:
    plain = Hyperparameters()
    parser = arguments(__doc__, LOOP.steps)
    parser.add_argument("--network", choices=list(DESCRIPTIONS), default=plain.kind)
    parser.add_argument("--loss", choices=["non-saturating", "minimax"], default=plain.loss)
    parser.add_argument("--noise", choices=list(NOISES), default=plain.noise)
    parser.add_argument(
        "--mixed-batches", action="store_true", help="show the judge real and made pictures at once"
    )
    parser.add_argument("--label-smoothing", type=float, default=plain.label_smoothing)
    parser.add_argument("--label-noise", type=float, default=plain.label_noise)
    parser.add_argument("--upsample", choices=["transposed", "shuffle"], default="transposed")
    options = parser.parse_args()
    use_all_cores()
    fully = options.network == "gan"
    hp = Hyperparameters(
        kind=options.network,
        network=GanConfig() if fully else DcganConfig(32, upsample=options.upsample),
        loss=options.loss,
        noise=options.noise,
        separate_batches=not options.mixed_batches,
        label_smoothing=options.label_smoothing,
        label_noise=options.label_noise,
        loop=replace(LOOP, steps=options.steps, minutes=options.minutes),
    )
    train(options.data, options.out, options.judge, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
