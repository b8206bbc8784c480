"""Estimates the time and memory that a matrix needs, and reads what the machine has."""

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# Seconds per multiplication on one core of a 2020s server, where BLAS reaches about 43 GFLOP/s: for
# the Gram matrix, and for its eigenvalues.
GRAM_SECONDS = 2.4e-11
EIGENVALUES_SECONDS = 6.5e-11
# What the command takes beside the matrices (docs/explanation/speed.md).
BASE_BYTES = 300 * 2**20
# A larger matrix takes more than about two seconds on one core.
LARGE_SECONDS = 2.0
# Memory limits of control groups, versions 2 and 1.
CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)

# Environment variables with the number of threads that BLAS libraries read when they are loaded.
BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "BLIS_NUM_THREADS",
)


def seconds(shape: tuple[int, int], cores: int = 1) -> float:
    """Estimated seconds for the spectrum of a matrix of `shape`."""
    n, m = float(max(shape)), float(min(shape))
    return (GRAM_SECONDS * n * m**2 + EIGENVALUES_SECONDS * m**3) / cores


def memory(shape: tuple[int, int]) -> int:
    """Bytes for the Gram matrix in float64 and one working copy."""
    return 2 * 8 * min(shape) ** 2


def is_large(shape: tuple[int, int]) -> bool:
    """Whether a matrix is large enough to use all cores at once."""
    return seconds(shape) > LARGE_SECONDS


@dataclass(frozen=True)
class Machine:
    """The resources to compute with: CPU cores, and bytes of memory."""

    cores: int
    memory: int


# The share of the machine that this process was given.
_share: Optional[Machine] = None


def use_share(share: Machine) -> None:
    """Limit this process, which is one of several: `this_machine` returns at most `share`."""
    global _share
    _share = share


def this_machine() -> Machine:
    """The cores and the memory that this process may use."""
    machine = _full_machine()
    if _share is None:
        return machine
    return Machine(min(_share.cores, machine.cores), min(_share.memory, machine.memory))


def _full_machine() -> Machine:
    """All cores and memory (8 GiB if the system does not tell)."""
    memory = 8 * 2**30
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if hasattr(os, "sched_getaffinity"):
        return Machine(len(os.sched_getaffinity(0)), memory)
    return Machine(os.cpu_count() or 1, memory)


def processor() -> str:
    """Returns the name of the processor, as the system gives it."""
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def available_memory() -> int:
    """Bytes that new processes can use.

    On Linux this is the available memory within the limit of the container, elsewhere all memory.
    """
    found = [this_machine().memory]
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    for limit in CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" means no limit
            found.append(int(Path(limit).read_text(encoding="ascii")))
    return min(found)


def why_refused(shape: tuple[int, int], max_dim: int) -> str:
    """Returns the reason for skipping a matrix whose smaller dimension exceeds `max_dim`."""
    cores = this_machine().cores
    minutes = max(seconds(shape, cores) / 60, 1)
    took = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
    return (
        f"{shape[0]} x {shape[1]} is too large: M = {min(shape)} exceeds max_dim = {max_dim};"
        f" raise it to analyze this matrix (about {took} on {cores} cores and"
        f" {memory(shape) / 2**30:.1f} GiB of memory)"
    )
