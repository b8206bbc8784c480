"""Refines the smallest singular values of a matrix, whose digits the Gram matrix has lost.

Inverse iteration with the Gram matrix finds the space V of its smallest eigenvectors with a small
error. The singular values of W V, computed from W itself, contain only the square of that error
(Rayleigh-Ritz; Parlett, The Symmetric Eigenvalue Problem, chapter 11).
"""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from allennlp_analyze.sources.blocks import Entries

# Extra directions to iterate beside the wanted ones; more of them speed up convergence.
EXTRA = 24
ITERATIONS = 12
_SEED = 2018


@dataclass(frozen=True)
class Refined:
    """Singular `values` (k,) ascending, and a bound on the `error` of their squares."""

    values: np.ndarray = field(repr=False)
    error: float


def smallest_singular_values(
    entries: Entries, scale: float, gram: np.ndarray, eigenvalues: np.ndarray, count: int
) -> Optional[Refined]:
    """Returns the `count` smallest singular values of scale * W, or None without convergence.

    `gram` (M, M) holds the upper triangle of the Gram matrix of scale * W and is overwritten.
    `eigenvalues` (M,) are those of `gram`, ascending. The error bound is that of Kato and Temple:
    the squared residual divided by the distance to the rest of the spectrum.
    """
    from scipy.linalg import cho_solve, lapack

    m, width = len(gram), 2 * count + EXTRA
    known_to = m * float(np.finfo(np.float64).eps * eigenvalues[-1])
    gap = float(eigenvalues[width] - eigenvalues[count - 1])
    if gap <= 0:
        return None
    # Rounding may have made the Gram matrix indefinite; a shift of that size makes it definite.
    gram[np.diag_indices(m)] += known_to
    factor, failed = lapack.dpotrf(gram.T, lower=True, clean=False, overwrite_a=True)
    if failed:
        return None
    space = np.random.default_rng(_SEED).standard_normal((m, width))
    for _ in range(ITERATIONS):
        space = np.linalg.qr(cho_solve((factor, True), space, check_finite=False))[0]
    _, values, rotation = np.linalg.svd(_r_factor_of_product(entries, scale, space))
    wanted = np.arange(width - 1, width - 1 - count, -1)
    vectors = space @ rotation[wanted].T
    # The Gram matrix has the same values approximately, so a missed direction shows here.
    if np.any(np.abs(values[wanted] ** 2 - eigenvalues[:count]) > known_to):
        return None
    residual = _gram_times(entries, scale, vectors) - vectors * values[wanted] ** 2
    return Refined(values[wanted], float(np.linalg.norm(residual)) ** 2 / gap)


def _r_factor_of_product(entries: Entries, scale: float, space: np.ndarray) -> np.ndarray:
    """Returns the triangular factor (k, k) of scale * W V for V = `space` (M, k)."""
    factor = np.zeros((0, space.shape[1]))
    for rows in entries.blocks(scale):
        factor = np.asarray(np.linalg.qr(np.concatenate([factor, rows @ space]), mode="r"))
    return factor


def _gram_times(entries: Entries, scale: float, vectors: np.ndarray) -> np.ndarray:
    """Returns (scale W)^T (scale W) times `vectors` (M, k)."""
    product = np.zeros_like(vectors)
    for rows in entries.blocks(scale):
        product += rows.T @ (rows @ vectors)
    return product
