"""Reading PyTorch's pickled files. Nothing in a file is ever executed.

A pickle is a program that names the classes and functions that build its objects. Here it runs on a
machine of genkit's own (`machine.py`), in which no name is ever imported: tensors and plain data
are built by a few functions (`builders.py`, `storages.py`), and everything else (hyper-parameters
of Lightning, `argparse.Namespace`, OmegaConf, the modules of a whole network) is an inert stand-in
that keeps its attributes (`names.py`). Memory is taken in proportion to what the file holds
(`budget.py`). `containers.py` knows the files that pickles are in.
"""

from .budget import DamagedError, OtherError, RefusedError
from .containers import is_old_tar, is_pickled, load
from .names import Name, Standin, printable

__all__ = [
    "DamagedError",
    "Name",
    "OtherError",
    "RefusedError",
    "Standin",
    "is_old_tar",
    "is_pickled",
    "load",
    "printable",
]
