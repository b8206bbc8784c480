"""The rank monitor for `allennlp train`: the trainer callback `rank_monitor`."""

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
from allennlp_analyze.options.choices import checked, default
from allennlp_analyze.text.lines import one_line

if TYPE_CHECKING:
    from allennlp.models import Model
    from allennlp.training import GradientDescentTrainer
    from allennlp.training.moving_average import MovingAverage

    from allennlp_analyze.monitor.monitor import RankMonitor

logger = logging.getLogger(__name__)

NAME = "rank_monitor"
MAX_SECONDS: float = default("max_seconds")


@TrainerCallback.register(NAME)
class RankMonitorCallback(TrainerCallback):
    """Measures the model's matrices at the start and at the end of each epoch, and logs warnings.

    In a configuration, every key except `type` is optional:

        "callbacks": [{"type": "rank_monitor", "layers": "encoder", "kinds": ["linear"],
                       "max_seconds": 5, "every_batches": 100, "stop": false,
                       "per_layer": false, "history": "run.jsonl", "updates": false}]

    `layers`, `kinds`, `max_seconds` (for one check), `per_layer` and `updates` are those of
    `RankMonitor`. A relative path of `history` is one in the serialization directory.
    `every_batches` adds a check after that many batches. `stop` ends training after the epoch in
    which a layer that was healthy has collapsed or weights are NaN; the model is still archived.

    The numbers of an epoch are written to its `metrics_epoch_N.json` and to TensorBoard, W&B and
    every other `LogWriterCallback` of the trainer, as `rank_monitor/<measure>`, with `per_layer`
    also as `rank_monitor/<layer>/<measure>`;
    `metrics.json` has those of the last epoch. If the trainer keeps moving averages, the averages
    are measured, because the trainer validates and archives them. In distributed training the first
    process measures. Parameters that are sharded over the processes cannot be monitored; one
    warning says so.

    Training is bit-for-bit identical with or without the callback, and errors in it are only
    logged. Raises `ConfigurationError` before training starts for an invalid value, and for a model
    in which no layer is selected.
    """

    # `Any`: AllenNLP passes these on unchecked from the configuration; they are checked here.
    def __init__(
        self,
        serialization_dir: str,
        layers: Any = None,
        kinds: Any = None,
        max_seconds: Any = MAX_SECONDS,
        every_batches: Any = None,
        stop: Any = False,
        per_layer: Any = False,
        history: Any = None,
        updates: Any = False,
    ) -> None:
        super().__init__(serialization_dir)
        self._choices = _checked(
            {
                "layers": layers,
                "kinds": kinds,
                "max_seconds": max_seconds,
                "stop": stop,
                "per_layer": per_layer,
                "history": history,
                "updates": updates,
            }
        )
        if self._choices["history"] is not None:
            self._choices["history"] = str(Path(serialization_dir) / self._choices["history"])
        self._every_batches: Optional[int] = _checked({"every_batches": every_batches})[
            "every_batches"
        ]
        self._stop: bool = self._choices["stop"]
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
                "%s: the parameters are sharded over the processes and cannot be monitored;"
                " training continues without the monitor",
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
        # From here on, log writers whose `on_start` runs after ours can write, and the first batch
        # is not counted yet. Readings from before epoch 0 are logged as epoch -1.
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
                    "%s: training ends after epoch %d: a layer has collapsed and `stop` is set"
                    " (AllenNLP's own message mentions patience)",
                    NAME,
                    epoch,
                )
            _end_after_this_epoch(trainer)

    def state_dict(self) -> dict[str, Any]:
        kept = {}
        if self._monitor is not None:
            with self._going_on("saving the state for --recover"):
                kept[NAME] = self._monitor.state_dict()
        return kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # AllenNLP matches states to callbacks by position, so this may be another callback's state.
        self._recovered = state_dict.get(NAME)

    def _check(self, trainer: "GradientDescentTrainer", epoch: Optional[int]) -> Check:
        """Measure now; returns an empty check if that fails."""
        assert self._monitor is not None
        self._last, self._last_at = Check(epoch), trainer._total_batches_completed
        with self._going_on("a check"), _averages(trainer._moving_average):
            self._last = self._monitor.step(epoch, trainer._total_batches_completed)
        return self._last

    def _write(self, trainer: "GradientDescentTrainer", check: Check, epoch: int) -> None:
        """Pass the numbers to the trainer's log writers.

        They are logged against epochs, like AllenNLP's own metrics of an epoch. If there are checks
        between epochs, all are logged against batches, so that a curve has one axis.
        """
        at = None if self._every_batches else epoch
        for callback in trainer._callbacks:
            if check.readings and isinstance(callback, LogWriterCallback):
                with self._going_on(f"writing to {type(callback).__name__}"):
                    # Each writer gets a new dict, because that of W&B adds to it.
                    callback.log_scalars(dict(check.metrics), epoch=at)

    @contextlib.contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """Log an error once; the monitor must never end the training."""
        try:
            yield
        except ConfigurationError:
            raise
        except Exception as error:
            line = f"{what} failed ({type(error).__name__}: {error}); training continues"
            if line not in self._said:
                self._said.add(line)
                logger.warning("%s: %s", NAME, one_line(line))
            logger.debug("%s: traceback", NAME, exc_info=True)

    def _add_to_metrics(
        self, trainer: "GradientDescentTrainer", metrics: dict[str, Any], epoch: int
    ) -> None:
        """Add the numbers to the trainer's metrics, and to the file that it has already written.

        The trainer reuses the dict in the next epoch, so numbers of postponed layers are removed.
        """
        before, found = self._keys, self._last.metrics
        self._keys = set(found)
        _replace(metrics, before, found)
        path = Path(trainer._serialization_dir) / f"metrics_epoch_{epoch}.json"
        if (before or found) and path.is_file():
            with self._going_on(f"adding to {path.name}"):
                _replace_in_file(path, before, found)


