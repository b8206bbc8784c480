"""Runs the analyses of a zoo on an executor; each starts only when it fits into memory."""

import itertools
import multiprocessing
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, Protocol, TypeVar

from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.linalg.machine import Machine, available_memory, this_machine
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS
from allennlp_analyze.zoo.engine.worker import result_or_exit, start

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

Item = TypeVar("Item")
Result = TypeVar("Result")
# The fraction of the available memory that running analyses may use together.
ROOM = 0.9
# Bytes that a process needs before it reads anything.
BASE_BYTES = 300 * 2**20
# Assumed bytes of an archive that is not downloaded yet.
UNKNOWN_BYTES = 2**30
# Seconds for a worker to remove its temporary files.
END_SECONDS = 10.0
# Factor for a file with one square float32 matrix: its Gram matrix and a copy, in float64.
WORST_GRAM = 4
# How many files below a directory without weights are looked at for its size.
MAX_COUNTED = 10_000


class Engine(Protocol):
    """The place where work runs; `executor` sets it up and cleans it up.

    At most `slots()` items are submitted at a time, and only as many as fit into `room` bytes
    (None: the executor manages memory). `died` are the exceptions of an item whose worker died
    while the executor stays usable; a broken executor raises its own exception.
    """

    room: Optional[int]
    died: tuple[type[BaseException], ...]

    def executor(self) -> AbstractContextManager[Executor]: ...

    def slots(self) -> int: ...


class WorkerDied(Exception):
    """The process that worked on an item died."""


class EngineLost(AnalyzeError):
    """The connection to the workers is lost."""


class Processes:
    """`workers` processes on this machine, each with its share of cores and memory."""

    died: tuple[type[BaseException], ...] = ()

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


def estimated_bytes(archive: str, settings: Settings) -> int:
    """Estimate from its size the most memory that the analysis of `archive` normally needs.

    The unpacked archive is mapped from a temporary file, which may be in memory. The largest matrix
    adds M x M in float64, twice. An archive that is not downloaded yet counts as 1 GiB.
    """
    size = UNKNOWN_BYTES if is_url(archive) else _size(Path(archive).expanduser())
    return BASE_BYTES + size + min(WORST_GRAM * size, 16 * settings.max_dim**2)


def _size(path: Path) -> int:
    """Bytes of a file, or of the readable files in a directory; 0 if it does not exist.

    In a directory without weights, those of the directories below it count: it may be a cache.
    """
    try:
        if path.is_dir():
            top = _bytes_of(path.iterdir())
            return top or _bytes_of(itertools.islice(path.rglob("*"), MAX_COUNTED))
        return path.stat().st_size
    except OSError:
        return 0


def _bytes_of(files: Iterable[Path]) -> int:
    return sum(x.stat().st_size for x in files if x.name.endswith(MODEL_ENDINGS) and x.is_file())


def completed(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    sizes: Sequence[int],
    engine: Engine,
) -> Generator[tuple[int, Callable[[], Result]], None, None]:
    """Yield each index of `items` when it is done, and a function that returns its result.

    The largest items start first, so that none runs alone at the end. The function raises
    `WorkerDied` for an item whose process died, and only for that one: items that ran beside it
    start again, one at a time, on a new executor if the old one broke.
    """
    order = sorted(range(len(items)), key=lambda index: -sizes[index])
    suspects: list[int] = []
    task = partial(_in_worker, work)
    while order or suspects:
        queue, one_at_a_time = (suspects, True) if suspects else (order, False)
        flight = _Flight(engine, task, items, sizes, queue, one_at_a_time)
        yield from flight.results()
        suspects.extend(flight.suspects)


def _in_worker(work: Callable[[Item], Result], item: Item) -> Result:
    return result_or_exit(lambda: work(item))


def _died() -> Any:
    raise WorkerDied


class _Flight(Generic[Item, Result]):
    """The life of one executor: it starts the items of `queue` in order, as they fit.

    It ends when the queue is done or the executor breaks. `suspects` are items that ran beside
    others when a worker died.
    """

    def __init__(
        self,
        engine: Engine,
        work: Callable[[Item], Result],
        items: Sequence[Item],
        sizes: Sequence[int],
        queue: list[int],
        one_at_a_time: bool,
    ) -> None:
        self._engine = engine
        self._work = work
        self._items = items
        self._sizes = sizes
        self._queue = queue
        self._one_at_a_time = one_at_a_time
        self._pending: dict[Future[Result], int] = {}
        self._broken = False
        self.suspects: list[int] = []

    def results(self) -> Iterator[tuple[int, Callable[[], Result]]]:
        with self._engine.executor() as executor:
            while self._queue or self._pending:
                self._begin(executor)
                in_work = len(self._pending)
                done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._finished(future, in_work)
                if self._broken:
                    self.suspects.extend(self._pending.values())
                    return

    def _finished(
        self, future: "Future[Result]", in_work: int
    ) -> Iterator[tuple[int, Callable[[], Result]]]:
        index = self._pending.pop(future)
        if future.cancelled():
            raise EngineLost("the connection to the workers is lost")
        broken = isinstance(future.exception(), BrokenExecutor)
        self._broken = self._broken or broken
        if not broken and not isinstance(future.exception(), self._engine.died):
            yield index, future.result
        elif self._one_at_a_time or (broken and in_work == 1):
            yield index, _died
        else:
            self.suspects.append(index)

    def _begin(self, executor: Executor) -> None:
        while self._queue and self._fits(self._queue[0]):
            try:
                future = executor.submit(self._work, self._items[self._queue[0]])
            except BrokenExecutor:  # raised before the running items report it
                self._broken = True
                return
            self._pending[future] = self._queue.pop(0)

    def _fits(self, index: int) -> bool:
        if not self._pending:
            return True
        if self._one_at_a_time or len(self._pending) >= self._engine.slots():
            return False
        used = sum(self._sizes[other] for other in self._pending.values())
        return self._engine.room is None or used + self._sizes[index] <= self._engine.room
