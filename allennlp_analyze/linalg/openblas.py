"""Calls BLAS and LAPACK routines that numpy does not expose, in the OpenBLAS that it has loaded.

scipy exposes some of them but holds the GIL while they run, so two layers could not run at once.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Callable, Optional, Union

import numpy as np

# The names of a routine in the OpenBLAS builds of wheels, conda and Linux distributions.
NAMES = ("scipy_{}_64_", "scipy_{}_", "{}_64_", "{}_")

Routine = Callable[..., None]
Argument = Union[bytes, int, float, np.ndarray]


@cache
def find_routines(*names: str) -> Optional[tuple[Routine, ...]]:
    """Returns the routines `names` (such as "dsyrk") of the newest loaded OpenBLAS that has them.

    Returns None if no loaded OpenBLAS has them.
    """
    for library in libraries():
        for pattern in NAMES:
            wanted = [pattern.format(name) for name in names]
            if all(hasattr(library, name) for name in wanted):
                return tuple(getattr(library, name) for name in wanted)
    return None


def call(routine: Routine, *arguments: Argument) -> None:
    """Call `routine` with `arguments`; arrays are passed by the address of their first element.

    bytes are passed as Fortran character arguments.
    """
    # Fortran compilers pass the lengths of strings at the end.
    lengths = [ctypes.c_size_t(len(one)) for one in arguments if isinstance(one, bytes)]
    routine(*map(_pointer, arguments), *lengths)


def call_lapack(routine: Routine, arguments: Sequence[Argument], workspaces: int = 0) -> None:
    """Call `routine` with `arguments`, followed by its workspaces and INFO.

    The routine is asked for the sizes of the workspaces. Raises `numpy.linalg.LinAlgError` if the
    routine fails.
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
    """Whether a trial of `compute` gives numpy's result, as a library's name may mislead."""
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
    # A library with 32-bit integers reads the lower half, which is correct on little-endian
    # machines.
    return ctypes.byref(ctypes.c_int64(argument))


@cache
def libraries() -> tuple[ctypes.CDLL, ...]:
    """Returns the loaded OpenBLAS libraries, the newest first.

    An old library treats a CPU that it does not know as a much older one. A limit on BLAS threads
    does not apply to libraries that are loaded later.
    """
    from threadpoolctl import threadpool_info

    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        # The wheels of numpy 1 contain OpenBLAS 0.3.23, those of scipy a newer one, which is four
        # times as fast on CPUs newer than 2023.
        import scipy.linalg  # noqa: F401
    found = [one for one in threadpool_info() if one["internal_api"] == "openblas"]
    found.sort(key=lambda one: _version(one["version"]), reverse=True)
    return tuple(ctypes.CDLL(one["filepath"]) for one in found)


def _version(text: Optional[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in (text or "").split(".")[:3] if part.isdigit())
