"""LAPACK's two-stage eigenvalues, which numpy does not offer, from the OpenBLAS that it has loaded.

Reducing a large symmetric matrix to tridiagonal form in one step is bound by memory, one matrix-
vector product per column. In two, by way of a band (Haidar, Ltaief & Dongarra 2011), most of the
work is matrix products.
"""

import ctypes
from functools import lru_cache
from typing import Callable, Optional

import numpy as np

# dsyevd_2stage as the builds of OpenBLAS in wheels, conda and distributions name it.
NAMES = (
    "scipy_dsyevd_2stage_64_",
    "scipy_dsyevd_2stage_",
    "dsyevd_2stage_64_",
    "dsyevd_2stage_",
)
_PROBE = 150  # rows of the matrix on which the routine is tried: more than one band is wide

Eigenvalues = Callable[[np.ndarray], np.ndarray]


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
            if hasattr(loaded, name):
                found = _wrapped(getattr(loaded, name))
                return found if _agrees(found) else None
    return None


def _wrapped(routine: "ctypes._NamedFuncPointer") -> Eigenvalues:
    routine.restype = None

    def eigenvalues(matrix: np.ndarray) -> np.ndarray:
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
        if not (square and matrix.dtype == np.float64 and matrix.flags.carray):
            raise ValueError("needs a square float64 array in C order that may be destroyed")
        values = np.empty(len(matrix))
        work, integers = np.zeros(1), np.zeros(1, np.int64)
        _call(routine, matrix, values, work, integers, query=True)
        work = np.empty(int(work[0]))
        integers = np.zeros(max(int(integers[0]), 1), np.int64)
        _call(routine, matrix, values, work, integers, query=False)
        return values

    return eigenvalues


def _call(
    routine: "ctypes._NamedFuncPointer",
    matrix: np.ndarray,
    values: np.ndarray,
    work: np.ndarray,
    integers: np.ndarray,
    query: bool,
) -> None:
    # A library with 32-bit integers reads the lower half of these: right on little-endian machines.
    size, info = ctypes.c_int64(len(matrix)), ctypes.c_int64(0)
    lengths = [ctypes.c_int64(-1 if query else len(array)) for array in (work, integers)]
    routine(
        b"N",
        b"L",  # LAPACK counts columns first: our upper triangle is its lower one
        ctypes.byref(size),
        ctypes.c_void_p(matrix.ctypes.data),
        ctypes.byref(size),
        ctypes.c_void_p(values.ctypes.data),
        ctypes.c_void_p(work.ctypes.data),
        ctypes.byref(lengths[0]),
        ctypes.c_void_p(integers.ctypes.data),
        ctypes.byref(lengths[1]),
        ctypes.byref(info),
        ctypes.c_size_t(1),  # the lengths of the two strings, as Fortran compilers pass them
        ctypes.c_size_t(1),
    )
    if info.value:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")


def _agrees(eigenvalues: Eigenvalues) -> bool:
    row, column = np.indices((_PROBE, _PROBE))
    matrix = np.cos(row * column + row + column)
    expected = np.linalg.eigvalsh(matrix)
    found = eigenvalues(np.triu(matrix))
    return bool(np.allclose(found, expected, rtol=0, atol=1e-12 * _PROBE))
