"""Counts the weights in tensors that cannot be read, so that no verdict passes over them."""

import math
from collections.abc import Mapping
from typing import Any

from allennlp_analyze.matrices.names import split_name
from allennlp_analyze.sources.tensor import StoredTensor

_PACKED = ("qweight", "weight_packed")
_USUAL_BITS = 4


def unread_weights(
    tensor: StoredTensor,
    config: Mapping[str, Any],
    places: Mapping[tuple[str, str], StoredTensor],
) -> int:
    """Returns the number of weights in a tensor that is skipped, 0 if it is no weight matrix.

    Packed integers count as many times as they hold weights: by the bits that config.json names,
    else 4. `places` are all tensors by module and leaf.
    """
    leaf = split_name(tensor.name)[1]
    size = math.prod(tensor.shape)
    if len(tensor.shape) < 2 or min(tensor.shape) < 1 or tensor.joined is not None:
        return 0
    if leaf in _PACKED and tensor.dtype == "int32":
        return size * (32 // _bits(config))
    if tensor.dtype == "uint8" and leaf == "weight":
        four_bit = any((tensor.name, other) in places for other in ("absmax", "quant_map"))
        return 2 * size if four_bit else size
    if tensor.dtype in ("int8", "qint8", "quint8") or tensor.unsupported is not None:
        return size
    return 0


def _bits(config: Mapping[str, Any]) -> int:
    quantization = config.get("quantization_config")
    if isinstance(quantization, Mapping):
        for key in ("bits", "w_bit"):
            bits = quantization.get(key)
            if bits in (1, 2, 3, 4, 8, 16):
                return int(bits)
    return _USUAL_BITS
