"""Names and divides the experts of a mixture: each is two or three Linear layers."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from allennlp_analyze.matrices.block import Block, in_turn
from allennlp_analyze.matrices.fused import GATE_UP, model_type_of

# Models that store inputs x outputs, and whether gate and up take turns.
_INPUTS_FIRST = {"gpt_oss": True, "llama4": False, "llama4_text": False}
# Models in whose files experts are listed, although their modules hold fused tensors: the names
# that a file has for gate, up and down.
_GATE_UP_DOWN = ("gate_proj", "up_proj", "down_proj")
_LISTED = {
    **dict.fromkeys(("mixtral", "minimax", "minimax_m2"), ("w1", "w3", "w2")),
    **dict.fromkeys(
        "qwen2_moe qwen3_moe qwen3_next olmoe flex_olmo deepseek_v2 deepseek_v3 deepseek_v32"
        " glm4_moe glm4_moe_lite glm_moe_dsa ernie4_5_moe dots1 jamba afmoe longcat_flash"
        " solar_open hunyuan_v1_moe exaone_moe".split(),
        _GATE_UP_DOWN,
    ),
}


def expert_blocks(
    shape: Sequence[int],
    down: Optional[Sequence[int]],
    config: Mapping[str, Any],
    has_biases: bool = False,
) -> tuple[Block, ...]:
    """Returns gate and up of one expert of `shape`; `down` is the shape of its down projection.

    gpt-oss has them in turn, and alone has biases. Returns () if neither shapes nor the model's
    type say where they are.
    """
    if down is None or len(down) != 2:
        return ()
    inputs_first = shape[1] == 2 * down[0] and shape[0] == down[1]
    outputs_first = shape[0] == 2 * down[1] and shape[1] == down[0]
    known = model_type_of(config)
    if inputs_first and outputs_first:
        if known is None:
            return ()
        inputs_first = known in _INPUTS_FIRST
    elif not inputs_first and not outputs_first:
        return ()
    half = (shape[1] if inputs_first else shape[0]) // 2
    if inputs_first and known is None and not has_biases:
        return ()  # in turn (gpt-oss) or in halves (Llama 4)
    if inputs_first and _INPUTS_FIRST.get(known or "", has_biases):
        places = (np.arange(0, 2 * half, 2), np.arange(1, 2 * half, 2))
        return tuple(Block(label, False, p) for label, p in zip(GATE_UP, places))
    return in_turn(GATE_UP, (half, half), not inputs_first)


def listed_name(parameter: str, label: Optional[str], config: Mapping[str, Any]) -> Optional[str]:
    """Returns the name in the model's file of a part of a fused tensor of experts, or None.

    transformers 5 fuses the experts of Mixtral and others when it builds their modules, and lists
    them one by one when it saves them. `label` is that of the part: "3", "3, gate" or "3, up".
    """
    names = _LISTED.get(model_type_of(config) or "")
    experts, _, leaf = parameter.rpartition(".")
    if names is None or label is None or not experts.endswith("experts"):
        return None
    index, _, part = label.partition(", ")
    own = dict(zip((*GATE_UP, "down_proj"), names)).get(part or leaf)
    return None if own is None else f"{file_name(experts, config)}.{index}.{own}"


def file_name(path: str, config: Mapping[str, Any]) -> str:
    """Returns the name in the model's file of the module or layer `path`."""
    if model_type_of(config) in ("mixtral", "minimax", "minimax_m2"):
        return path.replace(".mlp.", ".block_sparse_moe.")
    return path
