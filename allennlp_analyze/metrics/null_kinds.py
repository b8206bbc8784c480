"""How much the null law's medians differ for entries that are not Gaussian, such as uniform ones.

A second table has the simulated medians over those of the Gaussian law, for M up to 32;
scripts/study/null_law_entries.py writes it. The difference fades as matrices grow.
"""

import json
import math
from enum import Enum
from functools import lru_cache

import numpy as np

from allennlp_analyze.data import read_text

KINDS_TABLE = "null_law_entries.json"


class Entries(Enum):
    """Kinds of independent entries, and the orthogonal initialization."""

    GAUSSIAN = "Gaussian"
    UNIFORM = "uniform"
    TRUNCATED_NORMAL = "truncated"  # at two standard deviations, as torch's `trunc_normal_`
    HEAVY = "t(3)"  # Student's t with three degrees of freedom
    HALF_SPARSE = "half sparse"  # Gaussian, and each one 0 with probability 1/2
    ORTHOGONAL = "orthogonal"


# Above the M of the table the difference fades as this power of the square root of N M. Entries
# with a fourth moment differ as 1/M; those of t(3), which have none, more slowly (fitted from
# M = 32 to 256).
FADING = {
    Entries.UNIFORM: 1.0,
    Entries.TRUNCATED_NORMAL: 1.0,
    Entries.HALF_SPARSE: 1.0,
    Entries.HEAVY: 0.46,
}


def median_ratios(n: int, m: int, entries: Entries) -> np.ndarray:
    """Medians of the k-th smallest singular value over those of Gaussian entries, k = 1 to m.

    For an n x m matrix (n >= m) of independent `entries`: not GAUSSIAN, not ORTHOGONAL. It is 0
    where more than half of the matrices have a zero there. Between the table's sizes it is
    interpolated at the same aspect ratio.
    """
    rows = _tables()[entries]
    sizes = [row.m for row in rows]
    if m > sizes[-1]:
        # At the same aspect ratio, sqrt(N M) grows as M.
        fading = (sizes[-1] / m) ** FADING[entries]
        faded: np.ndarray = 1 + (rows[-1].at(n, m) - 1) * fading
        return faded
    upper = int(np.searchsorted(sizes, m))
    above = rows[upper].at(n, m)
    if upper == 0 or sizes[upper] == m:
        return above
    share = math.log(m / sizes[upper - 1]) / math.log(sizes[upper] / sizes[upper - 1])
    return rows[upper - 1].at(n, m) * (1 - share) + above * share


class _Row:
    """The ratios for one M: an array (values of N - M, values of k)."""

    def __init__(self, m: int, excesses: list[int], k: list[int], thousandths: list[list[int]]):
        self.m = m
        self.excesses = np.log1p(excesses)
        self.k = np.log(k)
        self.ratios = np.array(thousandths) / 1000

    def at(self, n: int, m: int) -> np.ndarray:
        """Returns (m,) ratios at the aspect ratio of an n x m matrix."""
        place = math.log1p((n - m) * self.m / m)
        known = [float(np.interp(place, self.excesses, column)) for column in self.ratios.T]
        # The smallest one stays the smallest, the largest the largest.
        k = np.log(np.arange(1, m + 1)) * (math.log(self.m) / math.log(max(m, 2)))
        found: np.ndarray = np.interp(k, self.k, known)
        return found


@lru_cache(maxsize=1)
def _tables() -> dict[Entries, list[_Row]]:
    contents = json.loads(read_text(KINDS_TABLE))
    return {
        Entries(kind): [_Row(row["M"], row["N - M"], row["k"], row["thousandths"]) for row in rows]
        for kind, rows in contents["kinds"].items()
    }
