"""Whole numbers packed into 32-bit words: GPTQ, AWQ and compressed-tensors."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.sources.quantized.codes import (
    WORD,
    packed_size,
    unpack_aligned,
    unpack_words,
)
from allennlp_analyze.sources.quantized.group import (
    Group,
    Tensors,
    Weight,
    beside,
    named,
    section,
    whole_number,
)
from allennlp_analyze.sources.quantized.matrix import Quantized, Rows, Stack
from allennlp_analyze.sources.quantized.tables import (
    Scales,
    UnfitError,
    Whole,
    checked_index,
    numbers,
    of_index,
    unfit,
    words_of,
)
from allennlp_analyze.sources.tensor import StoredTensor

# The column, of eight, in each nibble of a word of AWQ; and the nibble of each column.
_AWQ_ORDER = np.array([0, 2, 4, 6, 1, 3, 5, 7])
_AWQ_NIBBLES = np.argsort(_AWQ_ORDER)
_LAYOUTS = ("gptq", "gptq_v2", "gemm")
MAX_BITS = 8
# The order in which numbers of bits are tried if nothing says which.
_USUAL_BITS = (4, 8, 2, 3, 6, 5, 7, 1)


def gptq_or_awq(
    tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]
) -> Optional[Group]:
    """`qweight` with `scales`, `qzeros` and `g_idx`."""
    module, _, leaf = tensor.name.rpartition(".")
    if leaf != "qweight":
        return None
    others = beside(tensors, module, "scales", "qzeros", "g_idx")
    make = partial(_gptq_or_awq, tensor, others, section(config))
    return Group(named(module, "weight"), tuple(others.values()), make)


def _gptq_or_awq(
    codes: StoredTensor, others: Mapping[str, StoredTensor], stated: Mapping[str, Any]
) -> Weight:
    scales, zeros = others.get("scales"), others.get("qzeros")
    if scales is None or codes.dtype not in ("int32", "uint32") or len(codes.shape) != 2:
        raise UnfitError("quantized, but not as GPTQ or AWQ do it: no scales beside 32-bit codes")
    layout = stated.get("checkpoint_format", stated.get("version"))
    if isinstance(layout, str) and layout.lower() not in _LAYOUTS:
        raise UnfitError(f"quantized in the layout {layout[:40]}, which is not supported")
    if len(scales.shape) != 2 or 0 in scales.shape or 0 in codes.shape:
        raise unfit(scales, codes.shape)
    groups, outputs = scales.shape
    bits = _bits(zeros, scales, stated)
    if codes.shape[1] == outputs:
        return _gptq(codes, others, stated, bits)
    if codes.shape[1] * WORD == outputs * bits and bits == 4 and zeros is not None:
        size = _group_size(codes.shape[0], groups, stated)
        index = np.arange(codes.shape[0]) // size
        return Quantized(
            (codes.shape[0], outputs), partial(_awq_rows, codes, scales, zeros, index), 1, True
        )
    raise unfit(scales, codes.shape)


def _bits(zeros: Optional[StoredTensor], scales: StoredTensor, stated: Mapping[str, Any]) -> int:
    """The bits of a code, by the packed zero points, or else by config.json."""
    bits = whole_number(stated, "bits", "w_bit")
    if zeros is not None:
        if len(zeros.shape) != 2 or zeros.dtype not in ("int32", "uint32"):
            raise unfit(zeros, scales.shape)
        groups, outputs = scales.shape
        fits = [x for x in range(1, MAX_BITS + 1) if packed_size(outputs, x) == zeros.shape[1]]
        if zeros.shape[0] != groups or not fits:
            raise unfit(zeros, scales.shape)
        # Of few outputs, several numbers of bits take as many words.
        return bits if bits in fits else next(x for x in _USUAL_BITS if x in fits)
    if bits is None or not 1 <= bits <= MAX_BITS:
        raise UnfitError(f"quantized to {'an unknown number of' if bits is None else bits} bits")
    return bits


def _group_size(inputs: int, groups: int, stated: Mapping[str, Any]) -> int:
    """How many inputs have one scale."""
    size = whole_number(stated, "group_size", "q_group_size")
    if size is not None and (size < -1 or size == 0):
        raise UnfitError(f"quantized in groups of {size} inputs, which cannot be")
    if size == -1 or (size is not None and size > inputs):
        size = inputs
    size = size or -(-inputs // groups)
    if -(-inputs // size) != groups:
        raise UnfitError(f"quantized in groups of {size}, but {inputs} inputs have {groups} groups")
    return size


def _gptq(
    codes: StoredTensor,
    others: Mapping[str, StoredTensor],
    stated: Mapping[str, Any],
    bits: int,
) -> Quantized:
    scales, order = others["scales"], others.get("g_idx")
    groups, outputs = scales.shape
    inputs = codes.shape[0] * WORD // bits
    size = inputs
    if order is not None and order.shape != (0,):
        inputs = order.shape[0] if len(order.shape) == 1 else 0
        if packed_size(inputs, bits) != codes.shape[0]:
            raise unfit(order, codes.shape)
    else:
        order, size = None, _group_size(inputs, groups, stated)
    if others.get("qzeros") is None and not stated.get("sym"):
        raise UnfitError("quantized, but there are no qzeros beside it")

    def opened() -> Rows:
        index = np.arange(inputs) // size if order is None else checked_index(order, inputs, groups)
        words, zeros = words_of(codes), others.get("qzeros")
        if zeros is None:
            table = np.full((1, 1), 1 << (bits - 1), np.float32)
        else:
            # The first format stores the zero point less one, within its bits.
            less = 0 if stated.get("checkpoint_format") == "gptq_v2" else 1
            points = unpack_words(words_of(zeros), bits, outputs, 1).astype(np.int32) + less
            table = (points & ((1 << bits) - 1)).astype(np.float32)
        return Whole(
            partial(_rows_of_words, words, bits),
            Scales(numbers(scales), index if groups > 1 else None),
            Scales(table, index if groups > 1 else None),
        )

    return Quantized((inputs, outputs), opened, WORD, transposed=True)


def _rows_of_words(words: np.ndarray, bits: int, rows: slice) -> np.ndarray:
    """The codes of `rows`, which are packed one below the other."""
    packed = words[rows.start * bits // WORD : packed_size(rows.stop, bits)]
    return unpack_words(packed, bits, rows.stop - rows.start, 0)


def _awq_rows(
    codes: StoredTensor, scales: StoredTensor, zeros: StoredTensor, index: np.ndarray
) -> Rows:
    words = words_of(codes)
    places = index if len(scales.shape) and scales.shape[0] > 1 else None
    return Whole(
        lambda rows: _awq_codes(words[rows]),
        Scales(numbers(scales), places),
        Scales(_awq_codes(words_of(zeros)).astype(np.float32), places),
    )


def _awq_codes(words: np.ndarray) -> np.ndarray:
    found = unpack_words(words, 4, 8 * words.shape[1], 1)
    return found.reshape(len(words), -1, 8)[:, :, _AWQ_NIBBLES].reshape(len(words), -1)


def compressed(
    tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]
) -> Optional[Group]:
    """`weight_packed` in 32-bit words with `weight_scale`, of compressed-tensors."""
    module, _, leaf = tensor.name.rpartition(".")
    if not leaf.endswith("_packed") or tensor.dtype not in ("int32", "uint32"):
        return None
    own = leaf[: -len("_packed")]
    parts = ("scale", "shape", "zero_point", "g_idx")
    found = beside(tensors, module, *(f"{own}_{part}" for part in parts))
    others = {name[len(own) + 1 :]: found[name] for name in found}
    make = partial(_compressed, tensor, others, section(config))
    return Group(named(module, own), tuple(others.values()), make)


def _compressed(
    codes: StoredTensor, others: Mapping[str, StoredTensor], stated: Mapping[str, Any]
) -> Weight:
    scale = others.get("scale")
    if scale is None:
        raise UnfitError("quantized, but there is no weight_scale beside it")
    if len(codes.shape) not in (2, 3) or 0 in codes.shape:
        raise unfit(scale, codes.shape)
    rows, words = codes.shape[-2:]
    columns, bits = _compressed_columns(rows, words, others.get("shape"), stated)
    if len(codes.shape) == 2:
        return _compressed_matrix(codes, others, columns, bits, None)
    stack = partial(_compressed_matrix, codes, others, columns, bits)
    stack(0)  # raises if it does not fit
    return Stack(codes.shape[0], (rows, columns), stack)


def _compressed_columns(
    rows: int, words: int, shape: Optional[StoredTensor], stated: Mapping[str, Any]
) -> tuple[int, int]:
    """Returns the columns and the bits of each code."""
    wanted = _compressed_bits(stated) or _USUAL_BITS
    if shape is None:
        return words * WORD // wanted[0], wanted[0]
    sizes = [int(size) for size in np.asarray(shape.values()).reshape(-1)[-3:]]
    if len(sizes) < 2 or sizes[-2] != rows or sizes[-1] < 1:
        raise UnfitError(f"quantized, but weight_shape says {sizes} and there are {rows} rows")
    for bits in wanted:
        if words in (packed_size(sizes[-1], bits), -(-sizes[-1] // (WORD // bits))):
            return sizes[-1], bits
    raise UnfitError(f"quantized, but {words} words cannot hold {sizes[-1]} codes")


def _compressed_bits(stated: Mapping[str, Any]) -> tuple[int, ...]:
    groups = stated.get("config_groups")
    found = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        bits = whole_number(weights, "num_bits") if isinstance(weights, Mapping) else None
        if bits is not None and 1 <= bits <= MAX_BITS:
            found.append(bits)
    return tuple(dict.fromkeys(found))


def _compressed_matrix(
    codes: StoredTensor,
    others: Mapping[str, StoredTensor],
    columns: int,
    bits: int,
    index: Optional[int],
) -> Quantized:
    rows, words = codes.shape[-2:]
    scale, zero, order = others["scale"], others.get("zero_point"), others.get("g_idx")
    table = scale.shape if index is None else scale.shape[1:]
    groups = table[1] if len(table) == 2 else 1
    fits = table in ((), (1,), (rows,)) or (len(table) == 2 and table[0] in (1, rows))
    if not fits or not 1 <= groups <= columns:
        raise unfit(scale, (*codes.shape[:-1], columns))
    size = -(-columns // groups)
    if order is None and -(-columns // size) != groups:
        raise unfit(scale, (*codes.shape[:-1], columns))
    unpack = unpack_words if packed_size(columns, bits) == words else None

    def opened() -> Rows:
        places = np.arange(columns) // size
        if order is not None and len(order.shape) == 1:
            known = np.asarray(order.values()).reshape(-1)
            if not (known == -1).all():  # as it is if there is no order
                places = checked_index(order, columns, groups)
        stored = words_of(codes) if index is None else words_of(codes)[index]

        def read(part: slice) -> np.ndarray:
            if unpack is None:
                return unpack_aligned(stored[part], bits, columns)
            return unpack(stored[part], bits, columns, 1)

        scales = of_index(numbers(scale), index).reshape(-1, groups)
        offset = 1 << (bits - 1)
        zeros = None
        if zero is not None:
            raw = of_index(np.asarray(zero.values()), index)
            zeros = Scales(_zero_points(zero, raw, bits, scales.shape), None, places)
        if zeros is not None:
            return Whole(read, Scales(scales, None, places), zeros)
        return Whole(read, Scales(scales, None, places), zero=offset)

    return Quantized((rows, columns), opened)


def _zero_points(
    stored: StoredTensor, raw: np.ndarray, bits: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns zero points (rows, groups), which are packed along the rows or not at all."""
    rows, groups = shape
    if stored.dtype == "int32" and raw.shape == (packed_size(rows, bits), groups):
        return unpack_words(raw, bits, rows, 0).astype(np.float32)
    if raw.size != rows * groups:
        raise unfit(stored, shape)
    return raw.reshape(rows, groups).astype(np.float32) + (1 << (bits - 1))
