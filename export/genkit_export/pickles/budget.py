"""How much a file may make of itself, and how reading it ends early.

What is built from a file has to stay in proportion to its bytes. Most opcodes of a pickle cannot do
otherwise: they move what the file holds. Those that copy or multiply take from a budget.
"""

SLACK = 1 << 20
GROWTH = 4
"""An archive may unpack to so many times its size, plus SLACK bytes. PyTorch does not compress."""
BUILT_SLACK = 1 << 24
BUILT_GROWTH = 16
"""A pickle's containers, copies and views may take so many times its size, plus the slack."""
MOST_STEPS = 10_000_000
"""Opcodes of one file. A vocabulary of a million words is a third of it."""


class DamagedError(Exception):
    """A file is not what it should be. The text ends a sentence that begins with its name."""


class OtherError(DamagedError):
    """A sound file of something else. The text says what."""


class RefusedError(Exception):
    """A file names something that harms."""

    def __init__(self, name: str, entry: str) -> None:
        super().__init__(name)
        self.name, self.entry = name, entry


class Budget:
    """What may still be taken, in bytes, opcodes and the like."""

    def __init__(self, amount: int, complaint: str) -> None:
        self.left = amount
        self._complaint = complaint

    def take(self, amount: int) -> None:
        """Raises DamagedError where that is more than what is left."""
        if amount > self.left:
            raise DamagedError(self._complaint)
        self.left -= max(amount, 0)


def unpacked(size: int) -> Budget:
    """For what an archive of a size unpacks to, and for the storages of an older file."""
    return Budget(GROWTH * size + SLACK, f"its {size} bytes would unpack to far more")


def built(size: int) -> Budget:
    """For what is built from a pickle of a size."""
    return Budget(
        BUILT_GROWTH * size + BUILT_SLACK, f"its {size} bytes would build a great deal more"
    )


def steps() -> Budget:
    """For the opcodes of a file."""
    return Budget(MOST_STEPS, f"it takes more than {MOST_STEPS} steps to read")
