"""Parts of fused tensors are where the models of transformers have them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.matrices.finding import find_matrices
from tests.support.torch_sources import numpy_source

pytestmark = pytest.mark.newest_python
H, HEADS, KEYS, SIZE, FFN = 24, 4, 2, 6, 40


def parts(tensors: "dict[str, Any]", config: "dict[str, Any]") -> "dict[str, np.ndarray]":
    source = numpy_source(tensors)
    source = type(source)(**{**vars(source), "config": config})
    matrices, _ = find_matrices(source)
    return {matrix.name: matrix.values() for matrix in matrices}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def test_gpt2_has_them_side_by_side_in_columns() -> None:
    q, k, v = (random(H, H) + i for i in range(3))
    found = parts({"h.0.attn.c_attn.weight": np.hstack([q, k, v])}, {"model_type": "gpt2"})
    assert list(found) == [f"h.0.attn.c_attn[{p}]" for p in ("query", "key", "value")]
    for ours, own in zip(found.values(), (q, k, v)):
        np.testing.assert_array_equal(ours, own)


@pytest.mark.parametrize("name", ["qkv_proj", "Wqkv", "attn.qkv"])
@pytest.mark.parametrize("keys", [HEADS, KEYS, 1])
def test_rows_of_grouped_queries(name: str, keys: int) -> None:
    q, k, v = random(HEADS * SIZE, H), random(keys * SIZE, H) + 1, random(keys * SIZE, H) + 2
    config = {"hidden_size": H, "num_attention_heads": HEADS, "num_key_value_heads": keys}
    found = list(parts({f"0.{name}.weight": np.vstack([q, k, v])}, config).values())
    for ours, own in zip(found, (q, k, v)):
        np.testing.assert_array_equal(ours, own)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_neox_has_those_of_each_head_together(heads: int, size: int, inputs: int) -> None:
    each = random(heads, 3, size, inputs)
    config = {"model_type": "gpt_neox", "hidden_size": heads * size, "num_attention_heads": heads}
    found = parts({"query_key_value.weight": each.reshape(-1, inputs)}, config)
    for i, part in enumerate(("query", "key", "value")):
        own = each[:, i].reshape(-1, inputs)
        np.testing.assert_array_equal(found[f"query_key_value[{part}]"], own)


def test_falcon_has_the_queries_of_a_group_before_its_key_and_value() -> None:
    each = random(KEYS, HEADS // KEYS + 2, SIZE, H)
    config = {
        "model_type": "falcon",
        "hidden_size": H,
        "num_attention_heads": HEADS,
        "num_kv_heads": KEYS,
        "new_decoder_architecture": True,
    }
    found = list(parts({"query_key_value.weight": each.reshape(-1, H)}, config).values())
    own = (each[:, :-2], each[:, -2], each[:, -1])
    for ours, values in zip(found, own):
        np.testing.assert_array_equal(ours, values.reshape(-1, H))


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({"query_key_value.weight": random(3 * H, H)}, {}),  # by head, or not?
        ({"qkv_proj.weight": random(2 * H, H)}, {}),  # how many keys?
        ({"gate_up_proj.weight": random(2 * FFN + 1, H)}, {}),
        ({"a.gate_up_proj.weight": random(2 * FFN, H), "a.down_proj.weight": random(H, 3)}, {}),
        ({"gates.weight": random(3 * H, H)}, {}),
    ],
)
def test_what_can_be_read_in_two_ways_stays_whole(
    tensors: "dict[str, Any]", config: "dict[str, Any]"
) -> None:
    assert not any("[" in name for name in parts(tensors, config))


def test_internlm2_has_groups_and_codegen_shards() -> None:
    each = random(KEYS, HEADS // KEYS + 2, SIZE, H)
    config = {"hidden_size": H, "num_attention_heads": HEADS, "num_key_value_heads": KEYS}
    grouped = {**config, "model_type": "internlm2"}
    found = list(parts({"attention.wqkv.weight": each.reshape(-1, H)}, grouped).values())
    for ours, own in zip(found, (each[:, :-2], each[:, -2], each[:, -1])):
        np.testing.assert_array_equal(ours, own.reshape(-1, H))
    shards = random(4, 3, SIZE, H)  # each has queries, values, keys
    codegen = {"model_type": "codegen", "n_embd": H, "n_head": HEADS}
    found = list(parts({"attn.qkv_proj.weight": shards.reshape(-1, H)}, codegen).values())
    for ours, index in zip(found, (0, 2, 1)):
        np.testing.assert_array_equal(ours, shards[:, index].reshape(-1, H))


def test_attention_to_an_encoder_has_key_and_value() -> None:
    k, v = random(H, H), random(H, H) + 1
    tensors = {"h.0.crossattention.c_attn.weight": np.hstack([k, v])}
    found = parts(tensors, {"model_type": "gpt2", "n_embd": H, "n_head": HEADS})
    assert list(found) == [f"h.0.crossattention.c_attn[{p}]" for p in ("key", "value")]
    for ours, own in zip(found.values(), (k, v)):
        np.testing.assert_array_equal(ours, own)


def test_gate_and_up_are_halves() -> None:
    gate, up = random(FFN, H), random(FFN, H) + 1
    tensors = {"mlp.gate_up_proj.weight": np.vstack([gate, up]), "mlp.down_proj.weight": up.T}
    found = parts(tensors, {"model_type": "phi3"})
    np.testing.assert_array_equal(found["mlp.gate_up_proj[gate]"], gate)
    np.testing.assert_array_equal(found["mlp.gate_up_proj[up]"], up)


@pytest.mark.parametrize(
    ("model_type", "inputs_first", "interleaved"),
    [("gpt_oss", True, True), ("llama4_text", True, False), ("qwen3_moe", False, False)],
)
def test_experts_are_linear_layers_with_gate_and_up(
    model_type: str, inputs_first: bool, interleaved: bool
) -> None:
    gate, up, down = random(3, FFN, H), random(3, FFN, H) + 1, random(3, H, FFN)
    if interleaved:
        fused = np.stack([gate, up], axis=2).reshape(3, 2 * FFN, H)
    else:
        fused = np.concatenate([gate, up], axis=1)
    if inputs_first:
        fused, down = np.swapaxes(fused, 1, 2), np.swapaxes(down, 1, 2)
    tensors = {"mlp.experts.gate_up_proj": fused, "mlp.experts.down_proj": down}
    source = numpy_source(tensors)
    source = type(source)(**{**vars(source), "config": {"model_type": model_type}})
    matrices, _ = find_matrices(source)
    assert {matrix.kind for matrix in matrices} == {"linear"}
    found = {matrix.name: matrix.values() for matrix in matrices}
    listed = model_type == "qwen3_moe"  # in the files that transformers writes
    for i in range(3):
        if not listed:
            np.testing.assert_array_equal(found[f"mlp.experts.gate_up_proj[{i}]"], fused[i])
        for part, own in (("gate", gate), ("up", up)):
            name = f"{i}.{part}_proj" if listed else f"gate_up_proj[{i}, {part}]"
            values = found[f"mlp.experts.{name}"]
            np.testing.assert_array_equal(values.T if inputs_first else values, own[i])
        name = f"{i}.down_proj" if listed else f"down_proj[{i}]"
        np.testing.assert_array_equal(found[f"mlp.experts.{name}"], down[i])


@given(
    st.dictionaries(
        st.sampled_from("model_type hidden_size num_attention_heads head_dim text_config".split()),
        st.one_of(
            st.none(),
            st.integers(-3, 10**20),
            st.text(max_size=3),
            st.booleans(),
            st.lists(st.integers(), max_size=2),
            st.dictionaries(st.sampled_from(["hidden_size", "n_head"]), st.integers(0, 9)),
            st.sampled_from(["gpt_neox", "falcon", "gpt_oss", "mixtral", "chatglm", "gpt2"]),
        ),
    ),
    st.sampled_from([(3 * H, H), (H, 3 * H), (1, 1), (7, 5)]),
)
def test_no_configuration_is_too_odd(config: "dict[str, Any]", shape: "tuple[int, int]") -> None:
    names = "c_attn qkv_proj query_key_value wqkv gate_up_proj q_proj o_proj".split()
    tensors = {f"{name}.weight": random(*shape) for name in names}
    experts = {"mlp.experts.gate_up_proj": random(2, *shape), "mlp.experts.down_proj": random(3)}
    found = parts({**tensors, **experts}, config)
    for name in names:
        sizes = [v.size for part, v in found.items() if part.partition("[")[0] == name]
        assert sum(sizes) == shape[0] * shape[1]


LATENT, ROTARY, NOPE, VALUE = 5, 2, 3, 4
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "hidden_size": H,
    "num_attention_heads": HEADS,
    "kv_lora_rank": LATENT,
    "qk_rope_head_dim": ROTARY,
    "qk_nope_head_dim": NOPE,
    "v_head_dim": VALUE,
}


def test_latent_attention_has_a_rotary_key_beside_the_latent_vector() -> None:
    latent, rotary = random(LATENT, H), random(ROTARY, H)
    name = "model.layers.0.self_attn.kv_a_proj_with_mqa"
    found = parts({f"{name}.weight": np.vstack([latent, rotary])}, DEEPSEEK)
    np.testing.assert_array_equal(found[f"{name}[latent]"], latent)
    np.testing.assert_array_equal(found[f"{name}[rotary key]"], rotary)
    assert len(found) == 2


def test_latent_attention_expands_to_a_key_and_a_value_of_each_head() -> None:
    keys, values = random(HEADS, NOPE, LATENT), random(HEADS, VALUE, LATENT)
    weight = np.concatenate([keys, values], axis=1).reshape(-1, LATENT)
    found = parts({"0.self_attn.kv_b_proj.weight": weight}, DEEPSEEK)
    np.testing.assert_array_equal(found["0.self_attn.kv_b_proj[key]"], keys.reshape(-1, LATENT))
    np.testing.assert_array_equal(found["0.self_attn.kv_b_proj[value]"], values.reshape(-1, LATENT))


def test_dbrx_has_its_experts_one_below_the_other() -> None:
    experts = random(3, FFN, H)
    config = {"model_type": "dbrx", "ffn_config": {"moe_num_experts": 3, "ffn_hidden_size": FFN}}
    name = "transformer.blocks.0.ffn.experts.mlp"
    tensors = {f"{name}.{leaf}": experts.reshape(-1, H) for leaf in ("w1", "v1", "w2")}
    found = parts(tensors, config)
    assert len(found) == 9
    np.testing.assert_array_equal(found[f"{name}.v1[2]"], experts[2])


def test_chatglm_has_gate_and_up_under_the_name_of_one() -> None:
    name = "layers.0.mlp.dense_"
    gate, up = random(FFN, H), random(FFN, H) + 1
    both = {f"{name}h_to_4h.weight": np.vstack([gate, up]), f"{name}4h_to_h.weight": random(H, FFN)}
    found = parts(both, {"model_type": "chatglm"})
    np.testing.assert_array_equal(found[f"{name}h_to_4h[gate]"], gate)
    np.testing.assert_array_equal(found[f"{name}h_to_4h[up]"], up)
    whole = {**both, f"{name}4h_to_h.weight": random(H, 2 * FFN)}  # of GPT-NeoX
    assert f"{name}h_to_4h" in parts(whole, {"model_type": "gpt_neox"})


def test_stacked_experts_are_linear_layers() -> None:
    source = numpy_source({"blocks.0.ffn.experts.mlp.w1": random(3 * FFN, H)})
    matrices, _ = find_matrices(source)
    assert {matrix.kind for matrix in matrices} == {"linear"}
