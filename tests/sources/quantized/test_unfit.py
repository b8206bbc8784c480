"""Tensors of quantized weights that do not fit together are skipped with the reason."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import TensorError
from tests.support.quantized import NAME, gptq, joined

pytestmark = pytest.mark.newest_python


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
    "float8 without the scales that the configuration promises": (
        {"weight": FLOAT},
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
        "or scale) are missing",
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
    "HQQ of a huge shape": (
        {
            "W_q": np.zeros((8, 8), np.uint8),
            "scale": np.ones((16, 1), np.float32),
            "zero": np.ones((16, 1), np.float32),
            "shape": np.array([HUGE, 2]),
        },
        {},
        "0 bits",
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
