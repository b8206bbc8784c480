import numpy as np
import pytest

from allennlp_analyze.metrics import norms
from tests.support.matrices import gaussian, low_rank


def values(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix, compute_uv=False)


def test_norms_agree_with_numpy_on_the_matrix() -> None:
    matrix = gaussian(0, 60, 40)
    sigma = values(matrix)
    assert norms.frobenius_norm(sigma) == pytest.approx(np.linalg.norm(matrix), rel=1e-12)
    assert norms.condition_number(sigma) == pytest.approx(np.linalg.cond(matrix), rel=1e-12)
    assert norms.log_norm(sigma) == pytest.approx(np.log10(np.linalg.norm(matrix) ** 2))
    assert norms.log_spectral_norm(sigma) == pytest.approx(np.log10(np.linalg.norm(matrix, 2) ** 2))
    powered = np.linalg.matrix_power(matrix.T @ matrix, 3)
    assert norms.log_alpha_norm(sigma, 3.0) == pytest.approx(np.log10(np.trace(powered)))
    assert norms.alpha_weighted(sigma, 3.0) == pytest.approx(3 * norms.log_spectral_norm(sigma))
    assert norms.alpha_weighted(sigma, None) is None and norms.log_alpha_norm(sigma, None) is None


def test_equal_singular_values_have_the_largest_soft_ranks() -> None:
    sigma = np.full(7, 3.0)
    assert norms.stable_rank(sigma) == pytest.approx(7)
    assert norms.effective_rank(sigma) == pytest.approx(7)
    assert norms.entropy(sigma, 7) == pytest.approx(1)


def test_effective_rank_and_entropy_of_two_directions() -> None:
    sigma = np.array([3.0, 1.0, 0.0])
    p, q = np.array([0.75, 0.25]), np.array([0.9, 0.1])
    assert norms.effective_rank(sigma) == pytest.approx(np.prod(p**-p))
    assert norms.entropy(sigma, 2) == pytest.approx(-(q @ np.log2(q)))


def test_rank_one_has_no_entropy_and_zero_has_no_soft_rank() -> None:
    assert norms.entropy(values(low_rank(0, 30, 20, 1)), 1) == 0.0
    zero = np.zeros(4)
    for measure in (
        norms.stable_rank,
        norms.effective_rank,
        norms.log_norm,
        norms.log_spectral_norm,
        norms.condition_number,
    ):
        assert measure(zero) is None
    assert norms.entropy(zero, 0) is None
    assert norms.alpha_weighted(zero, 3.0) is None and norms.log_alpha_norm(zero, 3.0) is None
    assert norms.frobenius_norm(zero) == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales_neither_overflow_nor_vanish(scale: float) -> None:
    sigma = values(gaussian(0, 60, 40))
    assert norms.frobenius_norm(sigma * scale) == pytest.approx(norms.frobenius_norm(sigma) * scale)
    assert norms.stable_rank(sigma * scale) == pytest.approx(norms.stable_rank(sigma))
    shift = 2 * 2.5 * np.log10(scale)
    assert norms.log_alpha_norm(sigma * scale, 2.5) == pytest.approx(
        norms.log_alpha_norm(sigma, 2.5) + shift
    )
