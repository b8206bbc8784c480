"""Finds the largest singular values of a matrix with their vectors, and compares two sets of them.

A leading direction of one matrix that has no counterpart in another is an intruder dimension
(Shuttleworth et al. 2024, arXiv 2410.21228).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, Union

import numpy as np

from allennlp_analyze.results.adapter import INTRUDER_COSINE

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

# As many of the largest singular vectors are compared as in arXiv 2410.21228.
TOP = 10
# Up to this smaller dimension all singular vectors are computed at once.
DENSE = 64
# An SVD of a larger matrix takes minutes.
MOST_DIMENSIONS = 8192
# A share of a vector's square that is only rounding.
_ROUNDING = 1e-9
_SEED = 2018

Matrix = Union[np.ndarray, "LinearOperator"]


@dataclass(frozen=True)
class Leading:
    """The largest singular values (k,), descending, with their vectors.

    `left` is (outputs, k), `right` (inputs, k); their columns are orthonormal.
    """

    left: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    right: np.ndarray = field(repr=False)


def leading(matrix: Matrix, count: int = TOP) -> Optional[Leading]:
    """Returns the `count` largest (or all) of a float64 `matrix` (outputs, inputs) other than 0.

    Agrees with `numpy.linalg.svd`. Returns None if the iteration does not converge.
    """
    from scipy.sparse.linalg import ArpackError, svds

    count = min(count, *matrix.shape)
    if min(matrix.shape) <= max(DENSE, count + 1):
        left, values, right = np.linalg.svd(_dense(matrix), full_matrices=False)
        return Leading(left[:, :count], values[:count], right[:count].T)
    start = np.random.default_rng(_SEED).standard_normal(min(matrix.shape))
    try:
        left, values, right = svds(matrix, k=count, v0=start)
    except ArpackError:
        return None
    order = np.argsort(-values)
    return Leading(left[:, order], values[order], right[order].T)


def _dense(matrix: Matrix) -> np.ndarray:
    if isinstance(matrix, np.ndarray):
        return matrix
    return np.asarray(matrix.matmat(np.eye(matrix.shape[1])))


def changed_by(weights: np.ndarray, up: np.ndarray, down: np.ndarray) -> "LinearOperator":
    """Returns `weights` + `up` `down` as an operator, without forming the product."""
    from scipy.sparse.linalg import LinearOperator

    return LinearOperator(
        weights.shape,
        matvec=lambda v: weights @ v + up @ (down @ v),
        rmatvec=lambda v: weights.T @ v + down.T @ (up.T @ v),
        matmat=lambda v: weights @ v + up @ (down @ v),
        rmatmat=lambda v: weights.T @ v + down.T @ (up.T @ v),
        dtype=np.float64,
    )


def intruders(before: np.ndarray, known: np.ndarray, vectors: np.ndarray) -> int:
    """Counts the `vectors` (outputs, k) without a counterpart among those of `before`.

    A left singular vector of another matrix is an intruder if its cosine to every left singular
    vector of `before` (outputs, inputs) is below INTRUDER_COSINE. `known` are the leading left
    singular vectors of `before`: only if they leave a vector open, all others are computed.
    """
    cosines = np.abs(known.T @ vectors)
    paired = np.max(cosines, axis=0) >= INTRUDER_COSINE
    # What is left of a vector outside `known` bounds its cosine to all others.
    left_over = 1 - np.sum(cosines**2, axis=0)
    is_open = ~paired & (left_over > INTRUDER_COSINE**2 - _ROUNDING)
    if is_open.any():
        others = _all_left(before).T @ vectors[:, is_open]
        paired[is_open] = np.max(np.abs(others), axis=0) >= INTRUDER_COSINE
    return int(np.count_nonzero(~paired))


def _all_left(matrix: np.ndarray) -> np.ndarray:
    """All left singular vectors (outputs, M) of `matrix`; a wide one is reduced first."""
    if matrix.shape[0] < matrix.shape[1]:
        matrix = np.asarray(np.linalg.qr(matrix.T, mode="r")).T
    return np.asarray(np.linalg.svd(matrix, full_matrices=False)[0])


def principal_angles(one: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    """Returns the angles between the spans of two sets of orthonormal columns.

    Degrees, ascending, one for each column; by `scipy.linalg.subspace_angles`.
    """
    from scipy.linalg import subspace_angles

    return tuple(float(x) for x in np.degrees(subspace_angles(one, other)[::-1]))
