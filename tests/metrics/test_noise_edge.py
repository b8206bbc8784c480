"""The edge of noise is where simulated noise ends, with and without directions beside it."""

import numpy as np
import pytest

from allennlp_analyze.metrics.marchenko_pastur import bulk_sigma, tracy_widom_threshold
from allennlp_analyze.metrics.noise_edge import noise_edge

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize("shape", [(400, 300), (1200, 200)])
def test_it_is_a_little_above_the_largest_value_of_noise(shape: "tuple[int, int]") -> None:
    values = np.linalg.svd(3 * np.random.default_rng(0).standard_normal(shape), compute_uv=False)
    edge = noise_edge(values, shape[0])
    assert values[0] < edge < 1.04 * values[0]
    theory = 3 * (np.sqrt(shape[0]) + np.sqrt(shape[1]))
    assert edge == pytest.approx(theory, rel=0.03)


def test_directions_beside_the_noise_do_not_move_it() -> None:
    """The fit of report.json, which leaves all rows to the noise, is biased by eight of them."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((60, 60))
    left, right = (np.linalg.qr(rng.standard_normal((60, 8)))[0] for _ in range(2))
    values = np.linalg.svd(noise + 60 * left @ right.T, compute_uv=False)
    # What is beside eight directions is noise of 52 x 52.
    expected = noise_edge(np.linalg.svd(noise, compute_uv=False), 60) * np.sqrt(52 / 60)
    assert noise_edge(values, 60) == pytest.approx(expected, rel=0.03)
    assert values[8] < noise_edge(values, 60) < values[7]
    biased = np.sqrt(tracy_widom_threshold(bulk_sigma(values**2, 60), 60, 52))
    assert biased < 0.94 * expected
