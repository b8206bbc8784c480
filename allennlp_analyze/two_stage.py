"""LAPACK's two-stage eigenvalues, which numpy does not offer, from the OpenBLAS that it has loaded.

Reducing a large symmetric matrix to tridiagonal form in one step is bound by memory, one matrix-
vector product per column. In two, by way of a band (Haidar, Ltaief & Dongarra 2011), most of the
work is matrix products. The steps are called one by one, since dsyevd_2stage takes a band that is
too narrow for one thread.
"""

import ctypes
from functools import lru_cache
from typing import Callable, Optional, Union

import numpy as np

ROUTINES = ("dsytrd_sy2sb", "dsytrd_sb2st", "dsterf")
# How the builds of OpenBLAS in wheels, conda and distributions name a routine.
NAMES = ("scipy_{}_64_", "scipy_{}_", "{}_64_", "{}_")
# Diagonals of the band below the main one. Wider, the first step takes less and the second more.
BAND = 64
_PROBE = 150  # rows of the matrix on which the routines are tried: more than one band is wide

Eigenvalues = Callable[[np.ndarray], np.ndarray]
Routine = Callable[..., None]
Argument = Union[bytes, int, np.ndarray]


@lru_cache(maxsize=1)
def two_stage_eigenvalues() -> Optional[Eigenvalues]:
    """A function that computes the eigenvalues, (M,) ascending, of a symmetric (M, M) float64 array
    in C order from its upper triangle, destroying it; None where the BLAS library has none.

    It raises `numpy.linalg.LinAlgError` where the iteration does not converge, as numpy's does, and
    must agree with numpy.linalg.eigvalsh: it is tried on a small matrix once.
    """
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library["internal_api"] != "openblas":
            continue
        loaded = ctypes.CDLL(library["filepath"])
        for name in NAMES:
            names = [name.format(routine) for routine in ROUTINES]
            if all(hasattr(loaded, one) for one in names):
                found = _wrapped(*(getattr(loaded, one) for one in names))
                return found if _agrees(found) else None
    return None


def _wrapped(to_band: Routine, to_tridiagonal: Routine, of_tridiagonal: Routine) -> Eigenvalues:
    def eigenvalues(matrix: np.ndarray) -> np.ndarray:
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
        if not (square and matrix.dtype == np.float64 and matrix.flags.carray):
            raise ValueError("needs a square float64 array in C order that may be destroyed")
        m = len(matrix)
        if m <= BAND:
            return np.asarray(np.linalg.eigvalsh(matrix.T))
        # LAPACK counts columns first: our upper triangle is its lower one.
        band, factors = np.zeros((m, BAND + 1)), np.empty(m)
        _call(to_band, [b"L", m, BAND, matrix, m, band, BAND + 1, factors], workspaces=1)
        diagonal, beside = np.empty(m), np.empty(m)
        start: list[Argument] = [b"Y", b"N", b"L", m, BAND, band, BAND + 1, diagonal, beside]
        _call(to_tridiagonal, start, workspaces=2)
        _call(of_tridiagonal, [m, diagonal, beside], workspaces=0)
        return diagonal

    return eigenvalues


def _call(routine: Routine, arguments: list[Argument], workspaces: int) -> None:
    """Call `routine` of LAPACK with `arguments`, followed by as many workspaces as it asks for."""
    sizes = [-1] * workspaces
    if workspaces:
        asked = [np.zeros(1) for _ in sizes]
        _pass(routine, [*arguments, *(one for pair in zip(asked, sizes) for one in pair)])
        sizes = [max(int(one[0]), 1) for one in asked]
    arrays = [np.empty(size) for size in sizes]
    _pass(routine, [*arguments, *(one for pair in zip(arrays, sizes) for one in pair)])


def _pass(routine: Routine, arguments: list[Argument]) -> None:
    info = ctypes.c_int64(0)
    # Fortran compilers pass the lengths of strings at the end.
    lengths = [ctypes.c_size_t(1) for one in arguments if isinstance(one, bytes)]
    routine(*map(_pointer, arguments), ctypes.byref(info), *lengths)
    if info.value:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")


def _pointer(argument: Argument) -> object:
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    # A library with 32-bit integers reads the lower half: right on little-endian machines.
    return ctypes.byref(ctypes.c_int64(argument))


def _agrees(eigenvalues: Eigenvalues) -> bool:
    row, column = np.indices((_PROBE, _PROBE))
    matrix = np.cos(row * column + row + column)
    expected = np.linalg.eigvalsh(matrix)
    found = eigenvalues(np.triu(matrix))
    return bool(np.allclose(found, expected, rtol=0, atol=1e-12 * _PROBE))
