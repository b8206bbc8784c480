"""Turns the metadata of a GGUF file into the keys of a config.json of transformers."""

from collections.abc import Collection, Mapping
from typing import Optional

from allennlp_analyze.sources.formats.gguf.header import Value

# llama.cpp's names of architectures, where they differ from those of transformers.
_MODEL_TYPES = {
    "gptneox": "gpt_neox",
    "gptj": "gptj",
    "starcoder": "gpt_bigcode",
    "phi2": "phi",
    "qwen2moe": "qwen2_moe",
    "qwen2vl": "qwen2_vl",
    "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next",
    "qwen3vl": "qwen3_vl",
    "qwen3vlmoe": "qwen3_vl_moe",
    "command-r": "cohere",
    "deepseek2": "deepseek_v2",
    "glm4moe": "glm4_moe",
    "granitehybrid": "granitemoehybrid",
    "modern-bert": "modernbert",
    "ernie4_5-moe": "ernie4_5_moe",
    "gpt-oss": "gpt_oss",
    "lfm2moe": "lfm2_moe",
    "seed_oss": "seed_oss",
    "bailingmoe2": "bailing_moe",
}
_NUMBERS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "q_lora_rank": "attention.q_lora_rank",
    "kv_lora_rank": "attention.kv_lora_rank",
}
_HEADS = ("num_attention_heads", "num_key_value_heads")


def config_of(values: Mapping[str, Value], tensors: Collection[str]) -> dict[str, object]:
    """Returns what `values` say of the model; `tensors` are the names of all tensors.

    Numbers of heads that differ between layers are left out, because nothing can be divided by
    them.
    """
    config: dict[str, object] = {}
    alpha = values.get("adapter.lora.alpha")
    if isinstance(alpha, (int, float)) and not isinstance(alpha, bool):
        config["lora_alpha"] = alpha
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        return config
    config["model_type"] = _model_type(architecture, values)
    numbers = {key: _number(values, f"{architecture}.{own}") for key, own in _NUMBERS.items()}
    kept = {key: number for key, number in numbers.items() if number is not None}
    if f"{architecture}.attention.head_count_kv" in values and not all(h in kept for h in _HEADS):
        kept = {key: number for key, number in kept.items() if key not in _HEADS}
    config.update(kept)
    config.update(_sizes_of_heads(architecture, values))
    if "token_embd.weight" in tensors and "output_norm.weight" in tensors:
        config["tie_word_embeddings"] = "output.weight" not in tensors
    return config


def _model_type(architecture: str, values: Mapping[str, Value]) -> str:
    if architecture == "llama" and _number(values, "llama.expert_count"):
        return "mixtral"
    return _MODEL_TYPES.get(architecture, architecture.replace("-", "_"))


def _sizes_of_heads(architecture: str, values: Mapping[str, Value]) -> dict[str, object]:
    """The size of a head; of latent attention, the sizes of its parts."""
    key = _number(values, f"{architecture}.attention.key_length")
    value = _number(values, f"{architecture}.attention.value_length")
    if not _number(values, f"{architecture}.attention.kv_lora_rank"):
        return {"head_dim": key} if key is not None and value in (key, None) else {}
    rotary = _number(values, f"{architecture}.rope.dimension_count")
    key = _number(values, f"{architecture}.attention.key_length_mla") or key
    value = _number(values, f"{architecture}.attention.value_length_mla") or value
    if not rotary or not key or not value or key <= rotary:
        return {}
    return {
        "qk_rope_head_dim": rotary,
        "qk_nope_head_dim": key - rotary,
        "v_head_dim": value,
    }


def _number(values: Mapping[str, Value], key: str) -> Optional[int]:
    """A whole number, or the one that all items of an array are; None for anything else."""
    value = values.get(key)
    if isinstance(value, tuple) and value and len(set(value)) == 1:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else None
