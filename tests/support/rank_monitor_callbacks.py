"""Callbacks for trainings in the tests, by `--include-package rank_monitor_callbacks`."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from allennlp.training.callbacks import TrainerCallback
from allennlp.training.callbacks.log_writer import LogWriterCallback


@TrainerCallback.register("recorder")
class Recorder(LogWriterCallback):
    """A log writer as users write them: each call becomes a line of recorded.jsonl."""

    def log_scalars(self, scalars: Any, log_prefix: str = "", epoch: Any = None) -> None:
        assert self.trainer is not None
        batches = self.trainer._total_batches_completed
        record = {"prefix": log_prefix, "epoch": epoch, "batches": batches, "scalars": scalars}
        with open(Path(self.serialization_dir) / "recorded.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")

    def log_tensors(self, *args: Any, **kwargs: Any) -> None:
        pass


@TrainerCallback.register("broken_writer")
class BrokenWriter(Recorder):
    """Refuses the monitor's numbers, and takes AllenNLP's own."""

    def log_scalars(self, scalars: Any, log_prefix: str = "", epoch: Any = None) -> None:
        if not log_prefix:
            raise OSError("no space left")
        super().log_scalars(scalars, log_prefix, epoch)


@TrainerCallback.register("killed")
class Killed(TrainerCallback):
    """Kills the training in the midst of epoch `epoch`, the first time."""

    def __init__(self, serialization_dir: str, epoch: int) -> None:
        super().__init__(serialization_dir)
        self._epoch = epoch

    def on_batch(
        self,
        trainer: Any,
        batch_inputs: Any,
        batch_outputs: Any,
        batch_metrics: Any,
        epoch: int,
        batch_number: int,
        is_training: bool,
        **kwargs: Any,
    ) -> None:
        mark = Path(self.serialization_dir) / "killed"
        if is_training and (epoch, batch_number) == (self._epoch, 10) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@TrainerCallback.register("spoiler")
class Spoiler(TrainerCallback):
    """After epoch `epoch`, NaN is in the module `spare`, which the model does not use."""

    def __init__(self, serialization_dir: str, epoch: int) -> None:
        super().__init__(serialization_dir)
        self._epoch = epoch

    def on_epoch(self, trainer: Any, metrics: Any, epoch: int, **kwargs: Any) -> None:
        if epoch == self._epoch:
            trainer.model.spare.weight.data[0, 0] = float("nan")
