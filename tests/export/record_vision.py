"""Write down what the ViTs and Swins of timm and torchvision compute, for `test_vit.py` and
`test_swin.py`.

    python tests/export/record_vision.py           # writes tests/fixtures/vision.json
    python tests/export/record_vision.py --full    # compares networks of full size, here and now

It needs timm and torchvision beside genkit. The tests have only the record: where a torchvision does
not fit the installed torch, the mere import of transformers fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # where helpers of the tests lie
from vision_models import fill, mend_torchvision, pictures, published, swin_config, vit_config

from genkit_export.architectures import swin, vit
from genkit_export.architectures.swin import Swin, SwinConfig
from genkit_export.architectures.vit import ViT, ViTConfig
from genkit_export.checkpoints import swin as swin_layouts
from genkit_export.checkpoints import vit as vit_layouts

mend_torchvision()

import timm  # noqa: E402
import torchvision  # noqa: E402

RECORD = Path(__file__).parents[1] / "fixtures" / "vision.json"
FULL = {
    "vit_tiny_patch16_224": vit.tiny(),
    "vit_small_patch16_224": vit.small(),
    "vit_base_patch16_224": vit.base(),
    "swin_tiny_patch4_window7_224": swin.tiny(),
    "swin_small_patch4_window7_224": swin.small(),
    "swin_base_patch4_window7_224": swin.base(),
}


def timm_vit(config: ViTConfig) -> nn.Module:
    token = config.pooling == "token"
    return timm.models.VisionTransformer(
        img_size=config.image_size, patch_size=config.patch_size, num_classes=config.num_classes,
        embed_dim=config.d_model, depth=config.layers, num_heads=config.num_heads,
        mlp_ratio=config.d_ff / config.d_model, class_token=token, fc_norm=False,
        global_pool="token" if token else "avg", dynamic_img_size=True,
    )  # fmt: skip


def torchvision_vit(config: ViTConfig) -> nn.Module:
    return torchvision.models.VisionTransformer(
        config.image_size, config.patch_size, config.layers, config.num_heads, config.d_model,
        config.d_ff, num_classes=config.num_classes,
    )  # fmt: skip


def timm_swin(config: SwinConfig) -> nn.Module:
    return timm.models.SwinTransformer(
        img_size=config.image_size, patch_size=config.patch_size, num_classes=config.num_classes,
        embed_dim=config.embed_dim, depths=config.depths, num_heads=config.num_heads,
        window_size=config.window_size,
    )  # fmt: skip


def torchvision_swin(config: SwinConfig) -> nn.Module:
    return torchvision.models.SwinTransformer(
        [config.patch_size] * 2, config.embed_dim, list(config.depths), list(config.num_heads),
        [config.window_size] * 2, num_classes=config.num_classes,
    )  # fmt: skip


def record(
    make: Callable[[Any], nn.Module], config: ViTConfig | SwinConfig, height: int, width: int
) -> dict[str, Any]:
    """What a network of theirs makes of two pictures, and all that is needed to do it again."""
    network = make(config).eval()
    fill(network)
    with torch.inference_mode():
        logits = network(pictures(2, height, width))
    assert logits.std(0).max() > 0.1, "the pictures make no difference"
    return {
        "source": make.__name__,
        "config": asdict(config),
        "shapes": {
            name: list(tensor.shape)
            for name, tensor in network.state_dict().items()
            if tensor.is_floating_point()
        },
        "size": [height, width],
        "logits": logits.tolist(),
    }


def records() -> dict[str, list[dict[str, Any]]]:
    eps = {"norm_eps": 1e-6}
    return {
        "versions": [{"timm": timm.__version__, "torchvision": torchvision.__version__}],
        "vit": [
            record(timm_vit, vit_config(), 32, 32),
            record(timm_vit, vit_config(), 48, 16),
            record(timm_vit, vit_config(pooling="mean"), 32, 32),
            record(torchvision_vit, vit_config(**eps), 32, 32),
        ],
        "swin": [
            record(timm_swin, swin_config(), 32, 32),
            record(timm_swin, swin_config(image_size=56, patch_size=4, window_size=7), 56, 56),
            record(torchvision_swin, swin_config(depths=(2, 2, 2), num_heads=(1, 2, 4)), 32, 32),
            record(torchvision_swin, swin_config(depths=(2, 2, 2), num_heads=(1, 2, 4)), 38, 22),
        ],
    }


@torch.inference_mode()
def compare_full_sizes() -> None:
    """Print how far the full-size networks of timm and transformers are from ours."""
    import transformers

    x = pictures(2, 224, 224)
    for name, config in FULL.items():
        ours: ViT | Swin
        theirs: Any
        layout: Any
        if isinstance(config, ViTConfig):
            ours = ViT(config)
            arguments = vit_layouts.transformers_config(config)
            theirs = transformers.ViTForImageClassification(transformers.ViTConfig(**arguments))
            layout = vit_layouts
        else:
            ours = Swin(config)
            arguments = swin_layouts.transformers_config(config)
            theirs = transformers.SwinForImageClassification(transformers.SwinConfig(**arguments))
            layout = swin_layouts
        theirs_too = timm.create_model(name).eval()
        fill(theirs_too)
        ours.load_state_dict(theirs_too.state_dict())
        report(f"{name}, timm", ours.eval()(x), theirs_too(x))
        fill(theirs)
        with tempfile.TemporaryDirectory() as scratch:
            ours.load_state_dict(layout.from_transformers(published(theirs, Path(scratch))))
        report(f"{name}, transformers", ours(x), theirs.eval()(x).logits)


def report(name: str, found: Tensor, expected: Tensor) -> None:
    difference = float((found - expected).abs().max())
    spread = float(expected.std())
    print(f"{name}: largest difference {difference:.1e}, deviation of logits {spread:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare networks of full size")
    if parser.parse_args().full:
        compare_full_sizes()
    else:
        text = json.dumps(records())
        RECORD.write_text(text.replace('{"source"', '\n{"source"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
