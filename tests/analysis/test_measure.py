import time
from dataclasses import replace
from typing import Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.analysis.measure import analyze, select
from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.layer import LayerOutcome, LayerResult, Skipped
from allennlp_analyze.settings import Settings
from tests.support.matrices import gaussian, low_rank, stored, with_singular_values


def weight(
    values: np.ndarray,
    name: str = "layer",
    kind: str = "linear",
    part: Optional[str] = None,
    tied: "tuple[str, ...]" = (),
) -> WeightMatrix:
    return WeightMatrix(
        name=name if part is None else f"{name}[{part}]",
        parameter=f"{name}.weight",
        part=part,
        kind=kind,
        kind_source="inferred",
        shape=(values.shape[0], values.shape[1]),
        dtype=str(values.dtype),
        load=lambda: values,
        tied=tied,
    )


def in_precision(values: np.ndarray, dtype: str) -> LayerResult:
    """The layer of `values` rounded to `dtype`."""
    (layer,) = analyze([replace(weight(stored(values, dtype)), dtype=dtype)], Settings()).layers
    return layer


def measured(values: np.ndarray, settings: Optional[Settings] = None) -> LayerResult:
    (layer,) = analyze([weight(values)], settings or Settings()).layers
    return layer


def test_layer_is_measured_as_numpy_measures_it() -> None:
    matrix = gaussian(0, 120, 300).astype(np.float32)
    layer = measured(matrix)
    wide = matrix.astype(np.float64)
    sigma = np.linalg.svd(wide, compute_uv=False)
    assert (layer.N, layer.M, layer.Q) == (300, 120, 2.5)
    np.testing.assert_allclose(layer.singular_values, sigma, rtol=1e-9)
    assert layer.min_singular_value == pytest.approx(sigma[-1])
    assert layer.max_singular_value == layer.spectral_norm == pytest.approx(sigma[0])
    assert layer.hard_rank.numpy == np.linalg.matrix_rank(matrix) == 120
    assert layer.frobenius_norm == pytest.approx(np.linalg.norm(wide))
    assert layer.verdict == "full_rank"
    assert set(layer.rank_loss_percent.values()) == {0.0}


def test_alpha_follows_from_the_positive_eigenvalues_and_not_from_the_scale() -> None:
    values = np.append(np.random.default_rng(0).pareto(3, 80) + 1, np.zeros(20))
    matrix = with_singular_values(0, 300, 100, values)
    one, other = measured(matrix), measured(matrix * 1e-5)
    assert one.power_law is not None
    assert other.power_law is not None
    assert one.hard_rank.numpy == other.hard_rank.numpy == 80
    assert other.power_law.alpha == pytest.approx(one.power_law.alpha, rel=1e-6)
    assert other.power_law.D == pytest.approx(one.power_law.D, rel=1e-6)
    assert one.verdict == other.verdict == "collapsed"
    assert one.rank_loss_percent["numpy"] == 20.0


def test_derived_numbers_use_the_fit() -> None:
    layer = measured(gaussian(1, 300, 100))
    assert layer.power_law is not None
    alpha, eigenvalues = layer.power_law.alpha, layer.eigenvalues
    assert layer.alpha_weighted == pytest.approx(alpha * np.log10(eigenvalues[0]))
    assert layer.log_alpha_norm == pytest.approx(np.log10(np.sum(eigenvalues**alpha)))
    assert layer.tikhonov is not None
    assert layer.marchenko_pastur is not None
    assert layer.tikhonov.gamma == layer.marchenko_pastur.lambda_plus
    assert layer.tikhonov.n_information + layer.tikhonov.n_noise == 100


def test_gamma_and_loose_tolerance_are_the_users() -> None:
    layer = measured(gaussian(1, 300, 100), Settings(gamma=200.0, loose_tolerance=12.0))
    sigma = np.linalg.svd(gaussian(1, 300, 100), compute_uv=False)
    assert layer.tikhonov is not None
    assert layer.tikhonov.gamma == 200.0
    assert layer.tikhonov.n_information == np.count_nonzero(sigma**2 > 200)
    assert layer.hard_rank.loose == np.count_nonzero(sigma > 12.0)


