"""The null law agrees with quadrature of the density, Edelman's law and simulated matrices."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from allennlp_analyze.metrics.null_law import (
    MEDIAN,
    RARELY,
    SELDOM,
    VERY_RARELY,
    marchenko_pastur_quantiles,
    null_quantiles,
)

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize(("n", "m"), [(50, 50), (51, 50), (75, 50), (400, 100), (4000, 100)])
def test_the_law_below_each_quantile_is_its_probability(n: int, m: int) -> None:
    ratio = m / n
    low, high = (1 - math.sqrt(ratio)) ** 2, (1 + math.sqrt(ratio)) ** 2

    def density(s: float) -> float:
        x = s * s  # of the eigenvalue over n; dx = 2 s ds
        return math.sqrt(max((high - x) * (x - low), 0.0)) / (2 * math.pi * ratio * x) * 2 * s

    quantiles = marchenko_pastur_quantiles(n, m) / math.sqrt(n)
    for k in (1, 2, m // 10, m // 2, m):
        below = quad(density, math.sqrt(low), quantiles[k - 1], limit=400, epsabs=1e-9)[0]
        assert below == pytest.approx((k - 0.5) / m, abs=2e-5)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (12, 8), (64, 64), (70, 64), (96, 64), (300, 300)])
def test_medians_are_those_of_simulated_matrices(n: int, m: int) -> None:
    random = np.random.default_rng(0)
    draws = 2000 if m <= 64 else 200
    spectra = np.array(
        [
            np.linalg.svd(random.standard_normal((n, m)), compute_uv=False)[::-1]
            for _ in range(draws)
        ]
    )
    # The smallest one of a square spreads most; Edelman's law below checks it exactly.
    k = slice(1 if m > 64 else 0, 8)
    simulated = np.median(spectra[:, k], axis=0)
    assert null_quantiles(n, m)[k] == pytest.approx(simulated, rel=0.10 if m > 64 else 0.05)


@pytest.mark.parametrize("m", [64, 200, 1024, 5000])
@pytest.mark.parametrize("probability", [MEDIAN, SELDOM, RARELY, VERY_RARELY])
def test_the_smallest_value_of_a_square_has_edelmans_law(m: int, probability: float) -> None:
    """P(sigma_min sqrt(m) <= t) = 1 - exp(-t^2/2 - t) for large m (Edelman 1988)."""
    rest = -math.log(1 - probability)
    t = -1 + math.sqrt(1 + 2 * rest)
    found = null_quantiles(m, m, probability)[0] * math.sqrt(m)
    # A quantile of one in 1,000 is known to about 20% from tens of thousands of draws.
    assert found == pytest.approx(t, rel={MEDIAN: 0.05, SELDOM: 0.15}.get(probability, 0.6))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (65, 64), (4096, 1024), (700, 500), (10**6, 300)])
def test_quantiles_ascend_in_k_and_in_probability(n: int, m: int) -> None:
    rows = [null_quantiles(n, m, p) for p in (VERY_RARELY, RARELY, SELDOM, MEDIAN)]
    assert all((np.diff(row) > 0).all() for row in rows[-1:])
    assert (np.diff(np.array(rows), axis=0) >= -1e-12).all()
    assert all(row.shape == (m,) and (row > 0).all() for row in rows)
