from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg import gram, openblas, refine, tridiagonal
from allennlp_analyze.linalg import spectrum as spectra
from allennlp_analyze.linalg.gram import SAFE_SQUARES, gram_spectrum
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.linalg.tridiagonal import one_stage, symmetric_eigenvalues, two_stages
from allennlp_analyze.metrics.ranks import hard_rank
from allennlp_analyze.results.layer import TOLERANCES
from allennlp_analyze.sources import blocks as entries
from allennlp_analyze.sources import dtypes
from tests.support.matrices import gaussian, low_rank, stored, with_singular_values


def reference(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix.astype(np.float64), compute_uv=False)


CASES = {
    "tall": lambda: gaussian(0, 900, 200),
    "wide": lambda: gaussian(1, 200, 900),
    "square": lambda: gaussian(2, 300, 300),
    "column": lambda: gaussian(3, 50, 1),
    "one entry": lambda: np.array([[-3.0]]),
    "zero": lambda: np.zeros((300, 270)),
    "rank one": lambda: low_rank(4, 400, 300, 1),
    "duplicated columns": lambda: np.repeat(gaussian(5, 500, 150), 2, axis=1),
    "zero columns": lambda: np.pad(gaussian(6, 500, 250), ((0, 0), (0, 30))),
    "graded": lambda: with_singular_values(7, 400, 300, np.logspace(20, -20, 300)),
    "graded rows": lambda: gaussian(8, 300, 300) * np.logspace(20, -20, 300)[:, None],
    "smallest at 1e-12": lambda: with_singular_values(
        9, 400, 300, np.append(np.linspace(2, 1, 299), 1e-12)
    ),
    "near the loose tolerance": lambda: with_singular_values(
        10, 400, 300, np.append(np.linspace(2, 1, 299), 1e-3)
    ),
    "tiny": lambda: gaussian(11, 400, 300) * 1e-200,
    "huge": lambda: gaussian(12, 400, 300) * 1e200,
    "constant": lambda: np.full((400, 300), 0.25),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_ranks_are_those_of_the_float64_svd(case: str, dtype: str) -> None:
    exact = CASES[case]()
    if dtype != "float64" and not 1e-30 < np.abs(exact).max() < 1e4:
        pytest.skip(f"{case} does not fit into {dtype}")
    matrix = stored(exact, dtype)
    found = spectrum(matrix, dtype)
    expected = reference(matrix)
    assert found.singular_values.shape == expected.shape
    assert np.all(np.abs(found.singular_values - expected) <= 1e-7 * expected[0])
    if (case, dtype) == ("constant", "float64"):
        # LAPACK's rounding is above the smallest tolerance: it counts 12 directions instead of one.
        expected[1:] = 0
    assert hard_rank(found.singular_values, found.tolerance) == hard_rank(expected, found.tolerance)


def test_numpy_tolerance_counts_what_matrix_rank_counts() -> None:
    for case in CASES.values():
        matrix = case()
        found = spectrum(matrix, "float64")
        rank = hard_rank(found.singular_values, found.tolerance).numpy
        if 1e-150 < np.abs(matrix).max() < 1e150:
            assert rank == np.linalg.matrix_rank(matrix)


def test_healthy_matrices_need_no_svd_and_deficient_ones_in_float64_get_it() -> None:
    assert spectrum(gaussian(0, 900, 200), "float32").method == "gram"
    assert spectrum(CASES["duplicated columns"](), "float64").method == "svd"


def test_gram_route_agrees_with_svd_relative_to_the_smallest() -> None:
    values = np.logspace(0, -4.9, 300)
    matrix = with_singular_values(3, 1000, 300, values)
    found = spectrum(matrix, "float32")
    assert found.method == "gram"
    assert found.singular_values[-1] == pytest.approx(reference(matrix)[-1], rel=1e-5)


def test_blocks_do_not_change_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = gaussian(0, 700, 220).astype(np.float32)
    whole = spectrum(matrix, "float32").singular_values
    monkeypatch.setattr(entries, "BLOCK_ROWS", 1)
    monkeypatch.setattr(entries, "BLOCK_ELEMENTS", 220 * 33)
    assert len(list(entries.Entries(matrix).blocks())) == 22
    blocked = spectrum(matrix, "float32").singular_values
    np.testing.assert_allclose(blocked, whole, rtol=1e-12)


SMALLEST = {
    "one far below": [1e-7],
    "a cluster": [1e-6] * 10,
    "graded": list(np.logspace(-5.2, -9, 30)),
    "exact zeros": [0.0] * 20,
    "zeros and small ones": [1e-8, 3e-7, 1e-6, 0.0, 0.0],
}


@pytest.mark.newest_python
@pytest.mark.parametrize("case, columns", [*((case, 1050) for case in SMALLEST), ("graded", 1300)])
def test_smallest_values_are_refined_to_the_precision_of_the_svd(case: str, columns: int) -> None:
    body = np.geomspace(1, 2e-3, 1050 - len(SMALLEST[case]))
    values = np.append(body, SMALLEST[case])
    matrix = with_singular_values(7, columns, 1050, values)
    expected = reference(matrix)
    for oriented in (matrix, matrix.T):
        found = spectrum(oriented, "float32")
        assert found.method == "gram"
        np.testing.assert_allclose(
            found.singular_values[len(body) :],
            expected[len(body) :],
            rtol=1e-7,
            atol=1050 * np.finfo(float).eps,  # the largest is 1: what LAPACK promises of an SVD
        )
        rank = hard_rank(found.singular_values, found.tolerance)
        assert rank == hard_rank(expected, found.tolerance)


def test_refined_values_come_with_a_bound_that_holds() -> None:
    values = np.append(np.geomspace(1, 1e-3, 290), np.logspace(-5.5, -7, 10))
    whole = entries.Entries(with_singular_values(1, 500, 300, values))
    gram = gram_spectrum(whole)
    assert gram is not None
    found = refine.smallest_singular_values(whole, 1.0, gram.matrix, gram.eigenvalues, 10)
    assert found is not None
    exact = reference(whole.stored)[:-11:-1]
    assert np.all(np.abs(found.values**2 - exact**2) <= found.error + 1e-15 * exact)
    assert found.error < 1e-24


def test_a_direction_that_the_gram_matrix_does_not_know_is_not_accepted() -> None:
    whole = entries.Entries(gaussian(0, 400, 300))
    gram = gram_spectrum(whole)
    assert gram is not None
    wrong = gram.eigenvalues.copy()
    wrong[:5] *= 0.5
    assert refine.smallest_singular_values(whole, 1.0, gram.matrix, wrong, 5) is None


def test_many_lost_directions_are_found_below_the_gap() -> None:
    found = spectrum(low_rank(0, 1100, 1040, 500), "float32")
    assert found.method == "gram"
    assert hard_rank(found.singular_values, found.tolerance).numpy == 500


@pytest.fixture(params=["OpenBLAS", "numpy alone"])
def blas(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways of computing, where the library has both."""
    found = (gram._blas_add_gram, one_stage, two_stages)
    if request.param == "numpy alone":
        monkeypatch.setattr(gram, "find_routines", lambda *names: None)
        monkeypatch.setattr(tridiagonal, "find_routines", lambda *names: None)
        for function in found:
            function.cache_clear()
    elif any(function() is None for function in found):
        pytest.skip("numpy is not built with OpenBLAS")
    yield request.param
    for function in found:
        function.cache_clear()


@pytest.mark.parametrize(
    "shape, order",
    [((60, 50), "C"), ((60, 50), "F"), ((60, 50), "strided"), ((1600, 1540), "C")],
)
def test_gram_matrices_have_the_entries_and_eigenvalues_that_numpy_finds(
    shape: "tuple[int, int]", order: str, blas: str
) -> None:
    matrix = gaussian(3, *shape)
    laid_out = np.asarray(matrix, order="F" if order == "F" else "C")
    if order == "strided":
        laid_out = np.repeat(np.repeat(matrix, 2, axis=0), 3, axis=1)[::2, ::3]
    found = gram_spectrum(entries.Entries(laid_out))
    assert found is not None
    exact = matrix.T @ matrix
    expected = np.linalg.eigvalsh(exact)
    error = np.abs(found.eigenvalues - expected)
    assert error.max() <= min(shape) * np.finfo(float).eps * expected[-1]
    assert found.total == pytest.approx(matrix.sum(), abs=1e-8)
    np.testing.assert_allclose(np.triu(found.matrix), np.triu(exact), atol=1e-9)


def test_openblas_is_called_wherever_numpy_brings_it() -> None:
    if not any(library["internal_api"] == "openblas" for library in threadpool_info()):
        pytest.skip("numpy is not built with OpenBLAS")
    for function in (gram._blas_add_gram, one_stage, two_stages):
        assert function() is not None


def test_the_newest_openblas_is_taken() -> None:
    def version(library: object) -> "list[int]":
        (found,) = (o["version"] for o in threadpool_info() if o["filepath"] == library._name)
        return [int(part) for part in found.split(".")[:3] if part.isdigit()]

    versions = [version(library) for library in openblas.libraries()]
    assert versions == sorted(versions, reverse=True)


@pytest.mark.parametrize("size", [1, 2, 33, 65, 66, 150, 700])
@pytest.mark.parametrize("scale", [1.0, *SAFE_SQUARES])
def test_eigenvalues_are_those_of_numpy(size: int, scale: float, blas: str) -> None:
    matrix = scale * gaussian(size, size, size)
    matrix = matrix + matrix.T
    expected = np.linalg.eigvalsh(matrix)
    solvers = [symmetric_eigenvalues]
    if blas == "OpenBLAS" and size > tridiagonal.BAND:
        solvers.append(two_stages())
    for solver in solvers:
        found = solver(np.triu(matrix))
        np.testing.assert_allclose(found, expected, atol=1e-14 * size * np.abs(expected).max())


def test_eigenvalues_of_what_would_be_misread_are_refused() -> None:
    for wrong in (np.eye(6)[::2], np.eye(4, dtype=np.float32), np.eye(8)[::2, ::2]):
        with pytest.raises(ValueError, match="float64"):
            symmetric_eigenvalues(wrong)


def test_a_routine_that_does_not_do_what_its_name_says_is_not_used() -> None:
    def other(*arguments: object) -> None:
        pass

    assert tridiagonal.agreeing(tridiagonal._in_one_stage(other, other)) is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_stored_numbers_are_decoded_block_by_block(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "BLOCK_ROWS", 1)
    monkeypatch.setattr(entries, "BLOCK_ELEMENTS", 5000)
    numbers = stored(gaussian(0, 500, 210), dtype)
    bits, sizes = numbers, []
    if dtype == "bfloat16":
        bits = (numbers.view(np.uint32) >> 16).astype(np.uint16)

    def decode(block: np.ndarray) -> np.ndarray:
        sizes.append(block.size)
        return dtypes.decode(block, dtype)

    for whole in (bits, bits.T):
        found = spectrum(whole, dtype, decode=decode)
        np.testing.assert_allclose(found.singular_values, reference(numbers), rtol=1e-10)
    assert max(sizes) <= 5000


def test_svd_through_the_r_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.repeat(gaussian(5, 900, 150), 2, axis=1)
    monkeypatch.setattr(spectra, "WHOLE_SVD_ELEMENTS", 1000)
    monkeypatch.setattr(entries, "BLOCK_ROWS", 1)
    monkeypatch.setattr(entries, "BLOCK_ELEMENTS", 300 * 100)
    found = spectrum(matrix, "float64")
    expected = reference(matrix)
    assert found.method == "svd"
    assert np.all(np.abs(found.singular_values - expected) <= 1e-13 * expected[0])
    assert hard_rank(found.singular_values, found.tolerance).numpy == 150


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-250, 250),
)
@settings(max_examples=40, deadline=None)
def test_scaling_by_a_power_of_two_scales_the_values(
    rows: int, columns: int, seed: int, exponent: int
) -> None:
    matrix = gaussian(seed, rows, columns)
    plain = spectrum(matrix, "float64")
    scaled = spectrum(np.ldexp(matrix, exponent), "float64", loose=0.0)
    expected = np.ldexp(plain.singular_values, exponent)
    np.testing.assert_allclose(scaled.singular_values, expected, rtol=0, atol=1e-14 * expected[0])
    for name in TOLERANCES:
        if name != "loose":
            ratio = getattr(scaled.tolerance, name) / np.ldexp(
                getattr(plain.tolerance, name), exponent
            )
            assert ratio == pytest.approx(1.0, rel=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_transposing_changes_nothing(rows: int, columns: int, seed: int) -> None:
    matrix = gaussian(seed, rows, columns)
    one, other = spectrum(matrix, "float64"), spectrum(matrix.T, "float64")
    np.testing.assert_allclose(
        one.singular_values, other.singular_values, atol=1e-13 * one.singular_values[0]
    )


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_entries_have_the_standard_deviation_that_numpy_finds(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = gaussian(0, 300, 40) + 3
    monkeypatch.setattr(entries, "BLOCK_ROWS", 1)
    monkeypatch.setattr(entries, "BLOCK_ELEMENTS", 1000)
    found = spectrum(matrix * scale, "float64")
    assert found.entry_std == pytest.approx(matrix.std() * scale, rel=1e-10)


@pytest.mark.parametrize(
    "value, word", [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
def test_non_finite_entries_are_counted_and_located(value: float, word: str) -> None:
    matrix = gaussian(0, 30, 20)
    matrix[4, 7] = matrix[9, 1] = value
    with pytest.raises(TensorError, match=f"2 entries .*{word} at row 4, column 7"):
        spectrum(matrix, "float64")