@pytest.mark.parametrize(
    ("matrix", "note", "rank"),
    [
        (np.zeros((60, 40)), "zero", 0),
        (np.eye(40), "flat", 40),
        (gaussian(0, 60, 9), "9 positive", 9),
        (gaussian(0, 1, 50), "1 positive eigenvalue:", 1),
        (low_rank(0, 60, 40, 1), "1 positive eigenvalue:", 1),
        (gaussian(0, 60, 40) * 1e200, "beyond the range", 40),
    ],
)
def test_no_fit_comes_with_its_reason(matrix: np.ndarray, note: str, rank: int) -> None:
    layer = measured(matrix)
    assert layer.power_law is None
    assert layer.alpha_weighted is None
    assert note in (layer.power_law_note or "")
    assert layer.hard_rank.numpy == rank


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn"])
def test_rounding_is_not_fitted(dtype: str) -> None:
    if dtype.startswith("float8"):
        pytest.importorskip("ml_dtypes")
    layer = in_precision(low_rank(5, 128, 64, 8) / 16, dtype)
    assert layer.power_law is None
    assert layer.power_law_note == (
        "8 positive eigenvalues: a fit needs at least 10 (56 more are within the rounding of"
        f" {dtype})"
    )
    tail = np.sort(np.random.default_rng(0).pareto(3, 60) + 1)[::-1]
    matrix = with_singular_values(0, 512, 256, np.append(tail, np.zeros(196)))
    exact, rounded = measured(matrix).power_law, in_precision(matrix, dtype)
    assert exact is not None and rounded.power_law is not None
    assert rounded.power_law.alpha == pytest.approx(exact.alpha, rel=0.06)
    assert rounded.marchenko_pastur is not None
    assert rounded.marchenko_pastur.lambda_plus > 1.0


@given(
    shape=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    seed=st.integers(0, 2**32 - 1),
    rank=st.integers(1, 40),
    dtype=st.sampled_from(["float32", "float64"]),
)
@settings(max_examples=60, deadline=None)
def test_rounding_takes_nothing_from_a_fit_of_full_precision(
    shape: "tuple[int, int]", seed: int, rank: int, dtype: str
) -> None:
    values = np.random.default_rng(seed).standard_t(2, (shape[0], rank))
    values = values @ gaussian(seed + 1, rank, shape[1])
    layer = measured(values.astype(dtype))
    assert layer.tolerance.rounding <= layer.tolerance.numpy


def test_few_eigenvalues_are_fitted_with_a_warning() -> None:
    layer = measured(gaussian(0, 60, 30))
    assert layer.power_law is not None
    assert any("30 eigenvalues" in warning for warning in layer.warnings)
    assert measured(gaussian(0, 90, 60)).warnings == ()


def test_rank_one_has_entropy_zero() -> None:
    assert measured(low_rank(0, 60, 40, 1)).entropy == 0.0


def test_comparisons_are_made_on_request() -> None:
    matrix = gaussian(0, 120, 60)
    plain, compared = measured(matrix), measured(matrix, Settings(compare_distributions=True))
    assert plain.power_law is not None
    assert compared.power_law is not None
    assert plain.power_law.comparisons is None
    assert compared.power_law.best_fit is not None
    assert compared.power_law.alpha == plain.power_law.alpha


def test_a_broken_matrix_is_left_out_and_the_others_go_on() -> None:
    broken = gaussian(0, 30, 20)
    broken[3, 4] = np.nan

    def fails() -> np.ndarray:
        raise TensorError("b.weight: lies beyond the end of the file")

    unreadable = WeightMatrix(
        "b", "b.weight", None, "linear", "inferred", (30, 20), "float32", fails
    )
    seen: dict[int, LayerOutcome] = {}
    found = analyze(
        [weight(broken, "a", part="query"), unreadable, weight(gaussian(1, 30, 20), "c")],
        Settings(),
        on_outcome=seen.__setitem__,
    )
    assert [layer.name for layer in found.layers] == ["c"]
    assert [s.parameter for s in found.skipped] == ["a.weight", "b.weight"]
    assert found.skipped[0].reason.startswith("query: 1 entry is not finite")
    assert found.skipped[1].reason == "lies beyond the end of the file"
    assert [s.invalid for s in found.skipped] == [True, False]
    assert [seen[index] for index in range(3)] == [*found.skipped, *found.layers]


