"""Advice about alpha: only where the tail is long and near to a power law, against simulation."""

from typing import Optional

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.metrics.exponent import is_above, is_below, is_conclusive
from allennlp_analyze.results.layer import LayerResult
from tests.support.matrices import gaussian

pytestmark = pytest.mark.newest_python


def of_eigenvalues(eigenvalues: np.ndarray) -> LayerResult:
    """The layer of a diagonal matrix, whose singular values are its entries."""
    return analyze({"a.weight": np.diag(np.sqrt(eigenvalues))}).layers[0]


def pareto(alpha: float, count: int, seed: int = 0) -> np.ndarray:
    """Eigenvalues of the density alpha - 1 / x^alpha, x >= 1."""
    return 1 + np.random.default_rng(seed).pareto(alpha - 1, count)


@pytest.mark.parametrize("alpha, said", [(1.5, "below"), (3.0, None), (9.0, "above")])
def test_a_long_tail_of_a_true_power_law_allows_it(alpha: float, said: Optional[str]) -> None:
    layer = of_eigenvalues(pareto(alpha, 800))
    assert layer.power_law is not None and is_conclusive(layer)
    assert (is_below(layer), is_above(layer)) == (said == "below", said == "above")


def test_an_alpha_within_its_error_of_the_range_does_not() -> None:
    for seed in range(5):
        assert not is_above(of_eigenvalues(pareto(6.1, 200, seed)))
        assert not is_below(of_eigenvalues(pareto(1.95, 200, seed)))


def test_few_eigenvalues_do_not() -> None:
    layer = of_eigenvalues(pareto(9.0, 40))
    assert layer.power_law is not None and layer.power_law.alpha > 6
    assert not is_conclusive(layer) and not is_above(layer)


def test_what_is_no_power_law_does_not() -> None:
    """Two heights: no law of one exponent has them."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(1, 1.01, 120), rng.uniform(3, 3.01, 120)])
    layer = of_eigenvalues(values)
    assert layer.power_law is not None and layer.power_law.D > 0.1
    assert not is_conclusive(layer)


def test_without_a_law_there_is_nothing_to_say() -> None:
    layer = analyze({"a.weight": np.zeros((20, 10))}).layers[0]
    assert layer.power_law is None
    assert not (is_conclusive(layer) or is_above(layer) or is_below(layer))


def test_the_p_value_counts_if_it_was_computed() -> None:
    layer = analyze({"a.weight": gaussian(0, 400, 200)}, uncertainty=True).layers[0]
    assert layer.power_law is not None and layer.uncertainty is not None
    p_value = layer.uncertainty.p_value
    assert p_value is not None
    long_and_near = layer.power_law.D <= 0.1 and layer.power_law.n_tail >= 50
    assert is_conclusive(layer) == (long_and_near and p_value >= 0.1)
