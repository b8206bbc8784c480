"""Processes on this machine as an engine."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

from allennlp_analyze.engine.worker import start
from allennlp_analyze.linalg.machine import Machine, available_memory, this_machine

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

# The fraction of the available memory that running analyses may use together.
ROOM = 0.9
# Seconds for a worker to remove its temporary files.
END_SECONDS = 10.0


class Processes:
    """`workers` processes on this machine, each with its share of cores and memory."""

    died: tuple[type[BaseException], ...] = ()
    patience: Optional[float] = None

    def __init__(self, workers: int) -> None:
        whole_machine = this_machine()
        self._workers = workers
        self._share = Machine(
            max(1, whole_machine.cores // workers), whole_machine.memory // workers
        )
        self.room: Optional[int] = int(ROOM * available_memory())

    def slots(self) -> int:
        """One more than the number of workers, so that none waits for its next item."""
        return self._workers + 1

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        # Use spawn: BLAS reads its number of threads when a process loads it.
        context = multiprocessing.get_context("spawn")
        others = set(multiprocessing.active_children())
        executor = ProcessPoolExecutor(self._workers, context, start, (self._share,))
        try:
            yield executor
        except BaseException:  # an interrupt, or the caller stops early: do not wait for the rest
            _end(set(multiprocessing.active_children()) - others)
            executor.shutdown(cancel_futures=True)
            raise
        executor.shutdown()


def _end(processes: "set[BaseProcess]") -> None:
    """Terminate `processes`; they clean up first."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(END_SECONDS)
        process.kill()
