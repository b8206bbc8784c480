"""Routines of BLAS and LAPACK that numpy does not offer, called in an OpenBLAS that it has loaded.

scipy offers some of them, but holds the interpreter while they run: no two layers at a time.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Callable, Optional, Union

import numpy as np

# How the builds of OpenBLAS in wheels, conda and distributions name a routine.
NAMES = ("scipy_{}_64_", "scipy_{}_", "{}_64_", "{}_")

Routine = Callable[..., None]
Argument = Union[bytes, int, float, np.ndarray]


@cache
def find_routines(*names: str) -> Optional[tuple[Routine, ...]]:
    """The routines called `names` ("dsyrk"), from the newest OpenBLAS that is loaded and has them
    all; None where there is none."""
    for library in libraries():
        for pattern in NAMES:
            wanted = [pattern.format(name) for name in names]
            if all(hasattr(library, name) for name in wanted):
                return tuple(getattr(library, name) for name in wanted)
    return None


def call(routine: Routine, *arguments: Argument) -> None:
    """Call `routine` with `arguments`, arrays by their first element.

    bytes are Fortran's character arguments.
    """
    # Fortran compilers pass the lengths of strings at the end.
    lengths = [ctypes.c_size_t(len(one)) for one in arguments if isinstance(one, bytes)]
    routine(*map(_pointer, arguments), *lengths)


def call_lapack(routine: Routine, arguments: Sequence[Argument], workspaces: int = 0) -> None:
    """`call`, with as many workspaces as the routine asks for, and INFO, behind `arguments`.

    Raises `numpy.linalg.LinAlgError` when the routine fails.
    """
    info = np.zeros(1, np.int64)
    if workspaces:
        asked = [np.zeros(1) for _ in range(workspaces)]
        call(routine, *arguments, *(one for array in asked for one in (array, -1)), info)
        spaces = [np.empty(max(int(one[0]), 1)) for one in asked]
    else:
        spaces = []
    call(routine, *arguments, *(one for array in spaces for one in (array, len(array))), info)
    if info[0]:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")


def is_agreed(compute: Callable[[], np.ndarray], expected: np.ndarray) -> bool:
    """Whether `compute`, tried once, finds what numpy found: a library may differ from its name."""
    try:
        found = compute()
    except np.linalg.LinAlgError:
        return False
    scale = float(np.abs(expected).max())
    return bool(np.allclose(found, expected, rtol=0, atol=1e-12 * len(expected) * scale))


def _pointer(argument: Argument) -> object:
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, float):
        return ctypes.byref(ctypes.c_double(argument))
    # A library with 32-bit integers reads the lower half: right on little-endian machines.
    return ctypes.byref(ctypes.c_int64(argument))


@cache
def libraries() -> tuple[ctypes.CDLL, ...]:
    """Those that are loaded, the newest first: an old one takes a processor that it does not know
    for a much older one. A limit of BLAS threads does not hold for what is loaded later."""
    from threadpoolctl import threadpool_info

    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        # numpy 1's wheels bring OpenBLAS 0.3.23, scipy's a newer one: four times as fast where the
        # processor is newer than 2023.
        import scipy.linalg  # noqa: F401
    found = [one for one in threadpool_info() if one["internal_api"] == "openblas"]
    found.sort(key=lambda one: _version(one["version"]), reverse=True)
    return tuple(ctypes.CDLL(one["filepath"]) for one in found)


def _version(text: Optional[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in (text or "").split(".")[:3] if part.isdigit())