def test_outcomes_of_an_earlier_run_are_taken_as_they_are() -> None:
    matrices = [weight(gaussian(seed, 40, 20), f"m{seed}") for seed in range(4)]
    whole, seen = analyze(matrices, Settings()).layers, []
    found = analyze(
        matrices,
        Settings(),
        on_outcome=lambda index, outcome: seen.append(index),
        finished={1: whole[1], 2: Skipped("m2.weight", (40, 20), "said so")},
    )
    assert [layer.name for layer in found.layers] == ["m0", "m1", "m3"]
    assert found.layers[1] is whole[1]
    assert [s.reason for s in found.skipped] == ["said so"]
    assert sorted(seen) == [0, 3]


MIXED = [
    gaussian(0, 900, 300).astype(np.float32),
    gaussian(1, 1200, 1030),
    low_rank(2, 400, 300, 40).astype(np.float32),
    with_singular_values(3, 1100, 1040, np.append(np.linspace(2, 0.1, 1036), [1e-6] * 4)),
    gaussian(4, 30, 20),
    gaussian(5, 300, 2400).astype(np.float16),
]


def test_results_are_the_same_to_the_last_bit_whatever_the_number_of_jobs() -> None:
    matrices = [weight(values, f"layer {index}") for index, values in enumerate(MIXED)]
    one, *others = (analyze(matrices, Settings(jobs=jobs)) for jobs in (1, 2, 5))
    assert [layer.name for layer in one.layers] == [matrix.name for matrix in matrices]
    for other in others:
        assert other.layers == one.layers
        for a, b in zip(one.layers, other.layers):
            np.testing.assert_array_equal(a.singular_values, b.singular_values)


def test_seconds_of_the_stages_add_up_to_the_time_that_passed() -> None:
    matrices = [weight(values) for values in MIXED]
    started = time.perf_counter()
    found = analyze(matrices, Settings(jobs=3))
    passed = time.perf_counter() - started
    assert found.spectra_seconds > 0 and found.fits_seconds > 0
    assert 0.5 * passed <= found.spectra_seconds + found.fits_seconds <= passed


def test_a_matrix_beyond_the_largest_dimension_is_left_out_unread() -> None:
    def never() -> np.ndarray:
        raise AssertionError("must not be read")

    huge = WeightMatrix("h", "h", None, "linear", "inferred", (60_000, 20_000), "float32", never)
    found = analyze([huge, weight(gaussian(0, 40, 31)), weight(gaussian(1, 80, 30))], Settings())
    assert len(found.layers) == 2
    assert "60000 x 20000" in found.skipped[0].reason
    (kept,) = analyze(
        [weight(gaussian(0, 40, 31)), weight(gaussian(1, 80, 30))], Settings(max_dim=30)
    ).layers
    assert kept.M == 30


def test_not_enough_memory_is_said_of_the_matrix_that_needs_it() -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    found = analyze([weight(gaussian(0, 900, 300))], Settings(), exhausted)
    assert found.layers == ()
    assert "not enough memory" in found.skipped[0].reason


def test_tied_names_are_told() -> None:
    (layer,) = analyze([weight(gaussian(0, 90, 60), tied=("decoder.weight",))], Settings()).layers
    assert any("decoder.weight" in warning for warning in layer.warnings)


def test_selection_by_kind_and_name() -> None:
    matrices = [
        weight(np.ones((2, 2)), "encoder.ff", "linear"),
        weight(np.ones((2, 2)), "encoder.embedding", "embedding"),
        weight(np.ones((2, 2)), "decoder.ff", "linear"),
    ]

    def names(**choices: object) -> list[str]:
        return [m.name for m in select(matrices, Settings(**choices))]  # type: ignore[arg-type]

    assert names() == ["encoder.ff", "encoder.embedding", "decoder.ff"]
    assert names(kinds=("linear",)) == ["encoder.ff", "decoder.ff"]
    assert names(layers=r"^encoder\.") == ["encoder.ff", "encoder.embedding"]
    assert names(kinds=("linear",), layers="^enc") == ["encoder.ff"]
