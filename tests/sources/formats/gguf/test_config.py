"""What GGUF's metadata say of a model, in the keys of a config.json."""

import pytest

from allennlp_analyze.matrices.fused import Heads, heads_of
from allennlp_analyze.sources.formats.gguf.config import config_of

pytestmark = pytest.mark.newest_python
LLAMA = {
    "general.architecture": "llama",
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
}
NAMES = ("token_embd.weight", "output_norm.weight")


def test_the_keys_of_a_config_json() -> None:
    assert config_of(LLAMA, NAMES) == {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    }
    assert config_of(LLAMA, (*NAMES, "output.weight"))["tie_word_embeddings"] is False
    assert heads_of(config_of(LLAMA, ())) == Heads(8, 2, 8)
    assert config_of({**LLAMA, "llama.attention.key_length": 16}, ())["head_dim"] == 16


@pytest.mark.parametrize(
    "architecture, expected",
    [("qwen3moe", "qwen3_moe"), ("gptneox", "gpt_neox"), ("gpt-oss", "gpt_oss"), ("x-y", "x_y")],
)
def test_architectures_have_the_names_of_transformers(architecture: str, expected: str) -> None:
    assert config_of({"general.architecture": architecture}, ())["model_type"] == expected


def test_a_llama_with_experts_is_a_mixtral() -> None:
    assert config_of({**LLAMA, "llama.expert_count": 8}, ())["model_type"] == "mixtral"


def test_heads_that_differ_between_layers_are_left_out() -> None:
    equal = {**LLAMA, "llama.attention.head_count_kv": (2, 2)}
    assert config_of(equal, ())["num_key_value_heads"] == 2
    for key in ("llama.attention.head_count", "llama.attention.head_count_kv"):
        assert heads_of(config_of({**LLAMA, key: (2, 4)}, ())) is None


def test_latent_attention() -> None:
    values = {
        "general.architecture": "deepseek2",
        "deepseek2.attention.kv_lora_rank": 512,
        "deepseek2.attention.key_length": 576,
        "deepseek2.attention.value_length": 512,
        "deepseek2.attention.key_length_mla": 192,
        "deepseek2.attention.value_length_mla": 128,
        "deepseek2.rope.dimension_count": 64,
    }
    config = config_of(values, ())
    assert (config["qk_rope_head_dim"], config["qk_nope_head_dim"]) == (64, 128)
    assert config["v_head_dim"] == 128 and "head_dim" not in config


def test_odd_values_are_passed_over() -> None:
    assert config_of({}, ()) == {}
    assert config_of({"general.architecture": 3}, ()) == {}
    odd = {"general.architecture": "a", "a.block_count": "many", "a.vocab_size": True}
    assert config_of(odd, ()) == {"model_type": "a"}
