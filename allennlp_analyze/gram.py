"""Eigenvalues of the Gram matrix W^T W, accumulated in float64 over blocks of rows."""

import math
from dataclasses import dataclass, field
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.entries import Entries
from allennlp_analyze.two_stage import two_stage_eigenvalues

# A larger Gram matrix is accumulated in panels of this many rows of its upper triangle: half the
# work and no second matrix of its size.
PANEL = 384
PANELS_FROM = 1024
# From this size on the two-stage reduction is faster than numpy's.
TWO_STAGE_FROM = 1792
# Largest diagonal entries within which no square of an entry has overflowed or vanished.
SAFE_SQUARES = (1e-200, 1e220)


@dataclass(frozen=True)
class GramSpectrum:
    """Of scale W: the `eigenvalues` (M,) float64 ascending of its Gram matrix, the `total` of its
    entries, and the upper triangle of the `matrix` (M, M) itself for whoever will destroy it."""

    eigenvalues: np.ndarray = field(repr=False)
    total: float
    matrix: np.ndarray = field(repr=False)


GramSolver = Callable[[Entries, float], Optional[GramSpectrum]]


def gram_spectrum(entries: Entries, scale: float = 1.0) -> Optional[GramSpectrum]:
    """Eigenvalues of (scale W)^T (scale W), with errors of about machine epsilon times the largest.

    None where the squares leave the range of float64: an entry is not finite, or W is zero or needs
    another `scale`.
    """
    gram = np.zeros((entries.M, entries.M))
    totals = []
    with np.errstate(all="ignore"):
        for rows in entries.blocks(scale):
            totals.append(float(rows.sum()))
            _accumulate(gram, rows)
    if not squares_are_safe(float(np.max(np.diagonal(gram)))):
        return None
    return GramSpectrum(symmetric_eigenvalues(gram), math.fsum(totals), gram)


def squares_are_safe(largest_diagonal: float) -> bool:
    """Whether a Gram matrix with this largest entry on its diagonal is meaningful (NaN is not)."""
    return SAFE_SQUARES[0] <= largest_diagonal <= SAFE_SQUARES[1]


def _accumulate(gram: np.ndarray, rows: np.ndarray) -> None:
    """Add rows^T rows to the upper triangle of `gram` (and, for a small one, to the lower)."""
    if len(gram) < PANELS_FROM:
        gram += rows.T @ rows
        return
    for start in range(0, len(gram), PANEL):
        stop = start + PANEL
        panel = rows[:, start:stop]
        gram[start:stop, start:stop] += panel.T @ panel  # by syrk: half the work of a product
        if stop < len(gram):
            gram[start:stop, stop:] += panel.T @ rows[:, stop:]


def symmetric_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Eigenvalues (M,) ascending of the symmetric float64 `matrix` (M, M), from its upper triangle.

    They agree with numpy.linalg.eigvalsh.
    """
    two_stage = two_stage_eigenvalues() if len(matrix) >= TWO_STAGE_FROM else None
    if two_stage is not None:
        return two_stage(matrix.copy())
    return np.asarray(np.linalg.eigvalsh(matrix.T))
