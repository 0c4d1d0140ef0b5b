"""Train a ViT or a Swin to tell the ten classes of CIFAR-10 apart.

    python export/recipes/classify.py --model vit|swin --data DIR --out DIR
        [--resume | --init CHECKPOINT] [--teacher CHECKPOINT]

The data folder holds `cifar10-train.zip`. The output folder ends with `checkpoint.safetensors` and
the exported model in `model`, measured. A teacher is the checkpoint of a classifier of the same
classes, of this recipe or of `cifar_features.py`; it sees the same changed and mixed pictures.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

import cifar_features
from classify_data import changed, chosen, cropped, mixed, normalised
from genkit.errors import InputError
from genkit_export import export_checkpoint
from genkit_export.architectures.swin import Swin, SwinConfig
from genkit_export.architectures.vit import ViT, ViTConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.classify import image_section
from genkit_export.read import read
from genkit_export.registry import ARCHITECTURES
from loop import Loop, LoopConfig, descend
from muon import Muon
from options import recipe_options, use_all_cores
from pictures import Pictures, read_cifar
from precision import autocast, hardware

# 57 epochs.
LOOP = LoopConfig(steps=5000, warmup=150, decay=0.9, average=0.998, validate_every=1000)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
HALVES = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Mean and deviation of pictures from -1 to 1."""
# 0.28 and 0.36 GFLOP a picture. Convolutions before the attention learn from few pictures what
# patches of four pixels do not.
VIT = ViTConfig(
    image_size=32,
    patch_size=4,
    num_classes=10,
    d_model=192,
    layers=4,
    num_heads=3,
    d_ff=384,
    stem="conv",
    stem_channels=(32, 64, 128, 192),
    drop_path=0.05,
    mean=CIFAR_MEAN,
    std=CIFAR_STD,
)
SWIN = SwinConfig(
    image_size=32,
    patch_size=2,
    num_classes=10,
    embed_dim=96,
    depths=(2, 4, 2),
    num_heads=(3, 6, 12),
    window_size=4,
    mlp_ratio=2.0,
    stem="conv",
    stem_channels=(48, 96),
    drop_path=0.05,
    mean=CIFAR_MEAN,
    std=CIFAR_STD,
)

Network = ViT | Swin
Teacher = Callable[[Tensor], Tensor]
"""Pictures (n, 3, h, w) from 0 to 255 to logits (n, classes)."""


@dataclass(frozen=True)
class Hyperparameters:
    """What a run is made of."""

    network: ViTConfig | SwinConfig = VIT
    batch: int = 512
    muon_rate: float = 2e-3
    """Of the matrices and convolutions between the pixels and the head, which Muon trains. Adam has
    the rest."""
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    margin: int = 4
    """Pixels by which pictures are moved."""
    mixup: float = 0.3
    cutmix: float = 0.3
    """Chances that a batch is mixed this way."""
    smoothing: float = 0.1
    distillation: float = 0.5
    """The teacher's share of the loss, where there is a teacher."""
    temperature: float = 1.0
    """By which both are softened. A teacher with smoothed labels is soft as it is."""
    seed: int = 1
    loop: LoopConfig = LOOP


def make(config: ViTConfig | SwinConfig) -> Network:
    return ViT(config) if isinstance(config, ViTConfig) else Swin(config)


def batch_of(pictures: Pictures, hp: Hyperparameters, step: int) -> tuple[Tensor, Tensor]:
    """The pictures of a step, 0 to 255, and their targets as shares (n, classes)."""
    random = Generator().manual_seed(1_000_003 * hp.seed + step)
    which = chosen(len(pictures.train), hp.batch, step, hp.seed)
    x = changed(cropped(pictures.train[which], hp.margin, random), random)
    targets = F.one_hot(pictures.train_labels[which], len(pictures.classes)).float()
    return mixed(x, targets, hp.mixup, hp.cutmix, random)


