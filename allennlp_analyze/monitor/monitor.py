"""Monitors the ranks of a network's weight matrices during training."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.linalg.cuda import cuda_spectrum
from allennlp_analyze.linalg.gram import GramSolver, gram_spectrum
from allennlp_analyze.monitor.checking import Checker, Choices, Moment
from allennlp_analyze.monitor.gathering import Gathering, not_now, refuse_unreadable
from allennlp_analyze.monitor.history import LayerHistory
from allennlp_analyze.monitor.probing import check_probe
from allennlp_analyze.monitor.processes import first_process_says, is_first_process
from allennlp_analyze.monitor.results import Check
from allennlp_analyze.monitor.run_writer import RunWriter
from allennlp_analyze.monitor.voice import Voice
from allennlp_analyze.options.choices import checked, default, laid_over
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.in_memory import is_module
from allennlp_analyze.storage.files import PathLike

if TYPE_CHECKING:
    import torch


class RankMonitor:
    """Monitors the weight matrices of `model`, a `torch.nn.Module`; call `step` to check them.

    `layers` (a regular expression, searched in the names) and `kinds` select layers as in
    `analyze`. A check takes about `max_seconds` at most: layers that do not fit are postponed and
    come first at the next check. `optimizer`, one or a list, supplies the weight decay of a layer
    for the warnings. `penalty` does so for an L2 penalty in the loss: it takes the name of a
    parameter and returns the lambda of lambda * sum w^2, or None. With `stop`, a check requests the
    end of training once a layer that was healthy has collapsed, or a weight is NaN or infinite.
    With `cuda_device` >= 0 that GPU computes.

    `per_layer` puts the numbers of every layer into `Check.metrics`, not only the worst values and
    counts. `history` names a file to which every check is appended (`read_run_history` reads it).
    `updates` also measures what each layer has changed since its last reading, for which the
    monitor keeps a copy of the weights in float32. `probe` is a batch (a tensor, a tuple of
    arguments, a mapping of keywords, or a function that calls the model) that passes through the
    network at each check, in evaluation mode: `Check.probe` has what its layers gave out. Training
    is bit-for-bit identical with and without it.

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
        per_layer: bool = default("per_layer"),
        history: Optional[PathLike] = None,
        updates: bool = default("updates"),
        probe: Any = None,
    ) -> None:
        if not is_module(model):
            raise UsageError(f"model: a {type(model).__name__} is not a torch.nn.Module")
        if penalty is not None and not callable(penalty):
            raise UsageError(f"penalty: {penalty!r:.40} is not a function of a parameter's name")
        if probe is not None:
            check_probe(probe)
        self._model = model
        self._stop: bool = checked("stop", stop)
        self._optimizers: tuple[Any, ...] = ()
        self.optimizer = optimizer
        self._checks = 0
        self._voice = Voice()
        settings = laid_over(
            Settings(), {"kinds": kinds, "layers": layers, "cuda_device": cuda_device}
        )
        solver: GramSolver = gram_spectrum
        if settings.cuda_device >= 0:
            solver = cuda_spectrum(settings.cuda_device, self._say_of_device)
        choices = Choices(
            settings,
            solver,
            checked("max_seconds", max_seconds),
            self._stop,
            checked("per_layer", per_layer),
            checked("updates", updates),
            penalty,
            probe,
        )
        self._checker = Checker(choices, self._voice)
        try:
            refuse_unreadable(model)
            self._checker.find(model, not_now)
        except SourceError as error:
            raise UsageError(error.text, *error.advice) from None
        path = checked("history", history)
        self._history = path
        self._writer = RunWriter(path) if path is not None and is_first_process() else None

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

    def step(
        self,
        epoch: Optional[float] = None,
        step: Optional[int] = None,
        *,
        averaged: "Optional[torch.nn.Module]" = None,
    ) -> Check:
        """Check the layers now; warnings refer to this moment as `epoch`.

        `step` counts the optimizer steps, for the history. `averaged` is a copy of the model with
        averaged weights (EMA, SWA) that is measured in its place, because it will be saved.

        In distributed training only the first process checks. If parameters are spread over the
        processes (FSDP2, tensor parallelism), all must call this together, as they put the
        parameters together; the others get an empty check. This method never raises: a monitor must
        not end the training, so an error is logged once.
        """
        try:
            model = self._model if averaged is None else averaged
            gathering = Gathering(model)
        except Exception as error:
            self._voice.warn_of_failure("the check failed", error)
            return Check(None, stop=self._checker.is_stopping)
        if not is_first_process():
            gathering.serve()
            return Check(epoch)
        started = time.perf_counter()
        self._checks += 1
        try:
            moment = Moment(
                None if epoch is None else float(epoch),
                None if step is None else int(step),
                self._checks,
                started,
            )
            check = self._checker.check(model, gathering, self._model, self._optimizers, moment)
        except Exception as error:
            self._voice.warn_of_failure("the check failed", error)
            seconds = time.perf_counter() - started
            return Check(None, stop=self._checker.is_stopping, seconds=seconds)
        finally:
            gathering.end()
        self._write(check)
        return check

    def stops(self, check: Check) -> bool:
        """Whether training should end after `check`; the same on every process.

        With `stop`, all processes of a distributed training must call this: the first one sends its
        answer to the others, so that none waits for a process that has ended.
        """
        return first_process_says(check.stop) if self._stop else check.stop

    def report(self, page: PathLike) -> Path:
        """Write the run so far as a page, from the `history` of this monitor; returns its path.

        Each layer over time, what began when, and what the optimizer was doing. Raises `UsageError`
        without a history, `OutputError` if the page cannot be written.
        """
        if self._history is None:
            raise UsageError("report: needs the history of the run; pass history= to the monitor")
        from allennlp_analyze.monitor.story import write_run_page

        return write_run_page(self._history, page)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state for `load_state_dict`, in plain values fit for JSON.

        It contains when each layer was healthy and which warnings were given, but not whether the
        end of training was requested: a training that is resumed is meant to continue.
        """
        histories = self._checker.histories
        return {
            "checks": self._checks,
            "layers": {name: history.state() for name, history in histories.items()},
            "said": [list(one) for one in sorted(self._voice.said)],
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
        self._checker.histories, self._voice.said, self._checks = histories, said, checks
        self._checker.is_stopping = False

    def _write(self, check: Check) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write(check)
        except Exception as error:
            self._voice.warn_of_failure("failed to write the history", error)

    def _say_of_device(self, line: str) -> None:
        self._voice.warn_once(line, line)
