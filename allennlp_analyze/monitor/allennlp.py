"""The monitor of rank collapse in `allennlp train`: the trainer callback `rank_monitor`."""

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from allennlp.common.checks import ConfigurationError
from allennlp.nn.regularizers import L2Regularizer
from allennlp.training.callbacks import TrainerCallback
from allennlp.training.callbacks.log_writer import LogWriterCallback

from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.monitor.processes import first_process_says, is_first_process
from allennlp_analyze.monitor.results import Check
from allennlp_analyze.text.lines import one_line

if TYPE_CHECKING:
    from allennlp.models import Model
    from allennlp.training import GradientDescentTrainer
    from allennlp.training.moving_average import MovingAverage

    from allennlp_analyze.monitor.monitor import RankMonitor

logger = logging.getLogger(__name__)

NAME = "rank_monitor"


@TrainerCallback.register(NAME)
class RankMonitorCallback(TrainerCallback):
    """Measures the model's matrices at the start and at the end of each epoch, and warns.

    In a configuration, all but `type` may be left out:

        "callbacks": [{"type": "rank_monitor", "layers": "encoder", "kinds": ["linear"],
                       "max_seconds": 5, "every_batches": 100, "stop": false}]

    `layers`, `kinds` and `max_seconds` (for one check) are those of `RankMonitor`;
    `every_batches` adds a check after so many batches, and `stop` ends the training after the epoch
    in which a layer that had been well is found collapsed; the model is archived all the same.

    The numbers of an epoch go to its `metrics_epoch_N.json` and to TensorBoard, W&B and every other
    `LogWriterCallback` of the trainer, as `rank_monitor/<layer>/<measure>`; `metrics.json` has the
    last epoch's. Where the trainer keeps moving averages the averages are measured: these are what
    it validates and archives. In distributed training the first process measures; parameters that
    are sharded over the processes cannot be watched, which one warning says.

    Training goes on as without: weights, gradients and random numbers are those that it would have
    had, and what fails in here is logged. Raises `ConfigurationError`, before the training starts,
    for a value that makes no sense and for a model in which nothing was chosen.
    """

    # `Any`: AllenNLP passes these on as they are in the configuration, and the checks are ours.
    def __init__(
        self,
        serialization_dir: str,
        layers: Any = None,
        kinds: Any = None,
        max_seconds: Any = 5.0,
        every_batches: Any = None,
        stop: Any = False,
    ) -> None:
        super().__init__(serialization_dir)
        _check_values(layers, kinds, max_seconds, every_batches, stop)
        self._choices = {"layers": layers, "kinds": kinds, "max_seconds": max_seconds, "stop": stop}
        self._every_batches: Optional[int] = every_batches
        self._stop: bool = stop
        self._monitor: Optional[RankMonitor] = None
        self._recovered: Optional[dict[str, Any]] = None
        self._last = Check(None)
        self._last_at: Optional[int] = None
        self._baseline: Optional[Check] = None
        self._keys: set[str] = set()
        self._said: set[str] = set()

    def on_start(
        self, trainer: "GradientDescentTrainer", is_primary: bool = True, **kwargs: Any
    ) -> None:
        super().on_start(trainer, is_primary=is_primary, **kwargs)
        if not is_first_process():
            return
        if trainer._ddp_wrapped_model is not None and trainer._ddp_wrapped_model.is_sharded:
            logger.warning(
                "%s: the parameters are sharded over the processes, and sharded parameters cannot"
                " be watched; the training goes on without",
                NAME,
            )
            return
        with self._going_on("starting"):
            self._monitor = _monitor(trainer, self._choices)
            if self._recovered is None:
                self._baseline = self._check(trainer, None)
            else:
                self._monitor.load_state_dict(self._recovered)

    def on_backward(self, trainer: "GradientDescentTrainer", *args: Any, **kwargs: Any) -> bool:
        # Log writers whose `on_start` comes after ours can write from here on, and the first batch
        # is not counted yet. What was seen before epoch 0 is logged as epoch -1.
        if self._baseline is not None:
            self._write(trainer, self._baseline, trainer._epochs_completed - 1)
            self._baseline = None
        return False

    def on_batch(
        self,
        trainer: "GradientDescentTrainer",
        batch_inputs: Any,
        batch_outputs: Any,
        batch_metrics: dict[str, Any],
        epoch: int,
        batch_number: int,
        is_training: bool,
        **kwargs: Any,
    ) -> None:
        if self._monitor is None or self._every_batches is None or not is_training:
            return
        if trainer._total_batches_completed % self._every_batches == 0:
            self._write(trainer, self._check(trainer, epoch), epoch)

    def on_epoch(
        self,
        trainer: "GradientDescentTrainer",
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
        **kwargs: Any,
    ) -> None:
        if self._monitor is not None:
            if self._last_at != trainer._total_batches_completed:
                self._write(trainer, self._check(trainer, epoch), epoch)
            self._add_to_metrics(trainer, metrics, epoch)
        if self._stop and first_process_says(self._last.stop):
            if self._last.stop:
                logger.warning(
                    "%s: the training ends after epoch %d: a layer has collapsed and `stop` is set"
                    " (AllenNLP itself will speak of patience)",
                    NAME,
                    epoch,
                )
            _end_after_this_epoch(trainer)

    def state_dict(self) -> dict[str, Any]:
        kept = {}
        if self._monitor is not None:
            with self._going_on("keeping the state for --recover"):
                kept[NAME] = self._monitor.state_dict()
        return kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # AllenNLP pairs states with callbacks by position: it may be another callback's.
        self._recovered = state_dict.get(NAME)

    def _check(self, trainer: "GradientDescentTrainer", epoch: Optional[int]) -> Check:
        """Measure now; an empty check where that fails."""
        assert self._monitor is not None
        self._last, self._last_at = Check(epoch), trainer._total_batches_completed
        with self._going_on("a check"), _averages(trainer._moving_average):
            self._last = self._monitor.step(epoch)
        return self._last

    def _write(self, trainer: "GradientDescentTrainer", check: Check, epoch: int) -> None:
        """Pass the numbers on to the trainer's log writers.

        Against epochs, as AllenNLP's own of an epoch; where there are checks between, all against
        batches: one curve has one axis.
        """
        at = None if self._every_batches else epoch
        for callback in trainer._callbacks:
            if check.readings and isinstance(callback, LogWriterCallback):
                with self._going_on(f"writing to {type(callback).__name__}"):
                    # A new dict for each: W&B's adds to it.
                    callback.log_scalars(dict(check.metrics), epoch=at)

    @contextlib.contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """Log what goes wrong, once: no training may end because of its monitor."""
        try:
            yield
        except ConfigurationError:
            raise
        except Exception as error:
            line = f"{what} failed ({type(error).__name__}: {error}); the training goes on"
            if line not in self._said:
                self._said.add(line)
                logger.warning("%s: %s", NAME, one_line(line))
            logger.debug("%s: where it failed", NAME, exc_info=True)

    def _add_to_metrics(
        self, trainer: "GradientDescentTrainer", metrics: dict[str, Any], epoch: int
    ) -> None:
        """Into what the trainer returns, and into the file that it has written by now.

        The trainer goes on with the same dict in the next epoch: what was put off must not stay.
        """
        before, found = self._keys, self._last.metrics
        self._keys = set(found)
        _replace(metrics, before, found)
        path = Path(trainer._serialization_dir) / f"metrics_epoch_{epoch}.json"
        if (before or found) and path.is_file():
            with self._going_on(f"adding to {path.name}"):
                _replace_in_file(path, before, found)


