"""Heads of attention are the slices that attention itself takes."""

from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from tests.support.torch_sources import numpy_source

H, HEADS, KEYS, SIZE = 24, 4, 2, 6
CONFIG = {"hidden_size": H, "num_attention_heads": HEADS, "num_key_value_heads": KEYS}


def values(tensors: "dict[str, Any]", config: "dict[str, Any]") -> "dict[str, np.ndarray]":
    source = numpy_source(tensors)
    source = type(source)(**{**vars(source), "config": config})
    return {one.name: one.values() for one in find_matrices(source, split_heads=True)[0]}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@pytest.mark.parametrize(("name", "count"), [("q", HEADS), ("k", KEYS), ("v", KEYS)])
def test_heads_of_a_projection_are_blocks_of_its_outputs(name: str, count: int) -> None:
    each = random(count, SIZE, H)
    found = values({f"self_attn.{name}_proj.weight": each.reshape(-1, H)}, CONFIG)
    layer = f"self_attn.{name}_proj"
    assert list(found) == [layer] + [f"{layer}[head {i}]" for i in range(count)]
    for i in range(count):
        np.testing.assert_array_equal(found[f"{layer}[head {i}]"], each[i])


def test_heads_of_the_output_projection_are_blocks_of_its_inputs() -> None:
    weight = random(H, H)
    found = values({"self_attn.o_proj.weight": weight}, CONFIG)
    np.testing.assert_array_equal(found["self_attn.o_proj[head 1]"], weight[:, SIZE : 2 * SIZE])
    found = values({"h.0.attn.c_proj.weight": weight}, {**CONFIG, "model_type": "gpt2"})
    np.testing.assert_array_equal(found["h.0.attn.c_proj[head 1]"], weight[SIZE : 2 * SIZE])


def test_heads_of_fused_parts_follow_their_part() -> None:
    each = random(HEADS, 3, SIZE, H)
    config = {"model_type": "gpt_neox", "hidden_size": H, "num_attention_heads": HEADS}
    found = values({"attention.query_key_value.weight": each.reshape(-1, H)}, config)
    assert list(found)[:2] == [
        "attention.query_key_value[query]",
        "attention.query_key_value[query, head 0]",
    ]
    for i, part in enumerate(("query", "key", "value")):
        for head in range(HEADS):
            own = found[f"attention.query_key_value[{part}, head {head}]"]
            np.testing.assert_array_equal(own, each[head, i])


@pytest.mark.parametrize(
    ("name", "shape", "config"),
    [
        ("self_attn.q_proj.weight", (H, H), {}),  # how many heads?
        ("self_attn.q_proj.weight", (H + 1, H), CONFIG),
        ("mlp.dense.weight", (H, H), CONFIG),
        ("vision_tower.self_attn.q_proj.weight", (H, H), CONFIG),  # the heads of the text
    ],
)
def test_a_layer_without_known_heads_stays_whole(
    name: str, shape: "tuple[int, int]", config: "dict[str, Any]"
) -> None:
    assert not any("head" in found for found in values({name: random(*shape)}, config))
