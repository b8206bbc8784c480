"""The libraries that compute the eigenvalues of large matrices, against numpy's eigenvalues."""

import threading
import time
from functools import cache
from typing import Callable

import numpy as np
import pytest

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.linalg.backend import blas_threads, limited_blas
from allennlp_analyze.linalg.eigensolvers import (
    AUTO,
    EIGENSOLVERS,
    MARGIN,
    MKL,
    NUMPY,
    OPENBLAS,
    candidates,
    gram_solver,
    trial,
    usual,
    winner,
)
from allennlp_analyze.linalg.gram import SAFE_SQUARES, gram_spectrum
from allennlp_analyze.linalg.tridiagonal import TWO_STAGES_FROM, Eigenvalues
from allennlp_analyze.options.names import EIGENSOLVERS as OFFERED
from allennlp_analyze.settings import Settings
from scripts.benchmarks.work import layer
from tests.support.matrices import gaussian

LARGE = TWO_STAGES_FROM + 4


def solver_of(name: str) -> Eigenvalues:
    found = EIGENSOLVERS[name].find()
    if found is None:
        pytest.skip(f"{name} is not available: {EIGENSOLVERS[name].lacks}")
    return found


def symmetric(size: int) -> np.ndarray:
    values = gaussian(size, size, size)
    return values + values.T


@cache
def known(size: int) -> "tuple[np.ndarray, np.ndarray]":
    """A symmetric matrix, and the eigenvalues that numpy finds."""
    matrix = symmetric(size)
    with limited_blas(1):
        return matrix, np.linalg.eigvalsh(matrix)


def test_every_library_is_offered() -> None:
    assert OFFERED == (AUTO, *EIGENSOLVERS)


@pytest.mark.parametrize("size", [1, 2, 150, LARGE])
@pytest.mark.parametrize("name", EIGENSOLVERS)
def test_eigenvalues_are_those_of_numpy(name: str, size: int) -> None:
    """From the upper triangle alone, which stays as it is."""
    solve, (whole, expected) = solver_of(name), known(size)
    for scale in (1.0, *SAFE_SQUARES) if size < LARGE else (1.0,):
        given = np.triu(scale * whole)
        with limited_blas(1):
            found = solve(given)
        np.testing.assert_array_equal(given, np.triu(scale * whole))
        largest = scale * np.abs(expected).max()
        np.testing.assert_allclose(found, scale * expected, rtol=0, atol=1e-14 * size * largest)


@pytest.mark.parametrize("name", EIGENSOLVERS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_has_no_eigenvalues_is_an_error_of_numpy(name: str, value: float) -> None:
    solve = solver_of(name)
    with pytest.raises(np.linalg.LinAlgError):
        solve(np.full((40, 40), value))


def test_the_usual_library_is_found_without_a_trial() -> None:
    assert usual() in (OPENBLAS, NUMPY) and EIGENSOLVERS[usual()].find()
    assert candidates()[0] == usual()
    assert gram_solver(usual()) is gram_spectrum


@pytest.mark.newest_python
def test_the_bits_do_not_depend_on_the_number_of_jobs() -> None:
    """Nor do those of smaller matrices depend on the library, while those of large ones do."""
    solver_of(MKL)
    shapes = [(LARGE + 40, LARGE), (700, 300)]
    matrices = [
        layer(str(i), gaussian(i, *shape).astype(np.float32), "float32")
        for i, shape in enumerate(shapes)
    ]
    one, two, other = (
        [x.singular_values for x in analyze(matrices, Settings(jobs=jobs), solver).layers]
        for jobs, solver in ((1, gram_solver(MKL)), (2, gram_solver(MKL)), (2, gram_spectrum))
    )
    for i in range(len(shapes)):
        np.testing.assert_array_equal(one[i], two[i])
        np.testing.assert_allclose(one[i], other[i], rtol=0, atol=1e-9 * one[i][0])
    same = [np.array_equal(x, y) for x, y in zip(one, other)]
    assert same == [False, True]


def test_torch_keeps_its_threads() -> None:
    solve = solver_of(MKL)
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found = []
    try:
        with limited_blas(1):
            threads = [threading.Thread(target=solve, args=(symmetric(300),)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert (torch.get_num_threads(), found) == (3, [3])
    finally:
        torch.set_num_threads(before)


def test_other_threads_run_while_mkl_computes() -> None:
    solve = solver_of(MKL)
    matrix, ticks = symmetric(1200), []
    solve(symmetric(10))  # loads it
    with limited_blas(1):
        thread = threading.Thread(target=solve, args=(matrix,))
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0.001)
    assert len(ticks) > 10


def repeated(solve: Eigenvalues, times: int) -> Eigenvalues:
    """A library that takes so many times as long."""

    def slowly(matrix: np.ndarray) -> np.ndarray:
        for _ in range(times - 1):
            solve(matrix)
        return solve(matrix)

    return slowly


@pytest.mark.parametrize("slow", [0, 1])
def test_the_trial_finds_the_faster_one(slow: int) -> None:
    names = [usual(), NUMPY if usual() == OPENBLAS else OPENBLAS]
    solve = EIGENSOLVERS[usual()].find()
    assert solve is not None
    solvers: dict[str, Callable[[np.ndarray], np.ndarray]] = dict.fromkeys(names, solve)
    solvers[names[slow]] = repeated(solve, 4)
    seconds = trial(solvers, threads=1, size=300)
    assert list(seconds) == names and min(min(some) for some in seconds.values()) > 0
    assert winner(seconds) == names[1 - slow]


def test_threads_that_are_slower_than_one_tell_nothing() -> None:
    """As on a machine that is busy with other work."""
    other = NUMPY if usual() == OPENBLAS else OPENBLAS

    def in_parallel_slow(matrix: np.ndarray) -> np.ndarray:
        time.sleep(0.2 if len(matrix) > 250 else 0)  # is no time of the CPU
        return np.zeros(len(matrix))

    solve = EIGENSOLVERS[usual()].find()
    assert solve is not None
    seconds = trial({usual(): in_parallel_slow, other: repeated(solve, 2)}, threads=2, size=300)
    assert max(seconds[usual()]) < 0.1 and winner(seconds) == usual()


def test_of_several_threads_the_wall_seconds_count() -> None:
    other = NUMPY if usual() == OPENBLAS else OPENBLAS

    def taking(of_one: float, of_two: float) -> Eigenvalues:
        def solve(matrix: np.ndarray) -> np.ndarray:
            if len(matrix) > 250 and blas_threads() == 2:
                time.sleep(of_two)
            elif len(matrix) > 250:
                end = time.thread_time() + of_one
                while time.thread_time() < end:
                    pass
            return np.zeros(len(matrix))

        return solve

    solvers = {usual(): taking(0.25, 0.15), other: taking(0.25, 0.01)}
    assert winner(trial(solvers, threads=1, size=300)) == usual()
    # Where other work disturbs a trial the usual one stays, so of several one is enough.
    assert any(winner(trial(solvers, threads=2, size=300)) == other for _ in range(5))


def test_the_usual_one_stays_unless_it_lost_every_round() -> None:
    other = NUMPY if usual() == OPENBLAS else OPENBLAS
    little, enough = 0.99 - MARGIN, 1.01 - MARGIN
    assert winner({usual(): [1.0, 2.0], other: [enough - 0.02, 2 * little]}) == other
    assert winner({usual(): [1.0, 2.0], other: [0.1, 2 * enough]}) == usual()
    assert winner({usual(): [], other: []}) == winner({usual(): []}) == usual()