def _checked(choices: dict[str, Any]) -> dict[str, Any]:
    """Each value as its option has it. Raises `ConfigurationError` for one that makes no sense."""
    try:
        return {name: checked(name, value) for name, value in choices.items()}
    except AnalyzeError as error:
        raise _configuration_error(error) from None


def _configuration_error(reason: object) -> ConfigurationError:
    return ConfigurationError(f"{NAME}: {reason}")


def _monitor(trainer: "GradientDescentTrainer", choices: dict[str, Any]) -> "RankMonitor":
    """Returns a monitor of the trainer's model. Raises `ConfigurationError`."""
    from allennlp_analyze.monitor.monitor import RankMonitor

    try:
        penalty = _penalty(trainer.model)
        return RankMonitor(trainer.model, optimizer=trainer.optimizer, penalty=penalty, **choices)
    except AnalyzeError as error:
        raise _configuration_error(error) from None


def _penalty(model: "Model") -> Optional[Callable[[str], Optional[float]]]:
    """Returns a function from a parameter's name to its L2 penalty; None without a regularizer.

    This follows AllenNLP's `RegularizerApplicator`: the first matching expression counts, and
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

    Only then does it save this epoch, load the best weights, write metrics.json and archive the
    model. The trainer asks its metric tracker once, at the end of each epoch; it reads the number
    of epochs only at the start, and an exception would skip all these steps. The tracker's state is
    not changed, so a recovered training does not start with our answer.
    """
    trainer._metric_tracker.should_stop_early = lambda: True


@contextlib.contextmanager
def _averages(moving_average: Optional["MovingAverage"]) -> Iterator[None]:
    """Give the model its averaged weights inside this context, as the trainer does to validate."""
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
    """Apply `_replace` to a metrics file and write it again in AllenNLP's format."""
    from allennlp_analyze.storage.files import write_text

    written = json.loads(path.read_text(encoding="utf-8"))
    _replace(written, before, found)
    write_text(path, json.dumps(written, indent=2))
