"""What a training monitor saw of the layers, as frozen dataclasses."""

from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.results.verdict import Verdict

# The key under which every number of a check is logged.
PREFIX = "rank_monitor"


@dataclass(frozen=True)
class Reading:
    """One layer at one check; the numbers are those that a report on these weights has.

    `lost` of the M directions are gone by the verdict's rule (`verdict.count_lost`);
    None stands for what is not defined. `seconds` is what the reading took.
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

    @property
    def rank_loss_percent(self) -> float:
        """Share of the M directions that are lost."""
        return 100.0 * self.lost / self.M


@dataclass(frozen=True)
class Collapse:
    """A layer begins to collapse: `sentence` says it once, for people.

    `since` is the epoch of the last check before at which the layer was well, None when it never
    was. `weight_decay` is the optimizer's for this layer, None where it is not known.
    """

    reading: Reading
    since: Optional[float]
    weight_decay: Optional[float]
    sentence: str


@dataclass(frozen=True)
class Check:
    """What one check found.

    `put_off` names the layers that the time budget left for a later check, `invalid` those that
    hold NaN or infinity; `collapses` are the layers warned of now: each once, and one that was near
    collapse once more when it collapses. `stop` asks the training loop to end. `seconds` is what
    the whole check took.
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
        """Every number by `rank_monitor/<layer>/<measure>`, as loggers take them; and
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
