"""The change of a layer: numbers as of numpy and scipy, planted directions, rounding as it is."""

import math
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from allennlp_analyze.analysis.delta import measure_delta
from allennlp_analyze.errors import InvalidTensorError, TensorError
from allennlp_analyze.linalg.leading import TOP
from allennlp_analyze.matrices.matrix import Surroundings, WeightMatrix
from allennlp_analyze.results.delta import Delta, Edge, Movement
from scripts.study.delta_directions import planted_change

pytestmark = pytest.mark.newest_python


def matrix(values: np.ndarray, dtype: "Optional[str]" = None, **more: Any) -> WeightMatrix:
    kind = dtype or str(values.dtype)
    return WeightMatrix(
        "x", "x.weight", None, "linear", "inferred", values.shape, kind, lambda: values, **more
    )


def change(before: np.ndarray, after: np.ndarray) -> Delta:
    return measure_delta(matrix(before), matrix(after))


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) * 0.05


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from(["float64", "float32", "float16"]),
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.integers(0, 99),
)
def test_the_numbers_are_numpys(
    rows: int, columns: int, dtype: str, scale: float, seed: int
) -> None:
    a = random(rows, columns, seed=seed).astype(dtype)
    b = (a + scale * random(rows, columns, seed=seed + 1)).astype(dtype)
    delta = change(a, b)
    exact = b.astype(np.float64) - a.astype(np.float64)
    values = np.linalg.svd(exact, compute_uv=False)
    np.testing.assert_allclose(delta.singular_values, values, rtol=0, atol=1e-7 * values[0])
    norm = np.linalg.norm(a.astype(np.float64))
    assert delta.delta_norm == pytest.approx(np.linalg.norm(exact))
    assert delta.relative_norm == pytest.approx(np.linalg.norm(exact) / norm)
    if exact.any():
        shares = values / values.sum()
        entropy = -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))
        assert delta.effective_rank == pytest.approx(math.exp(entropy), rel=1e-3)
        assert delta.stable_rank == pytest.approx((values**2).sum() / values[0] ** 2)


@pytest.mark.parametrize("outputs_first", [True, False])
@pytest.mark.parametrize("shape", [(150, 90), (90, 150), (40, 30)])
def test_angles_and_intruders_are_those_of_whole_decompositions(
    shape: "tuple[int, int]", outputs_first: bool
) -> None:
    a = random(*shape)
    b = a + 3 * np.outer(random(shape[0], seed=1), random(shape[1], seed=2)) + 0.1 * random(*shape)
    around = Surroundings(outputs_first=outputs_first)
    turned = measure_delta(matrix(a, surroundings=around), matrix(b, surroundings=around)).turned
    assert turned is not None and turned.n_top == TOP
    one, other = (a, b) if outputs_first else (a.T, b.T)
    (u, _, vt), (left, _, right) = (np.linalg.svd(x, full_matrices=False) for x in (one, other))
    for found, before, after in (
        (turned.left_angles, u, left),
        (turned.right_angles, vt.T, right.T),
    ):
        expected = np.degrees(subspace_angles(before[:, :TOP], after[:, :TOP])[::-1])
        np.testing.assert_allclose(found, expected, atol=1e-5)
    cosines = np.max(np.abs(u.T @ left[:, :TOP]), axis=0)
    assert turned.intruder_dimensions == np.count_nonzero(cosines < 0.5)


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("shape", [(64, 64), (120, 60), (60, 200)])
def test_planted_directions_are_counted(shape: "tuple[int, int]", k: int) -> None:
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(5):
        a = 0.05 * rng.standard_normal(shape)
        delta = change(a, a + planted_change(shape, k, 1.5, rng))
        wrong += delta.n_directions != k
        assert delta.edge_source is Edge.BULK
        assert delta.movement is (Movement.MOVED if delta.n_directions else Movement.NOISE)
    assert wrong <= 1  # the study of 1,000 draws has at most 1% in these shapes


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_change_of_low_rank_has_that_many_directions(dtype: str) -> None:
    a = random(80, 60).astype(dtype)
    b = (a.astype(np.float64) + random(80, 5, seed=1) @ random(5, 60, seed=2)).astype(dtype)
    delta = change(a, b)
    assert (delta.n_directions, delta.edge_source) == (5, Edge.ROUNDING)
    assert delta.share == pytest.approx(1)


