"""Which matrices are worked on at the same time, and with how many BLAS threads each.

A matrix gets the same number of threads whatever the number of jobs, so that its results are the
same to the last bit: sums in another order would round differently.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Callable, Optional, TypeVar

from allennlp_analyze.cost import Machine, is_large, memory, seconds, this_machine
from allennlp_analyze.openblas import libraries

Result = TypeVar("Result")
Shape = tuple[int, int]
# The share of the machine's memory that matrices worked on side by side may take.
SHARED_MEMORY = 0.25


def largest_first(shapes: Sequence[Shape], machine: Machine) -> tuple[list[int], list[int]]:
    """Indices of `shapes`, the costliest first: those that take turns, those that share the cores.

    Layers side by side, one thread each, waste less than several threads on one layer do. A large
    matrix takes turns, with all BLAS threads, only where the others would have to wait for it on
    its one core, or where so many of its size at a time would not fit into memory.
    """
    cores, room = machine.cores, machine.memory * SHARED_MEMORY
    order = sorted(range(len(shapes)), key=lambda index: -seconds(shapes[index]))
    left = math.fsum(seconds(shape) for shape in shapes)
    alone = []
    for index in order:
        cost = seconds(shapes[index])
        fits = cores * memory(shapes[index]) <= room
        if is_large(shapes[index]) and not (fits and cores * cost <= left):
            alone.append(index)
            left -= cost
    return alone, [index for index in order if index not in set(alone)]


def in_parallel(
    work: Callable[[int], Result],
    shapes: Sequence[Shape],
    jobs: int,
    machine: Optional[Machine] = None,
) -> Iterator[tuple[int, Result]]:
    """Yield each index of `shapes` with `work(index)` as soon as it is done, in any order.

    Up to `jobs` run at a time, on one core each, in threads: numpy does not hold the interpreter
    while it computes. `machine` is this one unless another is named.
    When the caller stops early, what has not begun never does.
    """
    alone, together = largest_first(shapes, machine or this_machine())
    for index in alone:
        yield index, work(index)
    if not together:
        return
    with one_blas_thread():
        if jobs == 1:
            for index in together:
                yield index, work(index)
            return
        pool = ThreadPoolExecutor(min(jobs, len(together)))
        try:
            running = {pool.submit(work, index): index for index in together}
            for future in as_completed(running):
                yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread, so that jobs do not compete for cores."""
    from threadpoolctl import threadpool_limits

    libraries()  # before they are limited
    with threadpool_limits(limits=1, user_api="blas"):
        yield
