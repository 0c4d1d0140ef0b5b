"""Renaming the tensors of a published state dict by a table."""

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from .layout import Tensors

Names = Mapping[str, str | None]
"""Theirs -> ours, of modules and of single parameters; None for what is computed anew.

`#` stands for a number, the same ones in the same order on both sides, `#+1` for the next one.
`name/0`, `name/1` and so on are joined in this order.
"""


def renamed(tensors: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Tensors under our names; what the table does not have keeps its own. Raises ValueError for
    parts that cannot be joined.
    """
    patterns = {
        re.compile(re.escape(theirs).replace(r"\#", r"(\d+)") + r"(\.[a-z_]+)?"): ours
        for theirs, ours in names.items()
    }
    parts: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        ours = _ours(name, patterns)
        if ours is not None:
            whole, _, part = ours.partition("/")
            parts[whole][part] = tensor
    return Tensors({name: _joined(name, some) for name, some in parts.items()})


def _joined(name: str, parts: Mapping[str, Tensor]) -> Tensor:
    if len(parts) == 1:
        return next(iter(parts.values()))
    try:
        return torch.cat([part for _, part in sorted(parts.items())])
    except RuntimeError:
        shapes = " and ".join(str(list(part.shape)) for _, part in sorted(parts.items()))
        raise ValueError(f"{name} would be of {shapes}") from None


def _ours(name: str, patterns: Mapping[re.Pattern[str], str | None]) -> str | None:
    """Our name for theirs, with the part behind a slash; None if it is not needed; theirs if the
    table does not have it.
    """
    for pattern, ours in patterns.items():
        match = pattern.fullmatch(name)
        if match is None:
            continue
        if ours is None:
            return None
        *numbers, kind = match.groups()
        for number in map(int, numbers):
            slot = "#+1" if re.match(r"[^#]*#\+1", ours) else "#"
            ours = ours.replace(slot, str(number + (slot == "#+1")), 1)
        module, slash, part = ours.partition("/")
        return f"{module}{kind or ''}{slash}{part}"
    return name
