"""Has the matrices of one model measured by the workers of a cluster, the costliest first."""

import math
import secrets
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.analysis.facts import seen
from allennlp_analyze.analysis.measure import Measured, left_out, measure
from allennlp_analyze.analysis.on_worker import Model, Task, computed_by, measure_task
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.engine.dask import Dask
from allennlp_analyze.engine.running import Engine, EngineUnusable, WorkerDied, completed
from allennlp_analyze.errors import Advice, OptionError, TensorError
from allennlp_analyze.linalg.backend import blas_threads
from allennlp_analyze.linalg.machine import memory, seconds, this_machine
from allennlp_analyze.linalg.schedule import Shape, largest_first
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import ModuleTable
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.source import Source
from allennlp_analyze.storage.paths import absolute
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lines import one_line

# Small matrices are one task up to these limits: sending a task takes some milliseconds.
TASK_SECONDS = 0.5
TASK_BYTES = 32 * 2**20
# The eigenvalues of a large matrix have the same bits with one thread and with two, not with more.
MOST_THREADS = 2
# Assumed bytes of an entry in the file.
ENTRY_BYTES = 4
# Seconds that even the smallest matrix takes.
LEAST_SECONDS = 0.005
HERE_ONLY = "applies to this machine only"


class Cluster:
    """The cluster of the Dask scheduler at `address`, for a run that reads `reading`.

    Raises `OptionError` for settings that a cluster cannot have, or if Dask is not installed.
    """

    def __init__(self, address: str, reading: Reading, settings: Settings) -> None:
        for name in ("jobs", "cuda_device"):
            if getattr(settings, name) != getattr(Settings, name):
                advice = Advice("dask", "with {} the workers decide it; omit one of them")
                raise OptionError(name, HERE_ONLY, advice)
        self._engine = Dask(address)
        self._reading = replace(
            reading,
            archive=absolute(reading.archive),
            weights_file=absolute(reading.weights_file),
        )

    def measuring(
        self,
        source: Source,
        modules: Optional[ModuleTable],
        chosen: Sequence[WeightMatrix],
        settings: Settings,
    ) -> "OnWorkers":
        """Returns the function that measures the matrices `chosen` of the opened `source`.

        `settings` name the eigensolver of all workers, as `choosing.with_eigensolver` does.
        """
        if modules is not None:  # its mapping is one that cannot be sent
            modules = replace(modules, parameters=dict(modules.parameters))
        model = Model(
            secrets.token_hex(16),
            VERSION,
            self._reading,
            settings,
            modules,
            seen(source, chosen),
        )
        return OnWorkers(self._engine, model)


class OnWorkers:
    """An `Elsewhere`: measures matrices on the workers of `engine`, with the bits of a run here.

    `notes` say where that is not so.
    """

    def __init__(self, engine: Engine, model: Model) -> None:
        self._engine = engine
        self._model = model
        self._computed_by: set[str] = set()
        self._shapes: list[Shape] = []

    def __call__(
        self, matrices: Sequence[WeightMatrix], done: Collection[int]
    ) -> Generator[tuple[int, Measured], None, None]:
        settings = self._model.settings
        left = [index for index in range(len(matrices)) if index not in done]
        todo = [index for index in left if min(matrices[index].shape) <= settings.max_dim]
        shapes = [matrix.shape for matrix in matrices]
        self._shapes = [shapes[index] for index in todo]
        together = not (settings.uncertainty or settings.compare_distributions)
        tasks = [
            Task(self._model, group, threads) for group, threads in grouped(shapes, todo, together)
        ]
        died = yield from self._measured(tasks, shapes)
        # One of the matrices of a task has killed its workers.
        again = [replace(x, indices=(i,)) for x in died if len(x.indices) > 1 for i in x.indices]
        died = [task for task in died if len(task.indices) == 1]
        died += yield from self._measured(again, shapes)
        for task in died:
            (index,) = task.indices
            yield index, Measured(_given_up(matrices[index]), 0.0, 0.0)
        for index in sorted(set(left) - set(todo)):
            yield index, measure(matrices[index], settings)  # the reason why it is not measured

    def _measured(
        self, tasks: Sequence[Task], shapes: Sequence[Shape]
    ) -> Generator[tuple[int, Measured], None, list[Task]]:
        """Yield what the workers measured; returns the tasks whose workers died every time."""
        costs = [sum(map(seconds, (shapes[i] for i in task.indices))) for task in tasks]
        died = []
        results = completed(measure_task, tasks, [0] * len(tasks), self._engine, costs)
        with closing(results):
            for place, result in results:
                try:
                    done = result()
                except WorkerDied:
                    died.append(tasks[place])
                    continue
                except ImportError as error:
                    text = f"a Dask worker lacks a package: {one_line(error)}; install it there"
                    raise EngineUnusable(text) from None
                self._computed_by.add(done.computed_by)
                yield from done.measured
        return died

    def notes(self) -> Iterator[str]:
        """Yields what a reader of the report must know of the workers."""
        here, threads = computed_by(self._model.settings.eigensolver), blas_threads()
        if self._shapes and threads > MOST_THREADS:
            all_cores, _ = largest_first(self._shapes, this_machine())
            if all_cores:
                yield (
                    f"measured with one thread each on the workers, but with {threads} in a run"
                    f" here: {count(len(all_cores), 'large matrix', 'large matrices')}; the last"
                    " digits may differ"
                )
        for other in sorted(self._computed_by - {here}):
            yield f"measured on workers with {other}, here is {here}: the last digits may differ"


def grouped(
    shapes: Sequence[Shape], todo: Collection[int], together: bool = True
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yields the indices of each task, the costliest first, with its number of BLAS threads.

    Small matrices go `together`, up to TASK_SECONDS and TASK_BYTES. A matrix that a run on this
    machine measures with all cores has as many threads up to MOST_THREADS, others have one.
    """
    todo = frozenset(todo)
    with_all_cores, with_one = largest_first(shapes, this_machine())
    threads = blas_threads() if blas_threads() <= MOST_THREADS else 1
    yield from (((index,), threads) for index in with_all_cores if index in todo)
    group: list[int] = []
    cost, size = 0.0, 0
    for index in (index for index in with_one if index in todo):
        own = max(seconds(shapes[index]), LEAST_SECONDS)
        its_size = ENTRY_BYTES * math.prod(shapes[index])
        is_full = cost + own > TASK_SECONDS or size + its_size > TASK_BYTES or not together
        if group and is_full:
            yield tuple(group), 1
            group, cost, size = [], 0.0, 0
        group.append(index)
        cost, size = cost + own, size + its_size
    if group:
        yield tuple(group), 1


def _given_up(matrix: WeightMatrix) -> Skipped:
    need = memory(matrix.shape) / 2**30
    reason = (
        "every worker that measured it died; they may have too little memory (about"
        f" {need:.1f} GiB for the matrix, and more for the process)"
    )
    return left_out(matrix, TensorError(reason))
