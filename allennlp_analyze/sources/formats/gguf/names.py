"""Knows llama.cpp's names of tensors: their kinds, and which are stacks of experts."""

import re
from typing import Optional

_EMBEDDINGS = frozenset(
    "token_embd position_embd token_types per_layer_token_embd embed_tokens attn_rel_b".split()
)
_CONVOLUTIONS = frozenset(
    "patch_embd conv conv1d conv2d ssm_conv1d ssm_conv1d_q ssm_conv1d_k ssm_conv1d_v".split()
)
_ATTENTION = frozenset(
    "attn_q attn_k attn_v attn_qkv attn_output attn_out attn_gate attn_q_a attn_q_b attn_kv_a_mqa"
    " attn_kv_b attn_k_b attn_v_b cross_attn_q cross_attn_k cross_attn_v cross_attn_o"
    " cross_attn_out".split()
)
_FEED_FORWARD = frozenset(
    "ffn_gate ffn_up ffn_down ffn_gate_inp ffn_gate_inp_shexp ffn_gate_shexp ffn_up_shexp"
    " ffn_down_shexp ffn_gate_exps ffn_up_exps ffn_down_exps ffn_gate_up_exps ffn_gate_chexps"
    " ffn_up_chexps ffn_down_chexps ffn_latent_down ffn_latent_up".split()
)
_OTHERS = frozenset(
    "output cls dense_2 dense_3 eh_proj shared_head_head ssm_in ssm_x ssm_dt ssm_out ssm_ba"
    " ssm_alpha ssm_beta inp_gate per_layer_model_proj laurel_l laurel_r time_mix_key"
    " time_mix_value time_mix_receptance time_mix_gate time_mix_output channel_mix_key"
    " channel_mix_value channel_mix_receptance".split()
)
_LINEAR = _ATTENTION | _FEED_FORWARD | _OTHERS
_STACK = re.compile(r".*\.ffn_(gate|up|down|gate_up)_(ch)?exps\.weight", re.DOTALL)
_FACTOR = re.compile(r"(?P<layer>.+)\.weight\.lora_(?P<factor>[ab])", re.DOTALL)


def kind_of(name: str, dimensions: int) -> Optional[str]:
    """Returns the kind of a layer that llama.cpp names so, or None for another name."""
    parts = name.split(".")
    if dimensions < 2 or parts[-1] != "weight":
        return None
    stem = next((part for part in reversed(parts[:-1]) if not part.isdigit()), "")
    if stem in _EMBEDDINGS:
        return "embedding"
    if stem in _CONVOLUTIONS:
        return "convolution"
    return "linear" if stem in _LINEAR else None


def is_stack(name: str, dimensions: int) -> bool:
    """Whether a tensor holds a matrix for each expert of a mixture."""
    return dimensions == 3 and _STACK.fullmatch(name) is not None


def expert_names(name: str, rows: int, index: int) -> list[str]:
    """Returns names for the matrices of one expert of a stack: two if gate and up are in one."""
    module = name[: -len(".weight")]
    if module.endswith("_gate_up_exps") and rows % 2 == 0:
        return [f"{module}.{index}.{half}.weight" for half in ("gate", "up")]
    return [f"{module}.{index}.weight"]


def name_of_factor(name: str) -> str:
    """Returns the name of PEFT for a factor of an adapter of llama.cpp; other names as they are."""
    found = _FACTOR.fullmatch(name)
    return f"{found['layer']}.lora_{found['factor'].upper()}.weight" if found else name
