"""Watches the ranks of a network's weight matrices while it trains."""

import logging
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from allennlp_analyze.analysis import measure, select
from allennlp_analyze.cost import is_large, this_machine
from allennlp_analyze.cuda import cuda_spectrum
from allennlp_analyze.errors import AnalyzeError, SourceError, UsageError
from allennlp_analyze.gram import GramSolver, gram_spectrum
from allennlp_analyze.keywords import in_keywords, settings_of
from allennlp_analyze.layers import WeightMatrix, find_matrices
from allennlp_analyze.modules import table_from_model
from allennlp_analyze.monitor_advice import parameters_by_name, sentence, weight_decays
from allennlp_analyze.monitor_budget import Budget
from allennlp_analyze.monitor_layers import COLLAPSED, LayerHistory, Trouble, When
from allennlp_analyze.monitor_results import Check, Collapse, Reading
from allennlp_analyze.reports.names import printable
from allennlp_analyze.results import LayerOutcome, LayerResult, Skipped
from allennlp_analyze.run import refuse_nothing
from allennlp_analyze.schedule import in_threads, one_blas_thread
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.in_memory import is_module, is_scripted, module_source

if TYPE_CHECKING:
    import torch

Found = TypeVar("Found")
Shape = tuple[int, int]
logger = logging.getLogger(__name__)

# Matrices worked on at a time: the cores that are left load the data.
MAX_JOBS = 8
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


