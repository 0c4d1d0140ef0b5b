"""How published classifiers want their pictures, and what their classes are called."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from genkit.card_json import INTERPOLATIONS
from genkit.errors import InputError
from genkit_export.architectures.vision import CHANNELS, IMAGENET_MEAN, IMAGENET_STD
from genkit_export.colours import outer, refuse_others
from genkit_export.read import Checkpoint, read_json
from genkit_export.resizing import resized

from .layout import Settings, Weights

STRETCH, SHORTEST_EDGE = "stretch", "shortest_edge"
HALF = (0.5, 0.5, 0.5)
"""The mean and the deviation of those who bring pictures to -1 to 1."""
PREPROCESSOR = "preprocessor_config.json"
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which transformers writes."""
PROCESSOR = {"size": 224, "resample": 2, "image_mean": HALF, "image_std": HALF}
DEIT_PROCESSOR = PROCESSOR | {"size": 256, "resample": 3, "do_center_crop": True, "crop_size": 224}
"""What transformers' `ViTImageProcessor` and `DeiTImageProcessor` do where a file does not say."""
ALWAYS = {"do_resize": True, "do_rescale": True, "do_pad": False}
"""What else a file may ask for."""
CROP_MODES = {"center": SHORTEST_EDGE, "squash": STRETCH}
"""timm's names."""
SINGLE, MULTI, REGRESSION = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)
"""transformers' kinds of what a network tells."""
NUMBERED, CONFIGURED = "numbered", "config.json"


@dataclass(frozen=True)
class Preparation:
    """What happens to a picture before a network sees it. The names are those of the settings."""

    size: tuple[int, ...]
    """Height and width that the network sees."""
    resize: str = SHORTEST_EDGE
    """How it is brought there, as in the card: "stretch" or "shortest_edge"."""
    interpolation: str = "bicubic"
    crop_pct: float = 1.0
    """How much of either side is left when the middle is cut out."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """Of each channel, from 0 to 1."""
    channels: int = CHANNELS

    def __post_init__(self) -> None:
        if len(self.size) == 1:
            object.__setattr__(self, "size", 2 * self.size)
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size must be a height and a width, not {self.size}")
        if self.resize not in (STRETCH, SHORTEST_EDGE):
            raise ValueError(f"resize must be {STRETCH} or {SHORTEST_EDGE}, not {self.resize!r}")
        if self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ValueError(f"interpolation must be one of {known}, not {self.interpolation!r}")
        if not 0.01 <= self.crop_pct <= 1:
            raise ValueError(f"crop_pct must be 0.01 to 1, not {self.crop_pct}")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std must be {self.channels} numbers each")
        if not all(x > 0 for x in self.std):
            raise ValueError("std must be above 0")

    def section(self, labels: list[str]) -> dict[str, Any]:
        """What the card says of pictures."""
        channels = outer(self.channels)
        return {
            **({"channels": channels} if channels != 3 else {}),
            "resize": resized(
                self.resize,
                self.size,
                interpolation=self.interpolation,
                crop_pct=self.crop_pct,
            ),
            "labels": labels,
        }


def prepare(
    settings: Settings, usual: Preparation, found: Mapping[str, Any], channels: int = CHANNELS
) -> Preparation:
    """What was found in a configuration, by the names of `Preparation`, and what is usual where it
    does not tell. Raises InputError or ValueError for what cannot be.
    """
    names = [one.name for one in fields(Preparation) if one.name != "channels"]
    found = {
        name: _of_channels(value, channels) if name in ("mean", "std") else value
        for name, value in found.items()
    }
    usual = replace(
        usual,
        mean=_of_channels(usual.mean, channels),
        std=_of_channels(usual.std, channels),
        channels=channels,
    )
    values = {name: settings.get(name, found, getattr(usual, name)) for name in names}
    return Preparation(**values, channels=channels)


def _of_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Numbers for each channel: those of red, green and blue are the same for alpha as for green,
    and grey has their mean; timm and transformers repeat them, or leave them at those of ImageNet.
    """
    if len(values) != CHANNELS or channels == CHANNELS:
        return values
    grey = round(sum(values) / CHANNELS, 6)
    return {1: (grey,), 2: (grey, grey), 4: (*values, grey)}.get(channels, values)


