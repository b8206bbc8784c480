"""Finds singular vectors of the smallest singular values of a matrix, by inverse iteration."""

from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.linalg.gram import add_gram
from allennlp_analyze.sources.blocks import Entries

# More directions than this are represented by as many random ones among them.
MOST_VECTORS = 32
# Up to this M an inverse costs less than importing scipy.
SMALL = 768
# For so many vectors two solutions cost less than an inverse; the shift is a little smaller than
# the smallest eigenvalue.
FEW, NEAR = 8, 0.999
_EXTRA = 4
_ITERATIONS = 6
_SEED = 2018


@dataclass(frozen=True)
class Lowest:
    """Singular vectors of the smallest singular values of an N x M matrix W (N >= M).

    `vectors` (M, k) are orthonormal, on the side of the smaller dimension, and `values` (k,) are
    |W v|, ascending. `lengths` (M,) are the lengths of the M columns of W, and `gram` (M, M) the
    products of the columns in another unit.
    """

    values: np.ndarray = field(repr=False)
    vectors: np.ndarray = field(repr=False)
    lengths: np.ndarray = field(repr=False)
    gram: np.ndarray = field(repr=False)

    def cosines(self, columns: np.ndarray) -> np.ndarray:
        """Cosines (c, c) of the angles between some `columns` (c,); 0 for columns of zeros."""
        products = self.gram[np.ix_(columns, columns)]
        lengths = np.sqrt(np.diagonal(products))
        units = np.where(lengths > 0, lengths, 1.0)
        found: np.ndarray = products / units / units[:, None]
        return found


@dataclass(frozen=True)
class Known:
    """The Gram matrix (M, M) of `scale` times a matrix: its upper triangle.

    All its eigenvalues have at least half their digits. `smallest` is the smallest singular value.
    """

    gram: np.ndarray = field(repr=False)
    scale: float
    smallest: float = 0.0


def lowest_vectors(
    entries: Entries, count: int, limit: float, known: Optional[Known] = None
) -> Lowest:
    """Singular vectors of the `count` smallest singular values, all of which are at most `limit`.

    If there are more than MOST_VECTORS, the vectors are random ones in their space. Agrees with
    numpy.linalg.svd up to rotations within the space. The entries must be finite. `known` saves the
    passes over them; its matrix is not changed.
    """
    m = entries.M
    found = known or _gram_of(entries)
    scale, gram = found.scale, np.triu(found.gram)
    gram += np.triu(gram, 1).T
    trace = float(np.trace(gram))
    rounding = m * float(np.finfo(np.float64).eps) * max(trace, np.finfo(np.float64).tiny)
    width = min(count + _EXTRA, MOST_VECTORS, m)
    # With the limit as shift, all directions below it are amplified about equally.
    shift = max(rounding, (limit * scale) ** 2 if count > MOST_VECTORS else 0.0)
    space = np.random.default_rng(_SEED).standard_normal((m, width))
    near = None
    if known is not None and width <= FEW:
        near = _near(gram, (found.smallest * scale) ** 2, space)
    if near is not None:
        space = near
    else:
        solve = _solver(gram + shift * np.eye(m)) if trace else None
        for _ in range(_ITERATIONS if solve else 1):
            space = np.linalg.qr(solve(space) if solve else space)[0]
    count = min(count, width)
    if known is None:
        images = np.concatenate([rows @ space for rows in entries.blocks(scale)])
        _, values, rotation = np.linalg.svd(images, full_matrices=False)
    else:
        squares, vectors = np.linalg.eigh(space.T @ gram @ space)
        values, rotation = np.sqrt(np.maximum(squares[::-1], 0.0)), vectors.T[::-1]
    wanted = np.arange(len(values) - 1, len(values) - 1 - count, -1)
    return Lowest(
        values=values[wanted] / scale,
        vectors=space @ rotation[wanted].T,
        lengths=np.sqrt(np.diagonal(gram)) / scale,
        gram=gram,
    )


def _gram_of(entries: Entries) -> Known:
    largest = entries.largest()
    scale = 1.0 / largest if largest > 0 else 1.0
    gram = np.zeros((entries.M, entries.M))
    for rows in entries.blocks(scale):
        add_gram(gram, rows)
    return Known(gram, scale)


def _near(gram: np.ndarray, smallest: float, space: np.ndarray) -> Optional[np.ndarray]:
    """Returns the space (m, k) of the smallest eigenvalues, of which the first is `smallest`.

    Just below that one `gram` is still definite, and two steps are enough. Returns None if rounding
    makes it singular.
    """
    shifted = gram - NEAR * smallest * np.eye(len(gram))
    try:
        for _ in range(2):
            space = np.linalg.qr(np.linalg.solve(shifted, space))[0]
    except np.linalg.LinAlgError:
        return None
    return space


def _solver(gram: np.ndarray) -> Optional[Callable[[np.ndarray], np.ndarray]]:
    """Returns a function that solves systems with `gram` (M, M), or None if it is singular."""
    if len(gram) <= SMALL:
        try:
            inverse = np.linalg.inv(gram)
        except np.linalg.LinAlgError:
            return None
        return lambda right: inverse @ right
    from scipy.linalg import cho_solve, lapack

    factor, failed = lapack.dpotrf(gram, lower=True)
    if failed:
        return None
    return lambda right: np.asarray(cho_solve((factor, True), right, check_finite=False))


def lengths(entries: Entries) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the N rows and of the M columns of an N x M matrix W (N >= M)."""
    scale = 1.0 / (entries.largest() or 1.0)
    rows = []
    columns = np.zeros(entries.M)
    for block in entries.blocks(scale):
        rows.append(np.linalg.norm(block, axis=1))
        columns += np.sum(block**2, axis=0)
    return np.concatenate(rows) / scale, np.sqrt(columns) / scale
