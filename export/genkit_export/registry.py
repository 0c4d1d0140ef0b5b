"""The table of everything that can be exported.

A row says how an architecture is built and how its graphs are made. A layout of `checkpoints/`
ends in one of these rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from . import cyclegan, fill, inpaint, translate
from .architectures.bert import Bert, BertConfig
from .architectures.cyclegan import ResnetConfig, ResnetGenerator, UnetConfig, UnetGenerator
from .architectures.inpaint import Gated, GatedConfig, Lama, LamaConfig
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
}
