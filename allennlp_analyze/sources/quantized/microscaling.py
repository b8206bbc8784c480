"""Numbers of 4 bits with a scale for each 16 or 32: MXFP4, and NVFP4 with one more scale."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.sources.quantized.codes import error_variances, unpack_nibbles
from allennlp_analyze.sources.quantized.group import Group, Tensors, Weight, beside, named
from allennlp_analyze.sources.quantized.matrix import Quantized, Rows, Stack
from allennlp_analyze.sources.quantized.tables import (
    Book,
    Scales,
    UnfitError,
    codes_of,
    numbers,
    of_index,
    unfit,
)
from allennlp_analyze.sources.small_floats import EXPONENTS, table
from allennlp_analyze.sources.tensor import StoredTensor

_FOUR_BITS = "float4_e2m1"
_MX_BYTES = 16  # of a block of 32 numbers
_BYTE = ("uint8", "float4_e2m1fn_x2")
# Reads the scales of a stack's matrix, or those of the only one.
_ReadScales = Callable[[Optional[int]], np.ndarray]


def mx_blocks(tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]) -> Optional[Group]:
    """`*_blocks` with `*_scales`, as gpt-oss has its experts; or `*.blocks` with `*.scales`."""
    own, beside_it = tensor.name[: -len("_blocks")], ""
    for ending in ("_blocks", ".blocks"):
        if tensor.name.endswith(ending):
            beside_it = own + ending.replace("blocks", "scales")
    scales = tensors.get(beside_it)
    if scales is None or tensor.dtype != "uint8" or not own:
        return None
    # transformers has the inputs of an expert first, and stores the transpose.
    is_transposed = tensor.name.endswith("_blocks") and len(tensor.shape) == 4
    return Group(own, (scales,), partial(_mx_blocks, tensor, scales, is_transposed))


def _mx_blocks(codes: StoredTensor, scales: StoredTensor, is_transposed: bool) -> Weight:
    fits = codes.shape[:-1] == scales.shape and codes.shape[-1:] == (_MX_BYTES,)
    if not fits or len(codes.shape) not in (3, 4) or 0 in codes.shape or scales.dtype != "uint8":
        raise unfit(scales, codes.shape)
    rows, groups = scales.shape[-2:]

    def at(index: Optional[int]) -> Quantized:
        return Quantized((rows, 32 * groups), partial(opened, index), 1, is_transposed)

    def opened(index: Optional[int]) -> Rows:
        stored = of_index(codes_of(codes), index)
        powers = table(EXPONENTS)[of_index(codes_of(scales), index)]
        return _rows(lambda part: stored[part].reshape(part.stop - part.start, -1), powers, 32)

    if len(codes.shape) == 3:
        return at(None)
    shape = (32 * groups, rows) if is_transposed else (rows, 32 * groups)
    return Stack(codes.shape[0], shape, at)


def four_bit_floats(
    tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]
) -> Optional[Group]:
    """`weight_packed` (compressed-tensors) or `weight` (ModelOpt) in bytes of two numbers each."""
    module, _, leaf = tensor.name.rpartition(".")
    if tensor.dtype not in _BYTE:
        return None
    own = leaf[: -len("_packed")] if leaf.endswith("_packed") else leaf
    parts = [f"{own}_{part}" for part in ("scale", "global_scale", "scale_2")]
    found = beside(tensors, module, *parts)
    if parts[0] not in found or (own == leaf and parts[2] not in found):
        return None
    others = {name[len(own) + 1 :]: found[name] for name in found}
    make = partial(_four_bit_floats, tensor, others)
    return Group(named(module, own), tuple(others.values()), make)


def _four_bit_floats(codes: StoredTensor, others: Mapping[str, StoredTensor]) -> Weight:
    scale = others["scale"]
    divisor, factor = others.get("global_scale"), others.get("scale_2")

    def read(index: Optional[int]) -> np.ndarray:
        if scale.dtype == "uint8":
            return table(EXPONENTS)[of_index(codes_of(scale), index)]
        found = of_index(numbers(scale), index)
        if divisor is not None:
            found = found / _one(divisor, index)
        return found if factor is None else found * _one(factor, index)

    for whole in (divisor, factor):
        if whole is not None and whole.shape not in ((), (1,), codes.shape[:-2]):
            if np.prod(whole.shape, dtype=float) != np.prod(codes.shape[:-2], dtype=float):
                raise unfit(whole, codes.shape)
    return _stacked(codes, scale, 2, lambda index: of_index(codes_of(codes), index), read)


def _one(scale: StoredTensor, index: Optional[int]) -> np.float32:
    found = numbers(scale).reshape(-1)
    return np.float32(found[0 if index is None or len(found) == 1 else index])


def of_pairs(codes: StoredTensor, scales: StoredTensor) -> Weight:
    """Returns a weight of two numbers in each int8 with exponents for scales (DeepSeek's MXFP4)."""
    return _stacked(
        codes,
        scales,
        2,
        lambda index: of_index(codes_of(codes), index),
        lambda index: table(EXPONENTS)[of_index(codes_of(scales), index)],
    )


def of_words(codes: StoredTensor, scales: StoredTensor) -> Weight:
    """Returns a weight of MLX that has scales without biases: MXFP4 or NVFP4."""
    if scales.dtype != "uint8":
        raise UnfitError("quantized, but there are no biases beside it")
    groups = scales.shape[-1]
    size = codes.shape[-1] * 8 // groups
    kind = EXPONENTS if size == 32 else "float8_e4m3fn"
    return _stacked(
        codes,
        scales,
        8,
        lambda index: of_index(codes.stored().view(np.uint8), index),
        lambda index: table(kind)[of_index(codes_of(scales), index)],
    )


def _stacked(
    codes: StoredTensor,
    scales: StoredTensor,
    each: int,
    read_codes: Callable[[Optional[int]], np.ndarray],
    read_scales: _ReadScales,
) -> Weight:
    """Returns the weight of `codes` (..., rows, columns / each), which may be a stack."""
    fits = len(codes.shape) in (2, 3) and codes.shape[:-1] == scales.shape[:-1]
    if not fits or 0 in codes.shape or 0 in scales.shape:
        raise unfit(scales, codes.shape)
    rows, columns, groups = codes.shape[-2], codes.shape[-1] * each, scales.shape[-1]
    size = columns // groups
    if size not in (16, 32) or columns % groups:
        raise unfit(scales, (*codes.shape[:-1], columns))

    def at(index: Optional[int]) -> Quantized:
        return Quantized((rows, columns), partial(opened, index))

    def opened(index: Optional[int]) -> Rows:
        stored = read_codes(index)
        return _rows(lambda part: stored[part], read_scales(index), size)

    return at(None) if len(codes.shape) == 2 else Stack(codes.shape[0], (rows, columns), at)


def _rows(read: Callable[[slice], np.ndarray], scales: np.ndarray, size: int) -> Rows:
    """Rows of two numbers in each byte that `read` returns, with a scale for each `size`."""
    book = table(_FOUR_BITS)
    places = np.arange(scales.shape[1] * size) // size
    return Book(
        lambda part: unpack_nibbles(read(part)),
        book,
        error_variances(book),
        Scales(scales, None, places),
    )
