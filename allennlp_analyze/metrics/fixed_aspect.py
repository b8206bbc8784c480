"""An exponent that does not depend on the aspect ratio, from square submatrices (FARMS).

Hu, Goel, Killiakov & Yang, *Eigenspectrum Analysis of Neural Networks without Aspect Ratio Bias*,
2025 (arXiv 2506.06280): submatrices of one aspect ratio are spread evenly over the matrix, their
eigenvalues are pooled, and the exponent is that of the upper half, which is Hill's estimate.
"""

from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np

from allennlp_analyze.metrics.power_law import MIN_EIGENVALUES

# The submatrices are squares of this side, or of the smaller dimension if that is less.
SIDE = 128
# At most so many along the smaller dimension, and in all.
ACROSS, IN_ALL = 3, 9


def squares(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yields the rows and columns of each submatrix of a matrix of `shape`.

    They overlap only as far as they must to cover both ends. There is none if they would be too
    small to have a tail.
    """
    if min(shape) < MIN_EIGENVALUES:
        return
    small, large = sorted(shape)
    side = side_of(shape)
    across = min(ACROSS, -(-small // side))
    along = min(IN_ALL // across, -(-large // side))
    wide = shape[0] <= shape[1]
    for row in _starts(shape[0], side, across if wide else along):
        for column in _starts(shape[1], side, along if wide else across):
            yield slice(row, row + side), slice(column, column + side)


def side_of(shape: tuple[int, int]) -> int:
    """Returns the number of rows and columns of each submatrix."""
    return min(*shape, SIDE)


def _starts(length: int, side: int, count: int) -> list[int]:
    return [round(start) for start in np.linspace(0, length - side, count).tolist()]


def hill_alpha(singular_values: Sequence[np.ndarray]) -> Optional[float]:
    """Returns alpha of the upper half of the pooled eigenvalues, the squares of these values.

    Each array has the positive singular values of one submatrix. None if there are fewer than 10,
    or if the upper half are all equal.
    """
    logs = 2.0 * np.log(np.sort(np.concatenate([np.empty(0), *singular_values])))
    if len(logs) < MIN_EIGENVALUES:
        return None
    upper = logs[len(logs) // 2 :]
    total = float(np.sum(upper - upper[0]))
    return 1.0 + len(upper) / total if total > 0 else None
