"""The events of `transformers.TrainerCallback` for the rank monitor."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Callable, ClassVar, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.monitor import RankMonitor
from allennlp_analyze.monitor.processes import first_process_shares
from allennlp_analyze.monitor.watching import Watching

logger = logging.getLogger(__name__)
Log = Callable[[dict[str, float]], object]
# Evaluation's metrics have this prefix; `metric_for_best_model` may leave it out.
_EVALUATION = "eval_"


class HuggingFace(Watching):
    """The events of `transformers.TrainerCallback`, and the state that its checkpoints contain.

    To restore callbacks the Trainer creates each again by `type(callback)(**args)`, with what JSON
    can hold. So each callback has a class of its own, which holds the arguments.
    """

    monitor_given: ClassVar[Optional[RankMonitor]] = None
    every_given: ClassVar[Optional[int]] = None
    choices_given: ClassVar[dict[str, Any]] = {}
    log_given: "ClassVar[Optional[Log]]" = None
    make: ClassVar[Callable[..., Any]]

    def __init__(self) -> None:
        own = type(self)
        super().__init__(own.monitor_given, own.every_given, own.choices_given)
        self.log = own.__dict__.get("log_given")
        if self.log is not None and not callable(self.log):
            raise UsageError(f"log: {self.log!r:.40} is not a function, such as trainer.log")
        # The state in a checkpoint, until training resumes with it.
        self.resumed: Mapping[str, Any] = {}

    def __reduce__(self) -> Any:
        choices = {"every": self.every, "log": self.log, **self._choices}
        return partial(type(self).make, self._given, **choices), ()

    def state(self) -> dict[str, Any]:
        """Returns what the Trainer writes into a checkpoint for this callback."""
        kept = {} if self.monitor is None else self.monitor.state_dict()
        return {"args": {}, "attributes": {"resumed": kept}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start(kwargs["model"], [kwargs.get("optimizer")])
        kept = self.resumed or (_kept(state, type(self).__name__) if state.global_step else {})
        self.resumed = {}
        if kept and self.monitor is not None and self._given is None:
            try:
                self.monitor.load_state_dict(kept)
            except UsageError as error:
                logger.warning("%s; the rank monitor starts without its earlier state", error)
        self._look(state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._due(state.global_step):
            self._look(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._looked_at != state.global_step:
            self._look(state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the worst values and counts to the metrics, for `metric_for_best_model`."""
        metrics = kwargs.get("metrics")
        if self.monitor is None or not isinstance(metrics, dict):
            return
        if self._looked_at != state.global_step:
            self._look(state, control)
        for name, value in first_process_shares(self._last.summary).items():
            metrics[f"{_EVALUATION}{name}"] = value

    def _look(self, state: Any, control: Any) -> None:
        check, stops = self._step(state.epoch or 0.0, state.global_step, state.global_step)
        if check.metrics and self.log is not None:
            # The trainer treats every logged entry as the one that it was about to log itself.
            due = control.should_log
            self.log(dict(check.metrics))
            control.should_log = due
        elif check.metrics:
            where = {"epoch": round(state.epoch or 0.0, 2), "step": state.global_step}
            state.log_history.append({**check.metrics, **where})
        if stops:
            control.should_training_stop = True


def _kept(state: Any, name: str) -> Mapping[str, Any]:
    """Returns the monitor's state in the checkpoint from which training resumes, {} for none."""
    found = (getattr(state, "stateful_callbacks", None) or {}).get(name, {})
    if isinstance(found, list):  # of several monitors: nobody knows which is which
        return {}
    kept = found.get("attributes", {}).get("resumed", {})
    return kept if isinstance(kept, Mapping) else {}
