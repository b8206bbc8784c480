import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import gaussian, low_rank, stored, with_singular_values

from allennlp_analyze import spectra
from allennlp_analyze.errors import TensorError
from allennlp_analyze.ranks import hard_rank
from allennlp_analyze.results import TOLERANCES
from allennlp_analyze.spectra import spectrum


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
    assert hard_rank(found.singular_values, found.tolerance) == hard_rank(expected, found.tolerance)


def test_numpy_tolerance_counts_what_matrix_rank_counts() -> None:
    for case in CASES.values():
        matrix = case()
        found = spectrum(matrix, "float64")
        rank = hard_rank(found.singular_values, found.tolerance).numpy
        if 1e-150 < np.abs(matrix).max() < 1e150:
            assert rank == np.linalg.matrix_rank(matrix)


def test_healthy_matrices_need_no_svd_and_deficient_ones_get_it() -> None:
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
    monkeypatch.setattr(spectra, "BLOCK_ELEMENTS", 220 * 33)
    assert len(spectra.row_blocks(matrix)) == 22
    blocked = spectrum(matrix, "float32").singular_values
    np.testing.assert_allclose(blocked, whole, rtol=1e-12)


def test_svd_through_the_r_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.repeat(gaussian(5, 900, 150), 2, axis=1)
    monkeypatch.setattr(spectra, "WHOLE_SVD_ELEMENTS", 1000)
    monkeypatch.setattr(spectra, "BLOCK_ELEMENTS", 300 * 100)
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
@settings(max_examples=100, deadline=None)
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
    monkeypatch.setattr(spectra, "BLOCK_ELEMENTS", 1000)
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
