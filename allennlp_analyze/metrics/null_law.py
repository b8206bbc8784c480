"""The null law: quantiles of the k-th smallest singular value of a matrix of independent entries.

The Marchenko-Pastur law gives the place of each singular value, and a table of simulated matrices
how far the smallest ones stray from it: one or two widely at the hard edge (Q near 1, Edelman
1988), a little at the soft edge (Q clearly above 1, Tracy-Widom). scripts/study/null_law.py writes
the table; scripts/study/verdict_calibration.py compares the law with simulations. The entries are
Gaussian unless another kind is named; `null_kinds` has how much the medians of the others differ.
"""

import json
import math
from functools import lru_cache

import numpy as np

from allennlp_analyze.data import read_text
from allennlp_analyze.metrics.null_kinds import Entries, median_ratios

TABLE = "null_law.json"
# The probabilities of the table, and one that is extrapolated from the first two. So can be less.
RARELY, SELDOM, MEDIAN = 1e-3, 1e-2, 0.5
VERY_RARELY = 1e-4
_ANGLES = 4000


def marchenko_pastur_quantiles(n: int, m: int) -> np.ndarray:
    """Quantiles of the Marchenko-Pastur law at (k - 1/2) / m for k = 1 to m.

    Returns (m,) singular values, ascending, of an n x m matrix (n >= m) of entries with standard
    deviation 1. Agrees with the singular values of such matrices as m grows (Marchenko and Pastur
    1967).
    """
    ratio = m / n
    root = math.sqrt(ratio)
    # With x = 1 + ratio + 2 root cos(theta) for the eigenvalue over n, the law is an elementary
    # integral; `gap` = pi - theta is dense at the lower edge, where singular values are small.
    gap = np.concatenate([[0.0], np.geomspace(1e-7, np.pi, _ANGLES)])
    theta = np.pi - gap
    above = (
        (1 + ratio) * theta
        - 2 * root * np.sin(theta)
        - 2
        * (1 - ratio)
        * np.arctan2((1 - root) * np.sin(theta / 2), (1 + root) * np.cos(theta / 2))
    ) / (2 * np.pi * ratio)
    below = np.maximum.accumulate(np.concatenate([[0.0], 1 - above[1:]]))
    values = np.sqrt((1 - root) ** 2 + 4 * root * np.sin(gap / 2) ** 2)
    places = (np.arange(m) + 0.5) / m
    found: np.ndarray = math.sqrt(n) * np.interp(places, below, values)
    return found


@lru_cache(maxsize=64)
def null_quantiles(
    n: int, m: int, probability: float = MEDIAN, entries: Entries = Entries.GAUSSIAN
) -> np.ndarray:
    """Quantiles of the k-th smallest singular value, k = 1 to m.

    Returns a read-only (m,) array, ascending in k, for an n x m matrix (n >= m) of independent
    `entries` with standard deviation 1; multiply by another one: that of the law which they are
    drawn from, not of the sample. `probability` is MEDIAN, SELDOM, RARELY or less, down to 1e-12;
    below RARELY it is extrapolated as a power law of the two before, which is exact for the
    smallest value of a large square matrix, and too small otherwise.

    The medians of the lower half are within 5% for every kind of entries. The other quantiles of a
    kind that is not Gaussian are those of Gaussian entries times the ratio of the medians, and may
    be far off for M below 32. All values of an orthogonal matrix are sqrt(n), exactly.
    """
    if entries is Entries.ORTHOGONAL:
        quantiles = np.full(m, math.sqrt(n))
    else:
        quantiles = marchenko_pastur_quantiles(n, m) * _strays(n, m, probability)
        if entries is not Entries.GAUSSIAN:
            quantiles = quantiles * median_ratios(n, m, entries)
    quantiles.flags.writeable = False
    return quantiles


def _strays(n: int, m: int, probability: float) -> np.ndarray:
    """Quantiles of the k-th smallest value over its Marchenko-Pastur quantile, (m,)."""
    if probability < RARELY:
        rarely = _strays(n, m, RARELY)
        decades = math.log10(RARELY / probability)
        found: np.ndarray = rarely * (rarely / _strays(n, m, SELDOM)) ** decades
        return found
    table = _table()
    sizes = table.sizes
    upper = min(int(np.searchsorted(sizes, m)), len(sizes) - 1)
    lower = upper if sizes[upper] <= m else max(upper - 1, 0)
    first = table.at(lower, n - m, m, probability)
    if upper == lower:
        return first
    share = math.log(m / sizes[lower]) / math.log(sizes[upper] / sizes[lower])
    second = table.at(upper, n - m, m, probability)
    return first * (1 - share) + second * share


class _Table:
    """The simulated quantiles over the Marchenko-Pastur ones.

    `sizes` are the values of M, ascending; for each, `excesses` are those of N - M and `strays` an
    array (excesses, probabilities, k).
    """

    def __init__(self, text: str) -> None:
        contents = json.loads(text)
        self.probabilities: list[float] = contents["probabilities"]
        rows = contents["rows"]
        self.sizes = [int(row["M"]) for row in rows]
        self.excesses = [np.log1p(row["N - M"]) for row in rows]
        self.strays = [np.array(row["strays"]) for row in rows]

    def at(self, row: int, excess: int, m: int, probability: float) -> np.ndarray:
        """Returns (m,) strays of the row's M, interpolated at N - M = `excess`."""
        strays = self.strays[row][:, self.probabilities.index(probability)]
        place = math.log1p(excess)
        known = np.array([np.interp(place, self.excesses[row], column) for column in strays.T])
        k = np.arange(1, m + 1)
        last = len(known)
        # Values deep in the bulk stray less and less, about as 1 / k.
        tail = 1 - (1 - known[-1]) * last / np.maximum(k, last)
        tail[: min(last, m)] = known[:m]
        return tail


@lru_cache(maxsize=1)
def _table() -> _Table:
    return _Table(read_text(TABLE))
