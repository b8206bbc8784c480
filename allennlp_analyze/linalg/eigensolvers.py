"""The libraries that compute the eigenvalues of large matrices, and a trial of which is faster."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze._versions import tool_info
from allennlp_analyze.linalg.backend import blas_threads, limited_blas, loaded
from allennlp_analyze.linalg.gram import GramSolver, gram_spectrum, serial_gram_spectrum
from allennlp_analyze.linalg.tridiagonal import (
    TWO_STAGES_FROM,
    Eigenvalues,
    agreeing,
    numpys_eigenvalues,
    one_stage,
    symmetric_eigenvalues,
)
from allennlp_analyze.options.names import EIGENSOLVERS as NAMES  # of the option
from allennlp_analyze.text.lines import one_line

AUTO, OPENBLAS, MKL, NUMPY = NAMES
# Another library must save this share of the time of the usual one.
MARGIN = 0.1
# The rows of the matrix of the trial, and its rounds.
SIZE, ROUNDS = 1792, 2


@dataclass(frozen=True)
class Eigensolver:
    """A library. `find` returns its function, or None where the library `lacks` something.

    The function computes what `symmetric_eigenvalues` does, leaves its argument as it is, and uses
    as many threads as `backend.blas_threads` says.
    """

    name: str
    find: Callable[[], Optional[Eigenvalues]] = field(repr=False)
    lacks: str


@cache
def _openblas() -> Optional[Eigenvalues]:
    return symmetric_eigenvalues if one_stage() else None


@cache
def _mkl() -> Optional[Eigenvalues]:
    try:
        import torch
    except Exception:  # a broken torch fails in its own ways
        return None
    return agreeing(_by_mkl) if torch.backends.mkl.is_available() else None


EIGENSOLVERS: Mapping[str, Eigensolver] = {
    solver.name: solver
    for solver in (
        Eigensolver(OPENBLAS, _openblas, "numpy and scipy are built with another library"),
        Eigensolver(MKL, _mkl, "it comes with torch (the extra `torch`) for x86 processors"),
        Eigensolver(NUMPY, lambda: numpys_eigenvalues, ""),
    )
}


def usual() -> str:
    """Returns the library that is used unless another one is asked for, or found to be faster."""
    return OPENBLAS if _openblas() else NUMPY


def described(name: str) -> str:
    """Returns the library `name` with the package that brings it, where that may differ."""
    torch = tool_info().torch if name == MKL else None
    return f"{name} of torch {torch}" if torch else name


def gram_solver(name: str, serial: bool = False) -> GramSolver:
    """Returns `gram_spectrum` with the eigenvalues of large matrices by the library `name`.

    With `serial`, one thread computes what two would, where the bits are those of two: MKL's are
    not. The library must be available.
    """
    if name == usual():
        return serial_gram_spectrum if serial else gram_spectrum
    large = EIGENSOLVERS[name].find()
    if large is None:
        raise ValueError(f"{name} is not available")
    return partial(gram_spectrum, large=large)


def candidates() -> tuple[str, ...]:
    """Returns the names of what may be faster here, after the usual one; imports nothing.

    torch is not worth the risk where another OpenMP is loaded already: some ends the process that
    loads a second one.
    """
    found, first = loaded(), usual()
    names = [first]
    is_safe = "torch" in sys.modules or not any(x["user_api"] == "openmp" for x in found)
    if is_safe and find_spec("torch") is not None:
        names.append(MKL)
    if any(x["user_api"] == "blas" and x["internal_api"] != "openblas" for x in found):
        names.append(NUMPY)
    return tuple(dict.fromkeys(names))


def trial(
    solvers: Mapping[str, Eigenvalues], threads: int, size: int = SIZE
) -> dict[str, list[float]]:
    """Returns the seconds of each of `solvers` for a matrix of `size` rows, round by round.

    `solvers` has the usual one. The seconds are those of `threads`, or the CPU seconds of one
    thread, where the others are busy with other work: then several take longer than one.
    """
    of_one = _rounds(solvers, 1, time.thread_time, size)
    if threads == 1:
        return of_one
    first = {usual(): solvers[usual()]}
    (seconds,) = _rounds(first, threads, time.perf_counter, size, rounds=1).values()
    is_busy = seconds[0] >= min(of_one[usual()])
    return of_one if is_busy else _rounds(solvers, threads, time.perf_counter, size)


def _rounds(
    solvers: Mapping[str, Eigenvalues],
    threads: int,
    clock: Callable[[], float],
    size: int,
    rounds: int = ROUNDS,
) -> dict[str, list[float]]:
    values = np.random.default_rng(0).standard_normal((size, size))
    matrix = np.triu(values + values.T)
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    with limited_blas(threads):
        for solve in solvers.values():  # loads what it needs
            solve(np.eye(TWO_STAGES_FROM // 8))
        for _ in range(rounds):
            for name, solve in solvers.items():
                before = clock()
                solve(matrix)
                seconds[name].append(clock() - before)
    return seconds


def winner(seconds: Mapping[str, Sequence[float]]) -> str:
    """Returns the fastest library by the `seconds` of a trial: the usual one, unless it lost.

    Another one must save `MARGIN` in every round, since other work may have disturbed some.
    """
    first = usual()
    rounds = range(len(seconds[first]))
    faster = [
        name
        for name in seconds
        if rounds and all(seconds[name][i] <= (1 - MARGIN) * seconds[first][i] for i in rounds)
    ]
    return min(faster, key=lambda name: min(seconds[name]), default=first)


class _TorchThreads:
    """torch's number of threads, while threads of ours ask for their own.

    The number holds for the thread that sets it, and for those that begin later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._usual = 1

    @contextmanager
    def limited_to(self, torch: Any, threads: int) -> Iterator[None]:
        with self._lock:
            before = torch.get_num_threads()
            if not self._users:
                self._usual = before
            self._users += 1
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                torch.set_num_threads(before if self._users else self._usual)


_torch_threads = _TorchThreads()


def _by_mkl(matrix: np.ndarray) -> np.ndarray:
    """As `symmetric_eigenvalues`, by the MKL in torch; other threads of Python run meanwhile."""
    import torch

    with _torch_threads.limited_to(torch, blas_threads()):
        try:
            found = torch.linalg.eigvalsh(torch.from_numpy(matrix).t(), UPLO="L")
        except RuntimeError as error:
            kind = MemoryError if "memory" in str(error) else np.linalg.LinAlgError
            raise kind(one_line(error)) from None
    return np.asarray(found.numpy())
