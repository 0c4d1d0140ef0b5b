"""Write down what the ViTs of lucidrains/vit-pytorch compute, for `test_layout_lucidrains.py`.

    for v in 0.35.8 1.2.0 1.26.11; do pip install --no-deps --target DIR/$v vit-pytorch==$v; done
    pip install --no-deps --target DIR einops
    PYTHONPATH=DIR python tests/export/record_lucidrains.py DIR    # writes tests/fixtures/lucidrains.json

The tests have only the record: the package brings torchvision, of which its ViT needs nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # where helpers of the tests lie
from vision_models import fill, pictures

RECORD = Path(__file__).parents[1] / "fixtures" / "lucidrains.json"
SIZES = {
    "image_size": 32, "patch_size": 8, "num_classes": 5,
    "dim": 48, "depth": 2, "heads": 3, "dim_head": 16, "mlp_dim": 96,
}  # fmt: skip
NETWORKS: list[tuple[str, str, dict[str, Any]]] = [
    ("0.35.8", "vit", {}),
    ("0.35.8", "vit", {"heads": 1, "dim_head": 48}),
    ("1.2.0", "vit", {"heads": 2}),
    ("1.26.11", "vit", {}),
    ("1.26.11", "vit", {"heads": 2, "dim_head": 64}),
    ("1.26.11", "vit", {"pool": "mean"}),
    ("1.26.11", "simple_vit", {}),
]
"""Version, file and what differs from the sizes above."""


def record(folder: Path, version: str, file: str, others: dict[str, Any]) -> dict[str, Any]:
    """What a network of theirs makes of two pictures, and all that is needed to do it again."""
    path = folder / version / "vit_pytorch" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(file, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = SIZES | others
    network = (module.ViT if file == "vit" else module.SimpleViT)(**arguments).eval()
    fill(network)
    with torch.inference_mode():
        logits = network(pictures(2, 32, 32))
    assert logits.std(0).max() > 0.05, "the pictures make no difference"
    return {
        "version": version,
        "file": file,
        "arguments": arguments,
        "shapes": {name: list(tensor.shape) for name, tensor in network.state_dict().items()},
        "logits": logits.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with a folder for each version")
    folder = parser.parse_args().folder
    records = [record(folder, *network) for network in NETWORKS]
    lines = ",\n".join(map(json.dumps, records))
    RECORD.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
