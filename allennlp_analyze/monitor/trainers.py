"""The monitor of rank collapse as a callback of Hugging Face's Trainer and of Lightning's."""

import logging
import math
import sys
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.monitor import RankMonitor
from allennlp_analyze.monitor.results import Check

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    Log = Callable[[dict[str, float]], object]


def hugging_face_callback(
    monitor: Optional[RankMonitor] = None,
    *,
    every: Optional[int] = None,
    log: "Optional[Log]" = None,
    **choices: Any,
) -> Any:
    """A `transformers.TrainerCallback` that checks the layers when training starts and at the end
    of each epoch; with `every`, besides, whenever the trainer's `global_step`, its optimizer steps,
    is a multiple of it.

    Without a `monitor` it makes one of the trainer's model and optimizer, with the `choices` of
    `RankMonitor` (`layers`, `max_seconds`, `stop`, ...). The numbers go into the trainer's
    `state.log_history`, with its epoch and step; with `log=trainer.log` to TensorBoard, W&B and
    every other place that the trainer reports to as well. With `stop` the training ends as
    `EarlyStoppingCallback` ends it.

    Checkpoints keep nothing of what it saw. To a training that is resumed from one the start is
    where it goes on: a layer that had collapsed before is said to have been "already collapsed when
    first looked at", and does not end it. A `monitor` that knows better, by its `load_state_dict`,
    may be given.

        trainer = Trainer(...)
        trainer.add_callback(hugging_face_callback(log=trainer.log))

    Raises `UsageError` where transformers is not installed, and for a choice that makes no sense.
    """
    base = _first_of(("transformers",), "hugging_face_callback").TrainerCallback
    return _made(_HuggingFace, base, monitor, every, choices, log)


def lightning_callback(
    monitor: Optional[RankMonitor] = None, *, every: Optional[int] = None, **choices: Any
) -> Any:
    """A Lightning `Callback` that checks the layers when training starts and at the end of each
    epoch; with `every`, besides, after so many batches. It is one of `lightning.pytorch` or of
    `pytorch_lightning`, whichever the program has imported, or else is there.

    Batches are counted over the whole training, before and after it was resumed, and each of them
    where gradients are accumulated: then there are fewer optimizer steps, which is what Lightning's
    `global_step` counts.

    Without a `monitor` it makes one of the trainer's module and optimizers, with the `choices` of
    `RankMonitor` (`layers`, `max_seconds`, `stop`, ...). The numbers go to all of the trainer's
    loggers; those since the start also to its `callback_metrics`, where one process trains. With
    `stop` the training ends as `EarlyStopping` ends it, not before the trainer's `min_epochs`. What
    the monitor remembers is kept in Lightning's checkpoints.

        trainer = Trainer(callbacks=[lightning_callback(max_seconds=2)])

    Raises `UsageError` where Lightning is not installed, and for a choice that makes no sense.
    """
    base = _first_of(("lightning.pytorch", "pytorch_lightning"), "lightning_callback").Callback
    return _made(_Lightning, base, monitor, every, choices)


class _Watching:
    """What the callbacks have in common. `monitor` is None until training starts, unless given."""

    def __init__(
        self, monitor: Optional[RankMonitor], every: Optional[int], choices: dict[str, Any]
    ) -> None:
        if monitor is not None and choices:
            raise UsageError(f"{', '.join(choices)}: say that to the RankMonitor that you give")
        if every is not None and not (type(every) is int and every > 0):
            raise UsageError(f"every: {every!r:.40} is not a whole number > 0")
        self.monitor = self._given = monitor
        self.every = every
        self._choices = choices
        self._looked_at: Optional[int] = None

    def _start(self, model: Any, optimizers: Any) -> None:
        """Have a monitor of this training, which knows its optimizers. Raises `UsageError`."""
        known = [one for one in optimizers if hasattr(one, "param_groups")]
        if self._given is None:
            self.monitor = RankMonitor(model, **{"optimizer": known, **self._choices})
        elif not self._given.optimizer:
            self._given.optimizer = known

    def _due(self, at: int) -> bool:
        """Whether `every` wants a check after so many steps or batches of the training."""
        return self.every is not None and at % self.every == 0

    def _step(self, epoch: float, at: int) -> tuple[Check, bool]:
        """A check, and whether training is to end, on this and every other process."""
        assert self.monitor is not None
        self._looked_at = at
        check = self.monitor.step(epoch)
        return check, self.monitor.stops(check)


