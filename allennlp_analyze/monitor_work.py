"""Measures as many weight matrices as there is time for, in the order of a budget."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Callable, NamedTuple, Optional, TypeVar

from allennlp_analyze.analysis import measure
from allennlp_analyze.cost import is_large
from allennlp_analyze.gram import GramSolver
from allennlp_analyze.layers import WeightMatrix
from allennlp_analyze.monitor_budget import Budget, Shape
from allennlp_analyze.results import LayerOutcome, Skipped
from allennlp_analyze.schedule import in_threads, one_blas_thread
from allennlp_analyze.settings import Settings

logger = logging.getLogger(__name__)
Found = TypeVar("Found")


class Timed(NamedTuple):
    """What became of a matrix, and the seconds that it took."""

    outcome: LayerOutcome
    seconds: float


def measure_in_time(
    matrices: Mapping[str, WeightMatrix],
    settings: Settings,
    solver: GramSolver,
    budget: Budget,
    started: float,
    jobs: int,
) -> dict[str, Timed]:
    """What became of the matrices, by name, that `budget` has time for; it takes note of them.

    The time began at `started`, by `time.perf_counter`. Up to `jobs` are in work at a time. A
    matrix that cannot be measured is `Skipped`, whatever the error.
    """
    shapes = {name: matrix.shape for name, matrix in matrices.items()}
    order = budget.order(shapes)

    def work(turn: int) -> Optional[Timed]:
        name, began = order[turn], time.perf_counter()
        left = started + budget.max_seconds - began
        if turn and not budget.fits(name, shapes[name], left):
            return None
        outcome = _outcome(matrices[name], settings, solver)
        return Timed(outcome, time.perf_counter() - began)

    in_turn = _in_turn(work, [shapes[name] for name in order], jobs)
    done = {order[turn]: found for turn, found in in_turn if found is not None}
    for name, found in done.items():
        budget.took(name, shapes[name], found.seconds)
    budget.checked(done, (name for name in order if name not in done))
    return done


def _in_turn(
    work: Callable[[int], Found], shapes: Sequence[Shape], jobs: int
) -> Iterator[tuple[int, Found]]:
    """As `schedule.in_parallel`, but in the order of `shapes`: large ones alone, on all cores."""
    for large, turns in groupby(range(len(shapes)), key=lambda turn: is_large(shapes[turn])):
        if large:
            yield from in_threads(work, list(turns), 1)
        else:
            with one_blas_thread():
                yield from in_threads(work, list(turns), jobs)


def _outcome(matrix: WeightMatrix, settings: Settings, solver: GramSolver) -> LayerOutcome:
    try:
        return measure(matrix, settings, solver).outcome
    except Exception as error:  # the other matrices can still be measured
        logger.debug("%r", matrix.name, exc_info=True)
        reason = f"unexpected {type(error).__name__}: {error}"
        return Skipped(matrix.parameter, matrix.shape, reason)
