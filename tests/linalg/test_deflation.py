"""Matrices that have lost many directions cost about as much as healthy ones, and are as exact."""

import time
from collections.abc import Iterator
from typing import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from allennlp_analyze.linalg.deflation import deflated
from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.low_rank import all_values
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.metrics.ranks import hard_rank
from allennlp_analyze.sources.blocks import Entries
from tests.support.matrices import gaussian, low_rank, stored, with_singular_values

pytestmark = pytest.mark.newest_python
SIZE = 320


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def zeros_in(matrix: np.ndarray, rows: int, columns: int) -> np.ndarray:
    matrix[:rows] = 0
    matrix[:, :columns] = 0
    return matrix


CASES: "dict[str, Callable[[], np.ndarray]]" = {
    "constant": lambda: np.full((SIZE, SIZE), 0.25),
    "rank 1": lambda: low_rank(1, SIZE + 90, SIZE, 1),
    "rank 10": lambda: low_rank(1, SIZE, SIZE, 10),
    "a third": lambda: low_rank(1, SIZE, SIZE + 90, SIZE // 3),
    "half": lambda: low_rank(1, SIZE, SIZE, SIZE // 2),
    "all but 20": lambda: low_rank(1, SIZE, SIZE, SIZE - 20),
    "rows of zeros": lambda: zeros_in(gaussian(2, SIZE, SIZE), 40, 0),
    "zeros in most columns": lambda: zeros_in(gaussian(3, SIZE, SIZE), 10, 240),
    "copied columns": lambda: np.repeat(gaussian(4, SIZE, SIZE // 2), 2, axis=1),
    "constant and noise": lambda: 0.25 + 1e-6 * gaussian(5, SIZE, SIZE),
    "constant and less noise": lambda: 0.25 + 1e-9 * gaussian(5, SIZE, SIZE),
    "a gap at 1e-3": lambda: with_singular_values(
        6, SIZE, SIZE, np.concatenate([np.linspace(2, 1, 250), np.geomspace(1e-3, 1e-7, 70)])
    ),
    "two gaps": lambda: with_singular_values(
        7, SIZE, SIZE, np.repeat([1.0, 1e-6, 1e-11], [120, 120, 80])
    ),
    "tiny": lambda: 1e-30 * low_rank(8, SIZE, SIZE, 30),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_lost_directions_below_a_gap_need_no_svd(case: str, dtype: str) -> None:
    matrix = stored(CASES[case](), dtype)
    found = spectrum(matrix, dtype)
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    if dtype == "float32":  # rounding to bfloat16 may fill the gap
        assert found.method == "gram"
    assert np.all(np.abs(found.singular_values - expected) <= 1e-8 * expected[0])
    assert hard_rank(found.singular_values, found.tolerance) == hard_rank(expected, found.tolerance)


@pytest.mark.parametrize("rank", [1, 30, 160, 300])
@pytest.mark.parametrize("noise", [0.0, 1e-10, 1e-8, 1e-6])
def test_the_bound_on_the_error_holds(rank: int, noise: float) -> None:
    matrix = low_rank(rank, 400, SIZE, rank) + noise * gaussian(9, 400, SIZE)
    gram = gram_spectrum(Entries(matrix))
    assert gram is not None
    found = deflated(Entries(matrix), 1.0, gram.matrix, gram.eigenvalues, SIZE - rank)
    assert found is not None
    exact = np.linalg.svd(matrix, compute_uv=False)[: -1 - len(found.values) : -1]
    rounding = SIZE * np.finfo(float).eps * np.sqrt(gram.eigenvalues[-1])
    slack = 2 * rounding * exact + rounding**2  # what an SVD may be wrong by
    assert np.all(np.abs(found.values**2 - exact**2) <= found.error + slack)


def test_without_a_gap_there_is_no_answer() -> None:
    graded = with_singular_values(1, SIZE, SIZE, np.geomspace(1, 1e-7, SIZE))
    gram = gram_spectrum(Entries(graded))
    assert gram is not None
    assert deflated(Entries(graded), 1.0, gram.matrix, gram.eigenvalues, 150) is None
    assert spectrum(graded, "float32").method == "svd"


HILBERT = 1 / (np.arange(440)[:, None] + np.arange(440) + 1.0)
FEW: "dict[str, Callable[[], np.ndarray]]" = {
    "constant": lambda: np.full((SIZE, SIZE), 0.1),
    "stride 0": lambda: np.broadcast_to(np.array(0.1), (SIZE, SIZE)),
    "rank 10": lambda: low_rank(1, SIZE + 90, SIZE, 10),
    "rank 3 and rows of zeros": lambda: zeros_in(low_rank(2, SIZE, SIZE, 3), 40, 30),
    "tiny": lambda: 1e-150 * low_rank(8, SIZE, SIZE, 8),
    "graded": lambda: with_singular_values(4, SIZE, SIZE, 0.2 ** np.arange(SIZE)),
}


@pytest.mark.parametrize("case", FEW)
def test_few_singular_values_are_found_in_float64_without_an_svd(case: str) -> None:
    matrix = FEW[case]()
    found = spectrum(matrix, "float64")
    expected = np.linalg.svd(matrix, compute_uv=False)
    assert found.method == ("svd" if case == "graded" else "gram")
    assert np.all(np.abs(found.singular_values - expected) <= 1e-12 * expected[0])
    ranks, true = (hard_rank(x, found.tolerance) for x in (found.singular_values, expected))
    assert (ranks.numpy, ranks.rounding, ranks.loose) == (true.numpy, true.rounding, true.loose)
    # The rounding of an SVD of a constant matrix is above this smallest one of the tolerances.
    assert ranks.numerical_recipes <= true.numerical_recipes


@pytest.mark.parametrize("matrix", [HILBERT, FEW["graded"](), FEW["rank 10"]()])
def test_the_bound_on_few_singular_values_holds(matrix: np.ndarray) -> None:
    gram = gram_spectrum(Entries(matrix))
    assert gram is not None
    found = all_values(Entries(matrix), 1.0, gram.eigenvalues)
    assert found is not None
    exact = np.linalg.svd(matrix, compute_uv=False)[::-1]
    slack = 40 * np.finfo(float).eps * exact[-1]  # what an SVD may be wrong by
    assert np.all(np.abs(found.values - exact) <= found.error + slack)
    assert found.error < 1e-13 * exact[-1]


def test_many_singular_values_are_left_to_the_svd() -> None:
    for matrix in (low_rank(1, SIZE, SIZE, SIZE // 4), gaussian(1, SIZE, SIZE)):
        gram = gram_spectrum(Entries(matrix))
        assert gram is not None
        assert all_values(Entries(matrix), 1.0, gram.eigenvalues) is None


def test_a_space_that_is_not_that_of_the_matrix_shows_in_the_bound() -> None:
    matrix, other = low_rank(1, SIZE, SIZE, 30), low_rank(2, SIZE, SIZE, 30)
    gram = gram_spectrum(Entries(other))
    assert gram is not None
    found = deflated(Entries(matrix), 1.0, gram.matrix, gram.eigenvalues, SIZE - 30)
    assert found is None or found.error > 1e-3 * gram.eigenvalues[-1]


@pytest.mark.parametrize("case", ["constant", "rank 10"])
def test_a_deficient_matrix_costs_at_most_three_times_a_healthy_one(case: str) -> None:
    size = 2048
    deficient = np.ones((size, size)) if case == "constant" else low_rank(0, size, size, 10)

    def seconds(matrix: np.ndarray) -> float:
        started = time.process_time()
        spectrum(matrix.astype(np.float32), "float32")
        return time.process_time() - started

    seconds(gaussian(0, 300, 300))
    assert seconds(deficient) <= 3 * seconds(gaussian(0, size, size))
