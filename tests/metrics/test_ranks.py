import math

import numpy as np
import pytest

from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.metrics.ranks import STORED_EPS, hard_rank
from allennlp_analyze.results.layer import HardRank
from allennlp_analyze.sources.dtypes import ITEM_SIZE, why_unsupported
from tests.support.matrices import gaussian, low_rank, stored, with_singular_values


def ranks(matrix: np.ndarray, dtype: str) -> HardRank:
    found = spectrum(matrix, dtype)
    return hard_rank(found.singular_values, found.tolerance)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rows, columns", [(256, 128), (40, 30), (900, 60), (128, 256), (300, 290)])
@pytest.mark.parametrize("rank", [1, 2, 10])
def test_rounding_tolerance_sees_through_storage(
    dtype: str, rows: int, columns: int, rank: int
) -> None:
    for seed in range(5):
        matrix = stored(low_rank(10 * seed, rows, columns, rank), dtype)
        assert ranks(matrix, dtype).rounding == rank


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rows, columns", [(256, 128), (110, 100), (1100, 1000), (900, 60)])
def test_random_matrices_have_full_rank_in_every_precision(
    dtype: str, rows: int, columns: int
) -> None:
    matrix = stored(gaussian(rows, rows, columns), dtype)
    found = ranks(matrix, dtype)
    assert found.rounding == found.numpy == found.numerical_recipes == found.loose == columns


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_tells_rank_ten_from_full_rank(dtype: str) -> None:
    pytest.importorskip("ml_dtypes")
    for seed in range(5):
        for rows, columns in [(256, 128), (60, 40), (900, 60)]:
            random = stored(gaussian(seed, rows, columns), dtype)
            deficient = stored(low_rank(seed, rows, columns, 10), dtype)
            assert ranks(random, dtype).rounding == columns
            assert ranks(deficient, dtype).rounding == 10


def test_precision_of_every_readable_type_is_known() -> None:
    floats = {name for name in ITEM_SIZE if "float" in name and why_unsupported(name) is None}
    assert floats <= set(STORED_EPS)
    assert {"float64", "float32", "float16", "bfloat16"} <= floats


def test_float32_matrix_of_rank_ten_has_lost_118_directions() -> None:
    found = ranks(low_rank(0, 256, 128, 10).astype(np.float32), "float32")
    assert (found.numpy, found.numerical_recipes, found.rounding) == (10, 10, 10)


def test_product_computed_in_float32_has_the_rank_of_its_factors() -> None:
    left, right = gaussian(0, 256, 10).astype(np.float32), gaussian(1, 10, 128).astype(np.float32)
    found = ranks(left @ right, "float32")
    assert (found.numpy, found.numerical_recipes) == (10, 10)


def test_tolerances_follow_their_definitions() -> None:
    matrix = gaussian(0, 300, 100).astype(np.float32)
    limits = spectrum(matrix, "float32", loose=0.5).tolerance
    wide = matrix.astype(np.float64)
    sigma = np.linalg.svd(wide, compute_uv=False)
    eps = float(np.finfo(np.float32).eps)
    assert limits.numpy == pytest.approx(sigma[0] * 300 * eps, rel=1e-9)
    assert limits.numerical_recipes == pytest.approx(
        sigma[0] * eps / 2 * math.sqrt(100 + 300 + 1), rel=1e-9
    )
    assert limits.loose == 0.5
    plain = eps / math.sqrt(12) * np.sqrt((wide**2).mean()) * (math.sqrt(300) + math.sqrt(100))
    assert 1 <= limits.rounding / plain <= 3


def test_float64_uses_its_own_epsilon() -> None:
    values = np.append(np.linspace(2, 1, 49), 1e-12)
    matrix = with_singular_values(0, 60, 50, values)
    found = spectrum(matrix, "float64")
    assert found.singular_values[-1] == pytest.approx(1e-12, rel=1e-2)
    assert hard_rank(found.singular_values, found.tolerance).numpy == 50
