"""Runs items of work on an engine: the costliest first, each when it fits, dead workers' again."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AbstractContextManager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Callable, Generic, Optional, Protocol, TypeVar

from allennlp_analyze.engine.worker import result_or_exit
from allennlp_analyze.errors import AnalyzeError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """The place where work runs; `executor` sets it up and cleans it up.

    At most `slots()` items are submitted at a time, and only as many as fit into `room` bytes
    (None: the executor manages memory). `died` are the exceptions of an item whose worker died
    while the executor stays usable; a broken executor raises its own exception. When no item has
    ended for `patience` seconds (None: for ever), `slots` is asked again; it raises `EngineLost`
    if there is nothing to wait for.
    """

    room: Optional[int]
    died: tuple[type[BaseException], ...]
    patience: Optional[float]

    def executor(self) -> AbstractContextManager[Executor]: ...

    def slots(self) -> int: ...


class WorkerDied(Exception):
    """The process that worked on an item died."""


class EngineLost(AnalyzeError):
    """The connection to the workers is lost, or no worker is left."""


class EngineUnusable(AnalyzeError):
    """The workers cannot do the work: there is none, or one is not as it must be."""


def completed(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    sizes: Sequence[int],
    engine: Engine,
    costs: Optional[Sequence[float]] = None,
) -> Generator[tuple[int, Callable[[], Result]], None, None]:
    """Yield each index of `items` when it is done, and a function that returns its result.

    `sizes` are in bytes. The items of the highest `costs` (None: of the largest size) start first,
    so that none runs alone at the end. The function raises `WorkerDied` for an item whose process
    died, and only for that one: items that ran beside it start again, one at a time, on a new
    executor if the old one broke.
    """
    by = sizes if costs is None else costs
    order = deque(sorted(range(len(items)), key=lambda index: -by[index]))
    suspects: deque[int] = deque()
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
        queue: deque[int],
        one_at_a_time: bool,
    ) -> None:
        self._engine = engine
        self._work = work
        self._items = items
        self._sizes = sizes
        self._queue = queue
        self._one_at_a_time = one_at_a_time
        self._pending: dict[Future[Result], int] = {}
        # Waiting for any of thousands of futures would look at each of them, every time.
        self._ended: SimpleQueue[Future[Result]] = SimpleQueue()
        self._used = 0
        self._broken = False
        self.suspects: list[int] = []

    def results(self) -> Iterator[tuple[int, Callable[[], Result]]]:
        with self._engine.executor() as executor:
            while self._queue or self._pending:
                self._begin(executor)
                in_work = len(self._pending)
                for future in self._next():
                    yield from self._finished(future, in_work)
                if self._broken:
                    self.suspects.extend(self._pending.values())
                    return

    def _next(self) -> "list[Future[Result]]":
        """Wait, and return the items that have ended; none if the engine's patience has."""
        if not self._pending:  # the executor broke before anything began
            return []
        try:
            ended = [self._ended.get(timeout=self._engine.patience)]
        except Empty:
            self._engine.slots()
            return []
        with suppress(Empty):
            while True:
                ended.append(self._ended.get_nowait())
        return ended

    def _finished(
        self, future: "Future[Result]", in_work: int
    ) -> Iterator[tuple[int, Callable[[], Result]]]:
        index = self._pending.pop(future)
        self._used -= self._sizes[index]
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
            index = self._queue.popleft()
            self._pending[future] = index
            self._used += self._sizes[index]
            future.add_done_callback(self._ended.put)

    def _fits(self, index: int) -> bool:
        if not self._pending:
            return True
        if self._one_at_a_time or len(self._pending) >= self._engine.slots():
            return False
        room = self._engine.room
        return room is None or self._used + self._sizes[index] <= room
