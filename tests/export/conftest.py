"""What the tests of the export need: nothing of PyTorch's parallelism, which slows small networks."""

import torch

torch.set_num_threads(1)
