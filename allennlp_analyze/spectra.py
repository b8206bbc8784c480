"""Singular values of one matrix, from its Gram matrix where that is exact enough, else by SVD."""

import math
from dataclasses import dataclass, field
from typing import Callable

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
class Entries:
    """The entries of a matrix in a few numbers, in the units of the weights."""

    largest: float
    mean: float
    rms: float

    @property
    def std(self) -> float:
        """Standard deviation of the entries."""
        if self.largest == 0:
            return 0.0
        mean, rms = self.mean / self.largest, self.rms / self.largest
        return self.largest * math.sqrt(max(rms * rms - mean * mean, 0.0))


@dataclass(frozen=True)
class Spectrum:
    """Singular values (M,), float64, descending, with the tolerances that decide rank.

    `method` is "gram" or "svd".
    """

    singular_values: np.ndarray = field(repr=False)
    entries: Entries
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


def describe_entries(matrix: np.ndarray) -> Entries:
    """Largest magnitude, mean and root mean square. Raises `TensorError` for NaN or infinity."""
    blocks = row_blocks(matrix)
    largest = max(float(np.max(np.abs(block))) for block in blocks)
    if not math.isfinite(largest):
        _refuse_non_finite(matrix)
    if largest == 0:
        return Entries(0.0, 0.0, 0.0)
    scale = _scale(largest)
    total = squares = 0.0
    for block in blocks:
        flat = (block.astype(np.float64) * scale).ravel()
        total += float(flat.sum())
        squares += float(np.dot(flat, flat))
    return Entries(largest, total / matrix.size / scale, math.sqrt(squares / matrix.size) / scale)


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


def _gram_is_enough(eigenvalues: np.ndarray, scale: float, limits: Tolerances) -> bool:
    """Whether no rank decision, and no promised digit, hinges on the Gram matrix's error."""
    largest = eigenvalues[-1]
    if eigenvalues[0] <= GRAM_RESOLUTION * largest:
        return False
    error = len(eigenvalues) * np.finfo(np.float64).eps * largest
    beyond = 2 * math.sqrt(largest)  # no eigenvalue is there, and its square cannot overflow
    squares = [min(getattr(limits, name) * scale, beyond) ** 2 for name in TOLERANCES]
    return not any(np.any(np.abs(eigenvalues - square) <= error) for square in squares)


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
    entries = describe_entries(matrix)
    if entries.largest == 0:
        zeros = np.zeros(min(matrix.shape))
        return Spectrum(zeros, entries, tolerances(0.0, 0.0, matrix.shape, dtype, loose), "svd")
    scale = _scale(entries.largest)

    def limits(sigma_max: float) -> Tolerances:
        return tolerances(sigma_max, entries.rms, matrix.shape, dtype, loose)

    if matrix.size * min(matrix.shape) > SMALL_WORK:
        eigenvalues = eigenvalues_of(matrix, scale)
        sigma_max = math.sqrt(eigenvalues[-1]) / scale
        if _gram_is_enough(eigenvalues, scale, limits(sigma_max)):
            values = np.sqrt(eigenvalues[::-1]) / scale
            return Spectrum(values, entries, limits(sigma_max), "gram")
    values = svd_values(matrix, scale) / scale
    return Spectrum(values, entries, limits(float(values[0])), "svd")
