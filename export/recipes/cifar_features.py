"""Train the judge of the GAN recipes: a small ResNet that tells the classes of CIFAR-10 apart.

    python export/recipes/cifar_features.py --data DIR --out DIR [--resume | --init CHECKPOINT]

The data folder holds `cifar10-train.zip`. The output folder ends with `checkpoint.safetensors`, which
the other recipes take as `--judge`; its features are what `gan_quality.py` measures in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from classify_data import chosen, cropped
from gan_data import card_origin
from genkit_export.checkpoints import genkit as own
from genkit_export.read import read
from loop import Loop, LoopConfig, descend
from muon import Muon
from options import recipe_options, use_all_cores
from pictures import Pictures, read_cifar, to_float
from precision import autocast, hardware

# 50 epochs.
LOOP = LoopConfig(steps=2200, warmup=20, decay=1.0, average=0.96, validate_every=220, log_every=44)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZE = 32
ARCHITECTURE = "cifar-resnet"
SHIPPED = Path(__file__).parents[2] / "weights/judge/cifar10/checkpoint.safetensors"
"""The judge that the figures of the shipped models were measured with."""


@dataclass(frozen=True)
class Hyperparameters:
    """Those of "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (airbench94; Jordan 2024) where
    nothing else is said, and of its later form with Muon for the convolutions.
    """

    widths: tuple[int, ...] = (128, 384, 512)  # (64, 256, 256)
    batch: int = 1024
    muon_rate: float = 0.18  # 0.24, for twice the batch
    muon_momentum: float = 0.6
    learning_rate: float = 1.5
    """Of the head."""
    bias_rate: float = 64.0
    """By how much the biases of the norms learn faster than the rest."""
    momentum: float = 0.85
    weight_decay: float = 1.33e-3
    smoothing: float = 0.2
    margin: int = 4  # 2
    """Pixels by which pictures are moved."""
    cut_out: int = 10  # none, in its 10 epochs
    """Side of the square that is hidden."""
    seed: int = 1
    loop: LoopConfig = LOOP


class Norm(nn.BatchNorm2d):
    """Batch norm without a scale, whose moments follow the last few batches."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4)
        self.weight.requires_grad_(False)


