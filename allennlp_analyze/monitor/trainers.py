"""The rank monitor as a callback for the trainers of Hugging Face and Lightning."""

import logging
import math
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.monitor import RankMonitor
from allennlp_analyze.monitor.results import Check
from allennlp_analyze.options.choices import checked, laid_over
from allennlp_analyze.settings import Settings

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
    """Returns a `transformers.TrainerCallback` that checks the layers during training.

    It checks when training starts and at the end of each epoch. With `every` it also checks
    whenever the trainer's `global_step` (the number of optimizer steps) is a multiple of it.

    Without a `monitor` it creates one for the trainer's model and optimizer, with the `choices` of
    `RankMonitor` (`layers`, `max_seconds`, `stop`, ...). The numbers are added to the trainer's
    `state.log_history` with its epoch and step. With `log=trainer.log` they also go to TensorBoard,
    W&B and every other destination of the trainer. With `stop`, training ends as with
    `EarlyStoppingCallback`.

    Checkpoints do not contain the state of the monitor, so a resumed training counts as a new one:
    a layer that had collapsed before is reported as "already collapsed at the first check" and does
    not end training. To keep the state, pass a `monitor` restored with `load_state_dict`.

        trainer = Trainer(...)
        trainer.add_callback(hugging_face_callback(log=trainer.log))

    Raises `UsageError` if transformers is not installed, and for an invalid argument.
    """
    base = _first_of(("transformers",), "hugging_face_callback").TrainerCallback
    return _made(_HuggingFace, base, monitor, every, choices, log)


def lightning_callback(
    monitor: Optional[RankMonitor] = None,
    *,
    every: Optional[int] = None,
    **choices: Any,
) -> Any:
    """Returns a Lightning `Callback` that checks the layers during training.

    It checks when training starts and at the end of each epoch, and with `every` also after that
    many batches. Its base class comes from `lightning.pytorch` or `pytorch_lightning`: the one that
    the program has imported, or the one that is installed.

    Batches are counted over the whole training, including the time before it was resumed. Every
    batch counts even if gradients are accumulated, unlike in Lightning's `global_step`, which
    counts optimizer steps.

    Without a `monitor` it creates one for the trainer's module and optimizers, with the `choices`
    of `RankMonitor` (`layers`, `max_seconds`, `stop`, ...). The numbers go to all loggers of the
    trainer, and to its `callback_metrics` if there is only one process (except those of the start).
    With `stop`, training ends as with `EarlyStopping`, but not before the trainer's `min_epochs`.
    Lightning's checkpoints contain the state of the monitor.

        trainer = Trainer(callbacks=[lightning_callback(max_seconds=2)])

    Raises `UsageError` if Lightning is not installed, and for an invalid argument.
    """
    base = _first_of(("lightning.pytorch", "pytorch_lightning"), "lightning_callback").Callback
    return _made(_Lightning, base, monitor, every, choices)


class _Watching:
    """The common part of the callbacks. `monitor` is None until training starts, unless given."""

    def __init__(
        self, monitor: Optional[RankMonitor], every: Optional[int], choices: dict[str, Any]
    ) -> None:
        if monitor is not None and not isinstance(monitor, RankMonitor):
            raise UsageError(f"monitor: a {type(monitor).__name__} is not a RankMonitor")
        if monitor is not None and choices:
            raise UsageError(f"{', '.join(choices)}: pass this to the RankMonitor instead")
        _check(choices)
        self.monitor = self._given = monitor
        self.every: Optional[int] = checked("every", every)
        self._choices = choices
        self._looked_at: Optional[int] = None

    def _start(self, model: Any, optimizers: Any) -> None:
        """Create a monitor for this training, or set its optimizers. Raises `UsageError`."""
        known = [one for one in optimizers if hasattr(one, "param_groups")]
        if self._given is None:
            self.monitor = RankMonitor(model, **{"optimizer": known, **self._choices})
        elif not self._given.optimizer:
            self._given.optimizer = known

    def _due(self, at: int) -> bool:
        """Whether `every` asks for a check after this many steps or batches of training."""
        return self.every is not None and at % self.every == 0

    def _step(self, epoch: float, at: int) -> tuple[Check, bool]:
        """Run a check. Returns it, and whether training should end, the same on every process."""
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
            # The trainer treats every logged entry as the one that it was about to log itself.
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

    # The state in a checkpoint, until training resumes with it.
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
        check, stops = self._step(epoch, _batches_of(trainer))
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


def _check(choices: dict[str, Any]) -> None:
    """Raise `UsageError` for what `RankMonitor` would not take once training starts."""
    known = set(signature(RankMonitor).parameters) - {"model"}
    unknown = [name for name in choices if name not in known]
    if unknown:
        near = get_close_matches(unknown[0], known, 1)
        raise UsageError(
            f"{unknown[0]}: RankMonitor has no such keyword"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    for name in ("max_seconds", "stop"):
        if name in choices:
            checked(name, choices[name])
    own = ("layers", "kinds", "cuda_device")
    settings: dict[str, Any] = {name: choices[name] for name in own if name in choices}
    laid_over(Settings(), settings)


def _made(events: type, base: type, *arguments: Any) -> Any:
    """Returns an instance of a class that derives from `events` and the framework's `base`."""
    return _derived(events, base)(*arguments)


@cache
def _derived(events: type, base: type) -> type:
    return type("RankMonitorCallback", (events, base), {"__module__": __name__})


def _first_of(packages: tuple[str, ...], what: str) -> Any:
    """Returns the first of `packages` that is already imported, or else can be imported.

    Raises `UsageError` if none can.
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
        raise UsageError(f"{what}: failed to import {root} ({broken[0]})")
    what_to_install = "'allennlp_analyze[lightning]'" if root == "lightning" else root
    raise UsageError(f"{what}: {root} is not installed; pip install {what_to_install}")
