"""What the analysis of a matrix will cost, from its shape alone."""

import contextlib
import os
from dataclasses import dataclass

# Seconds per multiplication on one core of 2020s server hardware, where BLAS does about 43 GFLOP/s:
# of the Gram matrix, and of its eigenvalues.
GRAM_SECONDS = 2.4e-11
EIGENVALUES_SECONDS = 6.5e-11
# With one core a larger matrix takes more than about two seconds.
LARGE_SECONDS = 2.0


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


def this_machine() -> Machine:
    """The cores that this process may use, and all memory (8 GiB where the system does not say)."""
    memory = 8 * 2**30
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if hasattr(os, "sched_getaffinity"):
        return Machine(len(os.sched_getaffinity(0)), memory)
    return Machine(os.cpu_count() or 1, memory)


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
