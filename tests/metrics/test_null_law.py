"""The null law agrees with quadrature of the density, Edelman's law and simulated matrices."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from allennlp_analyze.metrics.null_kinds import Entries
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


@pytest.mark.parametrize(("n", "m"), [(2, 2), (12, 8), (64, 64), (96, 64), (200, 200)])
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
    # What is extrapolated further errs more, but falls as fast as the law.
    if probability <= RARELY:
        further = null_quantiles(m, m, probability / 100)[0] * math.sqrt(m)
        assert further == pytest.approx(t / 100, rel=0.8)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (65, 64), (4096, 1024), (700, 500), (10**6, 300)])
def test_quantiles_ascend_in_k_and_in_probability(n: int, m: int) -> None:
    rows = [null_quantiles(n, m, p) for p in (VERY_RARELY, RARELY, SELDOM, MEDIAN)]
    assert all((np.diff(row) > 0).all() for row in rows[-1:])
    assert (np.diff(np.array(rows), axis=0) >= -1e-12).all()
    assert all(row.shape == (m,) and (row > 0).all() for row in rows)


# The largest deviation of a median, and the noise of the draws below.
ACCURACY, NOISE = 0.05, 0.02
OTHERS = [Entries.UNIFORM, Entries.TRUNCATED_NORMAL, Entries.HEAVY, Entries.HALF_SPARSE]
# N, M and the number of draws: sizes of the table and others; the aspect ratios 1 to 40.
SHAPES = [
    (2, 2, 10_000),
    (3, 2, 10_000),
    (80, 2, 2_000),
    (7, 7, 10_000),
    (13, 10, 4_000),
    (25, 20, 1_500),
    (400, 10, 150),
    (72, 64, 150),
    (192, 128, 30),
    (400, 100, 30),
]


def drawn(kind: Entries, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Entries of standard deviation 1 from scipy's distributions."""
    if kind is Entries.UNIFORM:
        return np.asarray(random.uniform(-math.sqrt(3), math.sqrt(3), shape))
    if kind is Entries.HEAVY:
        return random.standard_t(3, shape) / stats.t(3).std()
    normal = random.standard_normal(shape)
    if kind is Entries.HALF_SPARSE:
        return np.where(random.random(shape) < 0.5, normal, 0.0) * math.sqrt(2)
    # A part of the normal distribution, by its inverse.
    low, high = ndtr(-2.0), ndtr(2.0)
    return np.asarray(ndtri(random.uniform(low, high, shape))) / stats.truncnorm(-2, 2).std()


def simulated(kind: Entries, n: int, m: int, draws: int) -> np.ndarray:
    """Medians of the singular values, ascending."""
    random = np.random.default_rng(n * 1000 + m)
    matrices = drawn(kind, (draws, n, m), random)
    found = np.linalg.svd(matrices, compute_uv=False)[:, ::-1]
    return np.asarray(np.median(found, axis=0))


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(("n", "m", "draws"), SHAPES)
def test_medians_of_every_kind_are_those_of_simulated_matrices(
    kind: Entries, n: int, m: int, draws: int
) -> None:
    places = sorted({1, min(2, m), max(1, round(m / 20)), max(1, round(m / 10)), m // 2})
    law = null_quantiles(n, m, entries=kind)
    medians = simulated(kind, n, m, draws)
    for k in places:
        assert law[k - 1] == pytest.approx(medians[k - 1], rel=ACCURACY + NOISE, abs=1e-9), k


@pytest.mark.parametrize("kind", OTHERS)
def test_the_law_of_a_kind_is_nearer_to_it_than_the_gaussian_one(kind: Entries) -> None:
    median = simulated(kind, 3, 2, 20_000)[0]
    own, gaussian = null_quantiles(3, 2, entries=kind)[0], null_quantiles(3, 2)[0]
    assert abs(own - median) < abs(gaussian - median) / 2


@pytest.mark.parametrize("m", [2, 3])
def test_small_half_sparse_squares_are_singular_more_often_than_not(m: int) -> None:
    for probability in (MEDIAN, SELDOM, VERY_RARELY):
        law = null_quantiles(m, m, probability, Entries.HALF_SPARSE)
        assert law[0] == 0 and (law[1:] > 0).all()
    # From M = 4 on, and with one more row, most have full rank.
    assert null_quantiles(4, 4, entries=Entries.HALF_SPARSE)[0] > 0
    assert null_quantiles(m + 1, m, entries=Entries.HALF_SPARSE)[0] > 0


def test_an_orthogonal_matrix_has_one_singular_value() -> None:
    matrix = np.linalg.qr(np.random.default_rng(0).standard_normal((30, 8)))[0]
    std = 1 / math.sqrt(30)  # of its entries
    for probability in (MEDIAN, RARELY):
        law = std * null_quantiles(30, 8, probability, Entries.ORTHOGONAL)
        assert law == pytest.approx(np.linalg.svd(matrix, compute_uv=False), rel=1e-12)


@pytest.mark.parametrize("kind", OTHERS)
def test_the_kinds_differ_less_and_less_as_matrices_grow(kind: Entries) -> None:
    gaps = [
        np.abs(null_quantiles(m, m, entries=kind) / null_quantiles(m, m) - 1).max()
        for m in (32, 64, 1024, 10_000)
    ]
    assert (np.diff(gaps) < 0).all() and gaps[-1] < 0.02
    # One law: no jump at the end of the table.
    below, above = (null_quantiles(m, m, entries=kind)[0] for m in (32, 33))
    assert above == pytest.approx(below, rel=0.03)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(("n", "m"), [(3, 2), (9, 9), (40, 40), (300, 90), (50, 1)])
def test_medians_of_every_kind_ascend_in_k(kind: Entries, n: int, m: int) -> None:
    law = null_quantiles(n, m, entries=kind)
    assert law.shape == (m,) and law[0] > 0
    assert (np.diff(law) > 0).all()
