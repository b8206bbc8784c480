"""The spacing of stored numbers is numpy's and torch's, and rounding stays below its edge."""

import numpy as np
import pytest

from allennlp_analyze.metrics.rounding import RoundingNoise, spacing, stored_in, widest

pytestmark = pytest.mark.newest_python
VALUES = np.array([0.0, 1e-7, 3e-5, 0.01, 0.3, 1.0, 1.5, 3.0, 100.0, 3000.0])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_spacing_is_numpys(dtype: str) -> None:
    values = VALUES.astype(dtype)
    expected = np.spacing(values).astype(np.float64)
    both = np.concatenate([values, -values]).astype(np.float64)
    np.testing.assert_array_equal(spacing(both, dtype), np.tile(expected, 2))


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
)
def test_spacing_is_that_of_torchs_neighbours(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    raw = torch.int16 if dtype == "bfloat16" else torch.int8
    values = torch.tensor([0.0, 0.01, 0.02, 0.3, 1.0, 1.5, 3.0, 40.0]).to(kind)
    above = (values.view(raw) + 1).view(kind).double() - values.double()
    np.testing.assert_array_equal(spacing(values.double().numpy(), dtype), above.numpy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_values_that_were_rounded_before_are_seen(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    values = torch.randn(50, 40, dtype=torch.float64).to(getattr(torch, dtype))
    assert stored_in(values.double().numpy(), "float64") == dtype
    assert stored_in(values.float().numpy(), "float32") == dtype
    assert stored_in(values.float().numpy(), "bfloat16") == "bfloat16"


def test_the_wider_of_two_types() -> None:
    assert widest("float16", "bfloat16") == "float32"
    assert widest("float16", "float64") == widest("float64", "float32") == "float64"
    assert widest("float16", "float16") == "float16"


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_rounding_comes_near_its_edge_and_not_above(rank: int) -> None:
    rng = np.random.default_rng(rank)
    for shape in ((30, 20), (200, 100)):
        exact = rng.standard_normal(shape)
        if rank:
            exact = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
        rounded = exact.astype(np.float16).astype(np.float64)
        noise = RoundingNoise(np.zeros(shape[1]))
        for rows in np.array_split(rounded, 3):
            noise.add(spacing(rows, "float16") ** 2 / 12)
        ratio = np.linalg.norm(rounded - exact, 2) / noise.edge
        assert 0.5 < ratio < 1
