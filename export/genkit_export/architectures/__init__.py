"""One file a network, in plain PyTorch, with a frozen config dataclass beside it."""
