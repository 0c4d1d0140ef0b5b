"""The tables of everything that can be exported.

A row of `LAYOUTS` says how a published checkpoint is recognised and read; it ends in a row of
`ARCHITECTURES`, which says how a network is built and how its graphs are made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from . import classify, cyclegan, fill, inpaint, sample, translate
from .architectures.bert import Bert, BertConfig
from .architectures.biggan import BigGan, BigGanConfig
from .architectures.biggan_deep import BigGanDeep, BigGanDeepConfig
from .architectures.cyclegan import ResnetConfig, ResnetGenerator, UnetConfig, UnetGenerator
from .architectures.dcgan import Dcgan, DcganConfig
from .architectures.deepfill import DeepFill, DeepFillConfig
from .architectures.gan import Gan, GanConfig
from .architectures.inpaint import Gated, GatedConfig, Lama, LamaConfig
from .architectures.migan import MiGan, MiGanConfig
from .architectures.progressive import Progressive, ProgressiveConfig
from .architectures.swin import Swin, SwinConfig
from .architectures.transformer import Transformer, TransformerConfig
from .architectures.upconv import Upconv, UpconvConfig
from .architectures.vit import ViT, ViTConfig
from .checkpoints import (
    bert,
    biggan,
    dcgan,
    deepfill,
    distilbert,
    eriklindernoren,
    gan,
    junyanz,
    lama,
    lucidrains,
    marian,
    migan,
    progressive,
    roberta,
    swin,
    vit,
)
from .checkpoints import genkit as own
from .checkpoints.genkit import Description
from .checkpoints.layout import Layout
from .folder import Exported

Report = Callable[[str], None]


@dataclass(frozen=True)
class Architecture:
    """How one architecture is built and exported."""

    config: Callable[..., Any]
    network: Callable[[Any], nn.Module]
    export: Callable[[Any, Description, Path, Report], Exported]
    """Network, description, folder to write graphs to, where to say what is going on."""
    image: Callable[[Any], Mapping[str, Any]] | None = None
    """What the card says of images of any size, given the configuration."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(BertConfig, Bert, fill.export),
    "transformer": Architecture(TransformerConfig, Transformer, translate.export),
    "cyclegan": Architecture(
        ResnetConfig, ResnetGenerator, cyclegan.export, cyclegan.image_section
    ),
    "pix2pix": Architecture(UnetConfig, UnetGenerator, cyclegan.export, cyclegan.image_section),
    "gated": Architecture(GatedConfig, Gated, inpaint.export, inpaint.image_section),
    "lama": Architecture(LamaConfig, Lama, inpaint.export, inpaint.image_section),
    "deepfill": Architecture(DeepFillConfig, DeepFill, inpaint.export, inpaint.image_section),
    "migan": Architecture(MiGanConfig, MiGan, inpaint.export),
    "vit": Architecture(ViTConfig, ViT, classify.export),
    "swin": Architecture(SwinConfig, Swin, classify.export),
    "gan": Architecture(GanConfig, Gan, sample.export),
    "dcgan": Architecture(DcganConfig, Dcgan, sample.export),
    "upconv": Architecture(UpconvConfig, Upconv, sample.export),
    "progressive": Architecture(ProgressiveConfig, Progressive, sample.export),
    "biggan": Architecture(BigGanConfig, BigGan, sample.export),
    "biggan-deep": Architecture(BigGanDeepConfig, BigGanDeep, sample.export),
}

