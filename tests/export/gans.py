"""Small generators with weights that exercise everything: no bias is zero, no norm is one."""

import torch
import torch.nn.functional as F
from torch import nn

from genkit_export.architectures.biggan import BigGan, BigGanConfig
from genkit_export.architectures.biggan_deep import BigGanDeep, BigGanDeepConfig
from genkit_export.architectures.dcgan import Dcgan, DcganConfig
from genkit_export.architectures.gan import Gan, GanConfig
from genkit_export.architectures.progressive import Progressive, ProgressiveConfig
from genkit_export.architectures.spectral import Stored
from genkit_export.sample import Generator

SMALL = BigGanConfig(width=8, multiples=(4, 4, 2, 1), latent=16, attention=(16,))
DEEP = BigGanDeepConfig(
    output_dim=16,
    z_dim=8,
    class_embed_dim=8,
    channel_width=8,
    num_classes=5,
    layers=((True, 16, 8), (False, 8, 4), (True, 4, 2), (False, 2, 1)),
    attention_layer_position=2,
)
"""The published models go from 16 times the width to the width too."""
CONFIGS: dict[str, tuple[str, object]] = {
    "gan": ("gan", GanConfig(8, 16, (32, 48), norm_eps=0.8)),
    "grey gan": ("gan", GanConfig(8, 16, (32,), 1, leak=0, output="none")),
    "dcgan": ("dcgan", DcganConfig(32, 16, 64)),
    "dcgan 28": ("dcgan", DcganConfig(28, 16, 8, 1, "point", extra_layers=1)),
    "dcgan shuffle": ("dcgan", DcganConfig(32, 16, 8, upsample="shuffle")),
    "dcgan without norm": ("dcgan", DcganConfig(32, 16, 8, batch_norm=False)),
    "progressive": ("progressive", ProgressiveConfig((16, 16, 8), 16)),
    "biggan": ("biggan", SMALL),
    "biggan by truncation": (
        "biggan",
        BigGanConfig(width=8, multiples=(4, 2, 1), size=16, latent=16, statistics=5),
    ),
    "biggan hierarchical": (
        "biggan",
        BigGanConfig(width=8, multiples=(4, 2, 1), size=16, latent=12, shared=8, hierarchical=True),
    ),
    "biggan-deep": ("biggan-deep", DEEP),
}
NETWORKS: dict[type, type[nn.Module]] = {
    GanConfig: Gan,
    DcganConfig: Dcgan,
    ProgressiveConfig: Progressive,
    BigGanConfig: BigGan,
    BigGanDeepConfig: BigGanDeep,
}


def lively(config: object, seed: int = 0) -> Generator:
    """A random network of a configuration, with weights that half precision holds exactly."""
    torch.manual_seed(seed)
    network = NETWORKS[type(config)](config)
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if not tensor.is_floating_point():
                continue
            if "var" in name:
                tensor.uniform_(0.5, 1.5)
            elif "mean" in name:
                tensor.normal_(0, 0.2)
            elif isinstance(config, ProgressiveConfig):
                tensor.normal_(0, 1 if tensor.dim() > 1 else 3)
            else:
                fan = tensor[0].numel() if tensor.dim() > 1 else 25
                tensor.normal_(0, fan**-0.5)
                if tensor.dim() == 1 and name.endswith(("weight", "gain")):
                    tensor += 1
            tensor.copy_(tensor.half())
        for module in network.modules():
            if isinstance(module, Stored):
                settle(module)
    return network.eval()  # type: ignore[return-value]


def settle(layer: Stored) -> None:
    """Singular vectors as training leaves them."""
    matrix = layer.weight_orig.flatten(1)
    for _ in range(5):
        layer.weight_v.copy_(F.normalize(matrix.T @ layer.weight_u, dim=0))
        layer.weight_u.copy_(F.normalize(matrix @ layer.weight_v, dim=0))
    for vector in (layer.weight_u, layer.weight_v):
        vector.copy_(vector.half())
