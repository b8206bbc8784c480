"""Computes singular values from Gram matrices if they are exact enough, otherwise by SVD."""

import math
from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.deflation import deflated
from allennlp_analyze.linalg.faint import faint_rows
from allennlp_analyze.linalg.gram import GramSolver, GramSpectrum, gram_spectrum
from allennlp_analyze.linalg.low_rank import all_values
from allennlp_analyze.linalg.refine import smallest_singular_values
from allennlp_analyze.metrics.ranks import compute_eps, tolerances
from allennlp_analyze.results.layer import TOLERANCES, Tolerances
from allennlp_analyze.sources.blocks import Decode, Entries, as_stored

# Up to this many multiplications the SVD is cheap enough.
SMALL_WORK = 20_000_000
# A matrix with this many more elements than M x M is reduced to its R factor, to limit memory.
WHOLE_SVD_ELEMENTS = 1 << 22
# Below this fraction of the largest, an eigenvalue of the Gram matrix has lost half its digits.
GRAM_RESOLUTION = 1e-10
# From this M on, the smallest singular values are refined, because an SVD would cost far more.
REFINE_FROM = 1024
# Up to one singular value in this many is refined; more of them are found below a gap, or by SVD.
REFINED_SHARE = 32
# The allowed error of the refined values' squares, as a fraction of the largest square.
REFINED_ERROR = 1e-20
# The same for values found below a gap: a tenth of the promised error.
DEFLATED_ERROR = 1e-16
# The allowed error of the values where few are not zero.
LOW_RANK_ERROR = 1e-8
# The tolerances of types with a smaller epsilon are of the size of float64's rounding.
RESOLVED_EPS = 1e-12
# Outside this range the squares of the entries could overflow or underflow.
SAFE_MAGNITUDES = (1e-100, 1e100)


@dataclass(frozen=True)
class Spectrum:
    """Singular values (M,), float64, descending, with the tolerances for rank.

    `entry_std` is the standard deviation of the matrix's entries, in the units of the weights;
    `method` is "gram" or "svd". `gram` is the Gram matrix of `scale` times the matrix, if its
    smallest eigenvalues are exact enough for their vectors, else None. `faint` are the indices of
    dead rows (of columns, if there are more columns), see `linalg.faint`.
    """

    singular_values: np.ndarray = field(repr=False)
    entry_std: float
    tolerance: Tolerances
    method: str
    gram: Optional[np.ndarray] = field(default=None, repr=False)
    scale: float = 1.0
    faint: tuple[int, ...] = ()


def spectrum(
    matrix: np.ndarray,
    dtype: str,
    loose: float = 1e-3,
    solver: GramSolver = gram_spectrum,
    decode: Decode = as_stored,
) -> Spectrum:
    """Singular values of `matrix` (rows, columns), stored as `dtype`, and its rank tolerances.

    They agree with numpy.linalg.svd in float64 within 1e-7 of the largest, and every hard rank
    equals that of the SVD, unless that counts its own rounding, which reaches the smallest
    tolerance of a float64 matrix of few directions. `solver` computes the eigenvalues of the Gram
    matrix (on a GPU, for example); `decode` turns the stored values into numbers. Raises
    `InvalidTensorError` on NaN or infinity, and `TensorError` if the singular values are beyond the
    range of float64.
    """
    entries = Entries(matrix, decode)
    # For most matrices this is the only pass over the values.
    worthwhile = entries.size * entries.M > SMALL_WORK
    scale = 1.0
    gram = solver(entries, scale) if worthwhile else None
    if gram is None:
        largest = entries.largest()
        if largest == 0:
            zeros = np.zeros(entries.M)
            return Spectrum(zeros, 0.0, tolerances(zeros, matrix.shape, dtype, loose), "svd")
        scale = _scale(largest)
        gram = solver(entries, scale) if worthwhile else None
    values, total, method = None, None, "gram"
    if gram is not None:
        values, total = _exact_enough(entries, gram, scale, dtype, loose), gram.total
        if values is None:
            values = _of_low_rank(entries, gram, scale, dtype, loose)
    if values is None:
        gram = None  # free its memory
        with np.errstate(over="ignore"):  # checked below
            values, method = svd_values(entries, scale) / scale, "svd"
    if not math.isfinite(values[0]):
        raise TensorError("its singular values are beyond the range of float64")
    if total is None:
        total = entries.sum(scale)
    std = _entry_std(total, scale, values, entries.size)
    limits = tolerances(values, matrix.shape, dtype, loose)
    intact = gram is not None and _lost_digits(gram.eigenvalues) == 0
    kept = gram.matrix if gram is not None and intact else None
    faint = faint_rows(entries, float(np.linalg.norm(values / values[0]) * values[0]))
    return Spectrum(values, std, limits, method, kept, scale, faint)


def _lost_digits(eigenvalues: np.ndarray) -> int:
    """How many of the ascending eigenvalues of a Gram matrix have lost half their digits."""
    return int(np.count_nonzero(eigenvalues <= GRAM_RESOLUTION * eigenvalues[-1]))


