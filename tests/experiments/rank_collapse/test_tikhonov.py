"""Ridge and Moore-Penrose inverses of a layer: against numpy's, scipy's, and closed forms."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rank_collapse_cases import analyzed, matrices, tikhonov

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
EPS = float(np.finfo(np.float64).eps)
# Singular values of a layer: kept ones far above every cutoff, lost ones far below.
KEPT = st.floats(1.0, 20.0)
LOST = st.floats(1e-13, 1e-9)


def demonstrated(matrix: np.ndarray) -> Any:
    return tikhonov.demonstrate(matrix, analyzed("fc1", matrix), 1e-2)


def ridge(matrix: np.ndarray, gamma: float) -> np.ndarray:
    """The ridge inverse by least squares of the augmented matrix: X is never formed."""
    columns = matrix.shape[1]
    augmented = np.vstack([matrix, math.sqrt(gamma) * np.eye(columns)])
    right = np.vstack([np.eye(len(matrix)), np.zeros((columns, len(matrix)))])
    return np.asarray(scipy.linalg.lstsq(augmented, right, cond=1e-300)[0])


def diagonal(values: "list[float]", rows: int = 20) -> np.ndarray:
    matrix = np.zeros((rows, len(values)))
    np.fill_diagonal(matrix, sorted(values, reverse=True))
    return matrix.astype(np.float32)


@given(st.lists(KEPT, min_size=2, max_size=8), st.lists(LOST, max_size=4))
def test_diagonal_matrices_have_the_closed_form(kept: "list[float]", lost: "list[float]") -> None:
    matrix = diagonal([*kept, *lost])
    values = np.diag(matrix).astype(np.float64)
    found = demonstrated(matrix)
    assert (found.rank, found.lost) == (len(kept), len(lost))
    weakest = values[len(kept) - 1]
    assert found.weakest_kept == pytest.approx(weakest)
    assert found.strongest_lost == (pytest.approx(values[len(kept)]) if lost else None)
    inverse = np.where(values > found.cutoff, 1 / values, 0.0)
    for step in found.steps:
        damped = values**2 + step.gamma
        condition = damped[0] / damped[-1]
        if step.condition is None:
            assert condition > 0.9 / EPS
            assert step.distance is None and step.norm is None
        else:
            assert step.condition == pytest.approx(condition, rel=1e-6)
            expected = np.abs(values / damped - inverse).max() * weakest
            assert step.distance == pytest.approx(expected, rel=1e-6, abs=1e-12)
            assert step.norm == pytest.approx((values / damped).max() * weakest, rel=1e-6)
        if step.kept_distance is not None:
            expected = step.gamma / (weakest**2 + step.gamma)
            assert step.kept_distance == pytest.approx(expected, rel=1e-6, abs=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(3, 12), st.floats(0, 6), st.integers(0, 6))
def test_matrices_agree_with_numpy_and_scipy(seed: int, M: int, graded: float, lost: int) -> None:
    """No gamma at which rounding of X, its condition times eps, could be seen is compared."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((3 * M, M)) * np.geomspace(1, 10**-graded, M)
    matrix[:, : min(lost, M - 2)] = 0
    matrix = matrix.astype(np.float32)
    found = demonstrated(matrix)
    W = matrix.astype(np.float64)
    values = np.linalg.svd(W, compute_uv=False)
    assert found.rank == np.count_nonzero(values > found.cutoff)
    truth = scipy.linalg.pinv(W, atol=found.cutoff, rtol=0)
    for step in found.steps:
        X = W.T @ W + step.gamma * np.eye(M)
        if step.condition is None:
            assert np.linalg.cond(X) > 0.5 / EPS
            continue
        if step.condition > 1e6:
            continue
        assert step.condition == pytest.approx(np.linalg.cond(X), rel=1e-6)
        inverse = ridge(W, step.gamma) if step.gamma else np.linalg.pinv(W)
        distance = np.linalg.norm(inverse - truth, 2) / np.linalg.norm(truth, 2)
        assert step.distance == pytest.approx(distance, rel=1e-5, abs=1e-9)
        assert step.norm == pytest.approx(
            np.linalg.norm(inverse, 2) / np.linalg.norm(truth, 2), rel=1e-6
        )


