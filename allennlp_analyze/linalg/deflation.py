"""Finds the singular values that the Gram matrix has lost, in the space of them alone.

Where the spectrum has a gap, the space of the values below it is found from the Gram matrix: by
inverse iteration, or as the complement of the space above, whichever is smaller. W restricted to
that space is small, so its own Gram matrix has the digits that were lost beside the large values.
What the two spaces still have to do with each other is measured, and moves a squared value by at
most the square of it divided by the gap (Mathias 1998, Quadratic residual bounds for the Hermitian
eigenvalue problem).
"""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from allennlp_analyze.linalg.gram import SAFE_SQUARES, add_gram
from allennlp_analyze.linalg.refine import Refined
from allennlp_analyze.linalg.tridiagonal import symmetric_eigenvalues
from allennlp_analyze.sources.blocks import Entries

# The gap lies below this fraction of the largest eigenvalue, and is at least this wide.
BELOW = 1e-4
WIDTH = 1e3
# Up to this share of directions above the gap, the space below is taken as their complement.
COMPLEMENT_SHARE = 1 / 3
# What an iteration may leave of the other space; rounding leaves about as much.
LEFT = 1e-15
# Inverses of a spread up to this need no orthogonal basis in between.
SPREAD = 1e3
_SEED = 2018


@dataclass(frozen=True)
class _Space:
    """The span of the columns of `basis` (M, k), or its complement."""

    basis: np.ndarray = field(repr=False)
    complement: bool


def deflated(
    entries: Entries, scale: float, gram: np.ndarray, eigenvalues: np.ndarray, lost: int
) -> Optional[Refined]:
    """Returns at least the `lost` smallest singular values of scale * W; None without a wide gap.

    `gram` (M, M) holds the upper triangle of the Gram matrix of scale * W and is overwritten.
    `eigenvalues` (M,) are those of `gram`, ascending.
    """
    m, eps = len(gram), float(np.finfo(np.float64).eps)
    known_to = m * eps * float(eigenvalues[-1])
    count = _gap(eigenvalues, lost, known_to)
    space = None if count is None else _space_below(gram, eigenvalues, count, known_to)
    if count is None or space is None:
        return None
    inner, coupling = _inner_gram(entries, scale, space)
    trace = float(np.trace(inner))
    if trace <= max(eps * known_to, SAFE_SQUARES[0]):  # an SVD cannot tell it from zero
        squares, error = np.zeros(count), trace
    else:
        # A complement still has all M columns, so it has zeros for the directions above the gap.
        squares = symmetric_eigenvalues(inner)[-count:]
        error = m * eps * float(squares[-1])
    gap = float(eigenvalues[count]) - known_to - float(squares[-1])
    if gap <= 0:
        return None
    return Refined(np.sqrt(np.maximum(squares, 0.0)), error + coupling**2 / gap)


def _gap(eigenvalues: np.ndarray, lost: int, known_to: float) -> Optional[int]:
    """How many of the ascending `eigenvalues` lie below the widest gap; None if it is narrow."""
    last = int(np.searchsorted(eigenvalues, BELOW * eigenvalues[-1]))
    counts = np.arange(lost, min(max(last, lost) + 1, len(eigenvalues)))
    ratios = eigenvalues[counts] / np.maximum(eigenvalues[counts - 1], known_to)
    best = int(np.argmax(ratios)) if len(ratios) else 0
    return int(counts[best]) if len(ratios) and ratios[best] >= WIDTH else None


def _space_below(
    gram: np.ndarray, eigenvalues: np.ndarray, count: int, known_to: float
) -> Optional[_Space]:
    """Returns the space of the `count` smallest eigenvalues; None if it is not found."""
    above = len(gram) - count
    below = max(float(eigenvalues[count - 1]), known_to)
    steps = 1 + int(np.ceil(np.log(LEFT) / np.log(below / float(eigenvalues[count]))))
    draw = np.random.default_rng(_SEED).standard_normal
    if above <= COMPLEMENT_SHARE * len(gram):
        return _Space(_largest(gram, draw((len(gram), above)), steps), complement=True)
    spread = (below + known_to) / known_to
    found = _smallest(gram, draw((len(gram), count)), steps, known_to, spread)
    return None if found is None else _Space(found, complement=False)


def _largest(gram: np.ndarray, basis: np.ndarray, steps: int) -> np.ndarray:
    from scipy.linalg import blas

    for _ in range(steps):
        basis = np.linalg.qr(blas.dsymm(1.0, gram.T, basis, lower=True))[0]
    return basis


def _smallest(
    gram: np.ndarray, basis: np.ndarray, steps: int, shift: float, spread: float
) -> Optional[np.ndarray]:
    from scipy.linalg import cho_solve, lapack

    # Rounding may have made the Gram matrix indefinite; a shift of that size makes it definite.
    gram[np.diag_indices(len(gram))] += shift
    factor, failed = lapack.dpotrf(gram.T, lower=True, clean=False, overwrite_a=True)
    if failed:
        return None
    for step in range(steps):
        basis = cho_solve((factor, True), basis, check_finite=False)
        if spread > SPREAD or step == steps - 1:
            basis = np.linalg.qr(basis)[0]
    return basis


def _inner_gram(entries: Entries, scale: float, space: _Space) -> tuple[np.ndarray, float]:
    """Returns the Gram matrix of W restricted to `space`, and its coupling to the other space.

    The coupling is the Frobenius norm of U^T W^T W V, for bases V of `space` and U of the other.
    """
    basis = space.basis
    size = entries.M if space.complement else basis.shape[1]
    inner = np.zeros((size, size))
    outer = np.zeros((basis.shape[1], size) if space.complement else basis.shape)
    for rows in entries.blocks(scale):
        if space.complement:
            image = rows @ basis
            restricted = rows - image @ basis.T
            outer += image.T @ restricted
        else:
            restricted = rows @ basis
            outer += rows.T @ restricted
        add_gram(inner, restricted)
    if not space.complement:
        whole = np.triu(inner) + np.triu(inner, 1).T
        outer -= basis @ whole
    return inner, float(np.linalg.norm(outer))
