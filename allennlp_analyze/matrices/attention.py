"""Finds the blocks of attention: the projections of queries and keys, their heads and scale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from allennlp_analyze.matrices.fused import (
    QKV,
    Heads,
    config_nodes,
    is_query_key_value,
    model_type_of,
)
from allennlp_analyze.matrices.heads import heads_for
from allennlp_analyze.matrices.input_norms import Gain, gain_before, head_norm
from allennlp_analyze.matrices.kinds import is_attention
from allennlp_analyze.matrices.latent import COMPRESSIONS
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.names import looked_through, split_name
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import OUTPUTS_LAST

# The projection of keys beside each projection of queries, by the names of libraries.
_KEYS = {
    "q_proj": "k_proj",
    "query": "key",
    "q_lin": "k_lin",
    "q": "k",
    "wq": "wk",
    "to_q": "to_k",
    "linear_q": "linear_k",
    "attn_q": "attn_k",
    "q_proj_weight": "k_proj_weight",
}
_SIDES = {**dict.fromkeys(_KEYS, QKV[0]), **dict.fromkeys(_KEYS.values(), QKV[1])}
# Models that do not divide logits by the root of the head size.
_UNSCALED = frozenset("t5 mt5 umt5 longt5 switch_transformers gpt_neo pop2piano".split())
NO_HEADS = "the number of heads is not in config.json"


@dataclass(frozen=True)
class AttentionBlock:
    """One block of attention; `reason` says why its logits are not known, otherwise None.

    `gain` is that of the normalization before both projections, `query_norm` and `key_norm` those
    of queries and keys.
    """

    name: str
    query: WeightMatrix
    key: WeightMatrix
    heads: Optional[Heads] = None
    scale: Optional[float] = None
    gain: Optional[Gain] = None
    query_norm: Optional[Gain] = None
    key_norm: Optional[Gain] = None
    reason: Optional[str] = None


def find_attention(source: Source, matrices: Sequence[WeightMatrix]) -> list[AttentionBlock]:
    """Returns the blocks of attention whose projections are among `matrices` of `source`."""
    return list(_found(source, matrices))


def _found(source: Source, matrices: Sequence[WeightMatrix]) -> Iterator[AttentionBlock]:
    sides: dict[str, dict[str, WeightMatrix]] = {}
    for matrix in matrices:
        place = _place(matrix)
        if place is not None:
            sides.setdefault(place[0], {}).setdefault(place[1], matrix)
    modules = {split_name(name)[0] for name in source.tensors}
    for name, found in sides.items():
        query, key = found.get(QKV[0]), found.get(QKV[1])
        if "" in found:
            reason = "it is not known where query and key are in its tensor"
            yield AttentionBlock(name, found[""], found[""], reason=reason)
        elif query is not None and key is not None:
            yield _block(source, name, query, key)
        elif query is not None and any(f"{name}.{own}" in modules for own in COMPRESSIONS):
            yield AttentionBlock(name, query, query, reason="its keys are latent (MLA)")


def _place(matrix: WeightMatrix) -> Optional[tuple[str, str]]:
    """Returns the path of the attention and the side of `matrix` in it, "" if that is not known."""
    module, leaf = split_name(matrix.parameter)
    if matrix.part in QKV:
        return (module, matrix.part) if matrix.part != QKV[2] else None
    if matrix.part is not None:
        return None
    if is_query_key_value(matrix.parameter):
        return module, ""
    if leaf in _SIDES:
        return module, _SIDES[leaf]
    parents, _, own = looked_through(module).rpartition(".")
    named = own.startswith("attn_") or is_attention(parents)
    return (parents, _SIDES[own]) if own in _SIDES and named else None


def _block(source: Source, name: str, query: WeightMatrix, key: WeightMatrix) -> AttentionBlock:
    rows = [_outputs(matrix) for matrix in (query, key)]
    heads = _heads(source, query, rows[0], rows[1])
    norms = [head_norm(source, name, side) for side in ("q", "k")]
    if heads is None and norms[0] is not None:
        size = norms[0].size
        if not rows[0] % size and not rows[1] % size:
            heads = Heads(rows[0] // size, rows[1] // size, size)
    if heads is None:
        return AttentionBlock(name, query, key, reason=NO_HEADS)
    if heads.queries % heads.keys:
        reason = f"{heads.queries} heads of queries do not share {heads.keys} of keys"
        return AttentionBlock(name, query, key, heads, reason=reason)
    if any(norm is not None and norm.size != heads.size for norm in norms):
        reason = "queries or keys are normalized over all heads together"
        return AttentionBlock(name, query, key, heads, reason=reason)
    inputs = query.shape[1] if query.surroundings.outputs_first else query.shape[0]
    gain = gain_before(source, name, inputs)
    scale = _scale(source.config, heads)
    return AttentionBlock(name, query, key, heads, scale, gain, norms[0], norms[1])


def _outputs(matrix: WeightMatrix) -> int:
    """The number of outputs of `matrix`."""
    return matrix.shape[0] if matrix.surroundings.outputs_first else matrix.shape[1]


def _heads(source: Source, query: WeightMatrix, outputs: int, keys: int) -> Optional[Heads]:
    tensor = source.tensors[query.parameter]
    count: Optional[int] = None
    if tensor.layout == OUTPUTS_LAST and len(tensor.shape) == 3:
        count = tensor.shape[1]  # inputs x heads x head size
    else:
        stated = heads_for(query.parameter, source.config)
        count = None if stated is None else stated.queries
    if not count or outputs % count:
        return None
    size = outputs // count
    return None if keys % size else Heads(count, keys // size, size)


def _scale(config: Mapping[str, Any], heads: Heads) -> float:
    """What the products of queries and keys are multiplied by."""
    if model_type_of(config) in _UNSCALED:
        return 1.0
    for node in config_nodes(config):
        scalar, multiplier = node.get("query_pre_attn_scalar"), node.get("attention_multiplier")
        if isinstance(scalar, (int, float)) and scalar > 0:  # of Gemma
            return float(scalar) ** -0.5
        if isinstance(multiplier, (int, float)) and multiplier > 0:  # of Granite
            return float(multiplier)
    return float(heads.size**-0.5)
