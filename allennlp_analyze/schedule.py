"""Which matrices are worked on at the same time, and with how many BLAS threads each.

A matrix gets the same number of threads whatever the number of jobs, so that its results are the
same to the last bit: sums in another order would round differently.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Callable, TypeVar

from allennlp_analyze.cost import is_large, seconds

Result = TypeVar("Result")
Shape = tuple[int, int]


def largest_first(shapes: Sequence[Shape]) -> tuple[list[int], list[int]]:
    """Indices of `shapes`, the costliest first: those that take turns, those that share the cores.

    A large matrix has all BLAS threads to itself; of the others each has one thread, which wastes
    less than several threads on one small matrix do.
    """
    order = sorted(range(len(shapes)), key=lambda index: -seconds(shapes[index]))
    n_large = sum(is_large(shape) for shape in shapes)
    return order[:n_large], order[n_large:]


def in_parallel(
    work: Callable[[int], Result], shapes: Sequence[Shape], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Yield each index of `shapes` with `work(index)` as soon as it is done, in any order.

    Up to `jobs` run at a time, in threads: numpy does not hold the interpreter while it computes.
    When the caller stops early, what has not begun never does.
    """
    alone, together = largest_first(shapes)
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

    with threadpool_limits(limits=1, user_api="blas"):
        yield
