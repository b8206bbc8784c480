"""Turns arrays by path into tensors, with the kernels of JAX and Keras laid out as torch does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.blocks import Decode
from allennlp_analyze.sources.dtypes import ITEM_SIZE, decode
from allennlp_analyze.sources.pickles.description import StorageRef, TensorRef, contiguous_strides
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.sources.views import Block, stored_tensor
from allennlp_analyze.text.lines import excerpt

MAX_DEPTH = 64
_CODES = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
_PROJECTIONS = frozenset(("query", "key", "value"))
# A dimension's size and its stride, in elements.
Axis = tuple[int, int]


@dataclass(frozen=True)
class Array:
    """An array of torch's type `dtype` at byte `start` of `block`, its last axis the fastest.

    `is_fortran` if the first axis is; `is_swapped` if its bytes are big-endian.
    """

    shape: tuple[int, ...]
    dtype: str
    block: Block
    start: int = 0
    is_fortran: bool = False
    is_swapped: bool = False

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * ITEM_SIZE[self.dtype]

    @property
    def axes(self) -> list[Axis]:
        return list(zip(self.shape, contiguous_strides(self.shape, self.is_fortran)))


class _Part:
    """Some bytes of a `Block`."""

    __slots__ = ("_block", "_start", "nbytes")

    def __init__(self, block: Block, start: int, nbytes: int) -> None:
        if start < 0 or start + nbytes > block.nbytes:
            raise CheckpointError(f"is truncated: {nbytes} bytes at {start} of {block.nbytes}")
        self._block, self._start, self.nbytes = block, start, nbytes

    @property
    def inflated(self) -> int:
        return self._block.inflated

    def read(self) -> np.ndarray:
        return self._block.read()[self._start : self._start + self.nbytes]


def dtype_name(code: str) -> Optional[str]:
    """Returns torch's name of a numpy type such as "<f4" or "float32"; None if it has none."""
    if code in ITEM_SIZE:
        return code
    kind, size = code.lstrip("<>|=")[:1], code.lstrip("<>|=")[1:]
    if kind == "b" and size == "1":
        return "bool"
    if kind not in _CODES or not size.isdigit() or len(size) > 2:
        return None
    name = f"{_CODES[kind]}{8 * int(size)}"
    return name if name in ITEM_SIZE else None


def tensor_of(path: Sequence[str], array: Array) -> StoredTensor:
    """Returns an array as a tensor, under the name that torch would give it.

    Flax has the inputs of a `kernel` before its outputs, and the places of a convolution first:
    they are put in torch's order, and the parameter is called `weight`, like an `embedding` and the
    `scale` of a normalization. Raises `CheckpointError` if it does not fit its block.
    """
    *module, leaf = path
    kind, axes = None, array.axes
    if leaf == "kernel" and len(axes) > 1:
        kind, axes = _kernel(module, axes)
        leaf = "weight"
    elif leaf == "embedding" and len(axes) == 2:
        kind, leaf = "embedding", "weight"
    elif leaf == "scale" and len(axes) == 1:
        leaf = "weight"
    return with_axes(".".join((*module, leaf)), array, axes, kind)


def with_axes(
    name: str, array: Array, axes: Sequence[Axis], kind: Optional[str] = None
) -> StoredTensor:
    """Returns an array as the tensor `name` of other axes. Raises `CheckpointError`."""
    size = math.prod(array.shape)
    storage = StorageRef(key=name, dtype=array.dtype, block_size=size, start=0, size=size)
    shape, strides = tuple(n for n, _ in axes), tuple(stride for _, stride in axes)
    ref = TensorRef(array.dtype, shape, strides, 0, storage)
    try:
        part = _Part(array.block, array.start, array.nbytes)
    except CheckpointError as error:
        raise CheckpointError(f"array {excerpt(name)} {error}") from None
    tensor = stored_tensor(name, ref, part)
    tensor = replace(tensor, kind=kind) if kind else tensor
    return replace(tensor, decode=_swapped(array.dtype)) if array.is_swapped else tensor


def unread(path: Sequence[str], shape: tuple[int, ...], reason: str) -> StoredTensor:
    """Returns a tensor without values, and why it has none."""
    name = ".".join(path)
    return StoredTensor(name, shape, "unknown", name, None, unsupported=reason)


def transposed_kernel(axes: Sequence[Axis]) -> list[Axis]:
    """The axes of a kernel (places, inputs, outputs) as those of a convolution of torch."""
    *places, inputs, outputs = axes
    return [outputs, inputs, *places]


def _kernel(module: Sequence[str], axes: list[Axis]) -> tuple[str, list[Axis]]:
    own = module[-1] if module else ""
    above = module[-2].lower() if len(module) > 1 else ""
    if len(axes) == 3 and own in _PROJECTIONS:  # width x heads x size
        return "linear", [_joined(axes[1:]), axes[0]]
    if len(axes) == 3 and own == "out" and "attention" in above:  # heads x size x width
        return "linear", [axes[2], _joined(axes[:2])]
    if len(axes) == 2:
        return "linear", [axes[1], axes[0]]
    return "convolution", transposed_kernel(axes)


def _joined(axes: Sequence[Axis]) -> Axis:
    """Several axes of which each goes on where the next one ends."""
    return math.prod(n for n, _ in axes), min(stride for _, stride in axes)


@cache
def _swapped(dtype: str) -> Decode:
    def decoded(stored: np.ndarray) -> np.ndarray:
        return decode(stored.byteswap(), dtype)

    return decoded
