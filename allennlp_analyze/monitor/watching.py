"""What the callbacks of Hugging Face's Trainer and of Lightning have in common."""

import difflib
import inspect
from typing import Any, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.monitor import RankMonitor
from allennlp_analyze.monitor.results import Check
from allennlp_analyze.options.choices import checked
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.text.names import printable


class Watching:
    """The common part of the callbacks. `monitor` is None until training starts, unless given.

    Raises `UsageError` for an invalid argument, before the model is loaded.
    """

    def __init__(
        self, monitor: Optional[RankMonitor], every: Optional[int], choices: dict[str, Any]
    ) -> None:
        if monitor is not None and not isinstance(monitor, RankMonitor):
            raise UsageError(
                f"monitor: a {type(monitor).__name__} is not a RankMonitor; the callback finds the"
                " model by itself"
            )
        if monitor is not None and choices:
            raise UsageError(f"{', '.join(choices)}: pass this to the RankMonitor instead")
        self.monitor = self._given = monitor
        self.every: Optional[int] = checked("every", every)
        _check(choices)
        self._choices = choices
        self._looked_at: Optional[int] = None
        self._last = Check(None)

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

    def _step(self, epoch: float, at: int, step: int, averaged: Any = None) -> tuple[Check, bool]:
        """Run a check. Returns it, and whether training should end, the same on every process."""
        assert self.monitor is not None
        self._looked_at = at
        self._last = self.monitor.step(epoch, step, averaged=averaged)
        return self._last, self.monitor.stops(self._last)


def _check(choices: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(RankMonitor).parameters if name != "model"]
    for name, value in choices.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"; did you mean {close[0]}?" if close else f"; choose from {', '.join(known)}"
            raise UsageError(f"{printable(name)}: unknown argument{meant}")
        if name in TABLE:
            checked(name, value)
