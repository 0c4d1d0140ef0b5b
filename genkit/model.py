"""What a model folder is, and where models are found.

A folder holds a card (model.json), the ONNX files that it names and, for text, tokenisers.
Folders lie as ``<task>/<name>`` below the places of search_path().
"""

from __future__ import annotations

import difflib
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genkit.card import CARD, PRECISIONS, Card
from genkit.card_json import parse_card, read_card
from genkit.errors import GenkitWarning, ModelError, ModelNotFoundError, UsageError
from genkit.registry import TASKS

__all__ = [
    "CARD",
    "PRECISIONS",
    "Card",
    "Model",
    "find",
    "list_models",
    "open_model",
    "parse_card",
    "read_card",
    "scan",
    "search_path",
    "user_models",
    "verify",
]

CHUNK = 1 << 20
RESTORE = "install or export the model again"


@dataclass(frozen=True)
class Model:
    """A model folder whose card has been checked and whose files are there."""

    path: Path
    card: Card

    def graph(self, role: str, precision: str) -> Path:
        """The ONNX file of a role. Raises ModelError if the model has no such graph."""
        files = self.card.graph_files(role)
        if precision not in files:
            raise ModelError(f"{self.card.name} has no {precision} graph for {role!r}")
        return self.file(files[precision].file)

    def file(self, name: str) -> Path:
        """A file of the folder. Raises ModelError if it is missing or lies outside: a snapshot of
        the Hugging Face hub's cache has its files in the ``blobs`` beside it, and may.
        """
        path = self.path / name
        if not path.is_file():
            raise ModelError(f"{path} is missing", hint=RESTORE)
        if not any(path.resolve().is_relative_to(place) for place in _places(self.path)):
            raise ModelError(f"{path} leads out of the model's folder")
        return path


def open_model(path: Path) -> Model:
    """Open a model folder: its card is valid, its files are there and of the right size.

    Raises ModelNotFoundError if this is no model folder, CardError or ModelError if it is a
    broken one.
    """
    if not (path / CARD).is_file():
        problem = f"has no {CARD}" if path.is_dir() else "is not a folder"
        raise ModelNotFoundError(f"no model at {path}: it {problem}")
    model = Model(path, read_card(path / CARD))
    facts = model.card.facts()
    for name in model.card.files():
        size = model.file(name).stat().st_size
        if name in facts and size != facts[name].size:
            raise ModelError(
                f"{path / name} has {size:,} bytes instead of {facts[name].size:,}", hint=RESTORE
            )
    return model


def search_path() -> list[Path]:
    """Where models are looked for, first the user's own wish: $GENKIT_MODELS (folders
    separated as in PATH), the user's data directory, what came with genkit.

    A user without a home has no data directory.
    """
    wish = os.environ.get("GENKIT_MODELS", "")
    wished = [_expanded(place) for place in filter(None, wish.split(os.pathsep))]
    with suppress(ModelNotFoundError):
        wished.append(user_models())
    return [*wished, *shipped_models()]


def user_models() -> Path:
    """The folder of the user's own models, where ``genkit export`` puts them.

    Raises ModelNotFoundError for a user without a home folder.
    """
    from platformdirs import user_data_path

    try:
        return user_data_path("genkit", appauthor=False) / "models"
    except RuntimeError as error:  # neither HOME nor an entry among the system's users
        raise ModelNotFoundError(
            "you have no home folder, where models would lie",
            hint="name a folder of models in GENKIT_MODELS, or set HOME",
        ) from error


