"""genkit against OpenCV's `inpaint`: how well holes in photographs are filled, and how fast.

    python tests/benchmarks/inpaint.py [--data DIR | --photos DIR] [--model DIR] [--sheet FILE.png]

Photographs are those that were held out of the training (`--data` has `yosemite-train.zip`), those
of a folder, or else those that scikit-image carries. Each gets a hole of each kind, in its whole
size; what is compared is the inside of the hole, averaged over photographs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

import genkit
from genkit.images import Picture

sys.path.insert(0, str(Path(__file__).parents[2] / "export" / "recipes"))
from cyclegan_data import Photographs
from inpaint_data import KINDS, Hole
from inpaint_quality import ANCHORS, Fill, Pixels, Quality, average, holes_of, judge

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""The colour photographs of scikit-image."""
SHEET_SIDE, SHEET_COLUMNS = 192, 6


def read_folder(folder: Path) -> list[Pixels]:
    """All pictures of a folder."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def read_held_out(data: Path) -> list[Pixels]:
    """The photographs that the recipe kept apart."""
    valid = Photographs.read(data).valid.values()
    return [photo.permute(1, 2, 0).numpy() for photos in valid for photo in photos]


def read_skimage() -> list[Pixels]:
    folder = Path(skimage.data_dir)
    return [np.asarray(Image.open(folder / name).convert("RGB")) for name in NAMES]


def open_genkit(model: str | None) -> Fill:
    fill = genkit.load("inpaint", model)

    def run(picture: Pixels, hole: Hole) -> Pixels:
        return fill(Picture(picture), hole).pixels

    return run


def compare(
    fills: dict[str, Fill], pictures: Sequence[Pixels], kind: str
) -> tuple[dict[str, Quality], dict[str, float]]:
    """The figures of each way to fill, and milliseconds a picture."""
    qualities: dict[str, list[Quality]] = {name: [] for name in fills}
    times: dict[str, list[float]] = {name: [] for name in fills}
    for picture, hole in zip(pictures, holes_of(pictures, kind), strict=True):
        torn = picture * ~hole[..., None]
        for name, fill in fills.items():
            start = time.perf_counter()
            filled = fill(torn, hole)
            times[name].append(time.perf_counter() - start)
            assert np.array_equal(filled[~hole], torn[~hole]), f"{name} changed known pixels"
            qualities[name].append(judge(filled, picture, hole))
    medians = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    return {name: average(values) for name, values in qualities.items()}, medians


def write_sheet(fills: dict[str, Fill], pictures: Sequence[Pixels], path: Path) -> None:
    """For each kind of hole: pictures with holes, filled by each, and as they were."""
    some = pictures[:: -(-len(pictures) // SHEET_COLUMNS)]
    rows: list[list[Pixels]] = []
    for kind in KINDS:
        holes = holes_of(some, kind)
        torn = [picture * ~hole[..., None] for picture, hole in zip(some, holes, strict=True)]
        pairs = list(zip(torn, holes, strict=True))
        filled = [[fill(picture, hole) for picture, hole in pairs] for fill in fills.values()]
        rows += [torn, *filled, list(some)]
    side = SHEET_SIDE
    sheet = Image.new("RGB", (side * len(some), side * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            image = Image.fromarray(picture)
            image.thumbnail((side, side))
            sheet.paste(image, (x * side, y * side))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, help="folder of the data set of the recipe")
    source.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--model", help="name or folder (default: the shipped model)")
    parser.add_argument("--sheet", type=Path, help="where to write a contact sheet")
    options = parser.parse_args()
    if options.data:
        pictures = read_held_out(options.data)
    else:
        pictures = read_folder(options.photos) if options.photos else read_skimage()
    fills = {**ANCHORS, "genkit": open_genkit(options.model)}
    fills["genkit"](pictures[0], holes_of(pictures, "boxes")[0])  # the first run is slower
    print(f"{len(pictures)} photographs; gain: over the best of OpenCV's\n")
    print(
        f"{'hole':<11}{'filled by':<26}{'PSNR dB':>9}{'SSIM':>8}{'L1':>8}{'ms':>8}{'gain dB':>10}"
    )
    for kind in KINDS:
        qualities, times = compare(fills, pictures, kind)
        best = max(qualities[name].psnr for name in ANCHORS)
        for name, quality in qualities.items():
            gain = f"{quality.psnr - best:+10.2f}" if name == "genkit" else ""
            print(
                f"{kind:<11}{name:<26}{quality.psnr:9.2f}{quality.ssim:8.3f}{quality.l1:8.4f}"
                f"{times[name]:8.1f}{gain}",
                flush=True,
            )
    if options.sheet:
        write_sheet(fills, pictures, options.sheet)


if __name__ == "__main__":
    main()
