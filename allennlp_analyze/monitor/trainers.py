"""The rank monitor as a callback for the trainers of Hugging Face and Lightning."""

import sys
from functools import cache
from importlib import import_module
from typing import Any, Callable, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.hugging_face import HuggingFace
from allennlp_analyze.monitor.lightning import Lightning
from allennlp_analyze.monitor.monitor import RankMonitor


def hugging_face_callback(
    monitor: Optional[RankMonitor] = None,
    *,
    every: Optional[int] = None,
    log: Optional[Callable[[dict[str, float]], object]] = None,
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

    The worst values and counts are also added to the metrics of each evaluation, so that
    `metric_for_best_model="rank_monitor/collapsed_layers"` works.

    Checkpoints contain the state of the monitor (from transformers 4.43 on), and a resumed training
    continues with it. A `monitor` that was passed keeps its own state.

        trainer = Trainer(...)
        trainer.add_callback(hugging_face_callback(log=trainer.log))

    Raises `UsageError` if transformers is not installed, and for an invalid argument.
    """
    _first_of(("transformers",), "hugging_face_callback")
    module = import_module("transformers.trainer_callback")
    bases = (module.TrainerCallback, *_exportable(module))
    given = {
        "__module__": __name__,
        "monitor_given": monitor,
        "every_given": every,
        "choices_given": choices,
        "log_given": log,
        "make": staticmethod(hugging_face_callback),
    }
    return type("RankMonitorCallback", (HuggingFace, *bases), given)()


def _exportable(module: Any) -> tuple[type, ...]:
    """Returns the class of the callbacks whose state is in checkpoints; older versions lack it."""
    found = getattr(module, "ExportableState", None)
    return () if found is None else (found,)


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
    Lightning's checkpoints contain the state of the monitor. If a callback averages the weights
    (`WeightAveraging`, `EMAWeightAveraging`; `StochasticWeightAveraging` once it has begun), the
    averages are measured, because they will be saved.

        trainer = Trainer(callbacks=[lightning_callback(max_seconds=2)])

    Raises `UsageError` if Lightning is not installed, and for an invalid argument.
    """
    base = _first_of(("lightning.pytorch", "pytorch_lightning"), "lightning_callback").Callback
    return _of_lightning(base)(monitor, every, choices)


@cache
def _of_lightning(base: type) -> type:
    given = {"__module__": __name__, "make": staticmethod(lightning_callback)}
    return type("RankMonitorCallback", (Lightning, base), given)


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
