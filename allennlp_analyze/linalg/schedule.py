"""Plans which matrices are computed at the same time, and with how many BLAS threads each.

A matrix gets the same number of threads for any number of jobs, so its results are identical to
the last bit: sums in another order would round differently.
"""

import math
from collections.abc import Collection, Generator, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Callable, Optional, TypeVar

from allennlp_analyze.linalg.backend import one_blas_thread
from allennlp_analyze.linalg.machine import Machine, is_large, memory, seconds, this_machine

Result = TypeVar("Result")
Shape = tuple[int, int]
# The share of the machine's memory that matrices computed at the same time may use.
SHARED_MEMORY = 0.25
# The name of the threads that compute matrices.
THREAD = "allennlp-analyze matrices"


def largest_first(shapes: Sequence[Shape], machine: Machine) -> tuple[list[int], list[int]]:
    """Returns two lists of indices of `shapes`, the most expensive first in each.

    The first list runs one after another on all cores, the second in parallel with one thread each.
    Running layers in parallel wastes less time than several threads on one layer. A large matrix is
    in the first list only if the others would have to wait for it on its one core, or if that many
    of its size would not fit into memory together.
    """
    cores, room = machine.cores, machine.memory * SHARED_MEMORY
    order = sorted(range(len(shapes)), key=lambda index: -seconds(shapes[index]))
    left = math.fsum(seconds(shape) for shape in shapes)
    alone, together = [], []
    for index in order:
        cost = seconds(shapes[index])
        fits = cores * memory(shapes[index]) <= room
        if is_large(shapes[index]) and not (fits and cores * cost <= left):
            alone.append(index)
            left -= cost
        else:
            together.append(index)
    return alone, together


def in_parallel(
    work: Callable[[int], Result],
    shapes: Sequence[Shape],
    jobs: int,
    machine: Optional[Machine] = None,
    done: Collection[int] = (),
    large_at_once: int = 1,
) -> Generator[tuple[int, Result], None, None]:
    """Yield each index of `shapes` with `work(index)` as soon as it is done, in any order.

    Up to `jobs` run at the same time in threads, on one core each: numpy releases the GIL while it
    computes. `machine` defaults to this machine. The indices in `done` are skipped but stay in the
    plan, so the other results are identical to those of a run that computes all. If the caller
    stops early, work that has not started never starts. `large_at_once`: how many of those that
    otherwise run one after another may overlap, on all cores, because another device computes.
    """
    machine = machine or this_machine()
    alone, together = largest_first(shapes, machine)
    need = large_at_once * max((memory(shapes[index]) for index in alone), default=0)
    large_jobs = min(jobs, large_at_once) if need <= machine.memory * SHARED_MEMORY else 1
    yield from in_threads(work, [index for index in alone if index not in done], large_jobs)
    with one_blas_thread():
        yield from in_threads(work, [index for index in together if index not in done], jobs)


def in_threads(
    work: Callable[[int], Result], indices: Sequence[int], threads: int
) -> Iterator[tuple[int, Result]]:
    """Yield each of `indices` with `work(index)` as soon as it is done; they start in this order.

    The first exception of `work` ends the loop. An interrupt ends it at once: the caller only
    waits, and the threads are daemons, because a call into BLAS cannot be stopped.
    """
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
    """Returns a function that returns the index and its result, or raises the error of `work`."""
    try:
        result = work(index)
    except BaseException as error:
        failure = error

        def fail() -> tuple[int, Result]:
            raise failure

        return fail
    return lambda: (index, result)
