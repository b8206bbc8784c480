"""Divides the projections of attention into their heads."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from allennlp_analyze.matrices.block import Block
from allennlp_analyze.matrices.fused import QKV, Heads, heads_of
from allennlp_analyze.matrices.names import looked_through, split_name, stands_for

_QUERIES = frozenset("q_proj query q_lin q wq q_attn to_q linear_q".split())
_KEYS = frozenset("k_proj v_proj key value k_lin v_lin k v wk wv to_k to_v".split())
_OUTPUTS = frozenset("o_proj out_proj out_lin wo o c_proj to_out dense".split())
# The names of llama.cpp, which stores outputs x inputs. It changes the order of the rows of query
# and key, but only within each head.
_QUERIES_OF_LLAMA_CPP = frozenset(("attn_q", "cross_attn_q"))
_KEYS_OF_LLAMA_CPP = frozenset("attn_k attn_v cross_attn_k cross_attn_v".split())
_OUTPUTS_OF_LLAMA_CPP = frozenset("attn_output cross_attn_o".split())
_OF_LLAMA_CPP = _QUERIES_OF_LLAMA_CPP | _KEYS_OF_LLAMA_CPP | _OUTPUTS_OF_LLAMA_CPP
_IN_ATTENTION = ("attn", "attention")
_VISION = ("vision", "visual")


def heads_for(name: str, config: Mapping[str, Any]) -> Optional[Heads]:
    """Returns the heads of the layer `name`; those of an image encoder are its own."""
    if any(part.startswith(_VISION) for part in name.split(".")):
        vision = config.get("vision_config")
        return heads_of(vision) if isinstance(vision, Mapping) else None
    return heads_of(config)


def heads_of_part(block: Block, heads: Heads) -> tuple[Block, ...]:
    """Returns the heads of query, key or value, a part of a fused tensor; () for other parts.

    The places of a part are in the order of its heads.
    """
    count = heads.queries if block.label == QKV[0] else heads.keys
    if block.label not in QKV or len(block.places) != count * heads.size:
        return ()
    return _heads(block.of_rows, block.places, heads.size, f"{block.label}, ")


def heads_of_layer(
    name: str, shape: Sequence[int], config: Mapping[str, Any], inputs_first: bool
) -> tuple[Block, ...]:
    """Returns the heads of a projection that has a tensor of its own, () if it has none.

    The output projection has a head's values as inputs, the others as outputs. `inputs_first` says
    that the rows of the tensor are its inputs.
    """
    module, leaf = split_name(name)
    heads = heads_for(name, config)
    if heads is None or stands_for(leaf) not in ("weight", "qweight"):
        return ()
    parents, _, own = looked_through(module).rpartition(".")
    of_llama_cpp = own in _OF_LLAMA_CPP
    is_output = own in _OUTPUTS | _OUTPUTS_OF_LLAMA_CPP
    in_attention = of_llama_cpp or any(word in parents.lower() for word in _IN_ATTENTION)
    if is_output and not in_attention:
        return ()
    if not is_output and own not in _QUERIES | _KEYS and not of_llama_cpp:
        return ()
    count = heads.keys if own in _KEYS | _KEYS_OF_LLAMA_CPP else heads.queries
    of_rows = is_output == (inputs_first and not of_llama_cpp)
    places = np.arange(shape[0] if of_rows else shape[1])
    if len(places) != count * heads.size:
        return ()
    return _heads(of_rows, places, heads.size, "")


def _heads(of_rows: bool, places: np.ndarray, size: int, label: str) -> tuple[Block, ...]:
    starts = range(0, len(places), size)
    return tuple(
        Block(f"{label}head {i}", of_rows, places[start : start + size])
        for i, start in enumerate(starts)
    )
