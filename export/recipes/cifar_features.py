"""Train the judge of the GAN recipes: a small ResNet that tells the classes of CIFAR-10 apart.

    python export/recipes/cifar_features.py --data DIR --out DIR [--resume | --init CHECKPOINT]

The data folder holds `cifar10-train.zip`. The output folder ends with `checkpoint.safetensors`, which
the other recipes take as `--judge`; its features are what `gan_quality.py` measures in.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_data import Pictures, card_origin, draw, read_cifar, to_float
from genkit_export.checkpoints import genkit as own
from genkit_export.read import read
from loop import Loop, LoopConfig, descend
from options import recipe_options, use_all_cores

LOOP = LoopConfig(steps=2800, warmup=400, decay=0.85, average=0.995, validate_every=400)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZE = 32


@dataclass(frozen=True)
class Hyperparameters:
    """Nine layers, after the fast CIFAR-10 networks of the DAWNBench contest."""

    width: int = 48  # 64
    batch: int = 256  # 512
    learning_rate: float = 0.2  # 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    cut_out: int = 8
    """Side of the square that is hidden."""
    seed: int = 1
    loop: LoopConfig = LOOP


class CifarResnet(nn.Module):
    """Pictures (batch, 3, 32, 32) from -1 to 1 -> logits (batch, classes)."""

    def __init__(self, width: int, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _layer(3, width),
            _layer(width, 2 * width),
            nn.MaxPool2d(2),
            Residual(2 * width),
            _layer(2 * width, 4 * width),
            nn.MaxPool2d(2),
            _layer(4 * width, 8 * width),
            nn.MaxPool2d(2),
            Residual(8 * width),
        )
        self.head = nn.Linear(8 * width, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees: (batch, 8 width)."""
        y: Tensor = self.body(x)
        return y.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class Residual(nn.Module):
    """Two layers, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(_layer(channels, channels), _layer(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.inner(x)
        return y


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def load_judge(path: Path) -> CifarResnet:
    """The trained judge of a checkpoint."""
    description = own.describe(read(path))
    if description is None or description.architecture != "cifar-resnet":
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
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            seen = judge.body(x)
        # The average of many places and the last product are exact, for distances depend on them.
        feature = seen.float().mean((2, 3))
        features.append(feature.cpu())
        classes.append(judge.head(feature).argmax(1).cpu())
    return torch.cat(features), torch.cat(classes)


def train(data: Path, out: Path, *, resume: bool, init: Path | None, hp: Hyperparameters) -> None:
    torch.manual_seed(hp.seed)
    pictures = read_cifar(data)
    network = CifarResnet(hp.width, len(pictures.classes)).to(DEVICE)
    if init:
        own.load_weights(init, network)
    optimizer = torch.optim.SGD(
        network.parameters(),
        hp.learning_rate,
        hp.momentum,
        weight_decay=hp.weight_decay,
        nesterov=True,
    )
    loop = Loop(out, hp.loop, {"network": network}, {"network": optimizer}, averaged="network")
    if resume:
        loop.resume()

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        network.train()
        x, labels = draw(pictures, hp.batch)
        x = disturbed(x, hp.cut_out).to(DEVICE)
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            logits = network(x)
        loss = F.cross_entropy(logits.float(), labels.to(DEVICE), label_smoothing=hp.smoothing)
        descend(optimizer, loss)
        return {"loss": loss.detach()}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        share = accuracy(average, pictures)
        return share, {"accuracy": share}

    loop.run(take_step, validate)
    best = CifarResnet(hp.width, len(pictures.classes))
    best.load_state_dict(torch.load(out / "best.pt", weights_only=True, map_location="cpu"))
    figure = {"measure": "accuracy", "on": "held-out pictures", "value": accuracy(best, pictures)}
    hardware = f"{DEVICE}, bfloat16 autocast"
    card = {
        "origin": card_origin(
            "cifar_features", asdict(hp), loop.seconds, hardware, pictures, [figure]
        )
    }
    config = {"width": hp.width, "classes": len(pictures.classes)}
    path = out / "checkpoint.safetensors"
    own.write(path, best, own.Description("cifar-resnet", config, card))


def disturbed(x: Tensor, hole: int) -> Tensor:
    """Pictures (n, 3, side, side) shifted by up to 4 pixels, with a grey square of side `hole`."""
    side = x.shape[2]
    padded = F.pad(x, (4,) * 4, "reflect")
    out = torch.empty_like(x)
    shifts = torch.randint(0, 9, (len(x), 2)).tolist()
    holes = torch.randint(0, side - hole + 1, (len(x), 2)).tolist()
    for i, ((top, left), (y, x0)) in enumerate(zip(shifts, holes, strict=True)):
        out[i] = padded[i, :, top : top + side, left : left + side]
        out[i, :, y : y + hole, x0 : x0 + hole] = 0
    return out


def accuracy(network: nn.Module, pictures: Pictures) -> float:
    """Share of the held-out pictures whose class is told right."""
    assert isinstance(network, CifarResnet)
    network.eval()
    _, classes = look(network, pictures.valid)
    return float((classes == pictures.valid_labels).float().mean())


def main() -> None:
    options = recipe_options(__doc__, LOOP.steps).parse_args()
    use_all_cores()
    hp = Hyperparameters(loop=replace(LOOP, steps=options.steps))
    train(options.data, options.out, resume=options.resume, init=options.init, hp=hp)


if __name__ == "__main__":
    main()
