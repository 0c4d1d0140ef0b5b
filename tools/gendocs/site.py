"""What MkDocs is told when it builds the site: the navigation, and links that leave docs/.

On a code host a page may link to any file of the repository. The site holds only docs/, so an
image below weights/ is copied into it, and any other link becomes a link to `repo_url`, or plain
text where there is none. A file that does not exist is a warning, which --strict makes an error.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(((?:\.\./)+[^)\s#]+)(#[^)\s]*)?\)")

log = logging.getLogger("mkdocs.hooks.gendocs")


def expand(items: list[Any]) -> list[Any]:
    """A navigation without patterns: each is replaced by the pages that it matches, if any."""
    listed = [item for item in items if isinstance(item, str) and "*" not in item]
    found: list[Any] = []
    for item in items:
        if isinstance(item, dict):
            ((title, value),) = item.items()
            if isinstance(value, str) and "*" in value:
                found += [{title: _name(path)} for path in sorted(DOCS.glob(value))]
            else:
                found.append({title: expand(value) if isinstance(value, list) else value})
        elif "*" in item:
            found += [name for name in map(_name, sorted(DOCS.glob(item))) if name not in listed]
        else:
            found.append(item)
    return found


def on_config(config: Any) -> Any:
    """Put the pages that exist in the place of the navigation's patterns."""
    config.nav = expand(config.nav)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the sample images of the shipped models to the site."""
    from mkdocs.structure.files import File  # only the build has it

    for image in sorted((ROOT / "weights").glob("*/*/sample.jpg")):
        name = image.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(image)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links that leave docs/."""
    folder = Path(config.docs_dir, page.file.src_path).parent

    def rewritten(match: re.Match[str]) -> str:
        bang, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        path = Path(os.path.normpath(folder / target))
        if path.is_relative_to(config.docs_dir):
            return match[0]
        if not path.exists() or not path.is_relative_to(ROOT):
            log.warning("%s links to %s, which does not exist", page.file.src_path, target)
            return match[0]
        name = path.relative_to(ROOT).as_posix()
        if bang:
            link = os.path.relpath(Path(config.docs_dir, name), folder)
            return f"![{text}]({link})"
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{name}{anchor})"
        return text

    return LINK.sub(rewritten, markdown)


def _name(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()
