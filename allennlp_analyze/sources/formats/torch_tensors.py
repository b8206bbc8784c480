"""Makes readable tensors of those that a pickle describes: plain, quantized, and of numpy."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Union

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.arrays import held_bytes
from allennlp_analyze.sources.pickles.description import (
    EncodedText,
    NumpyBytes,
    TensorRef,
)
from allennlp_analyze.sources.quantized_tensor import INTEGERS, dequantized
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.sources.views import Block, HeldBlock, stored_tensor

_MAX_SCALES = 2**20


def stored(name: str, ref: TensorRef, blocks: Mapping[str, Block]) -> StoredTensor:
    """Returns the tensor `name` that `ref` describes, read on demand. Raises `CheckpointError`."""
    if ref.inline is not None:
        return stored_tensor(name, ref, HeldBlock(held_bytes(ref.inline), _Raw(ref.inline)))
    block = blocks.get(ref.storage.key) if ref.storage else None
    if ref.quantizer is None:
        return stored_tensor(name, ref, block)
    dtype = INTEGERS.get(ref.dtype)
    if dtype is None:
        return stored_tensor(name, replace(ref, unsupported="a quantized tensor"), block)
    integers = stored_tensor(name, replace(ref, dtype=dtype), block)
    if integers.load is None:
        return integers
    scale = _numbers(name, ref.quantizer.scale, blocks)
    zero = _numbers(name, ref.quantizer.zero_point, blocks)
    return dequantized(integers, scale, zero, ref.quantizer.axis)


class _Raw:
    """The bytes of a numpy array, made of a pickle's text when they are read."""

    __slots__ = ("_inline",)

    def __init__(self, inline: NumpyBytes) -> None:
        self._inline = inline

    def __call__(self) -> bytes:
        raw = self._inline.raw
        if not isinstance(raw, EncodedText):
            return raw
        try:
            return raw.encoded()
        except UnicodeError:
            raise CheckpointError("its values in the pickle are damaged") from None


def _numbers(name: str, value: Union[float, TensorRef], blocks: Mapping[str, Block]) -> np.ndarray:
    """Returns scales or zero points; an empty array if they have no values."""
    if not isinstance(value, TensorRef):
        return np.asarray(value)
    found = stored(f"{name} (scales)", replace(value, quantizer=None), blocks)
    if found.load is None or len(found.shape) != 1 or found.shape[0] > _MAX_SCALES:
        return np.empty((0, 0))
    return found.values()
