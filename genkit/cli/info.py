"""``genkit info``: versions and devices, and which of them are used; the first thing to attach
to a bug report.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from genkit import __version__
from genkit.cli.options import JsonOption, QuietOption, VerboseOption, streams_of
from genkit.errors import RuntimeUnavailableError
from genkit.runtime.engines import ENGINES, engine

__all__ = ["app"]

# Distribution -> the extra that brings it; the others are named where they are installed.
PACKAGES = {
    "onnxruntime": None,
    "onnxruntime-gpu": None,
    "onnxruntime-ep-openvino": "openvino",
    "openvino": None,
    "numpy": None,
    "tokenizers": None,
    "torch": "export",
    "onnx": "export",
}
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def info(
    ctx: typer.Context,
    json: JsonOption = False,
    quiet: QuietOption = 0,
    verbose: VerboseOption = 0,
) -> None:
    """Show versions and devices, and which are used, or why not and what to install."""
    streams = streams_of(ctx, quiet, verbose)
    facts = _facts()
    if json:
        streams.write_json(facts)
    else:
        streams.write("".join(f"{line}\n" for line in _lines(facts)))


def _facts() -> dict[str, Any]:
    from genkit.model import list_models, search_path
    from genkit.runtime.devices import bfloat16_units, default_threads, probe_driver

    return {
        "genkit": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "threads": default_threads(),
        "bfloat16": bfloat16_units(),
        "gpus": list(probe_driver().devices),
        **_runtime_facts(),
        "model_path": [str(place) for place in search_path()],
        "models": [f"{model.card.task}/{model.card.name}" for model in list_models()],
    }


def _runtime_facts() -> dict[str, Any]:
    from genkit.runtime import library
    from genkit.runtime.engines.protocol import Status

    both = all(map(_version, RUNTIMES))
    facts: dict[str, Any] = {}
    try:
        facts["providers"] = library.onnxruntime().get_available_providers()
        statuses = {kind: engine(kind).status() for kind in ENGINES}
    except RuntimeUnavailableError as error:
        facts["providers"] = []
        statuses = dict.fromkeys(ENGINES, Status(False, error.message, error.hint or ""))
    for kind, (usable, reason, cure) in statuses.items():
        if kind == "cpu":
            continue
        if both and not ENGINES[kind].optional:
            cure = "pip uninstall onnxruntime onnxruntime-gpu, then pip install genkit-onnx again"
            reason = "onnxruntime and onnxruntime-gpu are both installed and overwrite each other"
        facts |= {kind: usable, f"{kind}_reason": reason, f"{kind}_cure": cure or None}
    return facts


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"genkit {facts['genkit']}, Python {facts['python']} ({facts['executable']})"
    yield f"platform: {facts['platform']}"
    for name, installed in facts["packages"].items():
        extra = PACKAGES[name]
        if installed:
            yield f"{name}: {installed}"
        elif extra:
            yield f"{name}: not installed (pip install 'genkit-onnx[{extra}]')"
    yield f"providers in this build: {', '.join(facts['providers']) or 'none'}"
    units = {True: ", with bfloat16 units", False: ", without bfloat16 units", None: ""}
    yield f"processors: {facts['threads']}{units[facts['bfloat16']]}"
    for index, name in enumerate(facts["gpus"]):
        yield f"cuda:{index}: {name}"
    bfloat16 = facts["openvino"] and facts["bfloat16"]
    processor = "cpu, and openvino for pictures" if bfloat16 else "cpu"
    yield f"--device auto takes: {'cuda:0' if facts['cuda'] else processor}"
    for kind, row in ENGINES.items():
        if kind not in facts:
            continue
        words = ("can be used", "cannot be used") if row.optional else ("is used", "is not used")
        yield f"{row.title} {words[not facts[kind]]}: {facts[f'{kind}_reason']}"
        if facts[f"{kind}_cure"] and not row.optional:
            yield f"to use it: {facts[f'{kind}_cure']}"
    yield f"models are looked for in: {', '.join(facts['model_path'])}"
    yield f"models: {', '.join(facts['models']) or 'none'}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
