"""Computes the eigenvalues of a symmetric matrix from its tridiagonal form, with LAPACK.

Reducing a large matrix in one stage is limited by memory bandwidth: one matrix-vector product per
column. In two stages, through a band matrix (Haidar, Ltaief & Dongarra 2011), most of the work is
matrix products; numpy does not offer that. The stages are called separately, because
dsyevd_2stage chooses a band that is too narrow for one thread.
"""

from functools import cache
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.linalg.openblas import Routine, call_lapack, find_routines, is_agreed

ONE_STAGE = ("dsytrd", "dsterf")
TWO_STAGES = ("dsytrd_sy2sb", "dsytrd_sb2st", "dsterf")
# From this size on two stages are faster than one.
TWO_STAGES_FROM = 1536
# Diagonals of the band below the main one. A wider band makes stage 1 cheaper and stage 2 dearer.
BAND = 64
_PROBE = 150  # rows of the trial matrix for the routines: more than the width of the band

Eigenvalues = Callable[[np.ndarray], np.ndarray]


def symmetric_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Eigenvalues (M,), ascending, of the symmetric `matrix` (M, M), from its upper triangle.

    `matrix` must be float64 in C order. The eigenvalues agree with numpy.linalg.eigvalsh, and the
    function raises `numpy.linalg.LinAlgError` in the same cases.
    """
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not (square and matrix.dtype == np.float64 and matrix.flags.c_contiguous):
        raise ValueError("expected a square float64 array in C order")
    solvers = (two_stages(), one_stage()) if len(matrix) >= TWO_STAGES_FROM else (one_stage(),)
    for solver in solvers:
        if solver is not None:
            return solver(matrix.copy())
    return numpys_eigenvalues(matrix)


def numpys_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """As `symmetric_eigenvalues`, by whatever BLAS numpy was built with."""
    return np.asarray(np.linalg.eigvalsh(matrix.T))


@cache
def one_stage() -> Optional[Eigenvalues]:
    """Returns a one-stage solver, which overwrites its matrix; None without OpenBLAS."""
    found = find_routines(*ONE_STAGE)
    return agreeing(_in_one_stage(*found)) if found is not None else None


@cache
def two_stages() -> Optional[Eigenvalues]:
    """Returns a two-stage solver, for matrices of more than `BAND` rows; None without OpenBLAS."""
    found = find_routines(*TWO_STAGES)
    return agreeing(_in_two_stages(*found)) if found is not None else None


# LAPACK is column-major: our upper triangle is its lower one.


def _in_one_stage(to_tridiagonal: Routine, of_tridiagonal: Routine) -> Eigenvalues:
    def eigenvalues(matrix: np.ndarray) -> np.ndarray:
        m = len(matrix)
        diagonal, beside, factors = np.empty(m), np.empty(m), np.empty(m)
        call_lapack(to_tridiagonal, [b"L", m, matrix, m, diagonal, beside, factors], workspaces=1)
        call_lapack(of_tridiagonal, [m, diagonal, beside])
        return diagonal

    return eigenvalues


def _in_two_stages(
    to_band: Routine, to_tridiagonal: Routine, of_tridiagonal: Routine
) -> Eigenvalues:
    def eigenvalues(matrix: np.ndarray) -> np.ndarray:
        m = len(matrix)
        band, factors = np.zeros((m, BAND + 1)), np.empty(m)
        call_lapack(to_band, [b"L", m, BAND, matrix, m, band, BAND + 1, factors], workspaces=1)
        diagonal, beside = np.empty(m), np.empty(m)
        start = (b"Y", b"N", b"L", m, BAND, band, BAND + 1, diagonal, beside)
        call_lapack(to_tridiagonal, start, workspaces=2)
        call_lapack(of_tridiagonal, [m, diagonal, beside])
        return diagonal

    return eigenvalues


def agreeing(eigenvalues: Eigenvalues) -> Optional[Eigenvalues]:
    """Returns `eigenvalues` if a trial of it gives what numpy finds; otherwise None."""
    row, column = np.indices((_PROBE, _PROBE))
    matrix = np.cos(row * column + row + column)
    expected = np.linalg.eigvalsh(matrix)
    agreed = is_agreed(lambda: eigenvalues(np.triu(matrix)), expected)
    return eigenvalues if agreed else None
