"""Knows the parts of DeepSeek's latent attention (MLA), by the sizes in config.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allennlp_analyze.matrices.block import Block, in_turn, positive

# By the names of transformers, and of llama.cpp.
COMPRESSIONS = ("kv_a_proj_with_mqa", "attn_kv_a_mqa")
EXPANSIONS = ("kv_b_proj", "attn_kv_b")


def latent_blocks(own: str, shape: Sequence[int], config: Mapping[str, Any]) -> tuple[Block, ...]:
    """Returns the parts of the tensor of the module `own`, or () if it is one matrix.

    The compression has the latent vector of keys and values, then the rotary key that all heads
    share; the expansion has a key and a value for each head.
    """
    latent = positive(config, "kv_lora_rank")
    rotary = positive(config, "qk_rope_head_dim")
    heads = positive(config, "num_attention_heads")
    key = positive(config, "qk_nope_head_dim")
    value = positive(config, "v_head_dim")
    if own in COMPRESSIONS and latent and rotary and shape[0] == latent + rotary:
        return in_turn(("latent", "rotary key"), (latent, rotary), True)
    if own in EXPANSIONS and heads and key and value and shape[0] == heads * (key + value):
        places = np.arange(shape[0]).reshape(heads, key + value)
        return (
            Block("key", True, places[:, :key].ravel()),
            Block("value", True, places[:, key:].ravel()),
        )
    return ()
