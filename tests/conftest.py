"""What every test gets: no settings of the user's, and no models but its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SETTINGS_OF_PYTHON = ("PYTHONUNBUFFERED", "PYTHONWARNINGS")
"""The first hides what happens to output that is left in a buffer when its reader goes away."""


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in os.environ:
        if name.startswith("GENKIT_") or name in SETTINGS_OF_PYTHON:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of models, empty, and the only place where models are looked for."""
    place = tmp_path / "models"
    place.mkdir()
    monkeypatch.setenv("GENKIT_MODELS", str(place))
    monkeypatch.setattr("genkit.model.shipped_models", list)
    return place
