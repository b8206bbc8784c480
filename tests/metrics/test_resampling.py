import contextlib
import io
import warnings
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.metrics.power_law import fit_power_law
from allennlp_analyze.metrics.resampling import (
    ELEMENTS,
    Resamples,
    batches,
    from_data,
    from_power_law,
)

pytestmark = pytest.mark.newest_python


def by_package(values: np.ndarray) -> "tuple[float, float]":
    """alpha and D of powerlaw 1.5, which knows nothing of other samples."""
    assert metadata.version("powerlaw") == "1.5"
    import powerlaw

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = powerlaw.Fit(values)
    return float(fit.alpha), float(fit.D)


def pareto(size: int, seed: int, alpha: float = 3.0) -> np.ndarray:
    return np.asarray((1 - np.random.default_rng(seed).random(size)) ** (-1 / (alpha - 1)))


@pytest.mark.parametrize("size", [10, 60, 300])
def test_each_resample_is_fitted_as_powerlaw_fits_it(size: int) -> None:
    logs = np.log(np.sort(pareto(size, size)))
    drawn = from_data(logs, 12, np.random.default_rng(1))
    expected = [by_package(np.exp(column)) for column in drawn.T]
    alphas = Resamples(drawn).alphas(size // 3)
    np.testing.assert_allclose(alphas, [alpha for alpha, _ in expected], rtol=1e-9)
    distance = float(np.median([d for _, d in expected])) + 1e-9
    near = Resamples(drawn).are_nearer(distance, size // 3)
    assert near.tolist() == [d < distance for _, d in expected]
    assert 0 < near.sum() < 12


@pytest.mark.parametrize("start", [0, 137, 298])
def test_no_candidate_is_left_out_wherever_the_search_starts(start: int) -> None:
    # The fit of one sample, which agrees with powerlaw, is much faster than powerlaw.
    rng = np.random.default_rng(2)
    samples = np.sort(rng.lognormal(0.0, 1.0, (150, 300)), axis=1)
    fits = [fit_power_law(sample) for sample in samples]
    drawn = Resamples(np.log(samples.T))
    np.testing.assert_allclose(drawn.alphas(start), [fit.alpha for fit in fits], rtol=1e-9)
    for limit in (0.03, 0.05, 0.08):
        assert drawn.are_nearer(limit, start).tolist() == [fit.D < limit for fit in fits]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=10, max_size=40).filter(lambda x: len(set(x)) > 1),
    st.integers(0, 8),
)
def test_equal_values_are_one_candidate_and_one_point(values: "list[int]", start: int) -> None:
    data = np.sort(np.array(values, dtype=np.float64))
    fit = fit_power_law(data)
    drawn = Resamples(np.log(data)[:, None])
    (alpha,) = drawn.alphas(start)
    # Of candidates with the same distance either may win.
    if alpha != pytest.approx(fit.alpha, rel=1e-9):
        assert drawn.are_nearer(fit.D + 1e-9, start).all()
    assert not drawn.are_nearer(fit.D - 1e-9, start).any()


def test_a_resample_of_one_value_has_no_fit() -> None:
    drawn = Resamples(np.column_stack([np.zeros(20), np.linspace(0, 3, 20)]))
    assert drawn.can_be_fitted.tolist() == [False, True]
    assert np.isnan(drawn.alphas(5)).tolist() == [True, False]
    assert drawn.are_nearer(1.0, 5).tolist() == [False, True]


def test_resamples_of_the_data_are_sorted_draws_with_replacement() -> None:
    logs = np.sort(np.random.default_rng(3).standard_normal(50))
    drawn = from_data(logs, 4000, np.random.default_rng(4))
    assert drawn.shape == (50, 4000) and (np.diff(drawn, axis=0) >= 0).all()
    counts = np.array([(drawn == value).sum(axis=0) for value in logs])
    assert (counts.sum(axis=0) == 50).all()
    # Binomial: mean 1 and variance 1 - 1/50, for each value, within four standard errors.
    np.testing.assert_allclose(counts.mean(axis=1), 1.0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(counts.var(axis=1), 0.98, atol=0.12)


def test_resamples_of_a_power_law_are_it_above_xmin_and_the_data_below() -> None:
    from scipy import stats

    data = np.sort(pareto(200, 5))
    drawn = np.exp(from_power_law(np.log(data), 80, 2.5, 500, np.random.default_rng(6)))
    assert (np.diff(drawn, axis=0) >= 0).all()
    xmin = data[120]
    tail = drawn >= xmin * (1 - 1e-12)
    shares = tail.mean(axis=0)
    assert shares.mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / 200 / 500))
    assert shares.std() == pytest.approx(np.sqrt(0.24 / 200), rel=0.15)
    values = drawn[tail] / xmin
    assert stats.kstest(values, stats.pareto(1.5).cdf).pvalue > 0.001
    below = np.round(np.log(drawn[~tail]), 9)
    found, counts = np.unique(below, return_counts=True)
    np.testing.assert_allclose(found, np.round(np.log(data[:120]), 9))
    assert stats.chisquare(counts).pvalue > 0.001


def test_batches_limit_memory_and_are_complete() -> None:
    assert list(batches(1000, 512)) == [1000]
    parts = list(batches(1000, 16384))
    assert sum(parts) == 1000 and max(parts) * 16384 <= ELEMENTS and min(parts) > 0
    assert sum(batches(1000, 10 * ELEMENTS)) == 1000
