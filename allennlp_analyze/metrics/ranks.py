"""Hard rank: the number of singular values above zero, under four tolerances."""

import math

import numpy as np

from allennlp_analyze.metrics.norms import frobenius_norm
from allennlp_analyze.results.layer import HardRank, Tolerances

# Spacing of numbers just above 1 in the type in which the weights are stored.
STORED_EPS = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3,
    "float8_e4m3fnuz": 2.0**-3,
    "float8_e5m2": 2.0**-2,
    "float8_e5m2fnuz": 2.0**-2,
    "float8_e8m0fnu": 1.0,  # powers of two
}

# Rounding moves the zero singular values of a product of Gaussian factors to at most 1.1 times the
# bound below for rank 10 and more, and 2.1 times for rank 1, whose rows differ in size
# (tests/metrics/test_ranks.py measures this). The smallest singular value of a random matrix of
# Q = 1.1 stored in bfloat16 is still four times this tolerance.
ROUNDING_MARGIN = 2.5
# In float8, rounding comes so close to the smallest direction of a random matrix that only the
# bound itself separates them; a matrix of rank 1 may keep a false direction there.
FLOAT8_MARGIN = 1.1


def compute_eps(dtype: str) -> float:
    """Epsilon for the tolerances of computing: float64's for float64, otherwise float32's."""
    return STORED_EPS["float64"] if dtype == "float64" else STORED_EPS["float32"]


def rounding_tolerance(dtype: str, rms: float, rows: int, columns: int) -> float:
    """The largest singular value that rounding to `dtype` alone can produce, with a margin.

    Rounding errors are close to independent and uniform over one spacing, so their standard
    deviation is at most eps/sqrt(12) * rms, and the largest singular value of such a matrix is that
    times sqrt(N) + sqrt(M) (the Marchenko-Pastur edge).
    """
    noise = STORED_EPS[dtype] / math.sqrt(12.0) * rms
    margin = FLOAT8_MARGIN if dtype.startswith("float8") else ROUNDING_MARGIN
    return margin * noise * (math.sqrt(rows) + math.sqrt(columns))


def tolerances(
    singular_values: np.ndarray, shape: tuple[int, int], dtype: str, loose: float
) -> Tolerances:
    """The four tolerances for a matrix of `shape` stored as `dtype`, in units of singular values.

    `numpy` is that of numpy.linalg.matrix_rank, `numerical_recipes` that of Press et al. (section
    2.6.4), and `loose` the absolute one of the 2018 study; for `rounding` see `rounding_tolerance`.
    `singular_values` (M,) descending.
    """
    eps = compute_eps(dtype)
    sigma_max = float(singular_values[0])
    rms = frobenius_norm(singular_values) / math.sqrt(shape[0] * shape[1])
    # No spectrum is more accurate than float64 arithmetic.
    computing = sigma_max * max(shape) * STORED_EPS["float64"]
    return Tolerances(
        numpy=sigma_max * max(shape) * eps,
        numerical_recipes=sigma_max * eps / 2 * math.sqrt(sum(shape) + 1),
        loose=loose,
        rounding=max(rounding_tolerance(dtype, rms, *shape), computing),
    )


def hard_rank(singular_values: np.ndarray, tolerance: Tolerances) -> HardRank:
    """Count the `singular_values` (M,) strictly above each tolerance."""

    def above(limit: float) -> int:
        return int(np.count_nonzero(singular_values > limit))

    return HardRank(
        numpy=above(tolerance.numpy),
        numerical_recipes=above(tolerance.numerical_recipes),
        loose=above(tolerance.loose),
        rounding=above(tolerance.rounding),
    )
