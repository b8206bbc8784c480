import math

import numpy as np
import pytest

from allennlp_analyze.metrics.marchenko_pastur import (
    MIN_EIGENVALUES,
    edges,
    marchenko_pastur,
    quantiles,
    tikhonov,
    tracy_widom_threshold,
)
from tests.support.matrices import gaussian, with_singular_values


def eigenvalues(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix, compute_uv=False) ** 2


@pytest.mark.parametrize("n, m", [(3000, 600), (1000, 900), (800, 800)])
def test_quantiles_are_those_of_a_random_matrix(n: int, m: int) -> None:
    drawn = np.sort(eigenvalues(gaussian(0, n, m)))
    expected = quantiles((np.arange(m) + 0.5) / m, n, m)
    np.testing.assert_allclose(drawn[m // 4 :], expected[m // 4 :], rtol=0.03)


def test_law_has_the_known_moments() -> None:
    n, m = 500, 200
    x = quantiles((np.arange(200_000) + 0.5) / 200_000, n, m)
    assert x.mean() == pytest.approx(n, rel=1e-4)
    assert (x**2).mean() == pytest.approx(n * (n + m), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
@pytest.mark.parametrize("n, m", [(2000, 400), (500, 500), (600, 100)])
def test_noise_has_its_sigma_its_edges_and_no_spikes(n: int, m: int, scale: float) -> None:
    found = marchenko_pastur(eigenvalues(scale * gaussian(n, n, m)), n, m, scale)
    assert found is not None
    assert found.sigma == pytest.approx(scale, rel=0.02)
    assert (found.lambda_minus, found.lambda_plus) == edges(found.sigma, n, m)
    assert found.n_spikes == 0
    assert found.entry_lambda_plus == pytest.approx(scale**2 * (math.sqrt(n) + math.sqrt(m)) ** 2)


def test_one_strong_spike_leaves_the_bulk_alone() -> None:
    noise = gaussian(0, 500, 500)
    spike = 1500 * np.outer(gaussian(1, 500, 1), gaussian(2, 500, 1)) / 500
    found = marchenko_pastur(eigenvalues(noise + spike), 500, 500, 1.0)
    assert found is not None
    assert found.lambda_plus == pytest.approx(2000, rel=0.03)
    assert found.n_spikes == 1
    assert found.soft_rank < 0.01


def test_five_spikes_just_beyond_the_edge_are_found() -> None:
    n, m = 1000, 500
    root_n, root_m = math.sqrt(n - 1), math.sqrt(m)
    center = (root_n + root_m) ** 2
    width = (root_n + root_m) * (1 / root_n + 1 / root_m) ** (1 / 3)
    for seed in range(3):
        bulk = eigenvalues(gaussian(seed, n - 5, m - 5))
        spikes = center + width * np.linspace(2.5, 7.7, 5)
        found = marchenko_pastur(np.append(bulk, spikes), n, m, 1.0)
        assert found is not None
        assert found.n_spikes == 5
        assert found.sigma == pytest.approx(1.0, rel=0.01)


def test_tracy_widom_threshold_is_rarely_passed() -> None:
    n, m = 60, 30
    threshold = tracy_widom_threshold(1.0, n, m)
    top = [eigenvalues(gaussian(seed, n, m))[0] for seed in range(2000)]
    assert 0.002 < np.mean(np.array(top) > threshold) < 0.025


@pytest.mark.parametrize("spikes", [10, 50, 100])
def test_many_spikes_are_counted(spikes: int) -> None:
    values = np.ones(300) + np.append(
        np.linspace(0, 0.5, 300 - spikes), np.linspace(50, 99, spikes)
    )
    found = marchenko_pastur(eigenvalues(with_singular_values(0, 600, 300, values)), 600, 300, 1.0)
    assert found is not None and found.n_spikes == spikes


def test_fit_ends_where_spikes_are_the_majority() -> None:
    values = np.append(np.linspace(50, 99, 240), np.linspace(1, 1.5, 60))
    found = marchenko_pastur(values**2, 600, 300, 1.0)
    assert found is not None and np.isfinite(found.sigma) and found.sigma > 0


def test_too_few_eigenvalues_have_no_law() -> None:
    assert marchenko_pastur(np.ones(MIN_EIGENVALUES - 1), 10, 4, 1.0) is None


def test_tikhonov_splits_count_and_weight() -> None:
    found = tikhonov(np.array([6.0, 3.0, 1.0, 0.0]), 1.0)
    assert (found.n_information, found.n_noise) == (2, 2)
    assert found.information_share == pytest.approx(0.9)
    assert found.noise_share == pytest.approx(0.1)
    assert tikhonov(np.zeros(3), 0.0).information_share == 0.0
