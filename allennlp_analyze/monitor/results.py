"""The results of a training monitor as frozen dataclasses."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

from allennlp_analyze.monitor.probe_results import ProbeResult
from allennlp_analyze.results.verdict import Verdict

# The prefix of the keys under which the numbers of a check are logged.
PREFIX = "rank_monitor"
# So many singular values of a layer tell which of its directions have fallen.
SPECTRUM = 33
# The numbers of a layer that are logged on request.
_OF_LAYER = (
    "min_singular_value",
    "rank_loss_percent",
    "null_ratio",
    "stable_rank",
    "effective_rank",
    "spectral_norm",
    "alpha",
    "rms_ratio",
    "update",
    "update_stable_rank",
)
# The path of a block: up to the first number in a layer's path.
_BLOCK = re.compile(r"(.*?\.)??\d+(?=\.)")


@dataclass(frozen=True)
class Reading:
    """One layer at one check, with the same numbers as a report on these weights.

    `lost` counts the lost directions out of M by the verdict's rule.
    An undefined number is None. `seconds` is the duration of the reading. `start_ratio` is the root
    mean square of the entries over the smallest one that usual initializations have, `rms` the root
    mean square itself, and `rms_ratio` that over the first one of this training (None if the layer
    started at zero). `null_ratio` is the smallest singular value over its median for random
    entries. `update` is ‖ΔW‖/‖W‖ since the layer's last reading, and `update_stable_rank` the
    stable rank of ΔW; both are None without `updates`. `is_frozen`: it is not trained.
    `spectrum` are up to `SPECTRUM` singular values at even distances, descending.
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
    null_ratio: Optional[float] = None
    effective_rank: Optional[float] = None
    spectral_norm: Optional[float] = None
    rms: Optional[float] = None
    rms_ratio: Optional[float] = None
    update: Optional[float] = None
    update_stable_rank: Optional[float] = None
    learning_rate: Optional[float] = None
    weight_decay: Optional[float] = None
    is_frozen: bool = False
    spectrum: tuple[float, ...] = ()

    @property
    def rank_loss_percent(self) -> float:
        """Percentage of the M directions that are lost."""
        return 100.0 * self.lost / self.M


@dataclass(frozen=True)
class Collapse:
    """A layer has started to collapse; `sentence` is the warning, `state` what it has become.

    `since` is the epoch of the last check at which the layer was healthy, or None if it never was.
    `weight_decay` is the optimizer's value for this layer, or None if unknown. `at_first`: the
    layer was so at its first check, so that the training is not the cause.
    """

    reading: Reading
    since: Optional[float]
    weight_decay: Optional[float]
    sentence: str
    state: Verdict
    at_first: bool = False


@dataclass(frozen=True)
class Check:
    """The result of one check.

    `put_off` lists the layers that the time budget postponed, `invalid` the layers, and parameters
    that are no matrices, that contain NaN or infinity. `collapses` are the new warnings: one per
    layer, and a second one if a layer near collapse collapses. `stop` asks the training loop to
    end. `seconds` is the duration of the check. `step` is the number of optimizer steps, if the
    training told it. `per_layer` says that `metrics` has the numbers of each layer, too. `probe`
    is what the batch showed, if the monitor has one.
    """

    epoch: Optional[float]
    readings: tuple[Reading, ...] = ()
    put_off: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    collapses: tuple[Collapse, ...] = ()
    stop: bool = False
    seconds: float = 0.0
    step: Optional[int] = None
    per_layer: bool = False
    probe: Optional[ProbeResult] = None

    @property
    def worst_layer(self) -> Optional[str]:
        """The trained layer that has the worst verdict, of several the one nearest to the null.

        None if nothing was measured.
        """
        found = self._trained()
        return min(found, key=_badness).layer if found else None

    @property
    def metrics(self) -> dict[str, float]:
        """Returns the numbers for loggers: `summary`, and with `per_layer` also `layer_metrics`.

        They are computed once; each logger gets a copy of its own.
        """
        return dict(self._metrics)

    @cached_property
    def _metrics(self) -> dict[str, float]:
        return {**self.summary, **(self.layer_metrics if self.per_layer else {})}

    @property
    def summary(self) -> dict[str, float]:
        """Returns the worst values and counts, by names that start with `rank_monitor/`.

        `collapsed_layers`, `near_collapse_layers`, `dead_unit_layers` and `invalid_layers` count
        layers; `max_rank_loss_percent`, `min_null_ratio`, `min_stable_rank` and `max_spectral_norm`
        are over all layers, `block/<block>/min_null_ratio` over those of a block. Frozen layers are
        left out. {} if nothing was measured.
        """
        if not self.readings and not self.invalid:
            return {}
        found = self._trained()
        values: dict[str, Optional[float]] = {
            "collapsed_layers": _count(found, Verdict.COLLAPSED),
            "near_collapse_layers": _count(found, Verdict.NEAR_COLLAPSE),
            "dead_unit_layers": _count(found, Verdict.DEAD_UNITS),
            "invalid_layers": float(len(self.invalid)),
            "max_rank_loss_percent": max((x.rank_loss_percent for x in found), default=None),
            "min_null_ratio": _least(x.null_ratio for x in found),
            "min_stable_rank": _least(x.stable_rank for x in found),
            "max_spectral_norm": max(
                (x.spectral_norm for x in found if x.spectral_norm is not None), default=None
            ),
            "seconds": self.seconds,
        }
        blocks: dict[str, list[Reading]] = {}
        for reading in found:
            block = _BLOCK.match(reading.layer)
            if block is not None:
                blocks.setdefault(block[0], []).append(reading)
        for name, inside in blocks.items():
            values[f"block/{name}/min_null_ratio"] = _least(x.null_ratio for x in inside)
        if self.probe is not None:
            values.update(self.probe.summary)
        return _named(values)

    @property
    def layer_metrics(self) -> dict[str, float]:
        """Returns the numbers of each layer: `rank_monitor/<layer>/<measure>`."""
        values = {
            f"{reading.layer}/{name}": getattr(reading, name)
            for reading in self.readings
            for name in _OF_LAYER
        }
        if self.probe is not None:
            values.update(self.probe.layer_values)
        return _named(values)

    def _trained(self) -> list[Reading]:
        return [reading for reading in self.readings if not reading.is_frozen]


def _named(values: dict[str, Optional[float]]) -> dict[str, float]:
    return {f"{PREFIX}/{name}": value for name, value in values.items() if value is not None}


def _count(readings: Iterable[Reading], verdict: Verdict) -> float:
    return float(sum(reading.verdict is verdict for reading in readings))


def _least(values: Iterable[Optional[float]]) -> Optional[float]:
    return min((value for value in values if value is not None), default=None)


def _badness(reading: Reading) -> tuple[int, float, float]:
    """The worst reading has the least."""
    severity = reading.verdict.severity
    ratio = reading.null_ratio
    return (
        -(severity if severity is not None else -1),
        -reading.rank_loss_percent,
        ratio if ratio is not None else float("inf"),
    )
