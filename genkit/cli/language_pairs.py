"""Which model ``genkit translate`` takes for ``--model``, ``--from`` and ``--to``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genkit.errors import ModelNotFoundError, UsageError

if TYPE_CHECKING:
    from genkit.model import Card, Model

__all__ = ["find_for"]

TASK = "translate"


def find_for(name: str | None, source: str | None, target: str | None) -> Model:
    """The model of that name, or the one that translates between these languages."""
    from genkit.model import find, list_models

    def fits(card: Card) -> bool:
        assert card.text is not None and card.text.languages is not None
        languages = card.text.languages
        return (source is None or source in languages.source) and (
            target is None or target in languages.target
        )

    pair = f"{source or 'any language'} to {target or 'any language'}"
    if name is not None or (source is None and target is None):
        found = find(TASK, name)
        if not fits(found.card):
            raise UsageError(
                f"{found.card.name} does not translate from {pair}",
                hint=f"it translates from {_languages(found.card, 'source')} to "
                f"{_languages(found.card, 'target')}",
            )
        return found
    models = list_models(TASK)
    fitting = [model for model in models if fits(model.card)]
    chosen = [model for model in fitting if "default" in model.card.tags] or fitting
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(model.card.name for model in chosen or models) or "none"
    if chosen:
        raise UsageError(f"several models translate from {pair}", hint=f"--model one of: {names}")
    pairs = ", ".join(
        f"{model.card.name} ({_languages(model.card, 'source')} to "
        f"{_languages(model.card, 'target')})"
        for model in models
    )
    raise ModelNotFoundError(
        f"no model translates from {pair}", hint=f"there is: {pairs or 'none'}"
    )


def _languages(card: Card, side: str) -> str:
    """The languages that a model translates from or to."""
    assert card.text is not None and card.text.languages is not None
    return ", ".join(getattr(card.text.languages, side))
