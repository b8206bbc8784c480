"""Weights of MLX: whole numbers packed into words without sign, with scales and biases."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Optional

import numpy as np

from allennlp_analyze.sources.quantized.codes import WORD, unpack_words
from allennlp_analyze.sources.quantized.group import (
    Group,
    Tensors,
    Weight,
    beside,
    section,
    whole_number,
)
from allennlp_analyze.sources.quantized.matrix import Quantized, Rows, Stack
from allennlp_analyze.sources.quantized.microscaling import of_words
from allennlp_analyze.sources.quantized.tables import (
    Scales,
    UnfitError,
    Whole,
    numbers,
    of_index,
    unfit,
    words_of,
)
from allennlp_analyze.sources.tensor import StoredTensor

MAX_BITS = 8
# Sizes of a group that are tried if config.json does not say; 64 is the usual one.
_USUAL_SIZES = (64, 32, 128)


def mlx(tensor: StoredTensor, tensors: Tensors, config: Mapping[str, Any]) -> Optional[Group]:
    """`weight` in words without sign with `scales` and `biases`."""
    module, _, leaf = tensor.name.rpartition(".")
    if tensor.dtype != "uint32" or leaf != "weight":
        return None
    others = beside(tensors, module, "scales", "biases")
    if "scales" not in others:
        return None
    stated = section(config)
    own = stated.get(module)
    if isinstance(own, Mapping):
        stated = {**stated, **own}
    return Group(tensor.name, tuple(others.values()), partial(_mlx, tensor, others, stated))


def _mlx(
    codes: StoredTensor, others: Mapping[str, StoredTensor], stated: Mapping[str, Any]
) -> Weight:
    scales, biases = others["scales"], others.get("biases")
    fits = len(codes.shape) in (2, 3) and codes.shape[:-1] == scales.shape[:-1]
    if not fits or 0 in codes.shape or 0 in scales.shape:
        raise unfit(scales, codes.shape)
    if biases is None:
        return of_words(codes, scales)
    if biases.shape != scales.shape:
        raise unfit(biases, scales.shape)
    groups, rows = scales.shape[-1], codes.shape[-2]
    bits, size = _mlx_bits(codes.shape[-1] * WORD, groups, stated)
    columns = groups * size

    def at(index: Optional[int]) -> Quantized:
        return Quantized((rows, columns), partial(opened, index))

    def opened(index: Optional[int]) -> Rows:
        words = words_of(codes) if index is None else words_of(codes)[index]
        places = np.arange(columns) // size
        return Whole(
            lambda part: unpack_words(words[part], bits, columns, 1),
            Scales(of_index(numbers(scales), index), None, places),
            biases=Scales(of_index(numbers(biases), index), None, places),
        )

    return at(None) if len(codes.shape) == 2 else Stack(codes.shape[0], (rows, columns), at)


def _mlx_bits(stream: int, groups: int, stated: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the bits of each code and the size of a group, of rows of `stream` bits."""
    bits, size = whole_number(stated, "bits"), whole_number(stated, "group_size")
    sizes: Iterable[int] = _USUAL_SIZES if size is None else (size,)
    for one in sizes:
        if one > 0 and stream % (groups * one) == 0:
            found = stream // (groups * one)
            if 1 <= found <= MAX_BITS and bits in (None, found):
                return found, one
    raise UnfitError(
        f"quantized, but {groups} scales for {stream} bits of a row are no groups of"
        f" {size or 'a usual size'}"
    )
