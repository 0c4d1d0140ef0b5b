"""Model folders from the fixture cards: valid, but with graphs that cannot be run."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

CARDS = Path(__file__).parent / "fixtures" / "cards"
GRAPH = b"not really a graph"
TOKENIZER = b"{}"


def card(task: str) -> dict[str, Any]:
    """The fixture card of a task, as JSON."""
    data: dict[str, Any] = json.loads((CARDS / f"{task}.json").read_bytes())
    return data


def write(place: Path, task: str, name: str | None = None, **changes: Any) -> Path:
    """Write ``<place>/<task>/<name>``: the fixture card, changed, and files that fit it."""
    data = copy.deepcopy(card(task))
    data.update(changes)
    data["name"] = name or data["name"]
    folder = place / task / data["name"]
    folder.mkdir(parents=True)
    for files in data["graphs"].values():
        for graph in files.values():
            (folder / graph["file"]).write_bytes(GRAPH)
            graph.update(size=len(GRAPH), sha256=hashlib.sha256(GRAPH).hexdigest())
    for file in data.get("text", {}).get("tokenizer", {}).values():
        (folder / file).write_bytes(TOKENIZER)
    for facts in data.get("files", {}).values():
        facts.update(size=len(TOKENIZER), sha256=hashlib.sha256(TOKENIZER).hexdigest())
    (folder / "model.json").write_text(json.dumps(data))
    return folder
