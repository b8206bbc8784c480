"""The results of a training monitor as frozen dataclasses."""

from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.results.verdict import Verdict

# The prefix of the keys under which the numbers of a check are logged.
PREFIX = "rank_monitor"


@dataclass(frozen=True)
class Reading:
    """One layer at one check, with the same numbers as a report on these weights.

    `lost` counts the lost directions out of M by the verdict's rule.
    An undefined number is None. `seconds` is the duration of the reading. `start_ratio` is the root
    mean square of the entries over the smallest one that usual initializations have.
    """

    layer: str
    kind: str
    M: int
    verdict: Verdict
    min_singular_value: float
    lost: int
    stable_rank: Optional[float]
    alpha: Optional[float]
    seconds: float
    start_ratio: Optional[float] = None

    @property
    def rank_loss_percent(self) -> float:
        """Percentage of the M directions that are lost."""
        return 100.0 * self.lost / self.M


@dataclass(frozen=True)
class Collapse:
    """A layer has started to collapse; `sentence` is the warning.

    `since` is the epoch of the last check at which the layer was healthy, or None if it never was.
    `weight_decay` is the optimizer's value for this layer, or None if unknown.
    """

    reading: Reading
    since: Optional[float]
    weight_decay: Optional[float]
    sentence: str


@dataclass(frozen=True)
class Check:
    """The result of one check.

    `put_off` lists the layers that the time budget postponed, `invalid` those that contain NaN or
    infinity. `collapses` are the new warnings: one per layer, and a second one if a layer near
    collapse collapses. `stop` asks the training loop to end. `seconds` is the duration of the
    check.
    """

    epoch: Optional[float]
    readings: tuple[Reading, ...] = ()
    put_off: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    collapses: tuple[Collapse, ...] = ()
    stop: bool = False
    seconds: float = 0.0

    @property
    def metrics(self) -> dict[str, float]:
        """Returns all numbers for loggers: `rank_monitor/<layer>/<measure>` and
        `rank_monitor/seconds`."""
        found = {f"{PREFIX}/seconds": self.seconds} if self.readings else {}
        for reading in self.readings:
            measures = {
                "min_singular_value": reading.min_singular_value,
                "rank_loss_percent": reading.rank_loss_percent,
                "stable_rank": reading.stable_rank,
                "alpha": reading.alpha,
            }
            for name, value in measures.items():
                if value is not None:
                    found[f"{PREFIX}/{reading.layer}/{name}"] = value
        return found
