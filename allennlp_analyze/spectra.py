"""Singular values of one matrix, from its Gram matrix where that is exact enough, else by SVD."""

import math
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.ranks import tolerances
from allennlp_analyze.results import TOLERANCES, Tolerances

# Elements of one block of rows in float64: 32 MiB.
BLOCK_ELEMENTS = 1 << 22
# At most this many multiplications: the SVD costs nothing worth saving.
SMALL_WORK = 20_000_000
# Elements above which the SVD goes through the R factor, to bound memory.
WHOLE_SVD_ELEMENTS = 1 << 26
# Below this share of the largest, an eigenvalue of the Gram matrix has lost half its digits.
GRAM_RESOLUTION = 1e-10
# Outside of these the squares of the entries could overflow or underflow.
SAFE_MAGNITUDES = (1e-100, 1e100)

GramEigenvalues = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Spectrum:
    """Singular values (M,), float64, descending, with the tolerances that decide rank.

    `entry_std` is the standard deviation of the matrix's entries, in the units of the weights;
    `method` is "gram" or "svd".
    """

    singular_values: np.ndarray = field(repr=False)
    entry_std: float
    tolerance: Tolerances
    method: str


def row_blocks(matrix: np.ndarray) -> list[np.ndarray]:
    """Views of consecutive rows of the tall orientation of `matrix`, each of a bounded size."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    rows = max(1, BLOCK_ELEMENTS // tall.shape[1])
    return [tall[start : start + rows] for start in range(0, tall.shape[0], rows)]


def _refuse_non_finite(matrix: np.ndarray) -> None:
    bad = ~np.isfinite(matrix)
    row, column = (int(i) for i in np.argwhere(bad)[0])
    count = int(np.count_nonzero(bad))
    kind = "NaN" if np.isnan(matrix[row, column]) else "infinity"
    noun = "entry is" if count == 1 else "entries are"
    raise TensorError(
        f"{count} {noun} not finite; the first is {kind} at row {row}, column {column}"
    )


def largest_entry(matrix: np.ndarray) -> float:
    """Largest magnitude of the entries. Raises `TensorError` for NaN or infinity."""
    largest = 0.0
    for block in row_blocks(matrix):
        high, low = float(block.max()), float(block.min())
        if not (math.isfinite(high) and math.isfinite(low)):
            _refuse_non_finite(matrix)
        largest = max(largest, high, -low)
    return largest


def entry_std(matrix: np.ndarray, scale: float, singular_values: np.ndarray) -> float:
    """Standard deviation of the entries; their mean square is that of the singular values."""
    total = 0.0
    for block in row_blocks(matrix):
        scaled = block if scale == 1.0 else block.astype(np.float64) * scale
        total += float(scaled.sum(dtype=np.float64))
    mean_square = float(np.sum((singular_values * scale) ** 2)) / matrix.size
    return math.sqrt(max(mean_square - (total / matrix.size) ** 2, 0.0)) / scale


def _scale(largest: float) -> float:
    """A power of two (exact) that brings extreme magnitudes near 1; 1.0 for ordinary ones."""
    low, high = SAFE_MAGNITUDES
    if low <= largest <= high:
        return 1.0
    return math.ldexp(1.0, min(max(-math.frexp(largest)[1], -1022), 1022))


def gram_eigenvalues(matrix: np.ndarray, scale: float) -> np.ndarray:
    """Eigenvalues of (scale W)^T (scale W), (M,) float64 ascending; accumulated over row blocks.

    Errors are about machine epsilon times the largest eigenvalue.
    """
    size = min(matrix.shape)
    gram = np.zeros((size, size))
    for block in row_blocks(matrix):
        rows = np.array(block, dtype=np.float64, order="C")
        if scale != 1.0:
            rows *= scale
        gram += rows.T @ rows
    return np.linalg.eigvalsh(gram)


def svd_values(matrix: np.ndarray, scale: float) -> np.ndarray:
    """Singular values of scale W by LAPACK in float64, (M,) descending.

    A matrix of more than WHOLE_SVD_ELEMENTS is first reduced to its R factor, block by block.
    """
    if matrix.size <= WHOLE_SVD_ELEMENTS:
        whole = matrix.astype(np.float64)
        return np.linalg.svd(whole * scale if scale != 1.0 else whole, compute_uv=False)
    factor = np.zeros((0, min(matrix.shape)))
    for block in row_blocks(matrix):
        rows = np.concatenate([factor, block.astype(np.float64) * scale])
        factor = np.asarray(np.linalg.qr(rows, mode="r"))
    return np.linalg.svd(factor, compute_uv=False)


def _rank_hinges(eigenvalues: np.ndarray, scale: float, limits: Tolerances) -> bool:
    """Whether the Gram matrix's error could move an eigenvalue across a tolerance."""
    largest = eigenvalues[-1]
    error = len(eigenvalues) * np.finfo(np.float64).eps * largest
    beyond = 2 * math.sqrt(largest)  # no eigenvalue is there, and its square cannot overflow
    squares = [min(getattr(limits, name) * scale, beyond) ** 2 for name in TOLERANCES]
    return any(bool(np.any(np.abs(eigenvalues - square) <= error)) for square in squares)


def spectrum(
    matrix: np.ndarray,
    dtype: str,
    loose: float = 1e-3,
    eigenvalues_of: GramEigenvalues = gram_eigenvalues,
) -> Spectrum:
    """Singular values of `matrix` (rows, columns), stored as `dtype`, and its rank tolerances.

    They agree with numpy.linalg.svd in float64 to 1e-7 of the largest, and every hard rank is that
    of the SVD. `eigenvalues_of` computes the Gram matrix's eigenvalues, so that a GPU can.
    Raises `TensorError` for NaN or infinity.
    """
    largest = largest_entry(matrix)
    if largest == 0:
        zeros = np.zeros(min(matrix.shape))
        return Spectrum(zeros, 0.0, tolerances(zeros, matrix.shape, dtype, loose), "svd")
    scale = _scale(largest)
    values, method = _gram_values(matrix, scale, dtype, loose, eigenvalues_of), "gram"
    if values is None:
        values, method = svd_values(matrix, scale) / scale, "svd"
    limits = tolerances(values, matrix.shape, dtype, loose)
    return Spectrum(values, entry_std(matrix, scale, values), limits, method)


def _gram_values(
    matrix: np.ndarray, scale: float, dtype: str, loose: float, eigenvalues_of: GramEigenvalues
) -> Optional[np.ndarray]:
    """Singular values from the Gram matrix; None where it is not exact enough or saves nothing."""
    if matrix.size * min(matrix.shape) <= SMALL_WORK:
        return None
    eigenvalues = eigenvalues_of(matrix, scale)
    if eigenvalues[0] <= GRAM_RESOLUTION * eigenvalues[-1]:
        return None
    values = np.sqrt(eigenvalues[::-1]) / scale
    limits = tolerances(values, matrix.shape, dtype, loose)
    return None if _rank_hinges(eigenvalues, scale, limits) else values
