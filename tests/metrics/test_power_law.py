import contextlib
import io
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allennlp_analyze.metrics.power_law import (
    ALTERNATIVES,
    compare_distributions,
    fit_power_law,
    why_no_fit,
)
from tests.support.matrices import gaussian, with_singular_values

FIELDS = ("alpha", "D", "xmin", "sigma", "n_tail")


def by_package(data: np.ndarray) -> "list[float]":
    """The fit of powerlaw 1.5 with its defaults."""
    assert metadata.version("powerlaw") == "1.5"
    import powerlaw

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = powerlaw.Fit(data)
    return [float(getattr(fit, name)) for name in FIELDS]


def ours(data: np.ndarray) -> "list[float]":
    fit = fit_power_law(data)
    return [float(getattr(fit, name)) for name in FIELDS]


def neighbours(count: int) -> np.ndarray:
    """The two largest values have the same logarithm."""
    largest = [3.7, np.nextafter(3.7, np.inf)]
    assert np.log(largest[0]) == np.log(largest[1])
    return np.append(np.random.default_rng(8).pareto(2, count).clip(max=2.5) + 0.5, largest)


SPECTRA = {
    "gaussian": lambda: np.linalg.svd(gaussian(0, 500, 300), compute_uv=False) ** 2,
    "square": lambda: np.linalg.svd(gaussian(1, 200, 200), compute_uv=False) ** 2,
    "pareto": lambda: np.random.default_rng(2).pareto(1.7, 400) + 1,
    "lognormal": lambda: np.random.default_rng(3).lognormal(0, 3, 400),
    "repeated": lambda: np.repeat(np.random.default_rng(4).pareto(2.5, 90) + 1, 3)[:200],
    "many equal largest": lambda: np.append(np.linspace(1, 2, 60), np.full(10, 3.0)),
    "spike": lambda: np.append(np.random.default_rng(5).uniform(1, 2, 120), 1e6),
    "two largest in a few": lambda: neighbours(30),
    "two largest in many": lambda: neighbours(600),
    "ten": lambda: np.random.default_rng(6).pareto(2, 10) + 1,
    "fewer than a block, more than a block": lambda: np.random.default_rng(7).pareto(3, 129) + 1,
}


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e10])
@pytest.mark.parametrize("name", SPECTRA)
def test_agrees_with_powerlaw(name: str, scale: float) -> None:
    data = SPECTRA[name]() * scale
    np.testing.assert_allclose(ours(data), by_package(data), rtol=1e-9)


@given(
    size=st.integers(10, 60),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.floats(0.3, 8),
    repeat=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_agrees_with_powerlaw_on_any_sample(
    size: int, seed: int, exponent: float, repeat: bool
) -> None:
    data = np.random.default_rng(seed).pareto(exponent, size) + 1
    if repeat:
        data = np.round(data, 1)
    assume(len(np.unique(data)) > 1)
    np.testing.assert_allclose(ours(data), by_package(data), rtol=1e-9)


def test_recovers_the_exponent_of_a_large_pareto_sample() -> None:
    data = np.random.default_rng(0).pareto(1.5, 4000) + 1
    fit = fit_power_law(data)
    assert abs(fit.alpha - 2.5) < 4 * fit.sigma


def test_scale_changes_nothing_but_xmin() -> None:
    data = np.random.default_rng(0).pareto(3, 200) + 1
    one, other = fit_power_law(data), fit_power_law(data * 1e-10)
    assert other.alpha == pytest.approx(one.alpha, rel=1e-9)
    assert other.D == pytest.approx(one.D, rel=1e-9)
    assert other.xmin == pytest.approx(one.xmin * 1e-10, rel=1e-9)


def test_no_fit_for_few_or_equal_eigenvalues() -> None:
    assert "9 positive eigenvalues" in (why_no_fit(np.arange(1.0, 10.0)) or "")
    assert "flat spectrum" in (why_no_fit(np.ones(100)) or "")
    orthogonal = 10 * with_singular_values(0, 200, 100, np.ones(100)).astype(np.float32)
    noisy = orthogonal + 1e-3 * gaussian(1, 200, 100)
    for matrix in (orthogonal, noisy):
        assert "flat" in (why_no_fit(np.linalg.svd(matrix, compute_uv=False) ** 2) or "")
    assert why_no_fit(np.linalg.svd(gaussian(0, 200, 100), compute_uv=False) ** 2) is None


@pytest.mark.newest_python
def test_comparisons_name_the_distribution_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    for data, expected in (
        (rng.pareto(1.5, 500) + 1, "power_law"),
        (rng.exponential(1.0, 500) + 1, "exponential"),
    ):
        best, found = compare_distributions(data, 1.0)
        assert set(found) == set(ALTERNATIVES)
        ratio = found["exponential"].ratio
        assert ratio is not None and (ratio > 0) == (expected == "power_law")
        assert best == "power_law" if expected == "power_law" else best != "power_law"


def test_comparisons_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    compare_distributions(np.random.default_rng(1).pareto(1.5, 50) + 1, 1.0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.newest_python
def test_threads_that_compare_leave_standard_output_as_it_was() -> None:
    """Each diverts it while the package prints; layers are compared side by side."""
    streams = sys.stdout, sys.stderr
    sizes = (20, 90, 40, 60)
    data = [np.random.default_rng(n).pareto(1.7, n) + 1 for n in sizes]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(2):
            with ThreadPoolExecutor(len(data)) as pool:
                list(pool.map(lambda x: compare_distributions(x, float(np.median(x))), data))
            found = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = streams
            assert found == streams
    finally:
        sys.setswitchinterval(interval)