def crop_share(part: int, whole: int) -> float:
    """The crop_pct with which `part` is cut out of `whole`: part / crop_pct is rounded down. Raises
    ValueError if that cannot be.
    """
    if not 0 < part <= whole:
        raise ValueError(f"{part} pixels cannot be cut out of {whole}")
    share = part / whole
    while math.floor(part / share) < whole:
        share = math.nextafter(share, 0)
    return share


def of_transformers(
    checkpoint: Checkpoint, usual: Preparation
) -> tuple[Preparation, dict[str, Any]]:
    """What is usual, and what the folder's `preprocessor_config.json` tells. Raises InputError for
    one that asks for what genkit does not have.

    Without that file `usual` it is; with it, the processor's own defaults.
    """
    path = checkpoint.path.parent / PREPROCESSOR
    if not path.is_file():
        return usual, {}
    told = {name: value for name, value in read_json(path).items() if value is not None}
    kind = str(told.get("image_processor_type", told.get("feature_extractor_type", "")))
    whole = (DEIT_PROCESSOR if kind.startswith("DeiT") else PROCESSOR) | told
    for name, value in ALWAYS.items():
        if whole.get(name, value) != value:
            raise InputError(f"{path}: genkit does not have {name}={whole[name]}")
    if "crop_pct" in whole:
        raise InputError(f"{path}: genkit does not have the crop_pct of {kind or 'transformers'}")
    (factor, *_) = _floats(path, "rescale_factor", whole.get("rescale_factor", 1 / 255))
    if not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise InputError(f"{path}: genkit does not have rescale_factor={factor}")
    if type(whole["resample"]) is not int or whole["resample"] not in RESAMPLING:
        raise InputError(f"{path}: genkit does not have resample={whole['resample']}")
    if not whole.get("do_normalize", True):
        whole |= {"image_mean": (0, 0, 0), "image_std": (1, 1, 1)}
        told |= {"image_mean": (), "image_std": ()}
    values = {
        "interpolation": RESAMPLING[whole["resample"]],
        "mean": _floats(path, "image_mean", whole["image_mean"]),
        "std": _floats(path, "image_std", whole["image_std"]),
        **_geometry(path, whole),
    }
    from_ = {"interpolation": "resample", "mean": "image_mean", "std": "image_std"}
    found = {name: value for name, value in values.items() if from_.get(name, "size") in told}
    return replace(usual, **values), found


def of_timm(checkpoint: Checkpoint, channels: int = CHANNELS) -> dict[str, Any]:
    """What a `config.json` of timm tells of a network of so many channels. Raises InputError for what genkit does not have."""
    path = checkpoint.path.parent / CONFIGURED
    told = checkpoint.config.get("pretrained_cfg", checkpoint.config)
    if not isinstance(told, dict):
        raise InputError(f"{path}: pretrained_cfg must be an object")
    found: dict[str, Any] = {
        name: told[name] for name in ("interpolation", "crop_pct") if name in told
    }
    found |= {name: _floats(path, name, told[name]) for name in ("mean", "std") if name in told}
    if "crop_mode" in told:
        if (mode := str(told["crop_mode"])) not in CROP_MODES:
            raise InputError(f"{path}: genkit does not have crop_mode={mode}")
        found["resize"] = CROP_MODES[mode]
    match told.get("input_size"):
        case None:
            pass
        case [int() as count, int() as height, int() as width] if count == channels:
            found["size"] = (height, width)
        case other:
            raise InputError(f"{path}: input_size must be [{channels}, height, width], not {other}")
    return found