def test_without_the_lost_directions_the_limit_is_the_moore_penrose_inverse() -> None:
    found = demonstrated(matrices(30.0, 1)["fc1"])
    assert 0 < found.lost < found.layer.M
    distances = [step.kept_distance for step in found.steps]
    known = [distance for distance in distances if distance is not None]
    # It falls with gamma / (sigma^2 + gamma) until the rounding of X shows.
    assert min(known) < 1e-4 and known.index(min(known)) > 6
    for step in found.steps:
        if step.kept_distance is not None and step.gamma > 1e-10 * found.steps[0].gamma:
            expected = step.gamma / (found.weakest_kept**2 + step.gamma)
            assert step.kept_distance == pytest.approx(expected, rel=1e-2, abs=1e-5)


def test_with_them_it_is_not_and_no_amplification_is_beyond_its_bound() -> None:
    found = demonstrated(matrices(18.0, 1)["fc1"])
    known = [step for step in found.steps if step.norm is not None]
    assert max(step.distance for step in known) > 10
    assert min(step.distance for step in known) < 1
    for step in known:
        if step.gamma:
            bound = found.weakest_kept / (2 * math.sqrt(step.gamma))
            assert step.norm <= bound * (1 + 10 * EPS * step.condition)


def test_a_singular_matrix_is_restored_by_gamma_as_far_as_float64_goes() -> None:
    """Where scipy estimates 1 / condition below eps, it warns."""
    matrix = np.zeros((40, 10), np.float32)
    matrix[:, :6] = np.random.default_rng(1).standard_normal((40, 6))
    found = demonstrated(matrix)
    assert found.is_singular and found.rank == 6
    assert found.steps[0].condition == pytest.approx(2.0)
    W = matrix.astype(np.float64)
    restored = [step.condition is not None for step in found.steps]
    assert restored == sorted(restored, reverse=True) and sum(restored) in (16, 17)
    for step in found.steps[:-1]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scipy.linalg.solve(W.T @ W + step.gamma * np.eye(10), np.eye(10))
        if (step.condition or math.inf) < 1e15:
            assert not caught
        elif step.condition is None and step.gamma < 1e-17 * found.steps[0].gamma:
            assert caught


@pytest.mark.parametrize("shape", [(30, 10), (10, 30)])
def test_a_layer_of_full_rank_needs_no_gamma(shape: "tuple[int, int]") -> None:
    found = demonstrated(np.random.default_rng(2).standard_normal(shape).astype(np.float32))
    assert (found.rank, found.lost, found.strongest_lost) == (10, 0, None)
    assert not found.is_singular
    last = found.steps[-1]
    assert last.gamma == 0
    assert last.condition == pytest.approx(found.layer.condition_number**2, rel=1e-6)
    assert last.distance < 1e-12 and last.kept_distance < 1e-12
    assert last.norm == pytest.approx(1)


@given(st.integers(0, 2**32), st.floats(0, 40))
@settings(max_examples=15)
def test_what_is_lost_is_lost_by_the_rule_of_the_verdict(seed: int, decay: float) -> None:
    weights = matrices(decay, 1, seed)["fc1"]
    layer = analyzed("fc1", weights)
    found = tikhonov.demonstrate(weights, layer, 0.1)
    assert (found.lost, found.rank) == (layer.lost_directions, layer.M - layer.lost_directions)
    assert (found.lost > 0) == (layer.verdict == "collapsed")
    values = np.linalg.svd(weights.astype(np.float64), compute_uv=False)
    assert np.count_nonzero(values > found.cutoff) == found.rank


def test_zeros_have_no_inverse_to_compare_with() -> None:
    found = demonstrated(np.zeros((12, 5), np.float32))
    (step,) = found.steps
    assert (step.gamma, step.condition, step.distance, step.norm) == (0, None, None, None)
    assert (found.rank, found.lost, found.weakest_kept) == (0, 5, None)


def test_weights_of_another_layer_are_refused() -> None:
    weights = matrices(0, 0)
    with pytest.raises(ValueError, match="as in the layer"):
        tikhonov.demonstrate(weights["fc2"], analyzed("fc1", weights["fc1"]), 0.0)
