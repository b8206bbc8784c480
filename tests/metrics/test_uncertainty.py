"""The p-value and the interval of alpha, against powerlaw's fits and against simulation."""

import contextlib
import io
import warnings

import numpy as np
import pytest

from allennlp_analyze.metrics.power_law import fit_power_law
from allennlp_analyze.metrics.uncertainty import Bootstrap, bootstrap

pytestmark = pytest.mark.newest_python


def pareto(size: int, seed: int, alpha: float = 3.0) -> np.ndarray:
    return np.asarray((1 - np.random.default_rng(seed).random(size)) ** (-1 / (alpha - 1)))


def found(values: np.ndarray, resamples: int = 1000, seed: int = 1) -> Bootstrap:
    return bootstrap(values, fit_power_law(values), seed, resamples)


def p_by_powerlaw(values: np.ndarray, resamples: int, seed: int) -> float:
    """Clauset's recipe in plain words, with every fit by the powerlaw package."""
    import powerlaw

    rng = np.random.default_rng(seed)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = powerlaw.Fit(values)
            tail = values[values >= fit.xmin]
            body = values[values < fit.xmin]
            worse = 0
            for _ in range(resamples):
                n_tail = rng.binomial(len(values), len(tail) / len(values))
                above = fit.xmin * (1 - rng.random(n_tail)) ** (-1 / (fit.alpha - 1))
                below = rng.choice(body, len(values) - n_tail) if len(body) else body
                worse += powerlaw.Fit(np.concatenate([above, below])).D >= fit.D
    return float(worse) / resamples


@pytest.mark.parametrize(
    "values",
    [
        pareto(60, 1),
        np.random.default_rng(2).lognormal(0.0, 1.0, 80),
        np.random.default_rng(5).exponential(size=70),
    ],
    ids=["power law", "lognormal", "exponential"],
)
def test_p_is_that_of_powerlaw_within_the_error_of_simulation(values: np.ndarray) -> None:
    expected = p_by_powerlaw(values, 60, 7)
    p = found(values, 4000).p_value
    assert p is not None
    error = np.sqrt(max(p * (1 - p), 0.01) * (1 / 60 + 1 / 4000))
    assert abs(p - expected) < 4 * error


def test_p_of_power_laws_is_spread_and_seldom_small() -> None:
    ps = np.array([found(pareto(100, seed), 200, seed).p_value for seed in range(80)])
    # At most one in ten, and its error.
    assert np.mean(ps <= 0.1) <= 0.1 + 3 * 0.034
    assert 0.3 < np.mean(ps) < 0.75 and ps.max() > 0.9


def test_p_is_mostly_small_for_what_is_no_power_law() -> None:
    # Two lumps with nothing between. Even so the search often finds a short tail that passes.
    ps = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        lumps = np.concatenate([rng.random(300), 5 + rng.random(40)])
        ps.append(found(lumps, 100, seed).p_value)
    assert np.mean(np.array(ps) <= 0.1) > 0.5


def test_the_interval_has_the_true_alpha_as_often_as_it_should() -> None:
    inside = []
    for seed in range(80):
        one = found(pareto(120, 1000 + seed, 2.5), 200, seed)
        assert one.low is not None and one.high is not None and one.low < one.high
        inside.append(one.low <= 2.5 <= one.high)
    # 95%, and what docs/explanation/uncertainty.md says of samples of this size.
    assert np.mean(inside) >= 0.85


def test_the_interval_is_that_of_fits_of_resamples() -> None:
    values = pareto(120, 9)
    rng = np.random.default_rng(10)
    alphas = [fit_power_law(rng.choice(values, 120)).alpha for _ in range(2000)]
    one = found(values, 2000)
    ends = np.array([one.low, one.high], dtype=float)
    # Their quantiles differ by chance: compare the shares of the others' alphas beyond the ends.
    beyond = [np.mean(np.array(alphas) < ends[0]), np.mean(np.array(alphas) > ends[1])]
    np.testing.assert_allclose(beyond, 0.025, atol=0.015)


def test_the_interval_is_wider_than_the_error_at_one_xmin() -> None:
    values = np.random.default_rng(11).lognormal(0.0, 1.5, 400)
    fit = fit_power_law(values)
    one = found(values)
    assert one.low is not None and one.high is not None
    assert one.low < fit.alpha < one.high
    assert one.high - one.low > 2 * 1.96 * fit.sigma


def test_numbers_follow_from_the_seed_and_not_from_scale_or_order() -> None:
    values = pareto(90, 12)
    one = found(values, seed=4)
    assert one == found(values[::-1].copy(), seed=4) != found(values, seed=5)
    scaled = found(values * 2.0**40, seed=4)
    assert scaled.p_value == one.p_value
    assert scaled.low == pytest.approx(one.low) and scaled.high == pytest.approx(one.high)
