"""The history of each layer during training, and when a layer needs a warning."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from allennlp_analyze.metrics.judging import DECAYED_SHARE
from allennlp_analyze.monitor.results import Reading
from allennlp_analyze.monitor.sinking import FALL_FROM, Fall, Level
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.storage.records import decoded

# By theory a healthy layer of Q <= MIN_Q may lose a few directions, and more if its weights are
# stored coarsely: bfloat16 costs random square matrices 0.7% (see tests/monitor/test_history.py).
# Only a loss of more than this fraction, and of more than one direction, counts.
NOTABLE_SHARE = 0.05
# The value in a checkpoint for a layer without a warning.
WELL = "well"
# A layer may go back and forth over the limit of NEAR_COLLAPSE; it is warned of again once it has
# been healthy at this many checks in a row. Other states are far enough from healthy.
REARMED_AFTER = 3
# A singular value has fallen if it is below this share of what it was.
FALLEN_SHARE = 0.5


class When(NamedTuple):
    """The time of a check: the `number` of an "epoch", or of a "check" if epochs are unknown."""

    unit: str
    number: float


@dataclass(frozen=True)
class Trouble:
    """A layer needs a warning: its `state` is worse than FULL_RANK.

    `since` is the last check at which it was healthy, or None if it never was. `at_first` says that
    this is its first check. `smallest` is the largest value of its smallest singular value while it
    was healthy, or None if it never was. `rms_ratio` is set if the layer as a whole has decayed
    far below its start, and is the share of its root mean square that is left. `fall` is set if the
    verdict is good, but its smaller directions sink.
    """

    state: Verdict
    since: Optional[When]
    at_first: bool
    smallest: Optional[float] = None
    rms_ratio: Optional[float] = None
    fall: Optional[Fall] = None


@dataclass
class LayerHistory:
    """The history of one layer.

    `warned` is the state of the last warning; a healthy reading sets it back to FULL_RANK, so that
    a layer that recovers is warned of again. `was_near` says that NEAR_COLLAPSE was warned of, and
    is set back after `REARMED_AFTER` healthy readings in a row, which `healthy_checks` counts.
    `rms_at_first` is the root mean square of the entries at the start. `level` is that of its
    smaller directions; `told_of_fall` until they have risen again.

    `from_zero`: it started at zero, or far below every usual initialization. Residual branches and
    adapters start so. They gain one direction after another, and some grow far beyond the others,
    which is no loss; so `highest` keeps the largest value of each of the reading's `spectrum`.
    """

    since: Optional[When] = None
    warned: Verdict = Verdict.FULL_RANK
    lost_at_first: Optional[int] = None
    smallest: Optional[float] = None
    from_zero: bool = False
    highest: tuple[float, ...] = ()
    was_near: bool = False
    healthy_checks: int = 0
    rms_at_first: Optional[float] = None
    level: Level = field(default_factory=Level)
    told_of_fall: bool = False

    def state(self) -> dict[str, Any]:
        """Returns the history in plain values, fit for checkpoints and JSON."""
        return {
            "since": None if self.since is None else list(self.since),
            "warned": self.warned.value if _is_trouble(self.warned) else WELL,
            "lost_at_first": self.lost_at_first,
            "smallest": self.smallest,
            "from_zero": self.from_zero,
            "highest": list(self.highest),
            "was_near": self.was_near,
            "healthy_checks": self.healthy_checks,
            "rms_at_first": self.rms_at_first,
            "level": self.level.state(),
            "told_of_fall": self.told_of_fall,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "LayerHistory":
        """Restore a history from its `state`.

        Raises `AttributeError`, `LookupError`, `OverflowError`, `TypeError` or `ValueError` if
        `state` is invalid.
        """
        since, warned, lost = state["since"], state["warned"], state["lost_at_first"]
        return cls(
            since=None if since is None else When(str(since[0]), float(since[1])),
            warned=_warned(warned),
            lost_at_first=None if lost is None else int(lost),
            smallest=_number(state.get("smallest")),
            from_zero=bool(state.get("from_zero", False)),
            highest=tuple(float(value) for value in state.get("highest", ())),
            was_near=bool(state.get("was_near", False)),
            healthy_checks=int(state.get("healthy_checks", 0)),
            rms_at_first=_number(state.get("rms_at_first")),
            level=Level.of(state.get("level", ())),
            told_of_fall=bool(state.get("told_of_fall", False)),
        )

    def rms_ratio(self, reading: Reading) -> Optional[float]:
        """Returns the root mean square of the entries over that at the start, None if unknown."""
        if reading.rms is None or not self.rms_at_first:
            return None
        return reading.rms / self.rms_at_first

    def seen(self, reading: Reading, when: When, is_normalized: bool = False) -> Optional[Trouble]:
        """Record a reading. Returns the trouble to warn about now.

        Each state is reported once, and again after the layer has recovered. A layer that has
        always been zero has not started to learn: it is neither healthy nor lost. One that grew
        from there is in trouble only if it loses directions that it had. `is_normalized`: a
        normalization takes the outputs, so the scale of the weights does not matter.
        """
        at_first = self.lost_at_first is None
        if at_first and _has_not_started(reading):
            self.from_zero = True
        if at_first and reading.stable_rank is None:
            return None
        state, ratio = self._state(reading), None
        if not is_normalized and self._has_decayed(reading):
            state, ratio = Verdict.COLLAPSED, self.rms_ratio(reading)
        if self.lost_at_first is None or (self.from_zero and reading.lost < self.lost_at_first):
            self.lost_at_first = reading.lost
        if not _is_trouble(state):
            self._is_well(reading, when)
        if self.rms_at_first is None and not (self.from_zero and self.since is None):
            self.rms_at_first = reading.rms
        if self.from_zero and ratio is None and not self._has_lost_again(reading):
            return None
        fall = self._new_fall(reading, when, is_normalized)
        if not state.is_worse_than(self.warned):
            if fall is None or _is_trouble(state):
                return None
            return Trouble(Verdict.NEAR_COLLAPSE, self.since, at_first, self.smallest, fall=fall)
        self.warned, self.healthy_checks = state, 0
        if state is Verdict.NEAR_COLLAPSE:
            if self.was_near:
                return None
            self.was_near = True
        return Trouble(state, self.since, at_first, self.smallest, ratio)

    def _new_fall(self, reading: Reading, when: When, is_normalized: bool) -> Optional[Fall]:
        """Returns the fall of the smaller directions when it is to be told: once."""
        self.level.add(reading, when.number, is_normalized)
        fall = self.level.fall()
        if fall is None:
            self.told_of_fall = self.told_of_fall and self.level.share < FALL_FROM
            return None
        told, self.told_of_fall = self.told_of_fall, True
        return None if told else fall

    def _is_well(self, reading: Reading, when: When) -> None:
        self.since = when
        self.smallest = max(reading.min_singular_value, self.smallest or 0.0)
        if reading.verdict is Verdict.HIDDEN:
            return  # nobody can tell whether it has recovered
        self.warned = Verdict.FULL_RANK
        self.healthy_checks += 1
        if self.healthy_checks >= REARMED_AFTER:
            self.was_near = False

    def _state(self, reading: Reading) -> Verdict:
        """Returns a state for every layer, including those that the verdict does not assess."""
        if reading.verdict.is_judgement:
            return reading.verdict
        return Verdict.COLLAPSED if self._has_lost(reading) else Verdict.FULL_RANK

    def _has_lost(self, reading: Reading) -> bool:
        """Whether the layer has notably more lost directions than it started with."""
        lost = reading.lost - (self.lost_at_first or 0)
        return lost > max(1, NOTABLE_SHARE * reading.M)

    def _has_lost_again(self, reading: Reading) -> bool:
        """Whether a layer that grew from zero has lost directions that it had.

        The largest of those that are lost must have been larger.
        """
        now, before = reading.spectrum, self.highest
        same = len(now) == len(before)
        self.highest = tuple(map(max, now, before)) if same else now
        if not self._has_lost(reading):
            return False
        if len(now) != len(before) or not now:
            return True
        first = math.ceil((reading.M - reading.lost) * (len(now) - 1) / max(reading.M - 1, 1))
        first = min(first, len(now) - 1)
        return now[first] < FALLEN_SHARE * before[first]

    def _has_decayed(self, reading: Reading) -> bool:
        """Whether all weights are far below where this training found them."""
        ratio = self.rms_ratio(reading)
        return ratio is not None and ratio < DECAYED_SHARE and reading.verdict.is_judgement


def _has_not_started(reading: Reading) -> bool:
    is_tiny = reading.start_ratio is not None and reading.start_ratio < DECAYED_SHARE
    return is_tiny or reading.stable_rank is None


def _is_trouble(state: Verdict) -> bool:
    return state.is_worse_than(Verdict.FULL_RANK)


def _number(value: Any) -> Optional[float]:
    return None if value is None else float(value)


def _warned(text: Any) -> Verdict:
    """Returns the warned state in a checkpoint. Raises `ValueError` if it is invalid."""
    if text == WELL:
        return Verdict.FULL_RANK
    warned: Verdict = decoded(Verdict, text)
    if warned not in LAYER_VERDICTS or not _is_trouble(warned):
        raise ValueError(text)
    return warned
