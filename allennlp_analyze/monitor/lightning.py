"""The hooks of Lightning's `Callback` for the rank monitor."""

import logging
import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Callable, ClassVar, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.monitor import RankMonitor
from allennlp_analyze.monitor.results import Check
from allennlp_analyze.monitor.watching import Watching

logger = logging.getLogger(__name__)


class Lightning(Watching):
    """The hooks of Lightning's `Callback`."""

    make: ClassVar[Callable[..., Any]]
    # The state in a checkpoint, until training resumes with it.
    _resumed: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self, monitor: Optional[RankMonitor], every: Optional[int], choices: dict[str, Any]
    ) -> None:
        super().__init__(monitor, every, choices)

    def __reduce__(self) -> Any:
        return partial(type(self).make, self._given, every=self.every, **self._choices), ()

    def state_dict(self) -> dict[str, Any]:
        return {} if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._resumed = state

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._start(pl_module, trainer.optimizers)
        if self._resumed and self.monitor is not None:
            try:
                self.monitor.load_state_dict(self._resumed)
            except UsageError as error:
                logger.warning("%s; the rank monitor starts without its earlier state", error)
            self._resumed = MappingProxyType({})
        self._look(trainer, trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._due(_batches_of(trainer)):
            batches = trainer.num_training_batches
            part = (batch_idx + 1) / batches if math.isfinite(batches) else 0.0
            check = self._look(trainer, trainer.current_epoch + part)
            self._tell(trainer, pl_module, check, on_step=True, on_epoch=False)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._looked_at != _batches_of(trainer):
            check = self._look(trainer, trainer.current_epoch + 1)
            self._tell(trainer, pl_module, check, on_step=False, on_epoch=True)

    def _look(self, trainer: Any, epoch: float) -> Check:
        at, step = _batches_of(trainer), int(trainer.global_step)
        # A monitor that was passed may be of a part of the module.
        averaged = _averaged(trainer) if self._given is None else None
        check, stops = self._step(epoch, at, step, averaged)
        if check.metrics:
            # Not by `log_dict`, which rounds to float32 and skips most batches.
            for logger in trainer.loggers:
                logger.log_metrics(dict(check.metrics), step=trainer.global_step)
        if stops:
            trainer.should_stop = True
        return check

    def _tell(self, trainer: Any, pl_module: Any, check: Check, **when: bool) -> None:
        # With several processes only the first would have them, and Lightning warns about that.
        if check.metrics and trainer.world_size == 1:
            pl_module.log_dict(dict(check.metrics), logger=False, **when)


def _batches_of(trainer: Any) -> int:
    """Returns the number of batches of the training, including those before it was resumed."""
    return int(trainer.fit_loop.total_batch_idx) + 1


def _averaged(trainer: Any) -> Any:
    """Returns the averaged weights that Lightning's EMA or SWA will save, None without them.

    `StochasticWeightAveraging` has a copy of the start until it begins to average.
    """
    for callback in trainer.callbacks:
        names = {base.__name__ for base in type(callback).__mro__}
        average = getattr(callback, "_average_model", None)
        if average is None:
            continue
        if "WeightAveraging" in names:
            return average
        if "StochasticWeightAveraging" in names and int(getattr(callback, "n_averaged", 0) or 0):
            return average
    return None
