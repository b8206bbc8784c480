"""Measures as many weight matrices as the time budget allows, in its order."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Callable, Generic, Optional, TypeVar

from allennlp_analyze.analysis.measure import measure
from allennlp_analyze.linalg.backend import one_blas_thread
from allennlp_analyze.linalg.gram import GramSolver
from allennlp_analyze.linalg.machine import is_large
from allennlp_analyze.linalg.schedule import in_threads
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.monitor.budget import Budget, Shape
from allennlp_analyze.monitor.updates import Update
from allennlp_analyze.results.layer import LayerOutcome, Skipped
from allennlp_analyze.settings import Settings

logger = logging.getLogger(__name__)
Found = TypeVar("Found")


@dataclass(frozen=True)
class Measured:
    """The outcome for one layer, and what training has changed in it since the last check."""

    outcome: LayerOutcome
    update: Update


@dataclass(frozen=True)
class Timed(Generic[Found]):
    """The outcome for one layer, and the seconds that it took."""

    found: Found
    seconds: float


def measure_in_time(
    matrices: Mapping[str, WeightMatrix],
    settings: Settings,
    solver: GramSolver,
    budget: Budget,
    started: float,
    jobs: int,
    update_of: Callable[[WeightMatrix], Update],
) -> dict[str, Timed[Measured]]:
    """Returns the outcomes, by name, of the matrices that `budget` has time for since `started`.

    Up to `jobs` matrices are measured at the same time; with 0, one at a time in this thread. A
    matrix that cannot be measured is `Skipped`, for any error. `update_of` raises nothing; it is
    called before the matrix is measured, so that a parameter which is spread over processes is put
    together once for both, and its time counts.
    """

    def measured(name: str) -> Measured:
        matrix, update = matrices[name], Update()
        if min(matrix.shape) <= settings.max_dim:
            update = update_of(matrix)
        return Measured(_outcome(matrix, settings, solver), update)

    shapes = {name: matrix.shape for name, matrix in matrices.items()}
    return in_time(measured, shapes, budget, started, jobs)


def in_time(
    work: Callable[[str], Found],
    shapes: Mapping[str, Shape],
    budget: Budget,
    started: float,
    jobs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timed[Found]]:
    """Run `work` on the layers of `shapes` that `budget` has time for, and record the times.

    The time is counted from `started`, a value of `clock`.
    """
    order = budget.order(shapes)

    def turn_taken(turn: int) -> Optional[Timed[Found]]:
        name, began = order[turn], clock()
        left = started + budget.max_seconds - began
        if turn and not budget.fits(name, shapes[name], left):
            return None
        found = work(name)
        return Timed(found, clock() - began)

    turns = _in_turn(turn_taken, [shapes[name] for name in order], jobs)
    done = {order[turn]: timed for turn, timed in turns if timed is not None}
    for name, timed in done.items():
        budget.took(name, shapes[name], timed.seconds)
    budget.checked(done, (name for name in order if name not in done))
    return done


def _in_turn(
    work: Callable[[int], Found], shapes: Sequence[Shape], jobs: int
) -> Iterator[tuple[int, Found]]:
    """Like `schedule.in_parallel`, but in the order of `shapes`; large ones run alone."""
    if jobs == 0:
        for turn in range(len(shapes)):
            yield turn, work(turn)
        return
    for large, turns in groupby(range(len(shapes)), key=lambda turn: is_large(shapes[turn])):
        if large:
            yield from in_threads(work, list(turns), 1)
        else:
            with one_blas_thread():
                yield from in_threads(work, list(turns), jobs)


def _outcome(matrix: WeightMatrix, settings: Settings, solver: GramSolver) -> LayerOutcome:
    try:
        return measure(matrix, settings, solver).outcome
    except Exception as error:  # continue with the other matrices
        logger.debug("%r", matrix.name, exc_info=True)
        reason = f"unexpected {type(error).__name__}: {error}"
        return Skipped(matrix.parameter, matrix.shape, reason)
