"""Train WGAN on CIFAR-10, with clamped weights as published or with a gradient penalty.

    python export/recipes/wgan.py --data DIR --out DIR [--judge CHECKPOINT]
        [--resume | --init CHECKPOINT] [--lipschitz clamp]

The data folder holds `cifar10-train.zip`; the judge comes from `cifar_features.py`. The output folder
ends with `checkpoint.safetensors` and the exported model in `model`, measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_data import draw, normal
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
from loop import LoopConfig, descend
from options import use_all_cores
from pictures import Pictures, read_cifar
from precision import autocast

LOOP = LoopConfig(steps=4700, decay=0.5, log_every=50, validate_every=1000)


@dataclass(frozen=True)
class Hyperparameters:
    """Of Gulrajani et al. (2017), and of Arjovsky et al. (2017) for clamped weights, with their
    values where ours differ.
    """

    network: DcganConfig = DcganConfig(32, latent=128)  # noqa: RUF009
    judge_width: int = 64
    lipschitz: str = "penalty"
    """Or `clamp`: how the critic is kept from growing steep."""
    penalty: float = 10.0
    clamp: float = 0.01
    critic_steps: int = 5
    batch: int = 64
    learning_rate: float = 2e-4  # 1e-4
    betas: tuple[float, float] = (0.0, 0.9)
    clamp_rate: float = 5e-5
    """Learning rate of RMSprop, which goes with clamped weights."""
    seed: int = 1
    loop: LoopConfig = LOOP


def gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """Mean squared distance from 1 of the critic's slope between real and made pictures
    (batch, 3, side, side).
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(real, made, share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    off: Tensor = slope.flatten(1).norm(dim=1) - 1
    return off.square().mean()


def critic_loss(
    critic: nn.Module, real: Tensor, made: Tensor, hp: Hyperparameters
) -> tuple[Tensor, Tensor]:
    """The loss, and the distance between the distributions that the critic sees."""
    with autocast(DEVICE):
        loss = JUDGE_LOSSES["wasserstein"](critic(real).float(), critic(made).float())
    distance = -loss.detach()
    if hp.lipschitz == "penalty":
        loss = loss + hp.penalty * gradient_penalty(critic, real, made)
    return loss, distance


def train(
    data: Path, out: Path, judged_by: Path, *, resume: bool, init: Path | None, hp: Hyperparameters
) -> None:
    torch.manual_seed(hp.seed)
    pictures: Pictures = read_cifar(data).to(DEVICE)
    generator = Dcgan(hp.network)
    norm = "layer" if hp.lipschitz == "penalty" else "batch"
    critic = DcganDiscriminator(hp.network.size, hp.judge_width, hp.network.channels, norm)  # type: ignore[arg-type]
    initialize(generator)
    initialize(critic)
    if hp.lipschitz == "penalty":
        optimizer = partial(torch.optim.Adam, lr=hp.learning_rate, betas=hp.betas)
    else:
        optimizer = partial(torch.optim.RMSprop, lr=hp.clamp_rate)
    loop = begin(out, hp.loop, generator, critic, optimizer, init=init, resume=resume)
    watch = Watch(hp.network, judged_by, pictures, out)

    def make() -> Tensor:
        with autocast(DEVICE):
            made: Tensor = generator(normal(hp.batch, hp.network.latent, DEVICE))
        return made.float()

    def take_step(_: int) -> Mapping[str, float | Tensor]:
        critic.requires_grad_(True)
        distance = torch.zeros(())
        for _ in range(hp.critic_steps):
            real = draw(pictures, hp.batch)[0]
            with torch.no_grad():
                made = make()
            loss, distance = critic_loss(critic, real, made, hp)
            descend(loop.optimizers["judge"], loss)
            if hp.lipschitz == "clamp":
                with torch.no_grad():
                    for weight in critic.parameters():
                        weight.clamp_(-hp.clamp, hp.clamp)
        critic.requires_grad_(False)
        made = make()
        with autocast(DEVICE):
            verdicts = critic(made).float()
        descend(loop.optimizers["generator"], GENERATOR_LOSSES["wasserstein"](verdicts))
        return {"wasserstein": distance}

    loop.run(replayed(take_step), watch)
    what = "Small pictures of animals and vehicles, by a network trained on a distance"
    finish(Dcgan(hp.network), About("dcgan", "wgan", what, "wgan"), hp, pictures, watch, loop)


def main() -> None:
    parser = arguments(__doc__, LOOP.steps)
    parser.add_argument("--lipschitz", choices=["penalty", "clamp"], default="penalty")
    options = parser.parse_args()
    use_all_cores()
    hp = Hyperparameters(
        lipschitz=options.lipschitz,
        loop=replace(LOOP, steps=options.steps, minutes=options.minutes),
    )
    train(options.data, options.out, options.judge, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
