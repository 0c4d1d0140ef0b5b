"""Entry of ``python -m genkit`` and of the ``genkit`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code.

    The command line is imported in here, so that Ctrl-C during the import is quiet too.
    """
    try:
        from genkit.cli.app import main as run
        from genkit.writing import clean_up_on_signals

        clean_up_on_signals()
        code = int(run())
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
