"""Computes the eigenvalues of the Gram matrix W^T W, summed in float64 over blocks of rows."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.linalg.backend import one_blas_thread
from allennlp_analyze.linalg.machine import is_large
from allennlp_analyze.linalg.openblas import Routine, call, find_routines, is_agreed
from allennlp_analyze.linalg.tridiagonal import (
    TWO_STAGES_FROM,
    Eigenvalues,
    symmetric_eigenvalues,
    two_stages,
)
from allennlp_analyze.sources.blocks import Entries

# Rows of the upper triangle that numpy computes at once. This halves the work of the full square,
# and needs no second matrix of its size.
PANEL = 384
# With more columns times rows at once, OpenBLAS's threads write past the ends of their buffers and
# the process crashes (0.3.31 on SkylakeX with two threads, from M = 16,000 and 768 rows on).
MAX_SYRK = 1 << 22
# The most rows that OpenBLAS packs at once, on any processor.
MOST_PACKED = 384
# If the largest diagonal entry is in this range, no squared entry has overflowed or vanished.
SAFE_SQUARES = (1e-200, 1e220)


@dataclass(frozen=True)
class GramSpectrum:
    """The Gram matrix of scale * W and its spectrum.

    `eigenvalues` (M,) are float64 and ascending. `total` is the sum of the entries of scale * W.
    `matrix` (M, M) holds the upper triangle of the Gram matrix; the caller may overwrite it.
    """

    eigenvalues: np.ndarray = field(repr=False)
    total: float
    matrix: np.ndarray = field(repr=False)


GramSolver = Callable[[Entries, float], Optional[GramSpectrum]]


def gram_spectrum(
    entries: Entries, scale: float = 1.0, large: Optional[Eigenvalues] = None
) -> Optional[GramSpectrum]:
    """Eigenvalues of (scale W)^T (scale W), with errors of about machine epsilon times the largest.

    `large` computes those of matrices of `TWO_STAGES_FROM` columns or more (None: OpenBLAS, or
    numpy without it), and leaves its argument as it is. Returns None if the squares leave the range
    of float64: an entry is not finite, W is zero, or W needs another `scale`.
    """
    gram = np.zeros((entries.M, entries.M))
    totals = []
    with np.errstate(all="ignore"):
        for rows in entries.blocks(scale):
            totals.append(float(rows.sum()))
            add_gram(gram, rows)
    if not squares_are_safe(float(np.max(np.diagonal(gram)))):
        return None
    # In one stage, two threads would add in another order than one, and save less than they cost
    # beside a large Gram matrix.
    is_serial = is_large((entries.N, entries.M)) and entries.M < TWO_STAGES_FROM
    with one_blas_thread() if is_serial else nullcontext():
        solve = large if large and entries.M >= TWO_STAGES_FROM else symmetric_eigenvalues
        eigenvalues = solve(gram)
    return GramSpectrum(eigenvalues, math.fsum(totals), gram)


def serial_gram_spectrum(entries: Entries, scale: float = 1.0) -> Optional[GramSpectrum]:
    """`gram_spectrum` of a large matrix with one BLAS thread, and the bits of two.

    Two threads of OpenBLAS divide no sum in a product, nor in the two stages (three do). Another
    BLAS keeps its threads, since that is not known of it.
    """
    with one_blas_thread() if _blas_add_gram() and two_stages() else nullcontext():
        return gram_spectrum(entries, scale)


def squares_are_safe(largest_diagonal: float) -> bool:
    """Whether a Gram matrix with this largest diagonal entry is valid (False for NaN)."""
    return SAFE_SQUARES[0] <= largest_diagonal <= SAFE_SQUARES[1]


def add_gram(gram: np.ndarray, rows: np.ndarray) -> None:
    """Add rows^T rows to the upper triangle of `gram` (M, M); `rows` (k, M) is float64."""
    add = _blas_add_gram() or _numpy_add_gram
    add(gram, rows)


@cache
def _blas_add_gram() -> Optional[Callable[[np.ndarray, np.ndarray], None]]:
    """Returns `add_gram` in BLAS, without numpy's second matrix; None without OpenBLAS."""
    found = find_routines("dsyrk")
    if found is None:
        return None
    add = partial(_by_syrk, found[0])
    rows = np.cos(np.arange(35.0)).reshape(7, 5)

    def tried() -> np.ndarray:
        sums = np.ones((5, 5))
        add(sums, rows)
        add(sums, rows.copy(order="F"))
        return np.triu(sums)

    return add if is_agreed(tried, np.triu(1 + 2 * rows.T @ rows)) else None


def _by_syrk(syrk: Routine, gram: np.ndarray, rows: np.ndarray) -> None:
    k, m = rows.shape
    if m * min(k, MOST_PACKED) > MAX_SYRK:
        half = k // 2
        if half:
            _by_syrk(syrk, gram, rows[:half])
            _by_syrk(syrk, gram, rows[half:])
            return
    down, across = (stride // rows.itemsize for stride in rows.strides)
    # BLAS is column-major: rows in C order are rows^T there, and our upper triangle is its lower.
    if across == 1 and down >= m:
        form, leading = b"N", down
    elif down == 1 and across >= k:
        form, leading = b"T", across
    else:
        form, leading, rows = b"N", m, np.ascontiguousarray(rows)
    call(syrk, b"L", form, m, k, 1.0, rows, leading, 1.0, gram, m)


def _numpy_add_gram(gram: np.ndarray, rows: np.ndarray) -> None:
    for start in range(0, len(gram), PANEL):
        stop = start + PANEL
        panel = rows[:, start:stop]
        gram[start:stop, start:stop] += panel.T @ panel
        if stop < len(gram):
            gram[start:stop, stop:] += panel.T @ rows[:, stop:]
