"""Weights of bitsandbytes in 4 bits: NF4 and FP4, with scales that may be quantized themselves."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.quantized.codes import error_variances, unpack_nibbles
from allennlp_analyze.sources.quantized.group import Group, Tensors
from allennlp_analyze.sources.quantized.matrix import Quantized, Rows
from allennlp_analyze.sources.quantized.tables import Book, FlatScales, UnfitError, numbers, unfit
from allennlp_analyze.sources.tensor import StoredTensor

_PARTS = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
_STATES = ("quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4")
_MAX_STATE_BYTES = 1 << 16
_MAX_DIMENSIONS = 8


def four_bits(tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]) -> Optional[Group]:
    """A weight with `weight.absmax`, `weight.quant_map` and `weight.quant_state...` beside it."""
    if f"{tensor.name}.absmax" not in tensors or f"{tensor.name}.quant_map" not in tensors:
        return None
    names = {part: f"{tensor.name}.{part}" for part in (*_PARTS, *_STATES)}
    others = {part: tensors[name] for part, name in names.items() if name in tensors}
    state: Optional[Mapping[str, Any]] = None
    shape: Optional[tuple[int, ...]] = None
    try:
        state = _state(others)
        shape = _shape(state)
    except UnfitError as error:
        return Group(tensor.name, tuple(others.values()), partial(_raise, error))
    make = partial(_four_bits, tensor, others, state, shape)
    return Group(tensor.name, tuple(others.values()), make, shape if len(shape) != 2 else None)


def _raise(error: UnfitError) -> Quantized:
    raise error


def _state(others: Mapping[str, StoredTensor]) -> Mapping[str, Any]:
    """Returns the JSON object that says the shape and the sizes of blocks."""
    stored = next((others[name] for name in _STATES if name in others), None)
    if stored is None:
        raise UnfitError(
            "quantized by bitsandbytes, but without a quant_state, which has its shape"
        )
    if stored.dtype != "uint8" or math.prod(stored.shape) > _MAX_STATE_BYTES:
        raise UnfitError("quantized by bitsandbytes, but its quant_state is not a JSON text")
    try:
        state = json.loads(stored.stored().tobytes())
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict):
        raise UnfitError("quantized by bitsandbytes, but its quant_state is not a JSON object")
    return state


def _shape(state: Mapping[str, Any]) -> tuple[int, ...]:
    shape = state.get("shape")
    if not isinstance(shape, list) or not 1 <= len(shape) <= _MAX_DIMENSIONS:
        raise UnfitError("quantized by bitsandbytes, but its quant_state has no shape")
    return tuple(_positive(size, "shape") for size in shape)


def _positive(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnfitError(f"quantized by bitsandbytes, but its quant_state has no valid {key}")
    return value


def _four_bits(
    codes: StoredTensor,
    others: Mapping[str, StoredTensor],
    state: Mapping[str, Any],
    shape: tuple[int, ...],
) -> Quantized:
    size = math.prod(shape)
    block = _positive(state.get("blocksize"), "blocksize")
    absmax, quant_map = others["absmax"], others["quant_map"]
    stored_bytes = math.prod(codes.shape) * ITEM_SIZE[codes.dtype]
    if -(-size // 2) != stored_bytes or codes.unsupported is not None:
        raise UnfitError(
            f"quantized by bitsandbytes, but {stored_bytes} bytes do not hold the 4-bit weights of"
            f" its shape {' x '.join(map(str, shape))}"[:200]
        )
    if math.prod(absmax.shape) != -(-size // block):
        raise unfit(absmax, shape)
    if math.prod(quant_map.shape) != 16:
        raise unfit(quant_map, (16,))
    nested = _nested(others, state)
    rows = shape[0] if len(shape) > 1 else 1
    columns = size // rows

    def opened() -> Rows:
        packed = np.ascontiguousarray(codes.stored()).reshape(-1).view(np.uint8)
        book = numbers(quant_map).reshape(-1)
        scales = FlatScales(_scales(others, nested), block, columns)
        return Book(partial(_codes, packed, columns), book, error_variances(book), scales)

    return Quantized((rows, columns), opened)


def _nested(
    others: Mapping[str, StoredTensor], state: Mapping[str, Any]
) -> Optional[tuple[int, float]]:
    """Returns the block size and the offset of quantized scales, None if they are plain."""
    absmax, inner = others["absmax"], others.get("nested_absmax")
    inner_map = others.get("nested_quant_map")
    if absmax.dtype != "uint8":
        return None
    offset = state.get("nested_offset")
    if inner is None or inner_map is None or not isinstance(offset, (int, float)):
        raise UnfitError("quantized by bitsandbytes, but the scales of its absmax are missing")
    block = _positive(state.get("nested_blocksize"), "nested_blocksize")
    if math.prod(inner.shape) != -(-math.prod(absmax.shape) // block):
        raise unfit(inner, absmax.shape)
    if math.prod(inner_map.shape) != 256:
        raise unfit(inner_map, (256,))
    return block, float(offset)


def _scales(others: Mapping[str, StoredTensor], nested: Optional[tuple[int, float]]) -> np.ndarray:
    """Returns the scale of each block as float32."""
    if nested is None:
        return numbers(others["absmax"]).reshape(-1)
    block, offset = nested
    codes = np.asarray(others["absmax"].stored()).reshape(-1)
    inner = numbers(others["nested_absmax"]).reshape(-1)
    found = numbers(others["nested_quant_map"]).reshape(-1)[codes]
    found *= inner[np.arange(len(codes)) // block]
    return found + np.float32(offset)


def _codes(packed: np.ndarray, columns: int, rows: slice) -> np.ndarray:
    """The codes of `rows`; of the two in a byte, the first is in its high bits."""
    begin, end = rows.start * columns, rows.stop * columns
    found = unpack_nibbles(packed[begin // 2 : -(-end // 2)], high_first=True)
    skipped = begin % 2
    return found[skipped : skipped + end - begin].reshape(-1, columns)