def _exact_enough(
    entries: Entries, gram: GramSpectrum, scale: float, dtype: str, loose: float
) -> Optional[np.ndarray]:
    """Singular values (M,), descending, from the Gram matrix; None if an SVD is needed."""
    squares = gram.eigenvalues
    rounding = len(squares) * float(np.finfo(np.float64).eps)
    errors = np.full(len(squares), rounding * squares[-1])
    lost = _lost_digits(squares)
    if lost:
        few = entries.M >= REFINE_FROM and lost <= entries.M // REFINED_SHARE
        if not few and compute_eps(dtype) < RESOLVED_EPS:
            return None  # a tolerance is of the size of rounding, so only an SVD has its rank
        refine, allowed = (
            (smallest_singular_values, REFINED_ERROR) if few else (deflated, DEFLATED_ERROR)
        )
        refined = refine(entries, scale, gram.matrix, squares, lost)
        if refined is None or refined.error > allowed * squares[-1]:
            return None
        # As with an SVD, the error of each value is the rounding error of the largest.
        found = len(refined.values)
        errors[:found] = refined.error + rounding * np.sqrt(squares[-1]) * refined.values
        squares = np.sort(np.concatenate([refined.values**2, squares[found:]]))
    with np.errstate(over="ignore"):
        values = np.asarray(np.sqrt(squares[::-1]) / scale)
    limits = tolerances(values, entries.stored.shape, dtype, loose)
    return None if _rank_hinges(squares, errors, scale, limits) else values


def _of_low_rank(
    entries: Entries, gram: GramSpectrum, scale: float, dtype: str, loose: float
) -> Optional[np.ndarray]:
    """Singular values (M,), descending, if few are not zero; None if an SVD is needed."""
    found = all_values(entries, scale, gram.eigenvalues)
    if found is None or found.error > LOW_RANK_ERROR * found.values[-1]:
        return None
    values = np.asarray(found.values[::-1] / scale)
    limits = tolerances(values, entries.stored.shape, dtype, loose)
    edges = np.array([getattr(limits, name) for name in TOLERANCES])
    near = np.abs(values[:, None] - edges) <= found.error / scale
    return None if near.any() else values


def _rank_hinges(squares: np.ndarray, errors: np.ndarray, scale: float, limits: Tolerances) -> bool:
    """Whether the `errors` could move a singular value across a tolerance.

    `squares` (M,) are the squared singular values of scale * W, ascending; `errors` (M,) are
    theirs.
    """
    beyond = 2 * math.sqrt(squares[-1])  # above every value, and its square cannot overflow
    edges = [min(getattr(limits, name) * scale, beyond) ** 2 for name in TOLERANCES]
    return any(bool(np.any(np.abs(squares - edge) <= errors)) for edge in edges)


def _scale(largest: float) -> float:
    """A power of two (exact) that brings extreme magnitudes near 1; 1.0 for ordinary ones."""
    low, high = SAFE_MAGNITUDES
    if low <= largest <= high:
        return 1.0
    return math.ldexp(1.0, min(max(-math.frexp(largest)[1], -1022), 1022))


def _entry_std(total: float, scale: float, singular_values: np.ndarray, size: int) -> float:
    """Standard deviation of the entries, whose sum of squares is that of the singular values.

    `total` is the sum of the entries of scale * W, `size` their number.
    """
    mean_square = float(np.sum((singular_values * scale) ** 2)) / size
    return math.sqrt(max(mean_square - (total / size) ** 2, 0.0)) / scale


def svd_values(entries: Entries, scale: float) -> np.ndarray:
    """Singular values (M,) of scale * W by LAPACK in float64, descending.

    A large matrix that is not nearly square is first reduced to its R factor, block by block, so
    that at most two M x M matrices are in memory.
    """
    if entries.size - entries.M**2 > WHOLE_SVD_ELEMENTS:
        return np.linalg.svd(_r_factor(entries, scale), compute_uv=False)
    whole, filled = np.empty((entries.N, entries.M)), 0
    for rows in entries.blocks(scale):
        whole[filled : filled + len(rows)] = rows
        filled += len(rows)
    return np.linalg.svd(whole, compute_uv=False)


def _r_factor(entries: Entries, scale: float) -> np.ndarray:
    """Returns the upper triangular factor R (M, M) of scale * W = Q R.

    The rows pass through one buffer, below the factor of the previous rows.
    """
    from scipy.linalg import lapack

    m = entries.M
    buffer = np.zeros((m + entries.block_rows, m), order="F")
    size = int(lapack.dgeqrf_lwork(*buffer.shape)[0])
    for rows in entries.blocks(scale):
        buffer[m : m + len(rows)] = rows
        buffer[m + len(rows) :] = 0.0
        buffer, _, _, info = lapack.dgeqrf(buffer, lwork=size, overwrite_a=True)
        if info:
            raise np.linalg.LinAlgError(f"dgeqrf: argument {-info} is illegal")
        for column in range(m):
            buffer[column + 1 : m, column] = 0.0
    return buffer[:m]
