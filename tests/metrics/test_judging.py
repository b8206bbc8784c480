"""The rule: noise of any shape is healthy, planted losses are found, the unit does not matter."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.metrics.judging import DECAYED_SHARE, judge, usual_start
from allennlp_analyze.sources.in_memory import mapping_source

pytestmark = pytest.mark.newest_python
SHAPES = [(2, 2), (256, 2), (8, 8), (64, 64), (65, 64), (70, 64), (96, 64), (256, 64), (2560, 64)]
ROUNDING = 1e-6  # relative to the largest singular value, as of float32


def judged_of(matrix: np.ndarray, zero: float = ROUNDING):  # type: ignore[no-untyped-def]
    values = np.linalg.svd(matrix, compute_uv=False)
    n, m = max(matrix.shape), min(matrix.shape)
    return judge(values, float(matrix.std()), n, m, zero * float(values[0]))


def lossy(matrix: np.ndarray, lost: int, factor: float) -> np.ndarray:
    """`matrix` with `lost` random directions multiplied by `factor`."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    chosen = np.random.default_rng(lost).choice(len(s), lost, replace=False)
    s[chosen] *= factor
    return (u * s) @ vt


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_noise_is_at_full_rank(n: int, m: int) -> None:
    """At most one false alarm in 1,000 matrices; two in 200 would be 2% likely."""
    random = np.random.default_rng(7)
    judged = [judged_of(random.standard_normal((n, m))) for _ in range(200)]
    assert sum(x.lost > 0 or x.is_near for x in judged) <= 1
    assert not any(x.is_sunk or x.has_decayed for x in judged)


@pytest.mark.parametrize("shape", [(384, 384), (384, 1536), (1152, 384), (400, 384)])
@pytest.mark.parametrize("lost", [20, 84, 364])
def test_what_is_cut_off_is_counted(shape: "tuple[int, int]", lost: int) -> None:
    matrix = np.random.default_rng(1).standard_normal(shape)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s[-lost:] = 0
    assert judged_of((u * s) @ vt).lost == lost


@pytest.mark.parametrize(("n", "m"), [(128, 128), (140, 128), (192, 128), (512, 128)])
@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("factor", [1e-2, 1e-3])
def test_a_scaled_block_is_found(n: int, m: int, share: float, factor: float) -> None:
    for seed in range(10):
        matrix = np.random.default_rng(seed).standard_normal((n, m))
        number = round(share * m)
        found = judged_of(lossy(matrix, number, factor)).lost
        assert number <= found <= number + 0.1 * m


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(9, 9), (40, 32), (200, 16)]),
    st.integers(-40, 40),
    st.floats(0, 0.85),  # beyond, the block is the bulk, and only the unit tells
)
def test_the_unit_of_the_weights_does_not_matter(
    seed: int, shape: "tuple[int, int]", power: int, share: float
) -> None:
    m = shape[1]
    matrix = np.random.default_rng(seed).standard_normal(shape)
    matrix = lossy(matrix, int(share * (m - 1)), 1e-4)
    one, other = judged_of(matrix), judged_of(math.ldexp(1.0, power) * matrix)
    if not other.has_decayed:
        assert (one.lost, one.is_near, one.weak) == (other.lost, other.is_near, other.weak)
        assert one.null_ratio == pytest.approx(other.null_ratio)


@pytest.mark.parametrize(("factor", "decayed"), [(1e-13, True), (1e-4, True), (1e-2, False)])
def test_what_has_decayed_is_far_below_every_usual_start(factor: float, decayed: bool) -> None:
    matrix = np.random.default_rng(0).standard_normal((96, 64)) * usual_start(96, 64)
    judged = judged_of(factor * matrix)
    assert judged.has_decayed is decayed
    assert judged.start_ratio == pytest.approx(factor, rel=0.1)
    assert DECAYED_SHARE <= 1e-3


def test_a_bulk_that_sank_is_told_from_spikes_that_grew() -> None:
    """The same spectrum up to its scale; where the bulk is tells them apart."""
    random = np.random.default_rng(3)
    start = usual_start(1024, 256)
    bulk = random.standard_normal((1024, 256))
    spikes = 3000 * random.standard_normal((1024, 8)) @ random.standard_normal((8, 256)) / 80
    grown = judged_of(start * (bulk + spikes))
    sunk = judged_of(start * (bulk + spikes) / 1000)
    assert (grown.has_spikes, grown.is_sunk, grown.lost) == (True, False, 0)
    assert (sunk.has_spikes, sunk.is_sunk) == (False, True)
    assert 240 <= sunk.lost <= 256


def test_rounding_hides_the_last_directions_of_a_square_and_loses_none() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    matrix = np.random.default_rng(0).standard_normal((512, 512)).astype(ml_dtypes.bfloat16)
    entries = matrix.astype(np.float64)
    values = np.linalg.svd(entries, compute_uv=False)
    zero = 2.5 * 2**-7 / math.sqrt(12) * entries.std() * 2 * math.sqrt(512)
    assert (values <= zero).any()
    judged = judge(values, float(entries.std()), 512, 512, zero)
    assert judged.lost == 0 and judged.hidden > 0


def test_orthogonal_and_zero_matrices() -> None:
    random = np.random.default_rng(0)
    assert judged_of(np.linalg.qr(random.standard_normal((64, 64)))[0]).lost == 0
    assert judge(np.zeros(5), 0.0, 9, 5, 0.0).lost == 5
    assert judge(np.array([3.0, 0.0]), 0.0, 4, 2, 1e-7).lost == 1  # all entries are equal


def test_in_a_model_of_many_squares_a_small_value_is_no_surprise() -> None:
    """By Edelman's law one square in 10,000 has a smallest value below 1e-4 / sqrt(m)."""
    random = np.random.default_rng(3)
    u, s, vt = np.linalg.svd(random.standard_normal((64, 64)))
    for probability, alone, of_many in ((1e-3, 0, 0), (2e-5, 1, 0), (1e-9, 1, 1)):
        s[-1] = probability / math.sqrt(64)
        matrix = (u * s) @ vt
        for squares, lost in ((1, alone), (20, alone), (5000, of_many)):
            judged = judge(s, float(matrix.std()), 64, 64, 1e-12, squares=squares)
            assert judged.lost == lost, (probability, squares)
    # A tall matrix has no small values of its own.
    tall = lossy(random.standard_normal((256, 64)), 1, 1e-3)
    values = np.linalg.svd(tall, compute_uv=False)
    assert judge(values, float(tall.std()), 256, 64, 1e-12, squares=5000).lost == 1


def test_the_squares_of_a_model_are_counted() -> None:
    random = np.random.default_rng(0)
    shapes = [(32, 32)] * 3 + [(35, 32), (36, 32), (64, 32)]
    state = {f"layers.{i}.weight": random.standard_normal(x) for i, x in enumerate(shapes)}
    source = mapping_source(state)
    found, _ = find_matrices(source)
    assert {x.surroundings.squares for x in with_surroundings(source, found)} == {4}
