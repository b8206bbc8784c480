"""Which matrices are worked on at the same time, and with how many BLAS threads each.

A matrix gets the same number of threads whatever the number of jobs, so that its results are the
same to the last bit: sums in another order would round differently.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Callable, Optional, TypeVar

from allennlp_analyze.linalg.machine import Machine, is_large, memory, seconds, this_machine
from allennlp_analyze.linalg.openblas import libraries

Result = TypeVar("Result")
Shape = tuple[int, int]
# The share of the machine's memory that matrices worked on side by side may take.
SHARED_MEMORY = 0.25
# What the threads are called that matrices are worked on in.
THREAD = "allennlp-analyze matrices"


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
    done: Collection[int] = (),
) -> Iterator[tuple[int, Result]]:
    """Yield each index of `shapes` with `work(index)` as soon as it is done, in any order.

    Up to `jobs` run at a time, on one core each, in threads: numpy does not hold the interpreter
    while it computes. `machine` is this one unless another is named. The indices `done` are left
    out, but take part in the plan: the others' results are those of the run that did them all.
    When the caller stops early, what has not begun never does.
    """
    alone, together = largest_first(shapes, machine or this_machine())
    yield from in_threads(work, [index for index in alone if index not in done], 1)
    with one_blas_thread():
        yield from in_threads(work, [index for index in together if index not in done], jobs)


def in_threads(
    work: Callable[[int], Result], indices: Sequence[int], threads: int
) -> Iterator[tuple[int, Result]]:
    """Yield each of `indices` with `work(index)` as soon as it is done; they begin in this order.

    The first exception of `work` ends it. An interrupt does at once: the caller only waits, and
    the interpreter does not wait for threads like these, since nothing stops BLAS."""
    waiting: SimpleQueue[int] = SimpleQueue()
    finished: SimpleQueue[Callable[[], tuple[int, Result]]] = SimpleQueue()
    stopped = Event()
    for index in indices:
        waiting.put(index)

    def run() -> None:
        while not stopped.is_set():
            try:
                index = waiting.get_nowait()
            except Empty:
                return
            finished.put(_outcome(work, index))

    for _ in range(min(threads, len(indices))):
        Thread(target=run, name=THREAD, daemon=True).start()
    try:
        for _ in indices:
            yield finished.get()()
    finally:
        stopped.set()


def _outcome(work: Callable[[int], Result], index: int) -> Callable[[], tuple[int, Result]]:
    """What gives the index and its result, or raises as `work` did."""
    try:
        result = work(index)
    except BaseException as error:
        failure = error

        def fail() -> tuple[int, Result]:
            raise failure

        return fail
    return lambda: (index, result)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread, so that jobs do not compete for cores."""
    from threadpoolctl import threadpool_limits

    libraries()  # before they are limited
    with threadpool_limits(limits=1, user_api="blas"):
        yield