def shipped_models() -> list[Path]:
    """The models that came with genkit: inside the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    checkout = package.parent
    places = [package / "weights"]
    if (checkout / "pyproject.toml").is_file():
        places.append(checkout / "weights")
    return [place for place in places if place.is_dir()]


def scan(task: str | None = None) -> Iterator[tuple[Path, Model | ModelError]]:
    """All model folders of the search path, of one task or of all: opened, or what is wrong."""
    for folder in _folders(task):
        yield folder, _try_open(folder)


def list_models(task: str | None = None) -> list[Model]:
    """All models that can be used; a warning tells of each that is broken."""
    models = []
    for _, model in scan(task):
        if isinstance(model, Model):
            models.append(model)
        else:
            warnings.warn(f"broken model: {model.message}", GenkitWarning, stacklevel=2)
    return models


def find(task: str | None, name: str | Path | None = None) -> Model:
    """The model of a name, or at a path; None takes the task's default.

    The default is the only model of the task, or the first that is tagged ``default``. With
    no task, a name is looked for among the models of all of them.

    Raises ModelNotFoundError, which tells what there is, or ModelError for a broken one.
    """
    if name is None:
        return _default(task)
    if _is_path(name):
        return _of_task(open_model(_expanded(name)), task)
    found = [_try_open(folder) for folder in _folders(task) if folder.name == name]
    if not found and (Path(name) / CARD).is_file():
        return _of_task(open_model(Path(name)), task)
    if not found:
        raise _not_found(task, str(name))
    if isinstance(found[0], ModelError):
        raise found[0]
    if len(found) > 1:
        tasks = ", ".join(m.card.task for m in found if isinstance(m, Model))
        raise ModelNotFoundError(f"several models are called {name!r}: for {tasks}")
    return _of_task(found[0], task)


def verify(model: Model, advance: Callable[[float], None] = lambda _: None) -> list[str]:
    """Compare the files with the hashes of the card; returns what is wrong, a line each.

    ``advance`` is told of the bytes that have been read.
    """
    return [
        f"{model.path / name} is not the file that the card describes"
        for name, facts in model.card.facts().items()
        if _sha256(model.file(name), advance) != facts.sha256
    ]


def _default(task: str | None) -> Model:
    found = [model for _, model in scan(task)]
    models = [model for model in found if isinstance(model, Model)]
    if not models and found:
        assert isinstance(found[0], ModelError)
        raise found[0]
    if not models:
        raise _not_found(task, None)
    chosen = [m for m in models if "default" in m.card.tags] or models
    if len(chosen) > 1 and "default" not in chosen[0].card.tags:
        names = ", ".join(model.path.name for model in models)
        raise ModelNotFoundError(
            f"several models for {task}, and none is the default", hint=f"--model one of: {names}"
        )
    return chosen[0]


def _folders(task: str | None) -> Iterator[Path]:
    """The model folders of the search path; of several with one task and name the first. Raises
    UsageError for a task that there is not.
    """
    if task is not None and task not in TASKS:
        raise UsageError(f"no such task: {task!r}", hint=f"one of: {', '.join(TASKS)}")
    seen = set()
    for place in search_path():
        try:
            cards = sorted(place.glob(f"{task or '*'}/*/{CARD}"))
        except OSError as error:  # of another user, as under sudo
            message = f"no models are looked for in {error.filename or place}: {error.strerror}"
            warnings.warn(message, GenkitWarning, stacklevel=2)
            continue
        for card in cards:
            key = card.parts[-3:]
            # glob's * takes hidden folders too: of an export that was killed, for example.
            hidden = any(part.startswith(".") for part in key)
            if key not in seen and not hidden:
                seen.add(key)
                yield card.parent


def _of_task(model: Model, task: str | None) -> Model:
    if task is not None and model.card.task != task:
        raise ModelError(f"{model.path} is a model for {model.card.task}, not for {task}")
    return model


def _expanded(name: str | Path) -> Path:
    """A path with ``~`` and ``~user`` replaced, as far as there is such a home."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # a user who is not there: nor will the path be
        return Path(name)


def _is_path(name: str | Path) -> bool:
    """Whether a name is meant as a path: it has a separator, or is like ``.`` or ``~``."""
    return isinstance(name, Path) or "/" in name or os.sep in name or name.startswith((".", "~"))


def _not_found(task: str | None, name: str | None) -> ModelNotFoundError:
    names = sorted({folder.name for folder in _folders(task)})
    what = f"no model {name!r}" if name else "no model"
    near = difflib.get_close_matches(name, names, n=1) if name else []
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif names:
        hint = f"there is: {', '.join(names)}"
    else:
        hint = f"looked in {', '.join(map(str, search_path()))}"
    return ModelNotFoundError(f"{what} for {task}" if task else what, hint=hint)


def _try_open(folder: Path) -> Model | ModelError:
    """Open a folder of the search path, which lies among the models of its task."""
    try:
        return _of_task(open_model(folder), folder.parent.name)
    except ModelError as error:
        return error


def _places(folder: Path) -> Iterator[Path]:
    """Where the files of a model folder may lie."""
    whole = folder.resolve()
    yield whole
    for place in whole.parents:
        if place.name == "snapshots" and place.parent.name.startswith("models--"):
            yield place.parent / "blobs"


def _sha256(path: Path, advance: Callable[[float], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()
