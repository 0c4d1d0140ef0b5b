"""The names of ImageNet's classes, for files that only number them."""

import functools
from pathlib import Path

FILE = Path(__file__).with_name("imagenet.txt")
COMMENT = "#"


@functools.cache
def names() -> tuple[str, ...]:
    """The 1000 classes of the challenge of 2012, in the usual order. Synonyms have commas between
    them.
    """
    lines = FILE.read_text("utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith(COMMENT))
