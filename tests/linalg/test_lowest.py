"""Singular vectors of the smallest singular values agree with LAPACK's SVD."""

import numpy as np
import pytest

from allennlp_analyze.linalg.lowest import MOST_VECTORS, Known, lengths, lowest_vectors
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.sources.blocks import Entries

pytestmark = pytest.mark.newest_python


def with_lost(n: int, m: int, lost: int, size: float) -> np.ndarray:
    u, s, vt = np.linalg.svd(np.random.default_rng(0).standard_normal((n, m)), full_matrices=False)
    s[-lost:] = size * np.linspace(1, 0.5, lost)
    return np.asarray((u * s) @ vt)


@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (60, 60)])
@pytest.mark.parametrize("size", [1e-3, 1e-9, 0.0])
def test_they_span_the_space_of_the_svd(shape: "tuple[int, int]", size: float) -> None:
    n, m = max(shape), min(shape)
    matrix = with_lost(n, m, 5, size)
    found = lowest_vectors(Entries(matrix if shape[0] >= shape[1] else matrix.T), 5, 2e-3)
    expected = np.linalg.svd(matrix)[2][-5:].T
    assert found.vectors.T @ found.vectors == pytest.approx(np.eye(5), abs=1e-10)
    cosines = np.linalg.svd(expected.T @ found.vectors, compute_uv=False)
    assert cosines == pytest.approx(np.ones(5), abs=1e-6)
    values = np.linalg.svd(matrix, compute_uv=False)[::-1][:5]
    assert found.values == pytest.approx(values, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("unit", [1.0, 1e-150])
@pytest.mark.parametrize("shape", [(640, 200), (200, 640)])
def test_the_gram_matrix_of_the_spectrum_gives_the_same(
    shape: "tuple[int, int]", unit: float
) -> None:
    weak = with_lost(640, 200, 3, 0.05) * unit
    matrix = weak if shape[0] > shape[1] else weak.T
    found = spectrum(matrix, "float64")
    assert found.gram is not None
    known = Known(found.gram, found.scale, found.singular_values[-1])
    lowest = lowest_vectors(Entries(matrix), 3, 0.06 * unit, known)
    expected = np.linalg.svd(weak / unit)
    assert lowest.values == pytest.approx(unit * expected[1][::-1][:3], rel=1e-9)
    cosines = np.linalg.svd(expected[2][-3:] @ lowest.vectors, compute_uv=False)
    assert cosines == pytest.approx(np.ones(3), abs=1e-9)
    assert lowest.lengths == pytest.approx(np.linalg.norm(weak / unit, axis=0) * unit)


def test_a_gram_matrix_that_has_lost_digits_is_not_offered() -> None:
    assert spectrum(with_lost(640, 200, 3, 1e-7), "float64").gram is None
    assert spectrum(with_lost(1600, 1100, 3, 1e-7), "float64").gram is None  # refined


def test_many_are_represented_by_random_ones_in_their_space() -> None:
    matrix = with_lost(200, 120, 80, 1e-6)
    found = lowest_vectors(Entries(matrix), 80, 1e-6)
    assert found.vectors.shape == (120, MOST_VECTORS)
    space = np.linalg.svd(matrix)[2][-80:]
    assert np.sum((space @ found.vectors) ** 2) == pytest.approx(MOST_VECTORS, rel=1e-6)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
@pytest.mark.parametrize("unit", [1e-160, 1.0, 1e160])
def test_lengths_are_those_of_rows_and_columns(shape: "tuple[int, int]", unit: float) -> None:
    matrix = unit * np.random.default_rng(0).standard_normal(shape)
    of_n, of_m = lengths(Entries(matrix))
    tall = matrix if shape[0] >= shape[1] else matrix.T
    assert of_n == pytest.approx(np.linalg.norm(tall / unit, axis=1) * unit)
    assert of_m == pytest.approx(np.linalg.norm(tall / unit, axis=0) * unit)


def test_a_matrix_of_zeros() -> None:
    found = lowest_vectors(Entries(np.zeros((6, 4))), 4, 0.0)
    assert found.values.tolist() == [0.0] * 4
    assert found.lengths.tolist() == [0.0] * 4
