"""Tells of a layer whose smaller directions shrink check by check, before they are lost.

What the gradient does not maintain, a penalty shrinks by the same factor at each step: a straight
line in the logarithm. The verdict sees nothing as long as the whole layer shrinks, and then loses
many directions within few epochs, when the others start to grow beside them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from allennlp_analyze.monitor.results import Reading

# This many of the directions are the smaller ones, which are counted as lost together. In smaller
# matrices it would be a single direction, which in a square one may pass through zero.
SMALLER_SHARE, MIN_M = 0.1, 10
# They have sunk at this share of what they were.
SUNK_TO = 0.1
# The fall is looked at from here on, and over so many checks at least.
FALL_FROM, MIN_CHECKS = 0.4, 3
# If the last third of the fall is slower than this share of the whole, it levels off.
STEADY = 0.75
# A long run keeps fewer of its older points.
MOST_POINTS = 64


class Point(NamedTuple):
    """The natural logarithm of the `level` at the check `number`; `at` counts epochs or checks."""

    number: int
    at: float
    level: float


class Fall(NamedTuple):
    """The `share` of the level that is left, and the `factor` by which an epoch multiplies it.

    `factor` is by check if epochs are unknown.
    """

    share: float
    factor: float


@dataclass
class Level:
    """The level of the smaller directions of one layer over a training.

    The level is the singular value that a tenth of the directions are below. If a normalization
    takes the outputs, it is relative to the root mean square of the entries.
    """

    points: list[Point] = field(default_factory=list)

    def add(self, reading: Reading, at: float, is_normalized: bool) -> None:
        """Record the level at this check; a matrix that is too small or zero has none."""
        if reading.M < MIN_M or not reading.spectrum or not reading.rms:
            return
        place = math.floor((1 - SMALLER_SHARE) * (len(reading.spectrum) - 1))
        level = reading.spectrum[place] / (reading.rms if is_normalized else 1.0)
        if not 0 < level < math.inf:
            return
        number = self.points[-1].number + 1 if self.points else 0
        self.points.append(Point(number, at, math.log(level)))
        if len(self.points) > MOST_POINTS:
            self.points = self.points[: MOST_POINTS // 2 : 2] + self.points[MOST_POINTS // 2 :]

    @property
    def share(self) -> float:
        """The level now over the highest so far; 1.0 at the start."""
        return math.exp(self.points[-1].level - self._highest) if self.points else 1.0

    @property
    def _highest(self) -> float:
        return max(point.level for point in self.points)

    def fall(self) -> Optional[Fall]:
        """Returns the fall that goes on now, or None if there is none to speak of."""
        if self.share > SUNK_TO:
            return None
        highest, now = self._highest, self.points[-1]
        above = [p for p in self.points if p.level - highest >= math.log(FALL_FROM)]
        fell = self.points[self.points.index(above[-1]) :]
        if now.number - fell[0].number < MIN_CHECKS:
            return None
        late = next(p for p in fell if 3 * (now.number - p.number) <= now.number - fell[0].number)
        late = late if late is not now else fell[-2]
        if _rate(late, now) < STEADY * _rate(fell[0], now):
            return None
        passed = now.at - late.at or float(now.number - late.number)
        return Fall(self.share, math.exp((now.level - late.level) / abs(passed)))

    def state(self) -> list[list[float]]:
        """Returns the points in plain values."""
        return [list(point) for point in self.points]

    @classmethod
    def of(cls, state: Sequence[Sequence[float]]) -> "Level":
        """Restore a level from its `state`. Raises `TypeError` or `ValueError` if it is invalid."""
        return cls([Point(int(n), float(at), float(level)) for n, at, level in state])


def _rate(one: Point, other: Point) -> float:
    return (one.level - other.level) / (other.number - one.number)
