"""One check of a monitor: measures the layers, follows their histories, and warns."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.analysis.measure import select
from allennlp_analyze.analysis.refusing import refuse_nothing
from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.gram import GramSolver
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.monitor.advice import sentence
from allennlp_analyze.monitor.budget import Budget
from allennlp_analyze.monitor.gathering import Gathering
from allennlp_analyze.monitor.history import LayerHistory, Trouble, When
from allennlp_analyze.monitor.measuring import Measured, Timed, measure_in_time
from allennlp_analyze.monitor.parameters import (
    Parameters,
    not_finite,
    parameters_by_name,
    parameters_of,
)
from allennlp_analyze.monitor.probe_results import ProbeResult
from allennlp_analyze.monitor.probing import findings, probe_model
from allennlp_analyze.monitor.results import SPECTRUM, Check, Collapse, Reading
from allennlp_analyze.monitor.updates import Update, Updates
from allennlp_analyze.monitor.voice import Voice
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.in_memory import Whole, is_scripted, module_source, unwrapped
from allennlp_analyze.text.names import printable

# Matrices to measure at the same time; on larger machines the other cores load data.
MAX_JOBS = 8


@dataclass(frozen=True)
class Choices:
    """What a monitor was asked for; see `RankMonitor`."""

    settings: Settings
    solver: GramSolver
    max_seconds: float
    stop: bool
    per_layer: bool
    updates: bool
    penalty: Optional[Callable[[str], Optional[float]]]
    probe: Any = None

    @property
    def is_whole(self) -> bool:
        """Whether all layers are monitored."""
        return self.settings.layers is None and self.settings.kinds is None


@dataclass(frozen=True)
class Moment:
    """When a check is: the epoch and the step, its number, and the clock when it started."""

    epoch: Optional[float]
    step: Optional[int]
    number: int
    started: float

    @property
    def when(self) -> When:
        return When("check", self.number) if self.epoch is None else When("epoch", self.epoch)


def _some_of(values: np.ndarray) -> tuple[float, ...]:
    places = np.linspace(0, len(values) - 1, min(len(values), SPECTRUM))
    return tuple(float(value) for value in values[np.round(places).astype(int)])


class Checker:
    """Checks a model again and again. `histories` and `is_stopping` are what it remembers."""

    def __init__(self, choices: Choices, voice: Voice) -> None:
        cores = this_machine().cores
        self._choices = choices
        self._voice = voice
        self._jobs = min(cores, MAX_JOBS)
        self._budget = Budget(choices.max_seconds, cores)
        self._updates = Updates() if choices.updates else None
        self._frozen: set[str] = set()  # those that have been measured
        self.histories: dict[str, LayerHistory] = {}
        self.is_stopping = False

    def find(self, model: Any, whole: Whole) -> list[WeightMatrix]:
        """Returns the selected matrices of `model` as they are now.

        `whole` returns a parameter that is spread over processes. Raises `UsageError` or
        `SourceError` if there are none.
        """
        source, inner = module_source(model, whole)
        table = None
        if not is_scripted(inner):
            # What is frozen is measured, too: once.
            table = replace(table_from_model(inner), frozen=frozenset())
        found, skipped = find_matrices(source, table)
        matrices = with_surroundings(source, found)
        chosen = select(matrices, self._choices.settings)
        refuse_nothing(source.archive, matrices, chosen, skipped)
        return chosen

    def check(
        self,
        model: Any,
        gathering: Gathering,
        trained: Any,
        optimizers: Sequence[Any],
        moment: Moment,
    ) -> Check:
        """Check `model`, which has the weights of `trained` or their averages."""
        matrices = {matrix.name: matrix for matrix in self.find(model, gathering.whole)}
        parameters = self._parameters(trained, optimizers)
        frozen_parameters = parameters.frozen()
        frozen = {name for name, one in matrices.items() if one.parameter in frozen_parameters}
        due = {name: one for name, one in matrices.items() if name not in frozen & self._frozen}
        self._say_what_is_costly(due)
        done = measure_in_time(
            due,
            self._choices.settings,
            self._choices.solver,
            self._budget,
            moment.started,
            0 if gathering.is_needed else self._jobs,
            self._update_of,
        )
        self._frozen |= frozen & done.keys()
        readings, collapses = self._readings(matrices, done, frozen, parameters, moment)
        invalid = self._invalid(model, matrices, done)
        if self._choices.stop and invalid:
            self.is_stopping = True
        waiting = self._budget.waiting
        return Check(
            epoch=moment.epoch,
            readings=tuple(readings),
            put_off=tuple(name for name in due if name in waiting),
            invalid=invalid,
            collapses=tuple(collapses),
            stop=self.is_stopping,
            seconds=time.perf_counter() - moment.started,
            step=moment.step,
            per_layer=self._choices.per_layer,
            probe=self._probed(trained, matrices, parameters, bool(optimizers), gathering),
        )

    def _probed(
        self,
        model: Any,
        matrices: Mapping[str, WeightMatrix],
        parameters: Parameters,
        has_optimizer: bool,
        gathering: Gathering,
    ) -> Optional[ProbeResult]:
        if self._choices.probe is None:
            return None
        if gathering.is_needed:
            self._voice.warn_once(
                "probe", "the probe is left out: the parameters are spread over the processes"
            )
            return None
        try:
            found = probe_model(
                unwrapped(model),
                self._choices.probe,
                list(matrices.values()),
                parameters,
                has_optimizer,
            )
        except Exception as error:
            self._voice.warn_of_failure("the probe failed", error)
            return None
        for about, line in findings(found):
            self._voice.warn_once(about, line)
        return found

    def _readings(
        self,
        matrices: Mapping[str, WeightMatrix],
        done: Mapping[str, Timed[Measured]],
        frozen: set[str],
        parameters: Parameters,
        moment: Moment,
    ) -> tuple[list[Reading], list[Collapse]]:
        """Returns what was measured, in the order of the model, and what is newly wrong."""
        readings, collapses = [], []
        for name in (name for name in matrices if name in done):
            outcome = done[name].found.outcome
            if not isinstance(outcome, LayerResult):
                if not outcome.invalid:
                    self._voice.warn_once(name, f"{name}: not monitored: {outcome.reason}")
                continue
            reading = self._reading(outcome, done[name], parameters)
            if name in frozen:
                if self._updates is not None:
                    self._updates.forget(name)
                readings.append(replace(reading, is_frozen=True))
                continue
            history = self.histories.setdefault(name, LayerHistory())
            is_normalized = matrices[name].surroundings.is_normalized
            trouble = history.seen(reading, moment.when, is_normalized)
            reading = replace(reading, rms_ratio=history.rms_ratio(reading))
            readings.append(reading)
            if trouble is not None:
                collapses.append(self._collapse(outcome, reading, trouble))
        first = [one for one in collapses if one.at_first]
        self._voice.warn_of_first(
            (one.reading.layer, one.state.words, one.sentence) for one in first
        )
        return readings, collapses

    def _update_of(self, matrix: WeightMatrix) -> Update:
        try:
            return Update() if self._updates is None else self._updates.since_last(matrix)
        except TensorError:  # measuring it says so
            return Update()
        except Exception as error:
            self._voice.warn_of_failure("failed to compare with the last weights", error)
            return Update()

    def _reading(
        self, layer: LayerResult, timed: Timed[Measured], parameters: Parameters
    ) -> Reading:
        update = timed.found.update
        evidence = layer.evidence
        acting = parameters.acting_on(layer.parameter)
        return Reading(
            layer=layer.name,
            kind=layer.kind,
            M=layer.M,
            verdict=layer.verdict,
            min_singular_value=layer.min_singular_value,
            lost=layer.lost_directions,
            stable_rank=layer.stable_rank,
            alpha=layer.power_law.alpha if layer.power_law is not None else None,
            seconds=timed.seconds,
            start_ratio=None if evidence is None else evidence.start_ratio,
            null_ratio=None if evidence is None else evidence.null_ratio,
            effective_rank=layer.effective_rank,
            spectral_norm=layer.spectral_norm,
            rms=layer.rms,
            update=update.size,
            update_stable_rank=update.stable_rank,
            learning_rate=acting.learning_rate,
            weight_decay=acting.weight_decay,
            spectrum=_some_of(layer.singular_values),
        )

    def _collapse(self, layer: LayerResult, reading: Reading, trouble: Trouble) -> Collapse:
        """Warn about `layer`, and request the end of training if `stop` is set."""
        is_collapse = trouble.state is Verdict.COLLAPSED and (
            layer.verdict is Verdict.COLLAPSED or trouble.rms_ratio is not None
        )
        if self._choices.stop and is_collapse and trouble.since is not None:
            self.is_stopping = True
        penalty = self._penalty_on(layer.parameter)
        text = printable(sentence(layer, trouble, reading.weight_decay, penalty))
        if not trouble.at_first:  # these are summed up in one line
            self._voice.warn(text)
        since = None if trouble.since is None else trouble.since.number
        return Collapse(reading, since, reading.weight_decay, text, trouble.state, trouble.at_first)

    def _parameters(self, model: Any, optimizers: Sequence[Any]) -> Parameters:
        inner = unwrapped(model)
        try:
            return parameters_of(inner, optimizers)
        except Exception as error:
            self._voice.warn_of_failure("failed to read the weight decay from the optimizer", error)
            return parameters_of(inner)

    def _penalty_on(self, parameter: str) -> Optional[float]:
        try:
            penalty = self._choices.penalty
            found = None if penalty is None else penalty(parameter)
            return None if found is None else float(found)
        except Exception as error:
            self._voice.warn_of_failure("penalty failed", error)
            return None

    def _invalid(
        self,
        model: Any,
        matrices: Mapping[str, WeightMatrix],
        done: Mapping[str, Timed[Measured]],
    ) -> tuple[str, ...]:
        """Returns and warns of the layers with NaN or infinity, and of other such parameters."""
        outcomes = {name: done[name].found.outcome for name in done}
        found = [
            name
            for name in matrices
            if name in outcomes and getattr(outcomes[name], "invalid", False)
        ]
        parameters = {name: (one.parameter, *one.tied) for name, one in matrices.items()}
        measured = {parameter for name in done for parameter in parameters[name]}
        layer_of = {x: name for name in reversed(list(parameters)) for x in parameters[name]}
        others = {
            name: parameter
            for name, parameter in parameters_by_name(unwrapped(model)).items()
            if name not in measured and (self._choices.is_whole or name in layer_of)
        }
        found += [layer_of.get(name, name) for name in not_finite(others)]
        found = list(dict.fromkeys(found))
        self._voice.warn_of_invalid(found)
        return tuple(found)

    def _say_what_is_costly(self, matrices: Mapping[str, WeightMatrix]) -> None:
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        for name, cost in self._budget.too_costly(shapes).items():
            self._voice.warn_once(
                name,
                f"{name}: not monitored: it takes about {cost:.2g} s; raise max_seconds from"
                f" {self._budget.max_seconds:g} to {math.ceil(1.2 * cost)}",
            )
