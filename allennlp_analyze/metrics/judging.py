"""The rule that decides which directions of a layer are lost or weak, for every shape.

docs/explanation/verdict.md gives the reasons and the error rates, which
scripts/study/verdict_calibration.py measures. All limits but DECAYED_SHARE and SUNK_SHARE are
ratios of singular values of one matrix, so the unit of the weights does not matter.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import numpy as np

from allennlp_analyze.metrics.null_law import VERY_RARELY, null_quantiles
from allennlp_analyze.results.verdict import (
    LOST_SHARE,
    MANY_SHARE,
    NEAR_SHARE,
    is_nearly_square,
)

# A block of directions is apart from the others if its largest singular value is at most this
# share of the median of the others, and their ratio to the null law rises by the factor GAP.
APART_SHARE = 0.03
GAP = 2.0
# Of the quantile at one in 10,000: in squares many directions are tried.
RARE_MARGIN = 0.9
# A block of more than this share of the directions is the bulk itself, and either it sank or the
# others grew: only the scale tells.
BULK_SHARE = 0.9
# About one random square in 3,000 is taken for one that has lost something. From so many squares in
# a model on, each must be more unusual, so that fewer than one model in 100 is.
FEW_SQUARES = 20
# In squares, two directions and 2% of all make a lowest part that can be judged as a whole.
PART_SHARE = 0.02
# A weak direction: below this share of the null law, and with this step to the next one.
WEAK_SHARE, WEAK_GAP = 0.6, 1.25
# A layer has decayed away if its entries are below this share of every usual initialization.
DECAYED_SHARE = 1e-3
# A bulk has sunk if it is below this share of every usual initialization.
SUNK_SHARE = 0.1
# If rounding hides more than this share of the directions, nobody can tell.
HIDDEN_SHARE = 0.05
# The smallest usual standard deviation of Transformers (`initializer_range`).
USUAL_RANGE = 0.02


def noise_floor(rms_error: float, n: int, m: int) -> float:
    """The largest singular value of independent errors in the entries of an n x m matrix.

    It is what quantization can leave of a lost direction (the Marchenko-Pastur edge).
    """
    return rms_error * (math.sqrt(n) + math.sqrt(m))


@dataclass(frozen=True)
class Judged:
    """What the singular values alone say.

    `lost` counts the lost directions, `weak` further ones above them that are worth a cause, and
    `hidden` those that rounding or quantization hides. `limit` is the largest lost singular value
    that the rule allows; `null_ratio` and `start_ratio` are those of `results.evidence.Evidence`.
    `has_decayed` if all weights are far below any usual start; `is_sunk` if the lost directions are
    most of a bulk that is; `has_spikes` if that bulk is where a usual start puts it, so that the
    others grew; `near` counts the smallest directions that are nearly lost, if none is lost.
    """

    lost: int
    weak: int
    hidden: int
    limit: float
    null_ratio: Optional[float]
    start_ratio: Optional[float]
    has_decayed: bool = False
    is_sunk: bool = False
    has_spikes: bool = False
    near: int = 0

    @property
    def is_near(self) -> bool:
        """Whether the smallest direction is nearly lost."""
        return self.near > 0

    @property
    def is_hidden(self) -> bool:
        """Whether rounding hides so many directions that the others say nothing."""
        return self.lost == 0 and self.limit == 0.0


def usual_start(n: int, m: int) -> float:
    """The smallest standard deviation of the usual initializations of an n x m matrix (n >= m).

    torch's Linear and convolutions draw from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), Xavier and He
    more, Transformers from N(0, 0.02). fan_in is at most n.
    """
    return min(USUAL_RANGE, 1 / math.sqrt(3 * n))


def judge(
    singular_values: np.ndarray,
    entry_std: float,
    n: int,
    m: int,
    zero: float,
    floor: float = 0.0,
    squares: int = 1,
) -> Judged:
    """Judge an n x m matrix (n >= m) with `singular_values` (m,), descending.

    `entry_std` is the standard deviation of its entries, `zero` the largest singular value that
    rounding to the stored precision and computing can leave of a lost direction, and `floor` that
    of the noise of quantization. A direction in the noise that is rarely so small may be lost or
    not: nothing tells, so it is hidden. `squares` is the number of nearly square matrices that are
    judged together.
    """
    if singular_values[0] == 0 or entry_std == 0:
        all_lost = int((singular_values <= zero).sum())
        return Judged(all_lost, 0, 0, zero, None, 0.0 if singular_values[0] == 0 else None)
    unit = float(singular_values[0])  # so that nothing overflows
    values, entry_std, zero, floor = (
        singular_values[::-1] / unit,
        entry_std / unit,
        zero / unit,
        floor / unit,
    )
    rms = math.sqrt(float(np.sum(values**2)) / (n * m))
    spectrum = _Ratios(values, entry_std, n, m, squares)
    start_ratio = rms * (unit / usual_start(n, m))
    hidden = int((spectrum.null <= max(zero, floor)).sum())
    lost = max(_below_rounding(spectrum, zero), _apart(spectrum), _deep(spectrum))
    if lost > BULK_SHARE * m and values[lost - 1] > zero:
        lost = _below_rounding(spectrum, zero)
    many = int((spectrum.ratios < NEAR_SHARE).sum())
    is_many = many - lost >= max(MANY_SHARE * m, 2)
    bulk = entry_std * float(np.median(spectrum.ratios[lost:many])) if is_many else 0.0
    is_sunk = is_many and bulk * unit < SUNK_SHARE * usual_start(n, m)
    if is_sunk:
        lost = many
    elif lost >= m / 2:
        level = entry_std * float(np.median(spectrum.ratios[:lost])) * unit
        is_sunk = level < SUNK_SHARE * usual_start(n, m)
    in_noise = _below_rounding(spectrum, floor) if floor > zero else 0
    hides = lost == 0 and (hidden > HIDDEN_SHARE * m or in_noise > 0)
    hidden = max(hidden, in_noise)
    limit = 0.0 if hides else max(zero, spectrum.limit, float(values[lost - 1]) if lost else 0.0)
    return Judged(
        lost,
        0 if lost else _weak(spectrum),
        hidden,
        limit * unit,
        float(spectrum.ratios[0]),
        start_ratio,
        has_decayed=start_ratio < DECAYED_SHARE,
        is_sunk=is_sunk,
        has_spikes=is_many and not is_sunk,
        near=0 if lost or (is_many and not is_sunk) else _near(spectrum),
    )


class _Ratios:
    """Ascending singular values (m,), and their ratios to the null law's medians."""

    def __init__(self, values: np.ndarray, entry_std: float, n: int, m: int, squares: int) -> None:
        self.values, self.n, self.m, self.std = values, n, m, entry_std
        self.rarely = VERY_RARELY
        if is_nearly_square(n, m):
            self.rarely *= min(1.0, FEW_SQUARES / squares)
        # Of Gaussian entries: a layer does not tell its kind (docs/explanation/verdict.md).
        self.null = entry_std * null_quantiles(n, m)
        self.ratios = values / self.null
        # Of the bulk above each direction, at its middle: spikes and lost directions both lower
        # the ratios of all others.
        middle = (np.arange(m) + m) // 2
        tiny = np.finfo(np.float64).tiny
        self.levels = np.clip(self.ratios[np.minimum(middle, m - 1)], tiny, 1.0)
        self.medians = values[np.minimum(middle, m - 1)]

    @cached_property
    def rare(self) -> np.ndarray:
        """What the null law falls below in one of 10,000 matrices, at the level of the bulk.

        More rarely in a model of many squares. With a margin, since any of the smallest directions
        may do so.
        """
        quantiles = null_quantiles(self.n, self.m, self.rarely)
        found: np.ndarray = RARE_MARGIN * self.std * self.levels * quantiles
        return found

    @property
    def limit(self) -> float:
        """The limit for the smallest singular value alone."""
        own = LOST_SHARE * float(self.levels[0] * self.null[0])
        return min(own, float(self.rare[0]))


