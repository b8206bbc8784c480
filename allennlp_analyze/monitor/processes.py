"""Who of the processes of a distributed training watches, and how the others hear of it."""

import sys
from typing import Any

# The last answer. A thread of gloo that lets go of a tensor last waits for Python, which may wait
# for that thread while it leaves the process group.
_kept: Any = None


def is_distributed() -> bool:
    """Whether this process is one of several; torch has been imported."""
    distributed = sys.modules["torch"].distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def is_first_process() -> bool:
    """Of all processes, on whatever machine."""
    return not is_distributed() or bool(sys.modules["torch"].distributed.get_rank() == 0)


def first_process_says(said: bool) -> bool:
    """What the first process says, on every process. All have to call this at the same time."""
    global _kept
    if not is_distributed():
        return said
    torch = sys.modules["torch"]
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    _kept = torch.tensor(int(said), device=device)
    torch.distributed.broadcast(_kept, src=0)
    return bool(_kept.item())
