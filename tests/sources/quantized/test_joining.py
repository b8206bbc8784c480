"""Groups of quantized tensors become one weight; what does not fit is skipped with its reason."""

import json
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.in_memory import mapping_source
from allennlp_analyze.sources.quantized import matrix as matrix_module
from allennlp_analyze.sources.quantized.codes import error_variances, unpack_words
from allennlp_analyze.sources.quantized.joining import join_quantized
from allennlp_analyze.sources.small_floats import FLOAT8, table
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.storage import mapped

pytestmark = pytest.mark.newest_python
NAME = "model.layers.0.mlp.up_proj"


def stored(name: str, values: np.ndarray, dtype: Optional[str] = None) -> StoredTensor:
    known = dtype in FLOAT8
    return StoredTensor(
        name=name,
        shape=values.shape,
        dtype=dtype or values.dtype.name,
        storage=name,
        load=lambda: values,
        decode=(lambda codes: table(str(dtype))[codes]) if known else (lambda numbers: numbers),
    )


def joined(
    parts: Mapping[str, Any], config: Optional[Mapping[str, Any]] = None
) -> Mapping[str, StoredTensor]:
    """Joins arrays, or arrays with the name of their type, by their names in one module."""
    tensors = {}
    for leaf, part in parts.items():
        values, dtype = part if isinstance(part, tuple) else (part, None)
        tensors[f"{NAME}.{leaf}"] = stored(f"{NAME}.{leaf}", values, dtype)
    return join_quantized(tensors, config or {})


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """The codes of each column as one stream of bits in words of 32, the lowest first."""
    stream = (codes[:, :, None] >> np.arange(bits)) & 1  # (n, columns, bits)
    stream = np.moveaxis(stream, 1, 0).reshape(codes.shape[1], -1).astype(np.uint8)
    missing = -stream.shape[1] % 32
    stream = np.pad(stream, ((0, 0), (0, missing)))
    packed = np.packbits(stream, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").T


@given(
    st.integers(1, 8), st.integers(1, 70), st.integers(1, 5), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_codes_are_unpacked_as_they_were_packed(bits: int, n: int, m: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (n, m))
    words = pack(codes, bits)
    np.testing.assert_array_equal(unpack_words(words, bits, n, 0), codes)
    np.testing.assert_array_equal(unpack_words(words.T, bits, n, 1), codes.T)


def gptq(
    bits: int,
    inputs: int = 96,
    outputs: int = 32,
    size: int = 32,
    seed: int = 0,
    order: bool = True,
) -> "tuple[dict[str, np.ndarray], np.ndarray]":
    """The tensors of GPTQ's first format, and the weight."""
    random = np.random.default_rng(seed)
    groups = -(-inputs // size)
    codes = random.integers(0, 1 << bits, (inputs, outputs))
    zeros = random.integers(1, 1 << bits, (groups, outputs))
    scales = (random.random((groups, outputs)) * 0.01).astype(np.float16)
    index = random.permutation(np.arange(inputs) // size) if order else np.arange(inputs) // size
    weight = (codes - zeros[index]) * scales[index].astype(np.float64)
    parts = {
        "qweight": pack(codes, bits).view(np.int32),
        "qzeros": pack(zeros.T - 1, bits).T.view(np.int32),
        "scales": scales,
    }
    if order:
        parts["g_idx"] = index.astype(np.int32)
    return parts, weight.T


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


def changed(**parts: Any) -> "dict[str, Any]":
    return {**gptq(4)[0], **parts}


STATE = {"quant_type": "nf4", "blocksize": 64, "shape": [16, 32]}


def bitsandbytes(**changes: Any) -> "dict[str, Any]":
    state = json.dumps({**STATE, **changes}).encode()
    return {
        "weight": np.zeros((256, 1), np.uint8),
        "weight.absmax": np.ones(8, np.float32),
        "weight.quant_map": np.linspace(-1, 1, 16).astype(np.float32),
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(state, np.uint8),
    }


FLOAT = (np.ones((64, 32), np.uint8), "float8_e4m3fn")
HUGE = 2**62
CASES: "dict[str, tuple[dict[str, Any], dict[str, Any], str]]" = {
    "scales of another size": (changed(scales=np.ones((3, 31), np.float16)), {}, "scales|qzeros"),
    "no scales": ({"qweight": np.zeros((12, 32), np.int32)}, {}, "no scales"),
    "order of another size": (changed(g_idx=np.zeros(5, np.int32)), {}, "g_idx"),
    "negative groups": (
        {k: v for k, v in changed().items() if k != "g_idx"},
        {"quantization_config": {"bits": 4, "group_size": -5}},
        "groups of -5",
    ),
    "groups of another size": (
        {k: v for k, v in changed().items() if k != "g_idx"},
        {"quantization_config": {"bits": 4, "group_size": 64}},
        "groups of 64",
    ),
    "another layout": (
        changed(), {"quantization_config": {"checkpoint_format": "marlin"}}, "marlin",
    ),
    "float8 with a table that does not fit": (
        {"weight": FLOAT, "weight_scale_inv": np.ones((3, 5), np.float32)}, {}, "3 x 5",
    ),
    "blocks larger than the matrix": (
        {"weight": FLOAT, "weight_scale_inv": np.ones((2, 2), np.float32)},
        {"quantization_config": {"weight_block_size": [HUGE, HUGE]}},
        "2 x 2",
    ),
    "blocks of nothing": (
        {"weight": FLOAT, "weight_scale_inv": np.ones((3, 3), np.float32)},
        {"quantization_config": {"weight_block_size": [0, -7]}},
        "3 x 3",
    ),
    "no scales at all": (
        {"weight": FLOAT, "weight_scale": np.ones((0, 3), np.float32)}, {}, "0 x 3",
    ),
    "no quant_state": (
        {k: v for k, v in bitsandbytes().items() if "state" not in k}, {}, "quant_state",
    ),
    "a shape that its bytes do not hold": (bitsandbytes(shape=[HUGE, HUGE]), {}, "do not hold"),
    "a negative shape": (bitsandbytes(shape=[-16, -32]), {}, "shape"),
    "blocks of no size": (bitsandbytes(blocksize=0), {}, "blocksize"),
    "huge blocks": (bitsandbytes(blocksize=HUGE), {}, "absmax"),
    "no JSON": (
        {**bitsandbytes(), "weight.quant_state.bitsandbytes__nf4": np.full(9, 91, np.uint8)}, {},
        "JSON",
    ),
    "packed for a huge shape": (
        {
            "weight_packed": np.zeros((8, 8), np.int32),
            "weight_scale": np.ones((8, 2), np.float32),
            "weight_shape": np.array([8, HUGE]),
        },
        {},
        "cannot hold",
    ),
    "more groups than columns": (
        {
            "weight_packed": np.zeros((8, 1), np.int32),
            "weight_scale": np.ones((8, 99), np.float32),
            "weight_shape": np.array([8, 8]),
        },
        {},
        "8 x 99",
    ),
    "words without groups": (
        {
            "weight": np.zeros((8, 7), np.uint32),
            "scales": np.ones((8, 5), np.float32),
            "biases": np.ones((8, 5), np.float32),
        },
        {"quantization": {"group_size": -64, "bits": 4}},
        "groups of -64",
    ),
    "blocks of another size": (
        {"w_blocks": np.zeros((2, 8, 3, 15), np.uint8), "w_scales": np.zeros((2, 8, 3), np.uint8)},
        {}, "2 x 8 x 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_skipped_with_its_reason(case: str) -> None:
    parts, config, words = CASES[case]
    found = joined(parts, config)
    codes = next(iter(found.values()))
    assert any(word in str(codes.unsupported) for word in words.split("|"))
    with pytest.raises(TensorError):
        codes.values()
    assert all(other.joined for other in list(found.values())[1:])


def test_groups_outside_of_the_scales_are_found_when_read() -> None:
    for wrong in (3, -1, 2**31 - 1):
        index = gptq(4)[0]["g_idx"].copy()
        index[7] = wrong
        tensor = joined(changed(g_idx=index))[f"{NAME}.weight"]
        with pytest.raises(TensorError, match="groups outside"):
            tensor.values()


@given(st.data())
@settings(deadline=None, max_examples=80)
def test_any_shapes_and_configs_give_a_weight_or_a_reason(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CASES)))
    parts, _, _ = CASES[name]
    sizes = st.integers(0, 9)
    numbers = st.sampled_from([None, -1, 0, 1, 3, 4, 8, 32, 2**63, -(2**63), "x", True, [1], 0.5])
    changed_parts = dict(parts)
    for leaf in data.draw(st.lists(st.sampled_from(sorted(parts)), max_size=2)):
        values, dtype = parts[leaf] if isinstance(parts[leaf], tuple) else (parts[leaf], None)
        shape = tuple(data.draw(st.lists(sizes, max_size=4)))
        new = np.resize(values, shape) if values.size else np.zeros(shape, values.dtype)
        changed_parts[leaf] = (new, dtype) if dtype else new
    keys = ("bits", "group_size", "weight_block_size", "sym", "config_groups", "checkpoint_format")
    config = {
        "quantization_config": {key: data.draw(numbers) for key in keys},
        "quantization": data.draw(st.none() | st.just({"bits": 4, "group_size": 2**63})),
    }
    for tensor in joined(changed_parts, config).values():
        if tensor.unsupported is None and tensor.joined is None:
            try:
                values = np.asarray(tensor.stored())
            except TensorError:
                continue
            assert values.shape == tensor.shape
            if len(tensor.shape) == 2 and tensor.noise is not None:
                assert tensor.rms_error(lambda whole: whole) >= 0


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
