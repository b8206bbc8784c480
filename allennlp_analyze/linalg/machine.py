"""What the analysis of a matrix will cost, from its shape alone."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# Seconds per multiplication on one core of 2020s server hardware, where BLAS does about 43 GFLOP/s:
# of the Gram matrix, and of its eigenvalues.
GRAM_SECONDS = 2.4e-11
EIGENVALUES_SECONDS = 6.5e-11
# With one core a larger matrix takes more than about two seconds.
LARGE_SECONDS = 2.0
# Of control groups, version 2 and 1.
CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def seconds(shape: tuple[int, int], cores: int = 1) -> float:
    """About how long the spectrum of a matrix of `shape` takes."""
    n, m = float(max(shape)), float(min(shape))
    return (GRAM_SECONDS * n * m**2 + EIGENVALUES_SECONDS * m**3) / cores


def memory(shape: tuple[int, int]) -> int:
    """Bytes: the Gram matrix in float64, and one working copy."""
    return 2 * 8 * min(shape) ** 2


def is_large(shape: tuple[int, int]) -> bool:
    """Whether a matrix is worth all cores at once."""
    return seconds(shape) > LARGE_SECONDS


@dataclass(frozen=True)
class Machine:
    """What there is to compute with: processor cores, and bytes of memory."""

    cores: int
    memory: int


# What this process was told to make do with.
_share: Optional[Machine] = None


def use_share(share: Machine) -> None:
    """From now on this process is one of several: `this_machine` is no more than `share`."""
    global _share
    _share = share


def this_machine() -> Machine:
    """The cores and the memory that this process may use."""
    whole = _whole_machine()
    if _share is None:
        return whole
    return Machine(min(_share.cores, whole.cores), min(_share.memory, whole.memory))


def _whole_machine() -> Machine:
    """All memory counts (8 GiB where the system does not say)."""
    memory = 8 * 2**30
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if hasattr(os, "sched_getaffinity"):
        return Machine(len(os.sched_getaffinity(0)), memory)
    return Machine(os.cpu_count() or 1, memory)


def available_memory() -> int:
    """Bytes that new processes can use: what Linux calls available, and what a container may have;
    elsewhere all memory."""
    found = [this_machine().memory]
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    for limit in CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number, and no limit
            found.append(int(Path(limit).read_text(encoding="ascii")))
    return min(found)


def why_refused(shape: tuple[int, int], max_dim: int) -> str:
    """The line that says why a matrix whose smaller dimension exceeds `max_dim` is left out."""
    cores = this_machine().cores
    minutes = max(seconds(shape, cores) / 60, 1)
    took = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
    return (
        f"{shape[0]} x {shape[1]} is too large: M = {min(shape)} exceeds --max-dim {max_dim};"
        f" with a higher one it takes about {took} on {cores} cores and"
        f" {memory(shape) / 2**30:.1f} GiB of memory"
    )
