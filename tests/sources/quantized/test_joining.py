"""Groups of quantized tensors become one weight each."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.in_memory import mapping_source
from allennlp_analyze.sources.quantized import matrix as matrix_module
from allennlp_analyze.sources.quantized.codes import error_variances, unpack_words
from allennlp_analyze.sources.small_floats import FLOAT8, table
from allennlp_analyze.storage import mapped
from tests.support.quantized import NAME, gptq, joined, pack

pytestmark = pytest.mark.newest_python


@given(
    st.integers(1, 8), st.integers(1, 70), st.integers(1, 5), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_codes_are_unpacked_as_they_were_packed(bits: int, n: int, m: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (n, m))
    words = pack(codes, bits)
    np.testing.assert_array_equal(unpack_words(words, bits, n, 0), codes)
    np.testing.assert_array_equal(unpack_words(words.T, bits, n, 1), codes.T)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("order", [True, False])
def test_gptq(bits: int, order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, weight = gptq(bits, order=order)
    for elements in (1, 1 << 20):
        monkeypatch.setattr(matrix_module, "BLOCK_ELEMENTS", elements)
        found = joined(parts, {"quantization_config": {"bits": bits, "quant_method": "gptq"}})
        tensor = found[f"{NAME}.weight"]
        assert tensor.shape == weight.shape
        np.testing.assert_allclose(tensor.values(), weight, rtol=1e-6)
        assert tensor.unsupported is None and f"{NAME}.qweight" not in found
        assert [other.joined is not None for other in found.values()].count(True) == len(parts) - 1
    second = {"quantization_config": {"bits": bits, "checkpoint_format": "gptq_v2"}}
    np.testing.assert_allclose(
        joined({**parts, "qzeros": plus_one(parts["qzeros"], bits)}, second)[tensor.name].values(),
        weight, rtol=1e-6,
    )  # fmt: skip


def plus_one(zeros: np.ndarray, bits: int) -> np.ndarray:
    codes = unpack_words(zeros, bits, 32, 1).astype(int) + 1
    return pack(codes.T, bits).T.view(np.int32)


def test_awq() -> None:
    random = np.random.default_rng(1)
    codes, zeros = random.integers(0, 16, (64, 24)), random.integers(0, 16, (2, 24))
    scales = (random.random((2, 24)) * 0.01).astype(np.float16)

    def packed(values: np.ndarray) -> np.ndarray:
        places = [8 * word + column for word in range(3) for column in (0, 2, 4, 6, 1, 3, 5, 7)]
        return pack(values[:, places].T, 4).T.view(np.int32)

    found = joined({"qweight": packed(codes), "qzeros": packed(zeros), "scales": scales})
    index = np.arange(64) // 32
    weight = (codes - zeros[index]) * scales[index].astype(np.float64)
    np.testing.assert_allclose(found[f"{NAME}.weight"].values(), weight.T, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "blocks", "stated"),
    [
        ((256, 384), (2, 3), None),
        ((200, 150), (2, 2), [128, 128]),
        ((96, 64), (3, 4), [32, 16]),
        ((96, 64), (1, 1), None),
        ((96, 64), (96, 1), None),
        ((96, 64), (96,), None),
        ((96, 64), (), None),
    ],
)
@pytest.mark.parametrize("leaf", ["weight_scale_inv", "weight_scale"])
def test_float8_with_scales(
    shape: "tuple[int, int]", blocks: "tuple[int, ...]", stated: Any, leaf: str
) -> None:
    random = np.random.default_rng(2)
    codes = random.integers(0, 120, shape).astype(np.uint8)
    scales = random.random(blocks).astype(np.float32)
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": stated}}
    found = joined({"weight": (codes, "float8_e4m3fn"), leaf: scales}, config)
    flat = scales.reshape(-1, 1) if len(blocks) < 2 else scales
    sizes = stated or [128 if n > 1 else 1 for n in flat.shape]
    sizes = [1 if n == whole else size for n, whole, size in zip(flat.shape, shape, sizes)]
    wide = flat.repeat(sizes[0], 0).repeat(sizes[1], 1)[: shape[0], : shape[1]]
    values = table("float8_e4m3fn")[codes] * wide
    np.testing.assert_array_equal(found[f"{NAME}.weight"].values(), values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_hqq(bits: int, axis: int) -> None:
    random = np.random.default_rng(4)
    codes = random.integers(0, 1 << bits, (16, 48) if axis else (48, 16))
    scale = random.random((16, 1) if axis else (1, 16)).astype(np.float32)
    zero = random.random(scale.shape).astype(np.float32)
    parts = np.split(codes, 8 // bits)
    packed = sum(part << (8 - bits * (i + 1)) for i, part in enumerate(parts))
    found = joined(
        {
            "W_q": np.asarray(packed).astype(np.uint8),
            "scale": scale,
            "zero": zero,
            "shape": np.array([24, 32]),
            "nbits": np.array(bits),
        }
    )
    weight = ((codes - zero) * scale).reshape(24, 32)
    np.testing.assert_allclose(found[f"{NAME}.weight"].values(), weight, rtol=1e-5, atol=1e-7)


def test_exponents_as_scales_and_stacks_of_experts() -> None:
    random = np.random.default_rng(3)
    codes = random.integers(0, 120, (3, 64, 32)).astype(np.uint8)
    powers = random.integers(120, 130, (3, 2, 1)).astype(np.uint8)
    config = {"quantization_config": {"weight_block_size": [32, 32]}}
    parts = {
        "gate_up_proj": (codes, "float8_e4m3fn"),
        "gate_up_proj_scale_inv": (powers, "float8_e8m0fnu"),
    }
    tensor = joined(parts, config)[f"{NAME}.gate_up_proj"]
    assert tensor.shape == (3, 64, 32)
    stack = tensor.stored()
    for index in range(3):
        scales = np.ldexp(1.0, powers[index].astype(int) - 127).repeat(32, 0)
        np.testing.assert_array_equal(stack[index], table("float8_e4m3fn")[codes[index]] * scales)
        noise = tensor.rms_error(lambda values, i=index: values[i])
        errors = error_variances(table("float8_e4m3fn"))[codes[index]] * scales**2
        assert noise == pytest.approx(np.sqrt(errors.mean()), rel=1e-4)


def test_noise_of_a_part() -> None:
    parts, _ = gptq(4, inputs=96, outputs=64)
    parts["scales"][:, 32:] *= np.float16(0.01)  # the second half of the outputs
    tensor = joined(parts)[f"{NAME}.weight"]
    index = parts["g_idx"]
    steps = parts["scales"][index].astype(np.float64).T
    for rows in (slice(0, 32), slice(32, 64), slice(0, 64)):
        found = tensor.rms_error(lambda values, rows=rows: values[rows])
        assert found == pytest.approx(np.sqrt((steps[rows] ** 2).mean() / 12), rel=1e-3)


def test_a_large_weight_is_decoded_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, weight = gptq(4)
    monkeypatch.setattr(mapped, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(matrix_module, "BLOCK_ELEMENTS", 1)
    values = joined(parts)[f"{NAME}.weight"].values()
    np.testing.assert_allclose(values, weight, rtol=1e-6)
    assert not values.flags.writeable


def test_scales_are_no_layers_in_memory_either() -> None:
    parts = {f"{NAME}.{leaf}": values for leaf, values in gptq(4)[0].items()}
    source = mapping_source({**parts, "lm_head.weight": np.ones((8, 4), np.float32)})
    matrices, skipped = find_matrices(source)
    assert [matrix.name for matrix in matrices] == [NAME, "lm_head"]
    assert {one.reason for one in skipped} == {"part of a quantized weight"}
    assert not any(one.weights for one in skipped)


@pytest.mark.parametrize("name", FLOAT8)
def test_tables_of_float8(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    expected = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name)).astype(np.float32)
    np.testing.assert_array_equal(table(name), expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(table(name)[numbers]), np.signbit(expected[numbers]))


def test_table_of_float4() -> None:
    half = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    np.testing.assert_array_equal(table("float4_e2m1"), [*half, *(-x for x in half)])
