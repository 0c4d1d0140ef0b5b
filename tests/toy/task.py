"""How much noise a model takes for some pictures."""

from __future__ import annotations

from genkit.model import Model
from genkit.runtime import RuntimeOptions


class Toy:
    """A model of the task, ready to use."""

    def __init__(self, model: Model, options: RuntimeOptions) -> None:
        assert model.card.latent is not None, "the row says that cards have it"
        self.model = model
        self._shape = model.card.latent.shape

    def __call__(self, count: int) -> int:
        return count * self._shape[0]
