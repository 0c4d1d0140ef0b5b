"""BigGAN-deep, the generator that Hugging Face converted from TF Hub, with its state dict.

Brock et al. (2018), appendix B; the layout is that of huggingface/pytorch-pretrained-BigGAN. Its
norms keep means and variances for 51 truncations from 0 to 1, and every block gets all the noise.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .biggan import START, attend, tent
from .spectral import StoredConv2d, StoredLinear

REDUCTION = 4
"""The inner convolutions of a block have a quarter of its channels."""
LAYERS_128 = (
    (False, 16, 16),
    (True, 16, 16),
    (False, 16, 16),
    (True, 16, 8),
    (False, 8, 8),
    (True, 8, 4),
    (False, 4, 4),
    (True, 4, 2),
    (False, 2, 2),
    (True, 2, 1),
)


@dataclass(frozen=True)
class BigGanDeepConfig:
    """As in the `config.json` of the published models."""

    output_dim: int = 128
    """Side of the pictures."""
    z_dim: int = 128
    class_embed_dim: int = 128
    channel_width: int = 128
    num_classes: int = 1000
    layers: tuple[tuple[bool, int, int], ...] = LAYERS_128
    """Of each block: whether it doubles the size, and its channels before and after in multiples of
    the channel width."""
    attention_layer_position: int = 8
    """Index of the block that attention stands before."""
    eps: float = 1e-4
    n_stats: int = 51

    def __post_init__(self) -> None:
        if self.output_dim != START * 2 ** sum(layer[0] for layer in self.layers):
            raise ValueError(f"these blocks do not make pictures of {self.output_dim}")
        if self.n_stats < 2:
            raise ValueError("statistics by truncation have two rows or more")


class BigGanDeep(nn.Module):
    """Noise (batch, z_dim), class int64 (batch,), truncation (scalar, 0 to 1) -> pictures
    (batch, 3, output_dim, output_dim), -1 to 1.
    """

    def __init__(self, config: BigGanDeepConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.Linear(config.num_classes, config.class_embed_dim, bias=False)
        self.generator = DeepGenerator(config)

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor) -> Tensor:
        embedded = self.embeddings.weight.T[label]  # a product with a one-hot vector
        pictures: Tensor = self.generator(torch.cat([z, embedded], 1), truncation)
        return pictures


class DeepGenerator(nn.Module):
    """Condition (batch, z_dim + class_embed_dim), truncation -> pictures."""

    def __init__(self, config: BigGanDeepConfig) -> None:
        super().__init__()
        self.config = c = config
        width, condition = c.channel_width, c.z_dim + c.class_embed_dim
        self.gen_z = StoredLinear(condition, START**2 * c.layers[0][1] * width)
        layers: list[nn.Module] = []
        for index, (double, before, after) in enumerate(c.layers):
            if index == c.attention_layer_position:
                layers.append(DeepAttention(width * before))
            layers.append(DeepBlock(width * before, width * after, condition, double, c))
        self.layers = nn.ModuleList(layers)
        last = width * c.layers[-1][2]
        self.bn = DeepNorm(last, None, c)
        self.conv_to_rgb: nn.Module = StoredConv2d(last, last, 3)

    def forward(self, condition: Tensor, truncation: Tensor) -> Tensor:
        mix = tent(truncation, self.config.n_stats)
        # TensorFlow's order: channels are the last axis.
        x = torch.unflatten(self.gen_z(condition), 1, (START, START, -1)).permute(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x, condition, mix) if isinstance(layer, DeepBlock) else layer(x)
        # Of as many outputs as there are channels, three are used.
        pictures: Tensor = self.conv_to_rgb(F.relu(self.bn(x, None, mix)))[:, :3]
        return pictures.tanh()


class DeepBlock(nn.Module):
    """(batch, inputs, h, w) -> (batch, outputs, h, w), or twice the sides."""

    def __init__(
        self, inputs: int, outputs: int, condition: int, doubles: bool, config: BigGanDeepConfig
    ) -> None:
        super().__init__()
        self.outputs, self.doubles = outputs, doubles
        inner = inputs // REDUCTION
        self.bn_0 = DeepNorm(inputs, condition, config)
        self.conv_0 = StoredConv2d(inputs, inner, 1)
        self.bn_1 = DeepNorm(inner, condition, config)
        self.conv_1 = StoredConv2d(inner, inner, 3)
        self.bn_2 = DeepNorm(inner, condition, config)
        self.conv_2 = StoredConv2d(inner, inner, 3)
        self.bn_3 = DeepNorm(inner, condition, config)
        self.conv_3 = StoredConv2d(inner, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor, mix: Tensor) -> Tensor:
        y: Tensor = self.conv_0(F.relu(self.bn_0(x, condition, mix)))
        y = F.relu(self.bn_1(y, condition, mix))
        shortcut = x[:, : self.outputs]
        if self.doubles:
            shortcut = F.interpolate(shortcut, scale_factor=2)
            y = self.conv_1.enlarged(y)
        else:
            y = self.conv_1(y)
        y = self.conv_2(F.relu(self.bn_2(y, condition, mix)))
        y = self.conv_3(F.relu(self.bn_3(y, condition, mix)))
        return y + shortcut


class DeepNorm(nn.Module):
    """Batch norm with statistics by truncation; scale and shift from the condition, if there is one
    (`condition` is its width), or learned.
    """

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, condition: int | None, config: BigGanDeepConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.register_buffer("running_means", torch.zeros(config.n_stats, channels))
        self.register_buffer("running_vars", torch.ones(config.n_stats, channels))
        self.conditional = condition is not None
        if condition is None:
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
        else:
            self.scale = StoredLinear(condition, channels, bias=False)
            self.offset = StoredLinear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor | None, mix: Tensor) -> Tensor:
        """`mix` (rows,) weighs the rows of the statistics."""
        scale = (mix @ self.running_vars + self.eps).rsqrt()
        if self.conditional:
            gain, bias = 1 + self.scale(condition), self.offset(condition)
        else:
            gain, bias = self.weight[None], self.bias[None]
        gain = gain * scale
        bias = bias - (mix @ self.running_means) * gain
        y: Tensor = x * gain[:, :, None, None] + bias[:, :, None, None]
        return y


class DeepAttention(nn.Module):
    """Every place looks at all others, at half the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.snconv1x1_theta = StoredConv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_phi = StoredConv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_g = StoredConv2d(channels, channels // 2, 1, bias=False)
        self.snconv1x1_o_conv = StoredConv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        seen = attend(self.snconv1x1_theta(x), self.snconv1x1_phi(x), self.snconv1x1_g(x))
        y: Tensor = x + self.gamma * self.snconv1x1_o_conv(seen)
        return y
