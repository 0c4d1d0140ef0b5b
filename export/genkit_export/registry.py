"""The table of everything that can be exported.

A row says how an architecture is built and how its graphs are made. A layout of `checkpoints/`
ends in one of these rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from . import cyclegan, fill, inpaint, sample, translate
from .architectures.bert import Bert, BertConfig
from .architectures.biggan import BigGan, BigGanConfig
from .architectures.biggan_deep import BigGanDeep, BigGanDeepConfig
from .architectures.cyclegan import ResnetConfig, ResnetGenerator, UnetConfig, UnetGenerator
from .architectures.dcgan import Dcgan, DcganConfig
from .architectures.gan import Gan, GanConfig
from .architectures.inpaint import Gated, GatedConfig, Lama, LamaConfig
from .architectures.progressive import Progressive, ProgressiveConfig
from .architectures.transformer import Transformer, TransformerConfig
from .checkpoints.genkit import Description
from .folder import Exported

Report = Callable[[str], None]


@dataclass(frozen=True)
class Architecture:
    """How one architecture is built and exported."""

    config: Callable[..., Any]
    network: Callable[[Any], nn.Module]
    export: Callable[[Any, Description, Path, Report], Exported]
    """Network, description, folder to write graphs to, where to say what is going on."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(BertConfig, Bert, fill.export),
    "transformer": Architecture(TransformerConfig, Transformer, translate.export),
    "cyclegan": Architecture(ResnetConfig, ResnetGenerator, cyclegan.export),
    "pix2pix": Architecture(UnetConfig, UnetGenerator, cyclegan.export),
    "gated": Architecture(GatedConfig, Gated, inpaint.export),
    "lama": Architecture(LamaConfig, Lama, inpaint.export),
    "gan": Architecture(GanConfig, Gan, sample.export),
    "dcgan": Architecture(DcganConfig, Dcgan, sample.export),
    "progressive": Architecture(ProgressiveConfig, Progressive, sample.export),
    "biggan": Architecture(BigGanConfig, BigGan, sample.export),
    "biggan-deep": Architecture(BigGanDeepConfig, BigGanDeep, sample.export),
}
