"""Knows which tensors hold several maps side by side, and where each of them is.

A part is a block of rows or columns, or every other one, of the matrix that the tensor is. The
model's config.json says how many heads there are; without it, only shapes that allow one reading
are divided.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from allennlp_analyze.matrices.block import Block, in_turn, positive
from allennlp_analyze.matrices.latent import COMPRESSIONS, EXPANSIONS, latent_blocks
from allennlp_analyze.matrices.names import looked_through, split_name

QKV = ("query", "key", "value")
GATE_UP = ("gate", "up")
# Names of the module (or parameter) whose tensor holds query, key and value.
_QKV_NAMES = frozenset("c_attn qkv_proj Wqkv wqkv query_key_value qkv qkv_linear".split())
_GATE_UP_NAMES = frozenset(("gate_up_proj", "gate_up"))
# llama.cpp has the three in turn, whatever the model has them in elsewhere.
_IN_TURN = "attn_qkv"
# ChatGLM has gate and up in one, under a name that other models have for up alone.
_GLM_UP, _GLM_DOWN = "dense_h_to_4h", "dense_4h_to_h"
# Models that have the three blocks of each head together, or of each group of heads.
_BY_HEAD = frozenset(("gpt_neox", "bloom", "persimmon", "gpt_neox_japanese"))
_BY_GROUP = frozenset(("falcon", "RefinedWeb", "RefinedWebModel", "internlm2"))
_CODEGEN_SHARDS = 4
# DBRX has the experts of a layer in one matrix for each of gate, up and down.
_DBRX_MODULE, _DBRX_LEAVES = "experts.mlp", frozenset(("w1", "v1", "w2"))
_CONTAINERS = ("text_config", "llm_config", "language_config", "decoder", "model")


@dataclass(frozen=True)
class Heads:
    """The heads of attention by config.json: of queries, of keys and values, and their size."""

    queries: int
    keys: int
    size: int


def model_type_of(config: Mapping[str, Any]) -> Optional[str]:
    """The type of the model that a config.json names, if it is a text."""
    named = config.get("model_type")
    return named if isinstance(named, str) else None


def config_nodes(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields a config.json, and the parts of it that describe a model in it."""
    for node in (config, *(config.get(name) for name in _CONTAINERS)):
        if isinstance(node, Mapping):
            yield node


def is_query_key_value(name: str) -> bool:
    """Whether the name of a parameter says that it holds query, key and value."""
    module, leaf = split_name(name)
    own = _last(looked_through(module))
    return leaf == "in_proj_weight" or (leaf == "weight" and own in (*_QKV_NAMES, _IN_TURN))


def heads_of(config: Mapping[str, Any]) -> Optional[Heads]:
    """Returns the heads that a config.json of transformers describes, or None."""
    for node in config_nodes(config):
        queries = positive(node, "num_attention_heads", "n_head", "num_heads", "n_heads")
        hidden = positive(node, "hidden_size", "n_embd", "d_model", "n_embed")
        size = positive(node, "head_dim", "kv_channels", "d_kv")
        if queries is None or (hidden is None and size is None):
            continue
        keys = positive(
            node, "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"
        )
        attention = node.get("attn_config")  # of MPT and DBRX
        if keys is None and isinstance(attention, Mapping):
            keys = positive(attention, "kv_n_heads")
        if node.get("multi_query") and not node.get("new_decoder_architecture"):
            keys = 1
        return Heads(queries, keys or queries, size or (hidden or 0) // queries)
    return None


def fused_blocks(
    name: str, shape: Sequence[int], config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]
) -> tuple[Block, ...]:
    """Returns the parts of the two-dimensional tensor `name`, or () if it is one matrix.

    `shapes` are those of all tensors of the model, by name without wrappers.
    """
    module, leaf = split_name(name)
    module = looked_through(module)
    own = leaf if leaf.endswith("_proj_weight") or leaf in _GATE_UP_NAMES else _last(module)
    if leaf == "in_proj_weight" and shape[0] == 3 * shape[1]:
        return in_turn(QKV, (shape[1],) * 3, True)
    if is_stacked_expert(name):
        return _stacked_experts(shape, config)
    if own in _GATE_UP_NAMES:
        return _gate_and_up(module, shape, shapes)
    if own == _GLM_UP:
        return _gate_and_up_of_glm(module, shape, shapes)
    if own in (*COMPRESSIONS, *EXPANSIONS):
        return latent_blocks(own, shape, config)
    if own in _QKV_NAMES or own == _IN_TURN:
        return _query_key_value(own, shape, config)
    return ()


