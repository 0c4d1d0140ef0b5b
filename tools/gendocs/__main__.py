"""Bring the documentation up to date, or say where it is not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.gendocs.pages import ROOT, pages, refresh


def main() -> int:
    """Refresh the pages that are named, by default all; with ``--check`` only compare them."""
    parser = argparse.ArgumentParser(prog="python -m tools.gendocs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on differences")
    parser.add_argument("--no-run", action="store_true", help="do not run the console blocks")
    parser.add_argument("page", nargs="*", type=Path, help="pages to refresh [default: all]")
    options = parser.parse_args()
    stale = 0
    for path in [page.resolve() for page in options.page] or pages():
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = refresh(path, run=not options.no_run)
        if after == before:
            continue
        stale += 1
        print(f"{path.relative_to(ROOT)}: {'out of date' if options.check else 'updated'}")
        if not options.check:
            path.write_text(after, encoding="utf-8")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