class RankMonitor:
    """Watches the weight matrices of `model`, a `torch.nn.Module`, from `step` to `step`.

    `layers` and `kinds` choose among them as `analyze` does. A check takes no more than about
    `max_seconds`: layers that do not fit are put off and come first at the next check. `optimizer`
    (or several) tells the warnings which weight decay acts on a layer, `penalty` which L2 penalty
    of the loss does: given the name of a parameter, the lambda of lambda * sum w^2, or None.
    With `stop`, checks ask for the training to be ended once a layer that was well has collapsed.
    With `cuda_device` >= 0 that GPU computes.

    Warnings go to the logger "allennlp_analyze.monitor". Raises `UsageError` for a choice that
    makes no sense, and for a model of which nothing can be watched.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        *,
        layers: Optional[str] = Settings.layers,
        kinds: Union[str, Iterable[str], None] = Settings.kinds,
        max_seconds: float = 5.0,
        optimizer: Any = None,
        penalty: Optional[Callable[[str], Optional[float]]] = None,
        stop: bool = False,
        cuda_device: int = Settings.cuda_device,
    ) -> None:
        if not is_module(model):
            raise UsageError(f"model: a {type(model).__name__} is not a torch.nn.Module")
        if not (isinstance(max_seconds, (int, float)) and max_seconds > 0):
            raise UsageError(f"max_seconds: {max_seconds!r} is not a number > 0")
        if penalty is not None and not callable(penalty):
            raise UsageError(f"penalty: {penalty!r:.40} cannot be called with a parameter's name")
        with in_keywords():
            self._settings = settings_of(kinds=kinds, layers=layers, cuda_device=cuda_device)
        self._model = model
        self._optimizers = _optimizers(optimizer)
        self._penalty = penalty
        self._stop = stop
        self._stopping = False
        cores = this_machine().cores
        self._jobs = min(cores, MAX_JOBS)
        self._budget = Budget(max_seconds, cores)
        self._histories: dict[str, LayerHistory] = {}
        self._said: set[str] = set()
        self._invalid: set[str] = set()
        self._checks = 0
        self._solver: GramSolver = gram_spectrum
        if cuda_device >= 0:
            self._solver = cuda_spectrum(cuda_device, logger.warning)
        with in_keywords():
            try:
                self._find()
            except SourceError as error:
                raise UsageError(str(error)) from None

    def step(self, epoch: Optional[float] = None) -> Check:
        """Check the layers now; `epoch` is what the warnings call this moment.

        Does nothing on any process of a distributed training but the first. Never raises: a monitor
        must not end a training, so what goes wrong is logged once.
        """
        if not _is_first_process():
            return Check(epoch)
        started = time.perf_counter()
        self._checks += 1
        try:
            return self._check(None if epoch is None else float(epoch), started)
        except Exception as error:
            self._warn_of_failure("the check failed", error)
            return Check(None, stop=self._stopping, seconds=time.perf_counter() - started)

    def _check(self, epoch: Optional[float], started: float) -> Check:
        when = When("check", self._checks) if epoch is None else When("epoch", epoch)
        model, found = self._find()
        matrices = {matrix.name: matrix for matrix in found}
        self._warn_of_costly(matrices)
        outcomes = self._measure(matrices, started)
        readings, invalid, collapses = [], [], []
        for name in (name for name in matrices if name in outcomes):
            outcome, seconds = outcomes[name]
            if isinstance(outcome, Skipped):
                if outcome.invalid:
                    invalid.append(name)
                else:
                    self._warn_once(name, f"{name}: not watched: {outcome.reason}")
                continue
            readings.append(_reading(outcome, seconds))
            trouble = self._histories.setdefault(name, LayerHistory()).seen(readings[-1], when)
            if trouble is not None:
                collapses.append(self._collapse(outcome, readings[-1], trouble, model))
        self._warn_of_invalid(invalid)
        return Check(
            epoch=epoch,
            readings=tuple(readings),
            put_off=tuple(name for name in matrices if name in self._budget.waiting),
            invalid=tuple(invalid),
            collapses=tuple(collapses),
            stop=self._stopping,
            seconds=time.perf_counter() - started,
        )

    def _find(self) -> tuple[Any, list[WeightMatrix]]:
        """The model without what only wraps it, and its chosen matrices as they are now."""
        _refuse_sharded(self._model)
        source, model = module_source(self._model)
        table = None if is_scripted(model) else table_from_model(model)
        matrices, skipped = find_matrices(source, table)
        chosen = select(matrices, self._settings)
        refuse_nothing(source.archive, matrices, chosen, skipped)
        return model, chosen

    def _measure(
        self, matrices: Mapping[str, WeightMatrix], started: float
    ) -> dict[str, tuple[LayerOutcome, float]]:
        """What became of the layers that there was time for, and what each took."""
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        order = self._budget.order(shapes)

        def work(turn: int) -> Optional[tuple[LayerOutcome, float]]:
            name, began = order[turn], time.perf_counter()
            left = started + self._budget.max_seconds - began
            if turn and not self._budget.fits(name, shapes[name], left):
                return None
            outcome = self._outcome(matrices[name])
            return outcome, time.perf_counter() - began

        done = {order[turn]: found for turn, found in self._in_turn(work, order, shapes) if found}
        for name, (_, seconds) in done.items():
            self._budget.took(name, shapes[name], seconds)
        self._budget.checked(done, (name for name in order if name not in done))
        return done

    def _in_turn(
        self, work: Callable[[int], Found], order: Sequence[str], shapes: Mapping[str, Shape]
    ) -> Iterator[tuple[int, Found]]:
        """As `schedule.in_parallel`, but in this order: large layers alone, on all cores."""
        turns = range(len(order))
        for large, group in groupby(turns, key=lambda turn: is_large(shapes[order[turn]])):
            if large:
                yield from in_threads(work, list(group), 1)
            else:
                with one_blas_thread():
                    yield from in_threads(work, list(group), self._jobs)

    def _outcome(self, matrix: WeightMatrix) -> LayerOutcome:
        try:
            return measure(matrix, self._settings, self._solver).outcome
        except Exception as error:  # the other layers can still be measured
            reason = f"unexpected {type(error).__name__}: {error}"
            logger.debug("%s", printable(matrix.name), exc_info=True)
            return Skipped(matrix.parameter, matrix.shape, reason)

    def _collapse(
        self, layer: LayerResult, reading: Reading, trouble: Trouble, model: Any
    ) -> Collapse:
        if self._stop and layer.verdict == trouble.state == COLLAPSED and trouble.since is not None:
            self._stopping = True
        decay, penalty = self._decay(layer.parameter, model), self._penalty_on(layer.parameter)
        text = printable(sentence(layer, trouble, decay, penalty))
        logger.warning("%s", text)
        since = None if trouble.since is None else trouble.since.number
        return Collapse(reading, since, decay, text)

    def _decay(self, parameter: str, model: Any) -> Optional[float]:
        try:
            decays = weight_decays(self._optimizers)
            return decays.get(id(parameters_by_name(model).get(parameter)))
        except Exception as error:
            self._warn_of_failure("the optimizer's weight decay cannot be read", error)
            return None

    def _penalty_on(self, parameter: str) -> Optional[float]:
        try:
            found = None if self._penalty is None else self._penalty(parameter)
            return None if found is None else float(found)
        except Exception as error:
            self._warn_of_failure("penalty failed", error)
            return None

    def _warn_of_costly(self, matrices: Mapping[str, WeightMatrix]) -> None:
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        for name, cost in self._budget.too_costly(shapes).items():
            self._warn_once(
                name,
                f"{name}: not watched: it takes about {cost:.2g} s, max_seconds is"
                f" {self._budget.max_seconds:g}; max_seconds={math.ceil(1.2 * cost)} would do",
            )

    def _warn_of_invalid(self, names: Sequence[str]) -> None:
        """One line for all that are new."""
        new = [name for name in names if name not in self._invalid]
        self._invalid.update(new)
        if new:
            shown = ", ".join(new[:3]) + (f" and {len(new) - 3} more" if len(new) > 3 else "")
            verb = "holds" if len(new) == 1 else "hold"
            logger.warning("%s", printable(f"{shown}: {verb} NaN or infinity"))

    def _warn_of_failure(self, what: str, error: Exception) -> None:
        logger.debug("rank monitor", exc_info=True)
        reason = (
            str(error) if isinstance(error, AnalyzeError) else f"{type(error).__name__}: {error}"
        )
        self._warn_once(what, f"rank monitor: {what} ({' '.join(reason.split())})")

    def _warn_once(self, about: str, line: str) -> None:
        if about not in self._said:
            self._said.add(about)
            logger.warning("%s", printable(line))


def _optimizers(optimizer: Any) -> tuple[Any, ...]:
    """One or several. Raises `UsageError` for what is no optimizer."""
    several = optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]
    found = tuple(one for one in several if one is not None)
    for one in found:
        if not hasattr(one, "param_groups"):
            raise UsageError(f"optimizer: a {type(one).__name__} has no param_groups")
    return found


def _refuse_sharded(model: Any) -> None:
    """Raise `UsageError` for a model of which each process holds a part only."""
    for module in model.modules():
        if any(base.__name__ in _SHARDED for base in type(module).__mro__):
            raise UsageError(f"model: {type(module).__name__}: sharded models cannot be watched")


def _is_first_process() -> bool:
    distributed = sys.modules["torch"].distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    return bool(distributed.get_rank() == 0)


def _reading(layer: LayerResult, seconds: float) -> Reading:
    return Reading(
        layer=layer.name,
        kind=layer.kind,
        M=layer.M,
        verdict=layer.verdict,
        min_singular_value=layer.min_singular_value,
        lost=layer.lost_directions,
        stable_rank=layer.stable_rank,
        alpha=layer.power_law.alpha if layer.power_law is not None else None,
        seconds=seconds,
    )