def _below_rounding(spectrum: _Ratios, zero: float) -> int:
    """Directions within rounding, if the null law hardly ever has as many of them so small."""
    lost = (spectrum.values <= zero) & (spectrum.values < spectrum.rare)
    return int(np.flatnonzero(lost)[-1]) + 1 if lost.any() else 0


def _apart(spectrum: _Ratios) -> int:
    """The largest block of smallest directions that stands apart from the others."""
    m = spectrum.m
    if m < 2:
        return 0
    k = np.arange(1, m)  # the size of the block
    last = spectrum.values[:-1]
    step = np.minimum(k + (k - 1) // 2, (k + m - 1) // 2)  # a few directions further on
    rise = spectrum.ratios[np.maximum(step, k)] / np.maximum(spectrum.ratios[:-1], 1e-300)
    apart = (
        (last <= APART_SHARE * spectrum.medians[1:]) & (rise >= GAP) & (last < spectrum.rare[:-1])
    )
    return int(k[apart][-1]) if apart.any() else 0


def _deep(spectrum: _Ratios) -> int:
    """The smallest directions that are far below the null law, whatever comes next."""
    own = spectrum.ratios / spectrum.levels
    deep = (own <= LOST_SHARE) & (spectrum.values < spectrum.rare)
    return int(np.flatnonzero(deep)[-1]) + 1 if deep.any() else 0


def _near(spectrum: _Ratios) -> int:
    """How many directions are nearly lost, 0 if too few for a square."""
    own = spectrum.ratios / spectrum.levels
    near = (own < NEAR_SHARE) & (spectrum.values < spectrum.rare)
    square = is_nearly_square(spectrum.n, spectrum.m)
    needed = max(2, math.ceil(PART_SHARE * spectrum.m)) if square else 1
    found = int(near.sum())
    return found if found >= needed else 0


def _weak(spectrum: _Ratios) -> int:
    """1 if the smallest direction is clearly below the next one and the null law, else 0."""
    if spectrum.m < 3 or is_nearly_square(spectrum.n, spectrum.m):
        return 0
    own = spectrum.ratios[0] / spectrum.levels[0]
    step = spectrum.ratios[1] / spectrum.ratios[0]
    is_rare = spectrum.values[0] < spectrum.rare[0]
    return int(own < WEAK_SHARE and step >= WEAK_GAP and is_rare)
