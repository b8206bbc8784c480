"""Which process of a distributed training runs the monitor, and how the others get its answer."""

import sys
from typing import Any

# The last answer, kept alive on purpose. If a thread of gloo frees the last reference to a tensor,
# it waits for the GIL, while Python may wait for that thread when it leaves the process group.
_kept: Any = None


def is_distributed() -> bool:
    """Whether this process is one of several; torch must have been imported."""
    distributed = sys.modules["torch"].distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def is_first_process() -> bool:
    """Whether this is the first of all processes on all machines."""
    return not is_distributed() or bool(sys.modules["torch"].distributed.get_rank() == 0)


def first_process_says(said: bool) -> bool:
    """Returns the first process's answer on every process; all must call this together."""
    return bool(first_process_sends(int(said)))


def first_process_sends(number: int) -> int:
    """Returns the first process's number on every process; all must call this together."""
    global _kept
    if not is_distributed():
        return number
    torch = sys.modules["torch"]
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    _kept = torch.tensor(number, dtype=torch.int64, device=device)
    torch.distributed.broadcast(_kept, src=0)
    return int(_kept.item())


def first_process_shares(found: dict[str, float]) -> dict[str, float]:
    """Returns the first process's numbers on every process; all must call this together."""
    if not is_distributed():
        return found
    shared: list[Any] = [found]
    sys.modules["torch"].distributed.broadcast_object_list(shared, src=0)
    return dict(shared[0])
