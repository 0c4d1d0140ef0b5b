"""Checkpoints from the Hugging Face hub, or from a server of the same interface (`$HF_ENDPOINT`).

The only network access of genkit. Cache, tokens and offline mode are those of `huggingface_hub`.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genkit.errors import GenkitWarning, InputError, UsageError, first_line

from .read import CONFIG, WEIGHTS

SCHEME = "hf:"
INDEX = ".index.json"
NAME = re.compile(r"hf:([\w.-]+/[\w.-]+?)((?:/[^@]+)?)(?:@(.+))?")
BESIDE = (
    CONFIG,
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "config.yaml",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "source.spm",
    "target.spm",
    "tokenizer.target.json",
)
"""What belongs to weights, where it is there."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True)
class Repository:
    """A name of the hub: `hf:OWNER/NAME[/FILE][@REVISION]`."""

    name: str
    file: str
    revision: str | None


def parse(text: str) -> Repository:
    """Raises UsageError for what is no name."""
    found = NAME.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no name", hint="hf:OWNER/NAME[/FILE][@REVISION]")
    return Repository(found[1], found[2].removeprefix("/"), found[3])


def fetch(repository: Repository) -> Path:
    """The folder of a repository with its weights, or a file of it, in the cache.

    Weights in safetensors are preferred, and nothing is loaded that an export does not read. Where
    the hub cannot be reached, what is in the cache is taken, with a warning. Raises InputError, in
    one line, if that fails too.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    name, revision = repository.name, repository.revision
    try:
        if constants.HF_HUB_OFFLINE:
            folder, weights = _cached(repository)
        else:
            siblings = HfApi().model_info(name, revision=revision).siblings or ()
            files = [sibling.rfilename for sibling in siblings]
            weights = choose(files, repository)
            wanted = [weights, *shards(files, weights), *(file for file in BESIDE if file in files)]
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except InputError:
        raise
    except Exception as error:  # a lost connection is what that version's HTTP library raises
        problem = f"cannot get {SCHEME}{name}: {first_line(error).strip()}"
        if constants.HF_HUB_OFFLINE:
            raise InputError(
                f"{SCHEME}{name} is not in the cache, and HF_HUB_OFFLINE forbids to ask for it"
            ) from error
        if _was_answered(error):
            raise InputError(problem) from error
        try:
            folder, weights = _cached(repository)
        except Exception:
            raise InputError(problem, hint="it is not in the cache either") from error
        warnings.warn(
            f"{problem}; its files in the cache are taken (HF_HUB_OFFLINE=1 does so at once)",
            GenkitWarning,
            stacklevel=2,
        )
    return folder if weights in WEIGHTS and not repository.file else folder / weights


def _cached(repository: Repository) -> tuple[Path, str]:
    """The snapshot of a repository in the cache, and its file of weights. Raises InputError or
    what the hub's library raises if they are not all there.
    """
    from huggingface_hub import snapshot_download

    # Of the snapshot only its place is asked for: what was loaded of it is less than all.
    folder = Path(
        snapshot_download(
            repository.name, revision=repository.revision, local_files_only=True, allow_patterns=[]
        )
    )
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return folder, choose(files, repository)


def _was_answered(error: Exception) -> bool:
    """Whether a server said no, so that the connection is not to blame."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return isinstance(status, int) and 400 <= status < 500


def choose(files: Iterable[str], repository: Repository) -> str:
    """Which of a repository's files has the weights. Raises InputError if that is not clear."""
    there = set(files)
    if repository.file:
        if repository.file not in there:
            raise InputError(f"{SCHEME}{repository.name} has no {repository.file}")
        return repository.file
    for file in WEIGHTS:
        if file in there:
            return file
    others = sorted(file for file in there if file.endswith(SUFFIXES))
    if len(others) != 1:
        raise InputError(
            f"{SCHEME}{repository.name} has {'several' if others else 'no'} files of weights",
            hint="; ".join(f"{SCHEME}{repository.name}/{file}" for file in others[:4]) or None,
        )
    return others[0]


def shards(files: Iterable[str], weights: str) -> Sequence[str]:
    """The files with the weights, if `weights` is only their index."""
    if not weights.endswith(INDEX):
        return ()
    stem, _, suffix = weights.removesuffix(INDEX).rpartition(".")
    return sorted(file for file in files if file.startswith(f"{stem}-") and file.endswith(suffix))