def name_classes(checkpoint: Checkpoint, settings: Settings, classes: int) -> list[str]:
    """The labels of a classifier: those of a `config.json`, or numbers; the setting is a file with
    one a line. Raises InputError if that does not fit.
    """
    names = _configured(checkpoint.config)
    numbered = [f"class {i}" for i in range(classes)]
    if len(names) == classes:
        source = settings.read("labels", CONFIGURED)
    else:
        source = settings.assume("labels", NUMBERED)
    if source == NUMBERED:
        return numbered
    if source == CONFIGURED and len(names) == classes:
        return [name or number for name, number in zip(names, numbered, strict=True)]
    try:
        lines = [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {source}: {error}", hint="--set labels=FILE") from error
    if len(lines) != classes or not all(lines):
        raise InputError(f"{source} must have {classes} lines, one for each class")
    return lines


def refuse(weights: Weights, unlike: Mapping[str, str], checkpoint: Checkpoint) -> None:
    """Raises InputError for a variant of an architecture: a part of the name of a tensor tells it
    (`unlike` is part -> what the variant has).
    """
    for name in weights:
        for part in name.split("."):
            if part in unlike:
                raise InputError(
                    f"{checkpoint.path} has {unlike[part]} ({name}), which genkit does not have"
                )


def patches(weights: Weights, checkpoint: Checkpoint) -> tuple[int, int, int]:
    """The width of a network, the side of its patches, and the channels of its pictures. Raises
    InputError if the patches are no squares.
    """
    width, channels, patch, across = weights["patch_embed.proj.weight"].shape
    if patch != across:
        raise InputError(
            f"{checkpoint.path} has patches of {patch} x {across}: genkit has square ones"
        )
    if not width or not patch:
        raise ValueError("its patches are empty")
    refuse_others({"channels": channels}, checkpoint.path)
    return width, patch, channels


def multi_label(checkpoint: Checkpoint, settings: Settings, classes: int) -> bool:
    """Whether each class is told by itself. Raises InputError for a network that tells no classes:
    of one number (transformers takes that for a regression), or said to be one.
    """
    kind = settings.get("problem_type", checkpoint.config, SINGLE if classes > 1 else REGRESSION)
    if kind not in (SINGLE, MULTI, REGRESSION):
        raise InputError(f"{checkpoint.path} has the problem_type {kind!r}, which is not known")
    if kind == REGRESSION or (kind == SINGLE and classes == 1):
        raise InputError(
            f"{checkpoint.path} tells {classes} number(s) and no classes ({kind}), which genkit does "
            "not have",
            hint=f"if its label is a yes or no of its own: --set problem_type={MULTI}",
        )
    return kind == MULTI


def _geometry(path: Path, whole: Mapping[str, Any]) -> dict[str, Any]:
    """The size that transformers' image processor makes, and how. Raises InputError."""
    edge: int | None = None
    match whole["size"]:
        case {"shortest_edge": int() as edge}:
            height = width = edge
        case {"height": int() as height, "width": int() as width}:
            pass
        case int() as height:
            width = height
        case other:
            raise InputError(f"{path}: genkit does not have size={other}")
    resize = STRETCH if edge is None else SHORTEST_EDGE
    if not whole.get("do_center_crop", False):
        # Of what transformers leaves oblong, the middle is cut out: a graph has one size.
        return {"size": (height, width), "resize": resize, "crop_pct": 1.0}
    match whole.get("crop_size", whole["size"]):
        case {"height": int() as high, "width": int() as wide}:
            pass
        case int() as high:
            wide = high
        case other:
            raise InputError(f"{path}: genkit does not have crop_size={other}")
    share = crop_share(high, height)
    if math.floor(wide / share) != width or (edge is not None and high != wide):
        raise InputError(f"{path}: genkit cuts the same part off both sides of a picture")
    return {"size": (high, wide), "resize": resize, "crop_pct": share}


def _floats(path: Path, name: str, value: object) -> tuple[float, ...]:
    """Numbers of each channel, or one for all. Raises InputError."""
    numbers = value if isinstance(value, list | tuple) else [value] * 3
    if not all(type(one) in (int, float) for one in numbers):
        raise InputError(f"{path}: {name} must be numbers, not {value}")
    return tuple(map(float, numbers))


def _configured(config: Mapping[str, Any]) -> list[str]:
    """The labels in a `config.json` of transformers or timm; none if they are not whole."""
    match config:
        case {"id2label": dict() as names}:
            labels = [names.get(str(i)) for i in range(len(names))]
        case {"label_names": list() as labels}:
            described = config.get("label_descriptions")
            if isinstance(described, dict):
                labels = [described.get(name, name) for name in map(str, labels)]
        case _:
            return []
    return [str(label).strip() for label in labels] if None not in labels else []