def _check_values(
    layers: object, kinds: object, max_seconds: object, every_batches: object, stop: object
) -> None:
    """Raise `ConfigurationError` for a value that makes no sense for any model."""
    from allennlp_analyze._keywords import in_keywords, settings_of
    from allennlp_analyze.monitor.budget import refuse_no_time

    try:
        with in_keywords():
            settings_of(layers=layers, kinds=kinds)
        refuse_no_time(max_seconds)
    except AnalyzeError as error:
        raise _configuration_error(error) from None
    if every_batches is not None and not (
        isinstance(every_batches, int) and not isinstance(every_batches, bool) and every_batches > 0
    ):
        raise _configuration_error(f"every_batches: {every_batches!r} is not a whole number > 0")
    if not isinstance(stop, bool):
        raise _configuration_error(f"stop: {stop!r} is neither true nor false")


def _configuration_error(reason: object) -> ConfigurationError:
    return ConfigurationError(f"{NAME}: {reason}")


def _monitor(trainer: "GradientDescentTrainer", choices: dict[str, Any]) -> "RankMonitor":
    """A monitor of the trainer's model. Raises `ConfigurationError`."""
    from allennlp_analyze.monitor.monitor import RankMonitor

    try:
        penalty = _penalty(trainer.model)
        return RankMonitor(trainer.model, optimizer=trainer.optimizer, penalty=penalty, **choices)
    except AnalyzeError as error:
        raise _configuration_error(error) from None


def _penalty(model: "Model") -> Optional[Callable[[str], Optional[float]]]:
    """The weight of a parameter's L2 penalty, by its name; None where the model has no regularizer.

    As AllenNLP's `RegularizerApplicator` applies it: the first expression that matches counts, and
    `L2Regularizer` adds alpha * sum w^2 to the loss.
    """
    applicator = getattr(model, "_regularizer", None)
    if applicator is None:
        return None

    def penalty(name: str) -> Optional[float]:
        for expression, regularizer in applicator._regularizers:
            if re.search(expression, name):
                return regularizer.alpha if isinstance(regularizer, L2Regularizer) else None
        return 0.0

    return penalty


def _end_after_this_epoch(trainer: "GradientDescentTrainer") -> None:
    """Make the trainer leave its loop as it does when it runs out of patience.

    That is the one way out after which it has saved this epoch, loads the best weights, writes
    metrics.json and archives the model. It asks its metric tracker once, at the end of each epoch;
    the number of epochs was read at the start, and an exception would skip all of these. What the
    tracker holds stays as it is, so a recovered training does not begin with an answer of ours.
    """
    trainer._metric_tracker.should_stop_early = lambda: True


@contextlib.contextmanager
def _averages(moving_average: Optional["MovingAverage"]) -> Iterator[None]:
    """Meanwhile the model has its averaged weights, as when the trainer validates and archives."""
    if moving_average is None:
        yield
        return
    moving_average.assign_average_value()
    try:
        yield
    finally:
        moving_average.restore()


def _replace(metrics: dict[str, Any], before: set[str], found: dict[str, float]) -> None:
    for key in before:
        metrics.pop(key, None)
    metrics.update(found)


def _replace_in_file(path: Path, before: set[str], found: dict[str, float]) -> None:
    """`_replace` in a metrics file, which is written again as AllenNLP writes it."""
    from allennlp_analyze.storage.files import write_text

    written = json.loads(path.read_text(encoding="utf-8"))
    _replace(written, before, found)
    write_text(path, json.dumps(written, indent=2))
