"""What a card says of how pictures are brought to the one size that a network takes."""

from collections.abc import Sequence
from typing import Any

from .checkpoints.genkit import Description


def resized(
    mode: str, size: Sequence[int], *, interpolation: str = "bicubic", crop_pct: float = 1.0
) -> dict[str, Any]:
    """The card's `resize` to a height and width."""
    return {
        "mode": mode,
        "size": list(size),
        "interpolation": interpolation,
        "antialias": True,
        "crop_pct": crop_pct,
    }


def fixed_size(description: Description) -> tuple[int, int] | None:
    """Height and width of all pictures, if the card brings them to one size."""
    size = description.card.get("image", {}).get("resize", {}).get("size")
    return (size[0], size[1]) if size else None
