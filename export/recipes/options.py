"""The options that every recipe has, and the cores that it uses."""

import argparse
import math
import os
from pathlib import Path

import torch

from genkit.runtime.devices import default_threads


def recipe_options(
    doc: str | None, steps: int, init: str = "begin with the weights of a checkpoint"
) -> argparse.ArgumentParser:
    """A parser for a recipe with this docstring and so many steps; `init` explains `--init`."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end a run of fewer steps after so long"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on with the run in --out")
    start.add_argument("--init", type=Path, help=init)
    return parser


def use_all_cores() -> None:
    """Let PyTorch use the processors of this process."""
    # oneDNN makes code for every shape and keeps that of 1,024; batches of text have more.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "20000")
    torch.set_num_threads(default_threads())
    # On a GPU: the quickest algorithm for every convolution, float32 products by its matrix units.
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
