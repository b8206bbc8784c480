"""Codes of 8 bits, float8 or int8, with a scale for the tensor, each row or each block."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.sources.quantized.codes import error_variances
from allennlp_analyze.sources.quantized.group import Group, Tensors, Weight, beside, section
from allennlp_analyze.sources.quantized.matrix import Quantized, Rows, Stack
from allennlp_analyze.sources.quantized.microscaling import of_pairs
from allennlp_analyze.sources.quantized.tables import (
    Book,
    Scales,
    UnfitError,
    Whole,
    codes_of,
    numbers,
    of_index,
    unfit,
)
from allennlp_analyze.sources.small_floats import EXPONENTS, FLOAT8, table
from allennlp_analyze.sources.tensor import StoredTensor

# Of a float8 weight alone, after the name of its module.
_SCALES_OF_FLOATS = ("scale_weight", "scale")
_USUAL_BLOCK = 128
_INT8_LEVELS = np.float32(127.0)


def scaled(tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]) -> Optional[Group]:
    """A weight with `weight_scale_inv`, `weight_scale` or, of bitsandbytes, `SCB`."""
    is_float = tensor.dtype in FLOAT8 and tensor.dtype != EXPONENTS
    if not is_float and tensor.dtype != "int8":
        return None
    module, _, leaf = tensor.name.rpartition(".")
    names = [f"{leaf}_scale_inv", f"{leaf}_scale"]
    if leaf == "weight":
        names += _SCALES_OF_FLOATS if is_float else ("SCB", "scale")
    found = beside(tensors, module, *names)
    stated = section(config)
    if not found:
        is_missing = is_float and len(tensor.shape) > 1 and stated
        return Group(tensor.name, (), partial(_without_scales, names)) if is_missing else None
    used, scale = next(iter(found.items()))
    more = beside(tensors, module, f"{leaf}_zero_point", "weight_format")
    zero, layout = more.get(f"{leaf}_zero_point"), more.get("weight_format")
    if used == "SCB":
        return Group(tensor.name, (scale, *more.values()), partial(_scb, tensor, scale, layout))
    if tensor.dtype == "int8" and scale.dtype in (EXPONENTS, "uint8"):
        return Group(tensor.name, (scale,), partial(of_pairs, tensor, scale))
    others = (scale,) if zero is None else (scale, zero)
    is_stack = len(tensor.shape) == 3 and leaf != "weight"
    shape = tensor.shape if len(tensor.shape) > 2 and not is_stack else None
    make = partial(_scaled, tensor, scale, zero, is_stack, stated)
    return Group(tensor.name, others, make, shape)


def _without_scales(names: Sequence[str]) -> Weight:
    """A float8 weight alone, of a model whose configuration says that it is quantized."""
    raise UnfitError(f"quantized, but its scales ({' or '.join(names)}) are missing")


def _scb(codes: StoredTensor, scale: StoredTensor, layout: Optional[StoredTensor]) -> Weight:
    if len(codes.shape) != 2 or scale.shape != codes.shape[:1] or 0 in codes.shape:
        raise unfit(scale, codes.shape)
    if layout is not None and np.any(np.asarray(layout.values())):
        raise UnfitError("quantized by bitsandbytes in a layout of tiles, which is not supported")

    def opened() -> Rows:
        stored = codes.stored()
        return Whole(lambda rows: stored[rows], Scales(numbers(scale)[:, None] / _INT8_LEVELS))

    return Quantized((codes.shape[0], codes.shape[1]), opened)


def _scaled(
    codes: StoredTensor,
    scale: StoredTensor,
    zero: Optional[StoredTensor],
    is_stack: bool,
    stated: Mapping[str, Any],
) -> Weight:
    if len(codes.shape) < 2 or 0 in codes.shape or 0 in scale.shape:
        raise unfit(scale, codes.shape)
    if is_stack:
        shape = (codes.shape[1], codes.shape[2])
    else:
        shape = (codes.shape[0], math.prod(codes.shape[1:]))
    tables = _Tables(codes, shape, is_stack, stated)
    for one in (scale, zero):
        if one is not None:
            tables.check(one)

    def at(index: Optional[int]) -> Quantized:
        return Quantized(shape, partial(opened, index))

    def opened(index: Optional[int]) -> Rows:
        scales = tables.read(scale, index)
        if codes.dtype == "int8":
            stored = of_index(codes.stored(), index).reshape(shape)
            zeros = None if zero is None else tables.read(zero, index)
            return Whole(lambda rows: stored[rows], scales, zeros)
        raw = of_index(codes_of(codes), index).reshape(shape)
        book = table(codes.dtype)
        return Book(lambda rows: raw[rows], book, error_variances(book), scales)

    return Stack(codes.shape[0], shape, at) if is_stack else at(None)


class _Tables:
    """Spreads tables of scales over a weight, or over each matrix of a stack."""

    def __init__(
        self,
        codes: StoredTensor,
        shape: tuple[int, int],
        is_stack: bool,
        stated: Mapping[str, Any],
    ) -> None:
        self._codes, self._shape, self._is_stack = codes, shape, is_stack
        blocks = stated.get("weight_block_size", stated.get("block_structure"))
        known = isinstance(blocks, (list, tuple)) and len(blocks) == 2
        sizes = blocks if known else (None, None)
        self._blocks = tuple(x if isinstance(x, int) and x > 0 else None for x in sizes or ())

    def check(self, scale: StoredTensor) -> None:
        """Raises `UnfitError` if the table does not fit."""
        self._spread(scale)

    def read(self, scale: StoredTensor, index: Optional[int]) -> Scales:
        rows, columns = self._spread(scale)
        if scale.dtype == "uint8":  # of MXFP8
            values = table(EXPONENTS)[codes_of(scale)]
        else:
            values = numbers(scale)
        if self._is_per_matrix(scale):
            values = values[index]
        return Scales(values.reshape(self._flat(scale)), rows, columns)

    def _is_per_matrix(self, scale: StoredTensor) -> bool:
        return self._is_stack and scale.shape[:1] == self._codes.shape[:1] and len(scale.shape) != 2

    def _flat(self, scale: StoredTensor) -> tuple[int, int]:
        """The shape of the table of one matrix in two dimensions."""
        shape = scale.shape[1:] if self._is_per_matrix(scale) else scale.shape
        if len(shape) == 3 and self._is_stack and shape[0] == 1:
            shape = shape[1:]
        if math.prod(shape) == 1:
            return (1, 1)
        if len(shape) == 2:
            return (shape[0], shape[1])
        if shape and math.prod(shape) == shape[0]:
            return (shape[0], 1)
        raise unfit(scale, self._codes.shape)

    def _spread(self, scale: StoredTensor) -> tuple[Optional[np.ndarray], Optional[np.ndarray]]:
        flat = self._flat(scale)
        of_rows = flat[0] == self._shape[0]  # which may have groups beside blocks of other weights
        found: list[Optional[np.ndarray]] = []
        for size, parts, block in zip(self._shape, flat, self._blocks):
            if parts in (1, size):
                found.append(None)
                continue
            even = size // parts if size % parts == 0 else 0
            sizes = (_USUAL_BLOCK, even) if block is None or of_rows else (block,)
            fits = [one for one in sizes if one and -(-size // one) == parts]
            if not fits:
                raise unfit(scale, self._codes.shape)
            found.append(np.arange(size) // fits[0])
        return found[0], found[1]
