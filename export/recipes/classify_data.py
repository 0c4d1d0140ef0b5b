"""What is done to the pictures of a classifier in training, all on batches of tensors.

Pictures of a batch are float (n, 3, h, w) from 0 to 255. All randomness comes from the generator
that is passed, on the CPU, so that a resumed run goes on with the same pictures.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

WHITE = 255.0


def chosen(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Which pictures a step trains on: every epoch all of them once, in an order of its own, but for
    a rest that fills no batch.
    """
    epoch, at = divmod(step, count // batch)
    order = torch.randperm(count, generator=Generator().manual_seed(1_000_003 * seed + epoch))
    return order[at * batch : (at + 1) * batch]


def cropped(pictures: Tensor, margin: int, random: Generator) -> Tensor:
    """Moved by up to `margin` pixels each way, mirrored at the edges, and half of them flipped."""
    count, _, height, width = pictures.shape
    padded = F.pad(pictures.float(), [margin] * 4, mode="reflect").permute(0, 2, 3, 1)
    top, left = torch.randint(0, 2 * margin + 1, (2, count, 1), generator=random)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    flip = torch.rand((count, 1), generator=random) < 0.5
    columns = torch.where(flip, columns.flip(1), columns)
    places = (torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None])
    return padded[tuple(place.to(padded.device) for place in places)].permute(0, 3, 1, 2)


# One change a picture, of random strength: "TrivialAugment" (Müller and Hutter 2021), with ranges
# that are narrower than its wide ones, as pictures of 32 pixels ask for. Each function takes
# pictures and strengths from -1 to 1 (n, 1, 1, 1).


def _brightness(x: Tensor, strength: Tensor) -> Tensor:
    return x * (1 + 0.8 * strength)


def _contrast(x: Tensor, strength: Tensor) -> Tensor:
    return x.mean((1, 2, 3), keepdim=True).lerp(x, 1 + 0.8 * strength)


def _colour(x: Tensor, strength: Tensor) -> Tensor:
    return _grey(x).lerp(x, 1 + 0.9 * strength)


def _sharpness(x: Tensor, strength: Tensor) -> Tensor:
    smooth = F.avg_pool2d(F.pad(x, [1] * 4, mode="reflect"), 3, 1)
    return smooth.lerp(x, 1 + 0.9 * strength)


def _posterize(x: Tensor, strength: Tensor) -> Tensor:
    width = 2 ** (6 * strength.abs()).floor()
    return (x / width).floor() * width


def _solarize(x: Tensor, strength: Tensor) -> Tensor:
    return torch.where(x >= WHITE * (1 - strength.abs()), WHITE - x, x)


def _autocontrast(x: Tensor, strength: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (x - low) * (WHITE / (high - low).clamp_min(1))


def _turned(x: Tensor, strength: Tensor) -> Tensor:
    angle = strength.flatten() * (np.pi / 6)
    return _moved(x, _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos()))


def _sheared(x: Tensor, strength: Tensor) -> Tensor:
    by = 0.3 * strength.flatten()
    zero, one, across = torch.zeros_like(by), torch.ones_like(by), _coin(by)
    return _moved(
        x, _matrix(one, torch.where(across, by, zero), torch.where(across, zero, by), one)
    )


def _shifted(x: Tensor, strength: Tensor) -> Tensor:
    by = 0.3 * strength.flatten()
    zero, one, across = torch.zeros_like(by), torch.ones_like(by), _coin(by)
    matrix = _matrix(one, zero, zero, one)
    matrix[:, 0, 2], matrix[:, 1, 2] = torch.where(across, by, zero), torch.where(across, zero, by)
    return _moved(x, matrix)


def _grey(x: Tensor) -> Tensor:
    """Luma of ITU-R 601, (n, 1, h, w)."""
    return (x * torch.tensor([0.299, 0.587, 0.114], device=x.device)[:, None, None]).sum(
        1, keepdim=True
    )


def _coin(strength: Tensor) -> Tensor:
    """Along the rows or the columns: by a digit of the strength that is as good as random."""
    return (strength.abs() * 1e4).floor() % 2 == 0


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    zero = torch.zeros_like(a)
    return torch.stack([torch.stack([a, b, zero], 1), torch.stack([c, d, zero], 1)], 1)


def _moved(x: Tensor, matrix: Tensor) -> Tensor:
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda x, strength: x,
    _brightness, _contrast, _colour, _sharpness, _posterize, _solarize, _autocontrast,
    _turned, _sheared, _shifted,
)  # fmt: skip


def changed(pictures: Tensor, random: Generator) -> Tensor:
    """Every picture with one of the changes, and each change as often as the others."""
    device = pictures.device
    order = torch.randperm(len(pictures), generator=random).to(device)
    strength = (2 * torch.rand((len(pictures), 1, 1, 1), generator=random) - 1).to(device)
    result = pictures.clone()
    for change, mine in zip(CHANGES, order.tensor_split(len(CHANGES)), strict=True):
        if len(mine):
            result[mine] = change(pictures[mine], strength[mine])
    return result.clamp(0, WHITE)


def mixed(
    pictures: Tensor, targets: Tensor, mixup: float, cutmix: float, random: Generator
) -> tuple[Tensor, Tensor]:
    """A batch mixed with itself in another order; targets (n, classes) are shares.

    With a chance of `mixup` pictures are blended by a share from Beta(0.8, 0.8), with a chance of
    `cutmix` a rectangle is replaced whose area is uniform, and else nothing happens.
    ("mixup: Beyond Empirical Risk Minimization", Zhang et al. 2018; "CutMix", Yun et al. 2019.)
    """
    choice = float(torch.rand((), generator=random))
    if choice >= mixup + cutmix:
        return pictures, targets
    order = torch.randperm(len(pictures), generator=random).to(pictures.device)
    if choice < mixup:
        share = _beta(0.8, random)
        return pictures.lerp(pictures[order], share), targets.lerp(targets[order], share)
    height, width = pictures.shape[2:]
    side = float(torch.rand((), generator=random)) ** 0.5
    rows, columns = _stretch(height, side, random), _stretch(width, side, random)
    result = pictures.clone()
    result[:, :, rows, columns] = pictures[order][:, :, rows, columns]
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return result, targets.lerp(targets[order], share)


def _beta(alpha: float, random: Generator) -> float:
    """A number from Beta(alpha, alpha), by Jöhnk's method."""
    while True:
        x, y = (torch.rand(2, generator=random, dtype=torch.float64) ** (1 / alpha)).tolist()
        if 0 < x + y <= 1:
            return float(x / (x + y))


def _stretch(length: int, share: float, random: Generator) -> slice:
    """A part of a side around a random place, cut off at the ends."""
    middle = int(torch.randint(length, (), generator=random))
    half = round(length * share / 2)
    return slice(max(middle - half, 0), min(middle + half, length))


def normalised(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pictures from 0 to 255 as a network knows them."""
    middle, width = (torch.tensor(v, device=pictures.device)[:, None, None] for v in (mean, std))
    return (pictures.float() / WHITE - middle) / width