class Group(nn.Module):
    """Halves the side, then adds a residual layer: (batch, inputs, side, side) ->
    (batch, outputs, side // 2, side // 2).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        nn.init.dirac_(self.conv.weight[:inputs])
        self.norm = Norm(outputs)
        self.residual = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), Norm(outputs), nn.GELU()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm(F.max_pool2d(self.conv(x), 2)))
        y: Tensor = x + self.residual(x)
        return y


class CifarResnet(nn.Module):
    """Pictures (batch, 3, 32, 32) from -1 to 1 -> logits (batch, classes)."""

    def __init__(self, widths: Sequence[int], classes: int = 10) -> None:
        super().__init__()
        whiten = nn.Conv2d(3, 24, 2)
        whiten.weight.requires_grad_(False)
        sides = zip((24, *widths), widths, strict=False)
        groups = (Group(inputs, outputs) for inputs, outputs in sides)
        self.body = nn.Sequential(whiten, nn.GELU(), *groups)
        self.head = nn.Linear(widths[-1], classes, bias=False)

    @torch.no_grad()
    def whiten(self, x: Tensor) -> None:
        """Set the first layer to the principal components of the patches of 2 x 2 in pictures
        (n, 3, 32, 32), each of unit variance, and to their negatives.
        """
        patches = F.unfold(x, 2).transpose(1, 2).reshape(-1, 12)
        variances, directions = torch.linalg.eigh(patches.T.cov())
        filters = (directions / (variances + 1e-2).sqrt()).T.reshape(12, 3, 2, 2)
        first = self.body[0]
        first.weight.copy_(torch.cat([filters, -filters]))
        first.bias.zero_()

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, in float32: (batch, width)."""
        y: Tensor = self.body(x)
        return y.float().amax((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        # The small logits of the fast recipes: with them the large learning rate is stable.
        logits: Tensor = self.head(self.features(x)) / 9
        return logits


def load_judge(path: Path) -> CifarResnet:
    """The trained judge of a checkpoint."""
    description = own.describe(read(path))
    if description is None or description.architecture != ARCHITECTURE:
        raise SystemExit(f"{path} is no judge: make one with export/recipes/cifar_features.py")
    network = CifarResnet(**description.config)
    own.load_weights(path, network)
    return network.eval()


@torch.no_grad()
def look(judge: CifarResnet, pictures: Tensor, batch: int = 250) -> tuple[Tensor, Tensor]:
    """Features (n, width) and classes (n,) of pictures, uint8 (n, 3, side, side); larger ones are
    reduced to 32 x 32 by averaging.
    """
    features, classes = [], []
    for part in pictures.split(batch):
        x = to_float(part).to(next(judge.parameters()).device)
        if x.shape[2] > SIZE:
            x = F.avg_pool2d(x, x.shape[2] // SIZE)
        with autocast(x.device.type):
            feature = judge.features(x)
        features.append(feature.cpu())
        classes.append(judge.head(feature).argmax(1).cpu())
    return torch.cat(features), torch.cat(classes)


def convolutions(network: CifarResnet) -> list[nn.Parameter]:
    """The weights that Muon trains: all convolutions but the first, which stays."""
    return [p for p in network.parameters() if p.requires_grad and p.dim() == 4]


def optimizers_of(network: CifarResnet, hp: Hyperparameters) -> dict[str, Optimizer]:
    """Muon for the convolutions, gradient descent for the head and the biases, which learn faster
    and decay as much.
    """
    muon = Muon(convolutions(network), hp.muon_rate, hp.muon_momentum)
    rest = [p for p in network.parameters() if p.requires_grad and p.dim() < 4]
    groups = [
        {"params": [p for p in rest if p.dim() > 1]},
        {
            "params": [p for p in rest if p.dim() == 1],
            "lr": hp.learning_rate * hp.bias_rate,
            "weight_decay": hp.weight_decay / hp.bias_rate,
        },
    ]
    sgd = torch.optim.SGD(
        groups, hp.learning_rate, hp.momentum, weight_decay=hp.weight_decay, nesterov=True
    )
    return {"muon": muon, "sgd": sgd}


@torch.no_grad()
def rescale(weights: Sequence[Tensor]) -> None:
    """Give every output's weights a norm of one on average. The norms behind them see no
    difference; but a step of Muon then changes all layers alike, whenever it is taken.
    """
    for weight in weights:
        weight.mul_(len(weight) ** 0.5 / weight.norm())


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    pictures = read_cifar(data)
    network = CifarResnet(hp.widths, len(pictures.classes))
    network.whiten(to_float(pictures.train[:: max(len(pictures.train) // 5000, 1)]))
    if init:
        own.load_weights(init, network)
    network = network.to(DEVICE, memory_format=torch.channels_last)
    pictures = pictures.to(DEVICE)
    weights = convolutions(network)
    optimizers = optimizers_of(network, hp)
    loop = Loop(out, hp.loop, {"network": network}, optimizers, averaged="network")
    if resume:
        loop.resume()

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        network.train()
        rescale(weights)
        random = Generator().manual_seed(1_000_003 * hp.seed + step)
        which = chosen(len(pictures.train), hp.batch, step, hp.seed)
        x = cropped(pictures.train[which], hp.margin, random) / 127.5 - 1
        x = with_holes(x, hp.cut_out, random).contiguous(memory_format=torch.channels_last)
        with autocast(DEVICE):
            logits = network(x)
        labels = pictures.train_labels[which]
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=hp.smoothing)
        descend(optimizers.values(), loss)
        return {"loss": loss.detach()}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        settle(average, pictures)
        share = accuracy(average, pictures)
        return share, {"accuracy": share}

    loop.run(take_step, validate)
    best = CifarResnet(hp.widths, len(pictures.classes))
    best.load_state_dict(torch.load(out / "best.pt", weights_only=True, map_location="cpu"))
    figure = {"measure": "accuracy", "on": "held-out pictures", "value": accuracy(best, pictures)}
    machine = hardware(DEVICE)
    card = {
        "origin": card_origin(
            "cifar_features", asdict(hp), loop.seconds, machine, pictures, [figure]
        )
    }
    config = {"widths": hp.widths, "classes": len(pictures.classes)}
    path = out / "checkpoint.safetensors"
    own.write(path, best, own.Description(ARCHITECTURE, config, card))


def with_holes(x: Tensor, side: int, random: Generator) -> Tensor:
    """Pictures (n, 3, h, w), each with a grey square of that side ("Cutout", DeVries and Taylor
    2017).
    """
    count, _, height, width = x.shape
    rows, columns = (
        (at - torch.randint(0, length - side + 1, (count, 1), generator=random)) // side == 0
        for at, length in ((torch.arange(height), height), (torch.arange(width), width))
    )
    return x.masked_fill((rows[:, :, None] & columns[:, None])[:, None].to(x.device), 0)


@torch.no_grad()
def settle(network: nn.Module, pictures: Pictures, batches: int = 20) -> None:
    """Measure the moments of the batch norms anew: those of the network that was averaged are not
    those of the average.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    network.train()
    for part in pictures.train[torch.randperm(len(pictures.train))[: 250 * batches]].split(250):
        with autocast(DEVICE):
            network(to_float(part).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def accuracy(network: nn.Module, pictures: Pictures) -> float:
    """Share of the held-out pictures whose class is told right."""
    assert isinstance(network, CifarResnet)
    network.eval()
    _, classes = look(network, pictures.valid)
    return float((classes == pictures.valid_labels.cpu()).float().mean())


def main() -> None:
    parser = recipe_options(__doc__, LOOP.steps)
    parser.add_argument("--widths", type=int, nargs="+", default=Hyperparameters.widths)
    options = parser.parse_args()
    use_all_cores()
    hp = Hyperparameters(
        widths=tuple(options.widths),
        loop=replace(LOOP, steps=options.steps, minutes=options.minutes),
    )
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
