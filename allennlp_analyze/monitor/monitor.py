"""Monitors the ranks of a network's weight matrices during training."""

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from allennlp_analyze.analysis.measure import select
from allennlp_analyze.analysis.pipeline import refuse_nothing
from allennlp_analyze.errors import AnalyzeError, SourceError, UsageError
from allennlp_analyze.linalg.cuda import cuda_spectrum
from allennlp_analyze.linalg.gram import GramSolver, gram_spectrum
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.monitor.advice import parameters_by_name, sentence, weight_decays
from allennlp_analyze.monitor.budget import Budget
from allennlp_analyze.monitor.history import LayerHistory, Trouble, When
from allennlp_analyze.monitor.measuring import measure_in_time
from allennlp_analyze.monitor.processes import first_process_says, is_first_process
from allennlp_analyze.monitor.results import Check, Collapse, Reading
from allennlp_analyze.options.choices import checked, default, laid_over
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.in_memory import is_module, is_scripted, module_source
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.lists import enumerated
from allennlp_analyze.text.names import printable

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("allennlp_analyze.monitor")

# Matrices to measure at the same time; on larger machines the other cores load data.
MAX_JOBS = 8
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")
_NAMES_SHOWN = 3


class RankMonitor:
    """Monitors the weight matrices of `model`, a `torch.nn.Module`; call `step` to check them.

    `layers` (a regular expression, searched in the names) and `kinds` select layers as in
    `analyze`. A check takes about `max_seconds` at most: layers that do not fit are postponed and
    come first at the next check. `optimizer`, one or a list, supplies the weight decay of a layer
    for the warnings. `penalty` does so for an L2 penalty in the loss: it takes the name of a
    parameter and returns the lambda of lambda * sum w^2, or None. With `stop`, a check requests the
    end of training once a layer that was healthy has collapsed. With `cuda_device` >= 0 that GPU
    computes.

    Warnings go to the logger "allennlp_analyze.monitor", one line each. Raises `UsageError` for an
    invalid argument, and for a model without layers to monitor.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        *,
        layers: Optional[str] = Settings.layers,
        kinds: Union[str, Iterable[str], None] = Settings.kinds,
        max_seconds: float = default("max_seconds"),
        optimizer: Any = None,
        penalty: Optional[Callable[[str], Optional[float]]] = None,
        stop: bool = default("stop"),
        cuda_device: int = Settings.cuda_device,
    ) -> None:
        if not is_module(model):
            raise UsageError(f"model: a {type(model).__name__} is not a torch.nn.Module")
        if penalty is not None and not callable(penalty):
            raise UsageError(f"penalty: {penalty!r:.40} is not a function of a parameter's name")
        self._model = model
        self._penalty = penalty
        self._stop: bool = checked("stop", stop)
        self._stopping = False
        self._optimizers: tuple[Any, ...] = ()
        self.optimizer = optimizer
        cores = this_machine().cores
        self._jobs = min(cores, MAX_JOBS)
        self._budget = Budget(checked("max_seconds", max_seconds), cores)
        self._histories: dict[str, LayerHistory] = {}
        self._said: set[tuple[str, str]] = set()
        self._checks = 0
        self._settings = laid_over(
            Settings(), {"kinds": kinds, "layers": layers, "cuda_device": cuda_device}
        )
        try:
            self._find()
        except SourceError as error:
            raise UsageError(error.text, *error.advice) from None
        self._solver: GramSolver = gram_spectrum
        if self._settings.cuda_device >= 0:
            self._solver = cuda_spectrum(self._settings.cuda_device, self._say_of_device)

    @property
    def optimizer(self) -> Any:
        """The optimizers whose weight decay appears in warnings: a tuple, empty if none is known.

        Set it to one or several once they exist. Raises `UsageError` for another object.
        """
        return self._optimizers

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        several = optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]
        found = tuple(one for one in several if one is not None)
        for one in found:
            if not hasattr(one, "param_groups"):
                raise UsageError(f"optimizer: a {type(one).__name__} has no param_groups")
        self._optimizers = found

    def step(self, epoch: Optional[float] = None) -> Check:
        """Check the layers now; warnings refer to this moment as `epoch`.

        In distributed training only the first process checks. This method never raises: a monitor
        must not end the training, so an error is logged once.
        """
        if not is_first_process():
            return Check(epoch)
        started = time.perf_counter()
        self._checks += 1
        try:
            return self._check(None if epoch is None else float(epoch), started)
        except Exception as error:
            self._warn_of_failure("the check failed", error)
            return Check(None, stop=self._stopping, seconds=time.perf_counter() - started)

    def stops(self, check: Check) -> bool:
        """Whether training should end after `check`; the same on every process.

        With `stop`, all processes of a distributed training must call this: the first one sends its
        answer to the others, so that none waits for a process that has ended.
        """
        return first_process_says(check.stop) if self._stop else check.stop

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for `load_state_dict`, in plain values fit for JSON.

        It contains when each layer was healthy and which warnings were given, but not whether the
        end of training was requested: a training that is resumed is meant to continue.
        """
        return {
            "checks": self._checks,
            "layers": {name: history.state() for name, history in self._histories.items()},
            "said": [list(one) for one in sorted(self._said)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from the `state_dict` of another monitor.

        Warnings are not repeated, and only a layer that collapses from now on requests the end of
        training. Raises `UsageError` if `state` is not such a state.
        """
        try:
            histories = {
                name: LayerHistory.of(history) for name, history in state["layers"].items()
            }
            said = {(str(what), str(about)) for what, about in state.get("said", ())}
            checks = int(state["checks"])
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
            raise UsageError("state_dict: not the state of a RankMonitor") from None
        self._histories, self._said, self._checks = histories, said, checks
        self._stopping = False

    def _check(self, epoch: Optional[float], started: float) -> Check:
        when = When("check", self._checks) if epoch is None else When("epoch", epoch)
        model, found = self._find()
        matrices = {matrix.name: matrix for matrix in found}
        self._say_what_is_costly(matrices)
        done = measure_in_time(
            matrices, self._settings, self._solver, self._budget, started, self._jobs
        )
        readings, invalid, collapses = [], [], []
        for name in (name for name in matrices if name in done):
            outcome, seconds = done[name].found, done[name].seconds
            if isinstance(outcome, LayerResult):
                reading = _reading(outcome, seconds)
                readings.append(reading)
                trouble = self._histories.setdefault(name, LayerHistory()).seen(reading, when)
                if trouble is not None:
                    collapses.append(self._collapse(outcome, reading, trouble, model))
            elif outcome.invalid:
                invalid.append(name)
            else:
                self._warn_once(name, f"{name}: not monitored: {outcome.reason}")
        self._say_what_is_invalid(invalid)
        waiting = self._budget.waiting
        return Check(
            epoch=epoch,
            readings=tuple(readings),
            put_off=tuple(name for name in matrices if name in waiting),
            invalid=tuple(invalid),
            collapses=tuple(collapses),
            stop=self._stopping,
            seconds=time.perf_counter() - started,
        )

    def _find(self) -> tuple[Any, list[WeightMatrix]]:
        """Returns the model without its wrappers, and its selected matrices as they are now.

        Raises `UsageError` or `SourceError` if there are none.
        """
        _refuse_sharded(self._model)
        source, model = module_source(self._model)
        table = None if is_scripted(model) else table_from_model(model)
        found, skipped = find_matrices(source, table)
        matrices = with_surroundings(source, found)
        chosen = select(matrices, self._settings)
        refuse_nothing(source.archive, matrices, chosen, skipped)
        return model, chosen

    def _collapse(
        self, layer: LayerResult, reading: Reading, trouble: Trouble, model: Any
    ) -> Collapse:
        """Warn about `layer`, and request the end of training if `stop` is set."""
        is_collapse = layer.verdict is trouble.state is Verdict.COLLAPSED
        if self._stop and is_collapse and trouble.since is not None:
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
            self._warn_of_failure("failed to read the weight decay from the optimizer", error)
            return None

    def _penalty_on(self, parameter: str) -> Optional[float]:
        try:
            found = None if self._penalty is None else self._penalty(parameter)
            return None if found is None else float(found)
        except Exception as error:
            self._warn_of_failure("penalty failed", error)
            return None

    def _say_what_is_costly(self, matrices: Mapping[str, WeightMatrix]) -> None:
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        for name, cost in self._budget.too_costly(shapes).items():
            self._warn_once(
                name,
                f"{name}: not monitored: it takes about {cost:.2g} s; raise max_seconds from"
                f" {self._budget.max_seconds:g} to {math.ceil(1.2 * cost)}",
            )

    def _say_what_is_invalid(self, names: Sequence[str]) -> None:
        """Log one line for all newly invalid layers."""
        new = [name for name in names if ("invalid", name) not in self._said]
        self._said.update(("invalid", name) for name in new)
        if new:
            shown = enumerated(new, _NAMES_SHOWN)
            holds = "contains" if len(new) == 1 else "contain"
            logger.warning("%s", printable(f"{shown}: {holds} NaN or infinity"))

    def _say_of_device(self, line: str) -> None:
        self._warn_once(line, line)

    def _warn_of_failure(self, what: str, error: Exception) -> None:
        logger.debug("%s", what, exc_info=True)
        kind = "" if isinstance(error, AnalyzeError) else f"{type(error).__name__}: "
        self._warn_once(what, f"{what} ({kind}{one_line(error)}); training continues")

    def _warn_once(self, about: str, line: str) -> None:
        if ("warned", about) not in self._said:
            self._said.add(("warned", about))
            logger.warning("%s", printable(line))


def _refuse_sharded(model: Any) -> None:
    """Raise `UsageError` for a model that is sharded over the processes."""
    for module in model.modules():
        if any(base.__name__ in _SHARDED for base in type(module).__mro__):
            raise UsageError(f"model: {type(module).__name__}: a sharded model cannot be monitored")


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
        start_ratio=layer.evidence.start_ratio if layer.evidence is not None else None,
    )