LAYOUTS: tuple[Layout, ...] = (
    Layout("genkit", "", "", (), own.load, "genkit's own", header=own.KEY),
    Layout(
        "junyanz-resnet", "cyclegan", "cyclegan", junyanz.RESNET, junyanz.resnet,
        "A CycleGAN generator of residual blocks (junyanz/pytorch-CycleGAN-and-pix2pix)",
        own_statistics=True,
    ),
    Layout(
        "junyanz-unet", "pix2pix", "cyclegan", junyanz.UNET, junyanz.unet,
        "A pix2pix generator, a U-Net (junyanz/pytorch-CycleGAN-and-pix2pix)",
        own_statistics=True,
    ),
    Layout(
        "eriklindernoren-resnet", "cyclegan", "cyclegan", eriklindernoren.RESNET,
        eriklindernoren.resnet,
        "A CycleGAN generator that repeats pixels (eriklindernoren/PyTorch-GAN)",
    ),
    Layout("lama", "lama", "inpaint", lama.KEYS, lama.load, "LaMa (advimman/lama)"),
    Layout(
        "deepfill", "deepfill", "inpaint", deepfill.KEYS, deepfill.load,
        "A DeepFill v2 (nipponjo/deepfillv2-pytorch)",
    ),
    Layout(
        "deepfill-tensorflow", "deepfill", "inpaint", deepfill.CONVERTED, deepfill.converted,
        "A DeepFill v2 converted from TensorFlow (nipponjo/deepfillv2-pytorch)",
    ),
    Layout(
        "migan", "migan", "inpaint", migan.KEYS, migan.load,
        "MI-GAN (Picsart-AI-Research/MI-GAN)",
    ),
    Layout("hf-bert", "bert", "fill", bert.KEYS, bert.load, "A BERT of Hugging Face"),
    Layout("hf-roberta", "bert", "fill", roberta.KEYS, roberta.load, "A RoBERTa of Hugging Face"),
    Layout(
        "hf-distilbert", "bert", "fill", distilbert.KEYS, distilbert.load,
        "A DistilBERT of Hugging Face",
    ),
    Layout(
        "hf-marian", "transformer", "translate", marian.KEYS, marian.load,
        "A Marian or OPUS-MT model of Hugging Face",
    ),
    Layout("timm-vit", "vit", "classify", vit.TIMM_KEYS, vit.load_timm, "A ViT of timm"),
    Layout(
        "hf-vit", "vit", "classify", vit.TRANSFORMERS_KEYS, vit.load_transformers,
        "A ViT of Hugging Face",
    ),
    Layout(
        "torchvision-vit", "vit", "classify", vit.TORCHVISION_KEYS, vit.load_torchvision,
        "A ViT of torchvision",
    ),
    Layout(
        "lucidrains-vit", "vit", "classify", lucidrains.KEYS, lucidrains.load,
        "A ViT of lucidrains/vit-pytorch",
    ),
    Layout(
        "lucidrains-vit-old", "vit", "classify", lucidrains.OLD_KEYS, lucidrains.load_old,
        "A ViT of lucidrains/vit-pytorch before version 1.4, or a copy of it",
    ),
    Layout(
        "lucidrains-simple-vit", "vit", "classify", lucidrains.SIMPLE_KEYS, lucidrains.load_simple,
        "A SimpleViT of lucidrains/vit-pytorch",
    ),
    Layout("timm-swin", "swin", "classify", swin.TIMM_KEYS, swin.load_timm, "A Swin of timm"),
    Layout(
        "hf-swin", "swin", "classify", swin.TRANSFORMERS_KEYS, swin.load_transformers,
        "A Swin of Hugging Face",
    ),
    Layout(
        "torchvision-swin", "swin", "classify", swin.TORCHVISION_KEYS, swin.load_torchvision,
        "A Swin of torchvision",
    ),
    Layout(
        "microsoft-swin", "swin", "classify", swin.MICROSOFT_KEYS, swin.load_microsoft,
        "A Swin of its authors (microsoft/Swin-Transformer), or of timm before 0.9",
    ),
    Layout(
        "pytorch-dcgan", "dcgan", "sample", dcgan.KEYS, dcgan.load,
        "A DCGAN (pytorch/examples, and csinva's of 28 and 32 pixels)",
    ),
    Layout(
        "wgan", "dcgan", "sample", dcgan.WGAN, dcgan.wgan,
        "A generator of WGAN (martinarjovsky/WassersteinGAN)",
    ),
    Layout(
        "wgan-old", "dcgan", "sample", dcgan.WGAN_DOTS, dcgan.wgan,
        "A generator of WGAN (martinarjovsky/WassersteinGAN, before 2019)",
    ),
    Layout(
        "zoo-dcgan", "dcgan", "sample", dcgan.ZOO, dcgan.zoo,
        "A DCGAN (facebookresearch/pytorch_GAN_zoo)",
    ),
    Layout(
        "zoo-progressive", "progressive", "sample", progressive.KEYS, progressive.load,
        "A Progressive GAN (facebookresearch/pytorch_GAN_zoo)",
    ),
    Layout(
        "zoo-progressive-old", "progressive", "sample", progressive.OLD_KEYS, progressive.load,
        "A Progressive GAN (facebookresearch/pytorch_GAN_zoo, its first files)",
    ),
    Layout(
        "hf-biggan-deep", "biggan-deep", "sample", biggan.DEEP, biggan.deep,
        "A BigGAN-deep (huggingface/pytorch-pretrained-BigGAN)",
    ),
    Layout(
        "ajbrock-biggan", "biggan", "sample", biggan.PLAIN, biggan.plain,
        "A BigGAN, SAGAN or SNGAN (ajbrock/BigGAN-PyTorch)",
    ),
    Layout(
        "eriklindernoren-context-encoder", "", "inpaint", eriklindernoren.CONTEXT_ENCODER,
        eriklindernoren.context_encoder,
        "A context encoder (eriklindernoren/PyTorch-GAN)",
    ),
    Layout(
        "eriklindernoren-gan", "gan", "sample", gan.NORMED, gan.normed,
        "A GAN of linear layers with batch norm (eriklindernoren/PyTorch-GAN)",
    ),
    Layout(
        "eriklindernoren-dcgan", "upconv", "sample", dcgan.UPCONV, dcgan.upconv,
        "A DCGAN that repeats pixels (eriklindernoren/PyTorch-GAN)",
    ),
    Layout(
        "linear-gan", "gan", "sample", gan.PLAIN, gan.plain,
        "A GAN of linear layers (csinva/gan-vae-pretrained-pytorch, and WGAN's MLP_G)",
    ),
)  # fmt: skip
"""Name, architecture, task, keys, reader, title. The first that fits is taken."""
