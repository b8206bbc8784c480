import numpy as np
import pytest

from allennlp_analyze.metrics.fixed_aspect import IN_ALL, SIDE, hill_alpha, side_of, squares
from tests.support.matrices import gaussian

pytestmark = pytest.mark.newest_python
SHAPES = [(512, 512), (2048, 300), (300, 2048), (150, 140), (100, 4000), (40, 40), (129, 128)]


@pytest.mark.parametrize("shape", SHAPES)
def test_squares_are_inside_and_reach_all_corners(shape: "tuple[int, int]") -> None:
    found = list(squares(shape))
    assert 1 <= len(found) <= IN_ALL
    seen = np.zeros(shape, dtype=bool)
    for at in found:
        assert seen[at].shape == (side_of(shape),) * 2
        seen[at] = True
    assert seen[0, 0] and seen[-1, -1] and seen[0, -1] and seen[-1, 0]
    assert side_of(shape) == min(*shape, SIDE)


def test_the_squares_of_the_transpose_are_transposed() -> None:
    for rows, columns in SHAPES:
        turned = {(b.start, a.start) for a, b in squares((columns, rows))}
        assert {(a.start, b.start) for a, b in squares((rows, columns))} == turned


def test_there_are_none_without_a_tail() -> None:
    assert list(squares((9, 400))) == [] and hill_alpha([]) is None
    assert hill_alpha([np.ones(40)]) is None and hill_alpha([np.arange(1.0, 10.0)]) is None


def test_alpha_is_the_maximum_likelihood_of_the_upper_half() -> None:
    from scipy import optimize

    values = np.random.default_rng(1).pareto(4.0, 201) + 0.5
    squared = np.sort(values**2)[100:]

    def cost(alpha: float) -> float:
        return float(
            -np.sum(np.log((alpha - 1) / squared[0]) - alpha * np.log(squared / squared[0]))
        )

    best = optimize.minimize_scalar(cost, bounds=(1.01, 20), method="bounded").x
    assert hill_alpha([values[:70], values[70:]]) == pytest.approx(best, abs=1e-4)


def test_noise_has_the_same_alpha_in_every_shape_unlike_the_whole_matrix() -> None:
    whole, fixed = [], []
    for seed, shape in enumerate([(256, 256), (512, 256), (2048, 256), (4096, 128)]):
        matrix = gaussian(seed, *shape)
        whole.append(hill_alpha([np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix))]))
        parts = [np.linalg.svd(matrix[at], compute_uv=False) for at in squares(shape)]
        fixed.append(hill_alpha(parts))
    assert max(whole) > 3 * min(whole)  # type: ignore[type-var, operator]
    assert max(fixed) < 1.05 * min(fixed)  # type: ignore[type-var, operator]
