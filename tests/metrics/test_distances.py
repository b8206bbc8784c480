"""Distances of spectra against scipy, against transport done the long way, and against theorems."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.metrics.distances import ks_distance, spectral_distance, wasserstein_2
from tests.support.matrices import gaussian

sizes = st.integers(1, 12)
seeds = st.integers(0, 2**32 - 1)
scales = st.floats(1e-140, 1e140)
# Small integers have ties, zeros and exact sums.
few_values = st.lists(st.integers(0, 5), min_size=1, max_size=12).map(
    lambda values: np.array(sorted(values, reverse=True), float)
)


def singular_values(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix, compute_uv=False)


def spectra(seed: int, m: int, n: int) -> "tuple[np.ndarray, np.ndarray]":
    rng = np.random.default_rng(seed)
    return tuple(np.sort(rng.pareto(2, size))[::-1] for size in (m, n))  # type: ignore[return-value]


@given(few_values, few_values)
def test_wasserstein_is_the_cost_of_the_best_assignment(a: np.ndarray, b: np.ndarray) -> None:
    """Each value repeated until both have as many, every assignment allowed."""
    optimize = pytest.importorskip("scipy.optimize")
    first, second = np.repeat(a, len(b)), np.repeat(b, len(a))
    cost = (first[:, None] - second[None, :]) ** 2
    best = cost[optimize.linear_sum_assignment(cost)].mean()
    assert wasserstein_2(a, b) == pytest.approx(np.sqrt(best), abs=1e-12)


@given(seeds, st.integers(1, 300), st.integers(1, 300))
def test_wasserstein_of_any_two_sizes_is_that_of_repeated_values(seed: int, m: int, n: int) -> None:
    a, b = spectra(seed, m, n)
    difference = np.repeat(a, n) - np.repeat(b, m)
    expected = np.sqrt(np.mean(difference**2))
    assert wasserstein_2(a, b) == pytest.approx(expected, rel=1e-12)
    assert wasserstein_2(b, a) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_of_the_largest_sizes_counts_exactly() -> None:
    """16384 and 16383 values: the breakpoints are 2e8 units, and 1/M is no float."""
    a, b = np.ones(16384), np.ones(16383)
    a[0] = b[0] = 3.0
    # The quantile functions differ, by 2, on 1/16383 - 1/16384 of [0, 1].
    assert wasserstein_2(a, b) == pytest.approx(2 * np.sqrt(1 / 16383 - 1 / 16384), rel=1e-12)


@given(seeds, sizes, sizes, st.floats(1e-6, 10), scales)
def test_mirsky(seed: int, rows: int, columns: int, size: float, scale: float) -> None:
    """No change of the weights moves the singular values by more than itself."""
    rng = np.random.default_rng(seed)
    before = rng.standard_normal((rows, columns))
    after = before + size * rng.standard_normal((rows, columns))
    distance = spectral_distance(scale * singular_values(before), scale * singular_values(after))
    assert distance is not None
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert distance <= change * (1 + 1e-9) + 1e-12


@given(seeds, st.integers(1, 12), st.integers(1, 12), scales)
def test_the_bound_is_reached_by_moving_singular_values_alone(
    seed: int, m: int, extra: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((m + extra, m)))
    right, _ = np.linalg.qr(rng.standard_normal((m, m)))
    values = [np.sort(rng.uniform(0.5, 2, m))[::-1] for _ in range(2)]
    before, after = ((left * v) @ right.T for v in values)
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    distance = spectral_distance(scale * values[0], scale * values[1])
    assert distance == pytest.approx(change, rel=1e-9)


@given(seeds, st.integers(1, 200), st.integers(1, 200), st.floats(0.1, 10))
def test_ks_is_that_of_scipy(seed: int, m: int, n: int, scale: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = spectra(seed, m, n)
    first, second = a**2 / np.mean(a**2), b**2 / np.mean(b**2)
    # asymp: the statistic is the same, and the p-value is not looked at.
    expected = stats.ks_2samp(first, second, method="asymp").statistic
    assert ks_distance(a, scale * b) == pytest.approx(expected, abs=1e-12)


@given(few_values, few_values)
def test_ks_with_ties_against_exact_arithmetic(a: np.ndarray, b: np.ndarray) -> None:
    from fractions import Fraction

    if not (a.any() and b.any()):
        return
    scaled = []
    for values in (a, b):
        eigenvalues = [Fraction(int(v)) ** 2 for v in values]
        mean = sum(eigenvalues) / len(eigenvalues)
        scaled.append([e / mean for e in eigenvalues])
    expected = max(
        abs(
            Fraction(sum(e <= x for e in scaled[0]), len(a))
            - Fraction(sum(e <= x for e in scaled[1]), len(b))
        )
        for x in (*scaled[0], *scaled[1])
    )
    assert ks_distance(a, b) == pytest.approx(float(expected), abs=1e-12)


@given(seeds, st.integers(1, 100), scales, st.floats(1e-3, 1e3))
def test_a_multiple_has_the_same_shape_and_moved_by_the_factor(
    seed: int, m: int, scale: float, factor: float
) -> None:
    values = scale * spectra(seed, m, 1)[0]
    assert ks_distance(values, factor * values) == 0
    assert spectral_distance(values, factor * values) == pytest.approx(
        abs(factor - 1), rel=1e-9, abs=1e-12
    )


@given(seeds, st.integers(1, 100), scales)
def test_equal_spectra_are_at_distance_zero(seed: int, m: int, scale: float) -> None:
    values = scale * spectra(seed, m, 1)[0]
    assert spectral_distance(values, values.copy()) == 0
    assert ks_distance(values, values.copy()) == 0


def test_a_matrix_of_zeros() -> None:
    zeros, values = np.zeros(4), singular_values(gaussian(0, 9, 5))
    assert spectral_distance(zeros, np.zeros(2)) == ks_distance(zeros, np.zeros(2)) == 0
    assert spectral_distance(zeros, values) is None
    assert ks_distance(zeros, values) is None and ks_distance(values, zeros) is None
    # All of A is gone: the distance is A itself.
    assert spectral_distance(values, np.zeros(5)) == pytest.approx(1)


def test_a_baseline_that_vanishes_beside_the_candidate_has_no_distance() -> None:
    tiny, large = np.array([5e-324]), np.array([1.7e308])
    with np.errstate(all="raise", under="ignore"):
        assert spectral_distance(tiny, large) is None
        assert spectral_distance(large, tiny) == 1
        assert ks_distance(tiny, large) == 0
