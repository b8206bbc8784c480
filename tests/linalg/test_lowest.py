"""Singular vectors of the smallest singular values agree with LAPACK's SVD."""

import numpy as np
import pytest

from allennlp_analyze.linalg.lowest import MOST_VECTORS, lengths, lowest_vectors
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
