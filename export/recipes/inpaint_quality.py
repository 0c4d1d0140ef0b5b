"""How well holes are filled, beside OpenCV's two ways to fill them."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from inpaint_data import KINDS, Hole, draw_hole

Pixels = NDArray[np.uint8]
Fill = Callable[[Pixels, Hole], Pixels]
"""A picture (H, W, 3) and its hole (H, W) to the whole picture."""


@dataclass(frozen=True)
class Quality:
    """Of the pixels in the hole, averaged over pictures."""

    psnr: float
    """Decibels."""
    ssim: float
    """Mean structural similarity over windows of 7 x 7 around them."""
    l1: float
    """Mean absolute error, 0..1."""


def opencv(method: int, radius: int) -> Fill:
    """One of OpenCV's ways to fill, that looks at so many pixels around each pixel of the hole."""

    def fill(picture: Pixels, hole: Hole) -> Pixels:
        filled: Pixels = cv2.inpaint(picture, hole.astype(np.uint8), radius, method)
        return filled

    return fill


ANCHORS: Mapping[str, Fill] = {
    f"{name}, radius {radius}": opencv(method, radius)
    for name, method in (("Telea", cv2.INPAINT_TELEA), ("Navier-Stokes", cv2.INPAINT_NS))
    for radius in (3, 10)
}
"""What people reach for without a network: 3 pixels as in OpenCV's documentation, and more."""


def holes_of(pictures: Sequence[Pixels], kind: str) -> list[Hole]:
    """The same holes at each call: one a picture, of the kind that is asked for."""
    return [
        draw_hole(kind, *picture.shape[:2], random.Random(f"{kind}/{i}"))
        for i, picture in enumerate(pictures)
    ]


def measure(fill: Fill, pictures: Sequence[Pixels]) -> Mapping[str, Quality]:
    """Fill holes of each kind in whole pictures, and compare."""
    return {
        kind: average(
            [
                judge(fill(picture * ~hole[..., None], hole), picture, hole)
                for picture, hole in zip(pictures, holes_of(pictures, kind), strict=True)
            ]
        )
        for kind in KINDS
    }


def judge(filled: Pixels, picture: Pixels, hole: Hole) -> Quality:
    """One filled picture beside the true one."""
    errors = (filled[hole].astype(float) - picture[hole]) / 255
    _, similarity = structural_similarity(filled, picture, channel_axis=2, full=True)
    return Quality(
        psnr=-10 * float(np.log10(np.square(errors).mean() + 1e-10)),
        ssim=float(similarity[hole].mean()),
        l1=float(np.abs(errors).mean()),
    )


def average(qualities: Sequence[Quality]) -> Quality:
    def mean(name: str) -> float:
        return float(np.mean([getattr(quality, name) for quality in qualities]))

    return Quality(mean("psnr"), mean("ssim"), mean("l1"))