def _query_key_value(
    own: str, shape: Sequence[int], config: Mapping[str, Any]
) -> tuple[Block, ...]:
    model_type = model_type_of(config)
    of_rows = not (own == "c_attn" and shape[1] > shape[0])  # a Conv1D has its outputs in columns
    outputs, inputs = (shape[0], shape[1]) if of_rows else (shape[1], shape[0])
    heads = heads_of(config)
    if own == _IN_TURN:
        return _in_turn(outputs, inputs, heads, of_rows)
    if model_type == "codegen":
        return _codegen(outputs)
    if own == "wqkv" or (own == "query_key_value" and not _is_chatglm2(config)):
        return _by_head(outputs, heads, config) if heads else ()
    if model_type == "gpt_bigcode" and not config.get("multi_query"):
        return _by_head(outputs, heads, config) if heads else ()
    if own == "c_attn" and not of_rows and outputs == 2 * inputs:
        return in_turn(QKV[1:], (inputs,) * 2, of_rows)  # GPT-2 that attends to an encoder
    return _in_turn(outputs, inputs, heads, of_rows)


def _in_turn(outputs: int, inputs: int, heads: Optional[Heads], of_rows: bool) -> tuple[Block, ...]:
    """Query, key and value one after the other."""
    if heads is not None:
        sizes = (heads.queries * heads.size, *(2 * (heads.keys * heads.size,)))
        if sum(sizes) == outputs:
            return in_turn(QKV, sizes, of_rows)
    if outputs == 3 * inputs:
        return in_turn(QKV, (inputs,) * 3, of_rows)
    return ()


def _by_head(outputs: int, heads: Heads, config: Mapping[str, Any]) -> tuple[Block, ...]:
    """query_key_value: each group of heads has its queries, then its key and its value."""
    model_type = model_type_of(config)
    each = heads.queries // heads.keys
    groups = heads.keys
    if model_type in _BY_HEAD or model_type in ("chatglm", "gpt_bigcode"):
        each, groups = 1, heads.queries
    elif model_type not in _BY_GROUP:
        return ()
    if outputs != groups * (each + 2) * heads.size:
        return ()
    places = np.arange(outputs).reshape(groups, each + 2, heads.size)
    blocks = (places[:, :each], places[:, each], places[:, each + 1])
    return tuple(Block(label, True, block.ravel()) for label, block in zip(QKV, blocks))


def _is_chatglm2(config: Mapping[str, Any]) -> bool:
    """ChatGLM has the blocks of each head together; since the second one they are in turn."""
    return model_type_of(config) == "chatglm" and "multi_query_attention" in config


def _codegen(outputs: int) -> tuple[Block, ...]:
    """CodeGen has four shards, each with its queries, then its values, then its keys."""
    if outputs % (3 * _CODEGEN_SHARDS):
        return ()
    places = np.arange(outputs).reshape(_CODEGEN_SHARDS, 3, -1)
    return tuple(Block(label, True, places[:, i].ravel()) for label, i in zip(QKV, (0, 2, 1)))


def _gate_and_up(
    module: str, shape: Sequence[int], shapes: Mapping[str, Sequence[int]]
) -> tuple[Block, ...]:
    parent = module.rpartition(".")[0]
    down = shapes.get(f"{parent}.down_proj.weight" if parent else "down_proj.weight")
    if shape[0] % 2 or (down is not None and tuple(down[1:]) != (shape[0] // 2,)):
        return ()
    return in_turn(GATE_UP, (shape[0] // 2,) * 2, True)


def _gate_and_up_of_glm(
    module: str, shape: Sequence[int], shapes: Mapping[str, Sequence[int]]
) -> tuple[Block, ...]:
    down = shapes.get(f"{module[: -len(_GLM_UP)]}{_GLM_DOWN}.weight")
    if down is None or len(down) != 2 or shape[0] != 2 * down[1] or shape[1] != down[0]:
        return ()
    return in_turn(GATE_UP, (down[1],) * 2, True)


def is_stacked_expert(name: str) -> bool:
    """Whether the tensor `name` holds all experts of a layer of DBRX, one below the other."""
    module, leaf = split_name(name)
    return leaf in _DBRX_LEAVES and looked_through(module).endswith(_DBRX_MODULE)


def _stacked_experts(shape: Sequence[int], config: Mapping[str, Any]) -> tuple[Block, ...]:
    node = config.get("ffn_config")
    experts = positive(node, "moe_num_experts") if isinstance(node, Mapping) else None
    if experts is None or shape[0] % experts:
        return ()
    return in_turn([str(i) for i in range(experts)], (shape[0] // experts,) * experts, True)


def _last(module: str) -> str:
    return module.rpartition(".")[2]