def loss_of(
    network: Network, x: Tensor, targets: Tensor, teacher: Teacher | None, hp: Hyperparameters
) -> Tensor:
    """Smoothed cross-entropy; with a teacher, mostly the divergence from what it says ("Distilling
    the Knowledge in a Neural Network", Hinton et al. 2015).
    """
    config = hp.network
    with autocast(DEVICE):
        logits = network(normalised(x, config.mean, config.std)).float()
    loss = F.cross_entropy(logits, targets, label_smoothing=hp.smoothing)
    if teacher is None:
        return loss
    t = hp.temperature
    told = (teacher(x) / t).log_softmax(1)
    distance = F.kl_div((logits / t).log_softmax(1), told, log_target=True, reduction="batchmean")
    return (1 - hp.distillation) * loss + hp.distillation * t * t * distance


def optimizers_of(network: Network, hp: Hyperparameters) -> dict[str, Optimizer]:
    """Muon for what is inside the network, Adam for the head and all that is no matrix; weight decay
    for matrices alone: not for norms, biases, positions and the class token.
    """
    kept = {"pos_embed", "cls_token"}
    inside: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1 or name in kept or "bias_table" in name:
            free.append(parameter)
        else:
            (head if name.startswith("head") else inside).append(parameter)
    groups: list[dict[str, Any]] = [{"params": head}, {"params": free, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(
        groups, hp.learning_rate, betas=hp.betas, weight_decay=hp.weight_decay, fused=True
    )
    muon = Muon(inside, hp.muon_rate, weight_decay=hp.weight_decay, rms=0.2)
    return {"muon": muon, "adam": adam}


def load_teacher(path: Path, classes: int) -> Teacher:
    """A classifier from its checkpoint. Raises InputError if it knows other classes."""
    description = own.describe(read(path))
    network: nn.Module
    if description is not None and description.architecture == cifar_features.ARCHITECTURE:
        network = cifar_features.load_judge(path)
        known, side, (mean, std) = description.config["classes"], cifar_features.SIZE, HALVES
    elif description is not None and description.card.get("task") == "classify":
        row = ARCHITECTURES[description.architecture]
        config: Any = row.config(**description.config)
        network = row.network(config)
        own.load_weights(path, network)
        known, side, mean, std = config.num_classes, config.image_size, config.mean, config.std
    else:
        raise InputError(f"{path} is not the checkpoint of a classifier")
    if known != classes:
        raise InputError(f"{path} knows {known} classes, not {classes}")
    network.eval().requires_grad_(False).to(DEVICE, memory_format=torch.channels_last)

    @torch.no_grad()
    def teacher(x: Tensor) -> Tensor:
        if x.shape[2:] != (side, side):
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True)
        x = normalised(x, mean, std).contiguous(memory_format=torch.channels_last)
        with autocast(DEVICE):
            logits: Tensor = network(x)
        return logits.float()

    return teacher


@torch.inference_mode()
def accuracy(network: nn.Module, pictures: Pictures, config: ViTConfig | SwinConfig) -> float:
    """Per cent of the held-out pictures that are named rightly."""
    hits = 0
    with autocast(DEVICE):
        for x, classes in zip(
            torch.split(pictures.valid, 500), torch.split(pictures.valid_labels, 500), strict=True
        ):
            logits = network(normalised(x, config.mean, config.std))
            hits += int((logits.argmax(1) == classes).sum())
    return 100 * hits / len(pictures.valid)


def train(
    data: Path,
    out: Path,
    *,
    resume: bool,
    init: Path | None,
    teacher: Path | None,
    hp: Hyperparameters,
) -> None:
    torch.manual_seed(hp.seed)
    out.mkdir(parents=True, exist_ok=True)
    pictures = read_cifar(data).to(DEVICE)
    told = load_teacher(teacher, len(pictures.classes)) if teacher else None
    network = make(hp.network)
    if init:
        own.load_weights(init, network)
    network.to(DEVICE)
    optimizers = optimizers_of(network, hp)
    loop = Loop(out, hp.loop, {"network": network}, optimizers, averaged="network")
    if resume:
        loop.resume()

    def take_step(step: int) -> Mapping[str, float | Tensor]:
        network.train()
        x, targets = batch_of(pictures, hp, step)
        loss = loss_of(network, x, targets, told, hp)
        norm = descend(optimizers.values(), loss, hp.clip_norm)
        return {"loss": loss.detach(), "norm": norm}

    def validate(average: nn.Module) -> tuple[float, Mapping[str, float]]:
        figure = accuracy(average, pictures, hp.network)
        return figure, {"top1": figure}

    loop.run(take_step, validate)
    best = make(hp.network)
    best.load_state_dict(torch.load(out / "best.pt", weights_only=True, map_location="cpu"))
    finish(best.eval(), out, pictures.to("cpu"), told is not None, hp, loop.seconds)


def finish(
    network: Network,
    out: Path,
    pictures: Pictures,
    taught: bool,
    hp: Hyperparameters,
    seconds: float,
) -> None:
    """Measure the network, write its checkpoint and export it."""
    path = out / "checkpoint.safetensors"
    architecture = "vit" if isinstance(network, ViT) else "swin"
    network = network.half().float()  # as the checkpoint has it
    card = card_of(architecture, pictures, taught, hp, seconds)
    card["origin"]["figures"] = measure(network, pictures)
    print(*(f"{figure['measure']}: {figure['value']}" for figure in card["origin"]["figures"]))
    own.write(path, network, own.Description(architecture, asdict(hp.network), card))
    export_checkpoint(path, out / "model", overwrite=True, report=print)


@torch.inference_mode()
def measure(network: Network, pictures: Pictures) -> list[dict[str, Any]]:
    """The card's figures, on the held-out pictures."""
    mean, std = network.config.mean, network.config.std
    rows = [network(normalised(x, mean, std)).softmax(1) for x in torch.split(pictures.valid, 500)]
    probabilities = torch.cat(rows)
    right = probabilities.gather(1, pictures.valid_labels[:, None])
    rank = (probabilities > right).sum(1)
    values = {
        "accuracy, top 1, %": 100 * float((rank == 0).float().mean()),
        "accuracy, top 2, %": 100 * float((rank <= 1).float().mean()),
        "cross-entropy, nats": -float(right.clamp_min(1e-9).log().mean()),
    }
    return [
        {
            "measure": name,
            "on": f"{len(rank):,} held-out pictures of CIFAR-10",
            "value": round(value, 3),
        }
        for name, value in values.items()
    ]


def card_of(
    architecture: str, pictures: Pictures, taught: bool, hp: Hyperparameters, seconds: float
) -> dict[str, Any]:
    """What the model's card says besides what the export finds out."""
    return {
        "task": "classify",
        "name": architecture,
        "description": f"Ten kinds of animals and vehicles: {', '.join(pictures.classes)}",
        "license": "research use only (CIFAR-10)",
        "tags": ["default", "cifar10"] if architecture == "vit" else ["cifar10"],
        "image": image_section(hp.network, pictures.classes),
        "origin": {
            "recipe": "export/recipes/classify.py",
            "arguments": asdict(hp),
            "taught": taught,
            "minutes": round(seconds / 60),
            "hardware": hardware(DEVICE),
            "data": [dict(pictures.origin)],
            "held_out": pictures.held_out,
            "figures": [],
        },
    }


def main() -> None:
    parser = recipe_options(__doc__, LOOP.steps)
    parser.add_argument("--model", choices=("vit", "swin"), required=True)
    parser.add_argument("--batch", type=int, default=Hyperparameters.batch)
    parser.add_argument("--learning-rate", type=float, default=Hyperparameters.learning_rate)
    parser.add_argument("--teacher", type=Path, help="checkpoint of a classifier to learn from")
    options = parser.parse_args()
    use_all_cores()
    hp = Hyperparameters(
        network=VIT if options.model == "vit" else SWIN,
        batch=options.batch,
        learning_rate=options.learning_rate,
        loop=replace(LOOP, steps=options.steps, minutes=options.minutes),
    )
    train(
        options.data,
        options.out,
        resume=options.resume,
        init=options.init,
        teacher=options.teacher,
        hp=hp,
    )


if __name__ == "__main__":
    main()