class _HuggingFace(_Watching):
    """The events of `transformers.TrainerCallback`."""

    def __init__(
        self,
        monitor: Optional[RankMonitor],
        every: Optional[int],
        choices: dict[str, Any],
        log: "Optional[Log]",
    ) -> None:
        super().__init__(monitor, every, choices)
        self.log = log

    def __reduce__(self) -> Any:
        choices = {"every": self.every, "log": self.log, **self._choices}
        return partial(hugging_face_callback, self._given, **choices), ()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start(kwargs["model"], [kwargs.get("optimizer")])
        self._look(state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._due(state.global_step):
            self._look(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._looked_at != state.global_step:
            self._look(state, control)

    def _look(self, state: Any, control: Any) -> None:
        check, stops = self._step(state.epoch or 0.0, state.global_step)
        if check.metrics and self.log is not None:
            # Whatever is logged, the trainer takes it for what it was about to log itself.
            due = control.should_log
            self.log(dict(check.metrics))
            control.should_log = due
        elif check.metrics:
            where = {"epoch": round(state.epoch or 0.0, 2), "step": state.global_step}
            state.log_history.append({**check.metrics, **where})
        if stops:
            control.should_training_stop = True


class _Lightning(_Watching):
    """The hooks of Lightning's `Callback`."""

    # What a checkpoint held, until training goes on with it.
    _resumed: Mapping[str, Any] = MappingProxyType({})

    def __reduce__(self) -> Any:
        return partial(lightning_callback, self._given, every=self.every, **self._choices), ()

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
                logger.warning("%s; the rank monitor begins anew", error)
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
        check, stops = self._step(epoch, _batches_of(trainer))
        if check.metrics:
            # Not by `log_dict`: that would round to float32, and leaves out most batches.
            for logger in trainer.loggers:
                logger.log_metrics(dict(check.metrics), step=trainer.global_step)
        if stops:
            trainer.should_stop = True
        return check

    def _tell(self, trainer: Any, pl_module: Any, check: Check, **when: bool) -> None:
        # Of several processes the first alone would have them, of which Lightning warns.
        if check.metrics and trainer.world_size == 1:
            pl_module.log_dict(dict(check.metrics), logger=False, **when)


def _batches_of(trainer: Any) -> int:
    """How many batches the training has had, those before it was resumed included."""
    return int(trainer.fit_loop.total_batch_idx) + 1


def _made(events: type, base: type, *arguments: Any) -> Any:
    """An instance of a class that derives from `events` and the framework's own `base`."""
    return _derived(events, base)(*arguments)


@cache
def _derived(events: type, base: type) -> type:
    return type("RankMonitorCallback", (events, base), {"__module__": __name__})


def _first_of(packages: tuple[str, ...], what: str) -> Any:
    """The first of `packages` that the program has imported already, else that can be imported.

    Raises `UsageError`.
    """
    failures = []
    for package in sorted(packages, key=lambda name: name not in sys.modules):
        try:
            return import_module(package)
        except ImportError as error:
            failures.append(error)
    root = packages[0].partition(".")[0]
    broken = [error for error in failures if not isinstance(error, ModuleNotFoundError)]
    if broken:
        raise UsageError(f"{what}: {root} cannot be imported ({broken[0]})")
    raise UsageError(f"{what}: {root} is not installed; pip install {root}")
