"""Finds out whether a model may have quantized weights; only then their readers are imported."""

from collections.abc import Mapping
from dataclasses import replace

from allennlp_analyze.sources.small_floats import FLOAT8
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor

# bitsandbytes may store its codes as any type.
_CODES = frozenset(("int32", "uint32", "int8", "uint8", "float4_e2m1fn_x2", *FLOAT8))


def may_be_codes(tensor: StoredTensor, tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether a tensor may have the codes of a quantized weight, by its type and what is beside."""
    return tensor.dtype in _CODES or f"{tensor.name}.absmax" in tensors


def dequantized(source: Source) -> Source:
    """Returns `source` with each quantized weight as one tensor of numbers."""
    tensors = source.tensors
    if not any(may_be_codes(tensor, tensors) for tensor in tensors.values()):
        return source
    from allennlp_analyze.sources.quantized.joining import join_quantized

    return replace(source, tensors=join_quantized(tensors, source.config))