def test_only_the_trained_rows_of_a_table_count() -> None:
    """12 rows of noise in 1,000: by the whole table's sizes, most of them would stand out."""
    a = random(1000, 40)
    b = a.copy()
    b[100:112] += 0.01 * random(12, 40, seed=1)
    assert change(a, b).movement is Movement.NOISE


def test_equal_matrices_are_unchanged() -> None:
    a = random(30, 20)
    delta = change(a, a.copy())
    assert (delta.movement, delta.n_directions, delta.share) == (Movement.UNCHANGED, 0, None)
    assert (delta.delta_norm, delta.relative_norm, delta.turned) == (0, 0, None)
    assert not delta.singular_values.any()
    zeros = np.zeros((30, 20))
    assert change(zeros, zeros).movement is Movement.UNCHANGED
    grown = change(zeros, a)
    assert (grown.relative_norm, grown.turned) == (None, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [("float64", "float32"), ("float32", "float16"), ("float32", "bfloat16"),
     ("bfloat16", "float16"), ("float16", "float32")],
)  # fmt: skip
@pytest.mark.parametrize("widened", [False, True])
def test_another_precision_is_within_rounding_and_a_change_is_not(
    one: str, other: str, widened: bool
) -> None:
    """`widened`: the rounded values are saved as float32, as many trainers do."""
    torch = pytest.importorskip("torch")
    exact = torch.tensor(random(60, 40))
    moved = exact + 0.02 * torch.tensor(np.outer(random(60, seed=1), random(40, seed=2))) / 0.05

    def stored(tensor: Any, kind: str) -> WeightMatrix:
        rounded = tensor.to(getattr(torch, kind))
        wide = kind == "bfloat16" or (widened and kind != "float64")
        values = (rounded.float() if wide else rounded).numpy()
        return matrix(values, "float32" if widened and wide else kind)

    delta = measure_delta(stored(exact, one), stored(exact, other))
    assert delta.movement is Movement.ROUNDING and delta.n_directions == 0
    assert delta.singular_values[0] < delta.rounding_edge
    assert set(delta.precisions) == {one, other}
    found = measure_delta(stored(exact, one), stored(moved, other))
    assert (found.movement, found.n_directions) == (Movement.MOVED, 1)


def test_a_change_of_few_entries_is_no_rounding() -> None:
    """Its singular value is below what rounding can make; its entry is not."""
    a = random(200, 100).astype(np.float16)
    b = a.copy()
    b[3, 4] += np.float16(16) * np.spacing(np.abs(a[3, 4]))
    delta = change(a, b)
    assert delta.singular_values[0] < delta.rounding_edge
    assert delta.movement is Movement.NOISE


def test_training_in_half_precision_is_seen_above_its_rounding() -> None:
    torch = pytest.importorskip("torch")
    exact = torch.tensor(random(300, 200))
    direction = torch.tensor(np.outer(random(300, seed=1), random(200, seed=2))) / 10
    a, b = (matrix(x.bfloat16().float().numpy(), "bfloat16") for x in (exact, exact + direction))
    delta = measure_delta(a, b)
    assert (delta.n_directions, delta.movement) == (1, Movement.MOVED)
    assert delta.share is not None and delta.share < 0.99


def test_what_cannot_be_compared() -> None:
    with pytest.raises(TensorError, match="30 x 20 and 20 x 30 cannot be compared"):
        change(random(30, 20), random(20, 30))
    broken = random(30, 20)
    broken[1, 1] = math.nan
    with pytest.raises(InvalidTensorError):
        change(random(30, 20), broken)


def test_quantization_is_a_floor() -> None:
    a = random(80, 60)
    step = 0.02
    b = np.round(a / step) * step
    noise = step / math.sqrt(12)
    quantized = measure_delta(matrix(a), matrix(b, noise=lambda: noise))
    assert (quantized.movement, quantized.edge_source) == (Movement.NOISE, Edge.ROUNDING)
    assert quantized.rounding_edge == pytest.approx(
        noise * (math.sqrt(80) + math.sqrt(60)), rel=1e-3
    )
