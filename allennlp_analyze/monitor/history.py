"""The history of each layer during training, and when a layer needs a warning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from allennlp_analyze.metrics.judging import DECAYED_SHARE
from allennlp_analyze.monitor.results import Reading
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.storage.records import decoded

# By theory a healthy layer of Q <= MIN_Q may lose a few directions, and more if its weights are
# stored coarsely: bfloat16 costs random square matrices 0.7% (see tests/monitor/test_history.py).
# Only a loss of more than this fraction, and of more than one direction, counts.
NOTABLE_SHARE = 0.05
# The value in a checkpoint for a layer without a warning.
WELL = "well"


class When(NamedTuple):
    """The time of a check: the `number` of an "epoch", or of a "check" if epochs are unknown."""

    unit: str
    number: float


@dataclass(frozen=True)
class Trouble:
    """A layer needs a warning: its `state` is worse than FULL_RANK.

    `since` is the last check at which it was healthy, or None if it never was. `at_first` says that
    this is its first check. `smallest` is the largest value of its smallest singular value while it
    was healthy, or None if it never was.
    """

    state: Verdict
    since: Optional[When]
    at_first: bool
    smallest: Optional[float] = None


@dataclass
class LayerHistory:
    """The history of one layer. `warned` is the state of the last warning (FULL_RANK: none yet).

    `is_growing` if it started at zero, or far below every usual initialization, and has not been
    healthy since: residual branches and adapters start so, and gain one direction after another.
    """

    since: Optional[When] = None
    warned: Verdict = Verdict.FULL_RANK
    lost_at_first: Optional[int] = None
    smallest: Optional[float] = None
    is_growing: bool = False

    def state(self) -> dict[str, Any]:
        """Returns the history in plain values, fit for checkpoints and JSON."""
        return {
            "since": None if self.since is None else list(self.since),
            "warned": self.warned.value if _is_trouble(self.warned) else WELL,
            "lost_at_first": self.lost_at_first,
            "smallest": self.smallest,
            "is_growing": self.is_growing,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "LayerHistory":
        """Restore a history from its `state`.

        Raises `AttributeError`, `LookupError`, `OverflowError`, `TypeError` or `ValueError` if
        `state` is invalid.
        """
        since, warned, lost = state["since"], state["warned"], state["lost_at_first"]
        smallest = state.get("smallest")
        return cls(
            since=None if since is None else When(str(since[0]), float(since[1])),
            warned=_warned(warned),
            lost_at_first=None if lost is None else int(lost),
            smallest=None if smallest is None else float(smallest),
            is_growing=bool(state.get("is_growing", False)),
        )

    def seen(self, reading: Reading, when: When) -> Optional[Trouble]:
        """Record a reading. Returns the trouble to warn about now; each state is reported once.

        A layer that has always been zero has not started to learn: it is neither healthy nor lost.
        One that grows from there is in trouble only if it loses directions that it had.
        """
        at_first = self.lost_at_first is None
        if at_first and _has_not_started(reading):
            self.is_growing = True
        if at_first and reading.stable_rank is None:
            return None
        state = self._state(reading)
        if self.lost_at_first is None or (self.is_growing and reading.lost < self.lost_at_first):
            self.lost_at_first = reading.lost
        if not _is_trouble(state):
            self.since = when
            self.smallest = max(reading.min_singular_value, self.smallest or 0.0)
            self.is_growing = False
        if self.is_growing and not self._has_lost(reading):
            return None
        if not state.is_worse_than(self.warned):
            return None
        self.warned = state
        return Trouble(state, self.since, at_first, self.smallest)

    def _state(self, reading: Reading) -> Verdict:
        """Returns a state for every layer, including those that the verdict does not assess."""
        if reading.verdict.is_judgement:
            return reading.verdict
        return Verdict.COLLAPSED if self._has_lost(reading) else Verdict.FULL_RANK

    def _has_lost(self, reading: Reading) -> bool:
        """Whether the layer has notably more lost directions than it started with."""
        lost = reading.lost - (self.lost_at_first or 0)
        return lost > max(1, NOTABLE_SHARE * reading.M)


def _has_not_started(reading: Reading) -> bool:
    is_tiny = reading.start_ratio is not None and reading.start_ratio < DECAYED_SHARE
    return is_tiny or reading.stable_rank is None


def _is_trouble(state: Verdict) -> bool:
    return state.is_worse_than(Verdict.FULL_RANK)


def _warned(text: Any) -> Verdict:
    """Returns the warned state in a checkpoint. Raises `ValueError` if it is invalid."""
    if text == WELL:
        return Verdict.FULL_RANK
    warned: Verdict = decoded(Verdict, text)
    if warned not in LAYER_VERDICTS or not _is_trouble(warned):
        raise ValueError(text)
    return warned
