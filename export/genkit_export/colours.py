"""Pictures of one to four channels at the edges of a graph.

Files hold red, green and blue, and perhaps how opaque a pixel is. A network of one channel sees and
makes grey, one of two grey and alpha, one of three colours, one of four colours and alpha. Graphs
take and give bytes of three channels, or of four where the network knows alpha; grey is made of
colours, and written as three equal channels, inside the graph.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.errors import InputError

KINDS = {1: "grey", 2: "grey and alpha", 3: "colours", 4: "colours and alpha"}
COUNTS = ("channels", "in_channels", "out_channels", "colours")
"""The fields of configurations that say how many channels a picture has."""
LUMA = (19595.0, 38470.0, 7471.0)
"""ITU-R 601 in 65536ths: what Pillow makes grey with (`convert("L")`), and so torchvision."""
XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
"""Linear sRGB to CIE XYZ, and the white below: as skimage.color has them."""
WHITE = (0.95047, 1.0, 1.08883)
LIGHTNESS, OPPONENT = 50.0, 110.0
"""What junyanz' colorization divides L and a, b of CIE Lab by."""


def outer(channels: int) -> int:
    """The channels that a graph takes or gives for a network of so many."""
    return 3 if channels in (1, 3) else 4


def described(channels: int) -> str:
    """What a graph takes or gives for a network of so many channels, for people."""
    return "sRGB" if outer(channels) == 3 else "sRGB and alpha"


def refuse_others(config: dict[str, Any], path: object) -> None:
    """Raises InputError for a network of pictures that are none."""
    for name in COUNTS:
        count = config.get(name, 3)
        if isinstance(count, int) and count not in KINDS:
            raise InputError(
                f"{path} has {name} {count}: genkit has pictures of 1 to 4 channels "
                f"({', '.join(KINDS.values())})"
            )


def taken(image: Tensor, channels: int) -> Tensor:
    """Bytes (N, H, W, 3 or 4) as a network of so many channels takes them: float32
    (N, channels, H, W), 0 to 255.
    """
    x = image.permute(0, 3, 1, 2).float()
    if channels == 1:
        return grey(x)
    return torch.cat([grey(x[:, :3]), x[:, 3:]], 1) if channels == 2 else x


def given(x: Tensor) -> Tensor:
    """What a network makes (N, H, W, channels), as files have it: (N, H, W, 3 or 4)."""
    match x.shape[-1]:
        case 1:
            return x.expand(-1, -1, -1, 3)
        case 2:
            return torch.cat([x[..., :1].expand(-1, -1, -1, 3), x[..., 1:]], -1)
        case _:
            return x


def grey(x: Tensor) -> Tensor:
    """Colours (N, 3, H, W), whole numbers of 0 to 255 -> (N, 1, H, W), to the last digit as Pillow.
    All sums are whole numbers that float32 has.
    """
    weights = torch.tensor(LUMA)[:, None, None]
    return (((x * weights).sum(1, keepdim=True) + 32768) / 65536).floor()


class Colorizer(nn.Module):
    """A network that sees the lightness of a picture and makes its colours, as junyanz' colorization:
    pictures (N, 3, H, W) from -1 to 1 to the same; L, a and b of CIE Lab inside.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        light = lightness((x + 1) / 2)
        colours: Tensor = self.network(light / LIGHTNESS - 1)
        return from_lab(torch.cat([light, colours * OPPONENT], 1)) * 2 - 1


def lightness(rgb: Tensor) -> Tensor:
    """sRGB (N, 3, H, W), 0 to 1 -> L of CIE Lab (N, 1, H, W), 0 to 100."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    y = (linear * torch.tensor(XYZ[1])[:, None, None]).sum(1, keepdim=True)
    root = y.clamp_min(1e-6) ** (1 / 3)
    return 116 * torch.where(y > 0.008856, root, 7.787 * y + 16 / 116) - 16


def from_lab(lab: Tensor) -> Tensor:
    """CIE Lab (N, 3, H, W) -> sRGB (N, 3, H, W), cut to 0 to 1."""
    light, a, b = lab.unbind(1)
    y = (light + 16) / 116
    roots = torch.stack([y + a / 500, y, (y - b / 200).clamp_min(0)], 1)
    xyz = torch.where(roots > 0.2068966, roots**3, (roots - 16 / 116) / 7.787)
    matrix = torch.tensor(XYZ, dtype=torch.float64).inverse() @ torch.diag(
        torch.tensor(WHITE, dtype=torch.float64)
    )
    linear = F.conv2d(xyz, matrix.float()[..., None, None])
    bent = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bent, linear * 12.92).clamp(0, 1)
