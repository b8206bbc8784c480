"""Finds all singular values of a matrix that has few which float64 can tell from zero.

A random sample of the rows and columns spans the space of these values (Halko, Martinsson & Tropp
2011, Finding structure with randomness). What is left of the matrix outside it is measured: no
singular value is wrong by more than its norm (Weyl). No gap in the spectrum is needed.
"""

from typing import Optional

import numpy as np

from allennlp_analyze.linalg.gram import add_gram
from allennlp_analyze.linalg.refine import Refined
from allennlp_analyze.sources.blocks import Entries

# A Gram matrix shows half the digits, so there are about twice as many values as it shows.
SHOWN = 2
EXTRA = 20
# With more directions than one in this many, the sample costs a good part of an SVD.
SHARE = 8
# Errors of LAPACK's SVD, in units of rounding of the largest value; it is rarely worse by chance.
SVD_ROUNDING = 8
_SEED = 2018


def all_values(entries: Entries, scale: float, eigenvalues: np.ndarray) -> Optional[Refined]:
    """Returns all singular values (M,) of scale * W, ascending; None if too many are not zero.

    The images of the sample need no more memory than a matrix of M x M.

    `eigenvalues` (M,) are those of the Gram matrix of scale * W, ascending. `error` is that of the
    values, not of their squares.
    """
    m, eps = entries.M, float(np.finfo(np.float64).eps)
    shown = int(np.count_nonzero(eigenvalues > m * eps * eigenvalues[-1]))
    count = SHOWN * shown + EXTRA
    if count * SHARE > m or 2 * count * entries.N > m * m:  # beside the Gram matrix
        return None
    basis = _row_space(entries, scale, count)
    inside = np.concatenate([rows @ basis for rows in entries.blocks(scale)])
    _, found, rotation = np.linalg.svd(np.linalg.qr(inside, mode="r"))
    del inside
    values = np.concatenate([np.zeros(m - count), found[::-1]])
    # The fewer directions, the less rounding is in what is left.
    basis = basis @ rotation[found > eps * found[0]].T
    rounding = eps * float(found[0])
    return Refined(
        values, rounding * (_norm_outside(entries, scale / rounding, basis) + SVD_ROUNDING)
    )


def _norm_outside(entries: Entries, scale: float, basis: np.ndarray) -> float:
    """Returns a bound on the largest singular value of scale * W outside the span of `basis`.

    The norm of a Gram matrix is the sum of the fourth powers of singular values, in which many
    small ones, as those of rounding are, count little.
    """
    gram = np.zeros((entries.M, entries.M))
    for rows in entries.blocks(scale):
        for _ in range(2):  # the basis is orthonormal up to rounding
            rows = rows - (rows @ basis) @ basis.T
        add_gram(gram, rows)
    beside = sum(float(np.sum(gram[i, i + 1 :] ** 2)) for i in range(len(gram)))
    return float((2 * beside + np.sum(np.diagonal(gram) ** 2)) ** 0.25)


def _row_space(entries: Entries, scale: float, count: int) -> np.ndarray:
    """Returns an orthonormal basis (M, count) of what `count` random images show of the rows."""
    draw = np.random.default_rng(_SEED).standard_normal((entries.M, count))
    images = np.concatenate([rows @ draw for rows in entries.blocks(scale)])
    columns = np.linalg.qr(images)[0]
    found, position = np.zeros((entries.M, count)), 0
    for rows in entries.blocks(scale):
        found += rows.T @ columns[position : position + len(rows)]
        position += len(rows)
    return np.linalg.qr(found)[0]
