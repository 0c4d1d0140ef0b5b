"""The page of a shipped model: what its card (model.json) says, for a reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["card", "new_page", "page", "shipped", "table"]

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights"
PAGES = ROOT / "docs" / "models"


def shipped() -> list[Path]:
    """The cards of the models that are shipped, by task and name."""
    return sorted(WEIGHTS.glob("*/*/model.json"))


def page(path: Path) -> Path:
    """Where the page of a card is; a name that two tasks share has the task before it."""
    name = path.parent.name
    shared = sum(other.parent.name == name for other in shipped()) > 1
    return PAGES / (f"{path.parent.parent.name}-{name}.md" if shared else f"{name}.md")


def new_page(path: Path) -> str:
    """The beginning of a card page; the part outside of the block is for a person to write."""
    (source,) = [card for card in shipped() if page(card) == path]
    folder = source.parent
    block = f"<!-- generated: card {folder.parent.name}/{folder.name} -->\n<!-- /generated -->"
    return f"# {folder.name}\n\n{block}\n"


def table(_path: Path, _rest: str) -> str:
    """A row for each shipped model: page, command, licence, description."""
    rows = ["| model | command | what it does | licence |", "|---|---|---|---|"]
    for source in shipped():
        facts = json.loads(source.read_text(encoding="utf-8"))
        default = " (default)" if "default" in facts.get("tags", ()) else ""
        task = facts["task"]
        rows.append(
            f"| [`{facts['name']}`]({page(source).name}){default} "
            f"| [`genkit {task}`](../commands/{task}.md) "
            f"| {_cell(facts['description'])} | {_cell(facts.get('license', 'not stated'))} |"
        )
    return "\n".join(rows)


def card(_path: Path, name: str) -> str:
    """The facts of a card: what it is, data, evaluation, graphs, files."""
    folder = WEIGHTS / name
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    parts = [f"{facts['description']}.", _facts(facts, folder)]
    if (folder / "sample.jpg").exists():
        parts.append(f"![Sample output](../../weights/{name}/sample.jpg)")
    origin = facts.get("origin", {})
    if origin.get("data"):
        parts += [
            "## Training data",
            _rows(("data", "license"), origin["data"], ("name", "license")),
        ]
    if origin.get("figures"):
        keys = ("measure", "on", "value")
        parts += ["## Evaluation", _rows(("measure", "data", "value"), origin["figures"], keys)]
    parts += ["## Graphs", *_graphs(facts)]
    return "\n\n".join(parts)


def _facts(facts: dict[str, Any], folder: Path) -> str:
    origin = facts.get("origin", {})
    graphs = facts["graphs"]
    precisions = dict.fromkeys(precision for files in graphs.values() for precision in files)
    size = sum(file["size"] for files in graphs.values() for file in files.values())
    text, image, latent = (facts.get(key, {}) for key in ("text", "image", "latent"))
    languages = text.get("languages") or {}
    rows = {
        "Command": f"[`genkit {facts['task']}`](../commands/{facts['task']}.md)",
        "Architecture": f"`{facts['architecture']}`",
        "Licence": facts.get("license"),
        "Languages": " to ".join(", ".join(names) for names in languages.values())
        if isinstance(languages, dict)
        else ", ".join(languages),
        "Classes": ", ".join(image.get("labels") or latent.get("classes") or ()),
        "Precisions": ", ".join(precisions),
        "Default precision": ", ".join(
            f"{precision} on {device}"
            for device, precision in facts.get("default_precision", {}).items()
        ),
        "Size of the graphs": f"{size / 1e6:.1f} MB",
        "Training recipe": f"[`{origin['recipe']}`](../../{origin['recipe']})"
        if "recipe" in origin
        else None,
        "Training time": f"{origin['minutes']} minutes" if "minutes" in origin else None,
        "Hardware": origin.get("hardware"),
        "Held out": origin.get("held_out"),
        "Folder": f"`{folder.relative_to(ROOT)}`",
    }
    return "\n".join(
        ["| | |", "|---|---|"] + [f"| {k} | {_cell(v)} |" for k, v in rows.items() if v]
    )


def _rows(titles: tuple[str, ...], rows: list[dict[str, Any]], keys: tuple[str, ...]) -> str:
    rule = "|".join("---:" if title == "value" else "---" for title in titles)
    lines = [f"| {' | '.join(titles)} |", f"|{rule}|"]
    lines += [f"| {' | '.join(_cell(row.get(key, '')) for key in keys)} |" for row in rows]
    return "\n".join(lines)


def _graphs(facts: dict[str, Any]) -> Iterator[str]:
    for name, files in facts["graphs"].items():
        listed = ", ".join(
            f"`{file['file']}` ({precision}, {file['size'] / 1e6:.1f} MB)"
            for precision, file in files.items()
        )
        yield f"`{name}`: {listed}"
        lines = ["| | tensor | type | shape | |", "|---|---|---|---|---|"]
        for side, tensors in facts["interface"][name].items():
            for tensor in tensors:
                shape = ", ".join(map(str, tensor["shape"]))
                lines.append(
                    f"| {side.removesuffix('s')} | `{tensor['name']}` | {tensor['dtype']} "
                    f"| `[{shape}]` | {_cell(tensor.get('description', ''))} |"
                )
        yield "\n".join(lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
