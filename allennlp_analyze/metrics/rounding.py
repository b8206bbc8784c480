"""The noise of storing a matrix in few digits: its spacing and its largest singular value."""

import math
from dataclasses import dataclass, field

import numpy as np

from allennlp_analyze.metrics.ranks import STORED_EPS

# The exponents below which numbers of a type have one spacing.
_LOWEST = {
    "float64": -1022,
    "float32": -126,
    "float16": -14,
    "bfloat16": -126,
    "float8_e4m3fn": -6,
    "float8_e4m3fnuz": -7,
    "float8_e5m2": -14,
    "float8_e5m2fnuz": -15,
}


def is_rounded(dtype: str) -> bool:
    """Whether the spacing of the numbers of this type is known."""
    return dtype in _LOWEST


def spacing(values: np.ndarray, dtype: str) -> np.ndarray:
    """The distance from each of `values` to the next larger magnitude that `dtype` can hold.

    Agrees with `numpy.spacing` for numpy's types, but is never negative, and the same on both sides
    of a power of two.
    """
    exponent = np.where(values == 0, _LOWEST[dtype], np.frexp(values)[1] - 1)
    return np.ldexp(STORED_EPS[dtype], np.maximum(exponent, _LOWEST[dtype]))


def stored_in(values: np.ndarray, dtype: str) -> str:
    """The smallest of float32, bfloat16 and float16 that holds all `values` of type `dtype`.

    Weights are often saved in a wider type than they were rounded to.
    """
    if dtype not in ("float64", "float32"):
        return dtype
    with np.errstate(over="ignore"):
        narrow = np.asarray(values, np.float32)
        if not np.array_equal(narrow, values):
            return dtype
        if not np.any(np.ascontiguousarray(narrow).view(np.uint32) & 0xFFFF):
            return "bfloat16"
        return "float16" if np.array_equal(narrow.astype(np.float16), narrow) else "float32"


def widest(one: str, other: str) -> str:
    """The type, of two that `stored_in` returns, that holds the numbers of both."""
    if one == other:
        return one
    order = ("float64", "float32")
    return next((x for x in order if x in (one, other)), "float32")


@dataclass
class RoundingNoise:
    """Sums the variances of rounding errors over blocks of rows (k, columns) of a matrix.

    An error is close to uniform over one spacing, so its variance is spacing^2 / 12.
    """

    columns: np.ndarray = field(repr=False)
    largest_row: float = 0.0
    total: float = 0.0

    def add(self, variances: np.ndarray) -> None:
        self.columns += variances.sum(axis=0)
        rows = variances.sum(axis=1)
        self.largest_row = max(self.largest_row, float(rows.max()))
        self.total += float(rows.sum())

    @property
    def edge(self) -> float:
        """The largest singular value that independent errors of these variances reach.

        The largest root of a row's sum plus that of a column's (Bandeira & van Handel 2016,
        theorem 1.1); for equal variances s^2 it is the Marchenko-Pastur edge s (sqrt N + sqrt M).
        docs/how-to/compare.md says how near rounding comes to it.
        """
        return math.sqrt(self.largest_row) + math.sqrt(float(self.columns.max()))
