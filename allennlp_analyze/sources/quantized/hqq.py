"""Weights of HQQ: codes of 1 to 8 bits in bytes, each part of the rows in other bits."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.sources.quantized.group import Group, Tensors, beside, named
from allennlp_analyze.sources.quantized.matrix import Quantized, Rows
from allennlp_analyze.sources.quantized.tables import (
    FlatScales,
    Spread,
    UnfitError,
    Whole,
    numbers,
    unfit,
)
from allennlp_analyze.sources.tensor import StoredTensor

_NUMBERS = ("nbits", "axis", "group_size")
# What HQQ stores beside it.
_OTHERS = (
    "packing view_as_float unpack_view_dtype compute_dtype quant_scale quant_zero offload_meta"
    " encoded_state_dict stores_quant_config channel_wise optimize round_zero"
).split()
_BITS = (1, 2, 4, 8)


def hqq(tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]) -> Optional[Group]:
    """`W_q` with `scale`, `zero` and `shape`."""
    module, _, leaf = tensor.name.rpartition(".")
    if leaf != "W_q":
        return None
    others = beside(tensors, module, "scale", "zero", "shape", *_NUMBERS, *_OTHERS)
    return Group(named(module, "weight"), tuple(others.values()), partial(_hqq, tensor, others))


def _hqq(codes: StoredTensor, others: Mapping[str, StoredTensor]) -> Quantized:
    scale, zero = others.get("scale"), others.get("zero")
    if scale is None or zero is None or "shape" not in others or codes.dtype != "uint8":
        raise UnfitError("quantized by HQQ, but not as scale, zero and shape beside bytes")
    shape = tuple(int(size) for size in np.asarray(others["shape"].values()).reshape(-1)[:3])
    if len(shape) != 2 or min(shape) < 1 or len(codes.shape) != 2 or 0 in codes.shape:
        raise UnfitError(f"quantized by HQQ, but its shape is {shape}"[:100])
    size, packed = math.prod(shape), math.prod(codes.shape)
    bits = _number(others, "nbits") or (8 * packed // size if size <= 8 * packed else 0)
    if bits not in _BITS or packed * (8 // bits) != size:
        raise UnfitError(f"quantized by HQQ to {bits} bits, which is not supported for its shape")
    if math.prod(scale.shape) != math.prod(zero.shape) or 0 in scale.shape:
        raise unfit(zero, scale.shape)
    columns, groups = codes.shape[1], math.prod(scale.shape)
    by_rows = len(scale.shape) != 2 or scale.shape[1] == 1
    if groups not in ((size // columns,) if by_rows else (columns,)):
        raise unfit(scale, shape)

    def opened() -> Rows:
        raw = np.ascontiguousarray(codes.stored()).reshape(-1)

        def spread(table: np.ndarray) -> Spread:
            flat = table.reshape(-1)
            return FlatScales(flat, columns, shape[1]) if by_rows else _Cyclic(flat, shape[1])

        read = partial(_codes, raw, bits, shape[1])
        return Whole(read, spread(numbers(scale)), spread(numbers(zero)))

    return Quantized((shape[0], shape[1]), opened)


def _number(others: Mapping[str, StoredTensor], name: str) -> Optional[int]:
    stored = others.get(name)
    if stored is None or math.prod(stored.shape) != 1:
        return None
    return int(np.asarray(stored.values()).reshape(())[()])


def _codes(raw: np.ndarray, bits: int, columns: int, rows: slice) -> np.ndarray:
    """The codes of `rows`. The first part of all codes is in the highest bits of the bytes."""
    place, end = rows.start * columns, rows.stop * columns
    found = []
    while place < end:
        part, first = divmod(place, len(raw))
        last = min(first + end - place, len(raw))
        shift = 8 - bits * (part + 1)
        found.append((raw[first:last] >> np.uint8(shift)) & np.uint8((1 << bits) - 1))
        place += last - first
    return np.concatenate(found).reshape(-1, columns)


class _Cyclic:
    """Scales that repeat through the entries of the matrix, in the order of its rows."""

    def __init__(self, scales: np.ndarray, columns: int) -> None:
        self._scales, self._columns = scales, columns

    def at(self, rows: slice) -> np.ndarray:
        places = np.arange(rows.start * self._columns, rows.stop * self._columns)
        return self._scales[places % len(self._scales)].reshape(-1, self._columns)
