"""Describes numpy arrays of a pickle: their types, shapes and values, which are in it."""

import math
from typing import Callable, Optional

from allennlp_analyze.sources.pickles.description import (
    EncodedText,
    NumpyBytes,
    StandIn,
    StorageRef,
    TensorRef,
    contiguous_strides,
)
from allennlp_analyze.text.lines import excerpt

_NAMES = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "u8": "uint64",
    "b1": "bool",
    "c8": "complex64",
    "c16": "complex128",
}

Integers = Callable[[object, str], tuple[int, ...]]


class NumpyType(StandIn):
    """numpy.dtype(code): the state that follows has the order of its bytes."""

    __slots__ = ()

    @property
    def code(self) -> str:
        return str(self.arguments[0]) if self.arguments else ""

    @property
    def is_swapped(self) -> bool:
        return isinstance(self.state, tuple) and self.state[1:2] == (">",)


class NumpyArray(StandIn):
    """numpy's _reconstruct or _frombuffer; `tensor` describes it as soon as it has its values."""

    __slots__ = ("tensor",)

    def __init__(self, made_by: object, arguments: tuple[object, ...] = ()) -> None:
        super().__init__(made_by, arguments)
        self.tensor: Optional[TensorRef] = None


def tensor_of(value: object) -> Optional[TensorRef]:
    """Returns the tensor that `value` is, None if it is none."""
    if isinstance(value, NumpyArray):
        return value.tensor
    return value if isinstance(value, TensorRef) else None


def described_array(array: NumpyArray, key: str, integers: Integers) -> Optional[TensorRef]:
    """Returns an array as a tensor whose storage is called `key`; None if it has no contents.

    `integers` checks a shape. Raises `CheckpointError`.
    """
    if isinstance(array.state, tuple) and len(array.state) >= 5:
        _, shape, kind, by_columns, raw = array.state[:5]
    elif len(array.arguments) == 4:
        raw, kind, shape, order = array.arguments
        by_columns = order == "F"
    else:
        return None
    sizes = integers(shape, "shape")
    name = _NAMES.get(kind.code.lstrip("<=|")) if isinstance(kind, NumpyType) else None
    if not isinstance(kind, NumpyType) or name is None or kind.is_swapped:
        said = excerpt(kind.code, 20) if isinstance(kind, NumpyType) else "another type"
        order = "big-endian " if isinstance(kind, NumpyType) and kind.is_swapped else ""
        reason = f"a numpy array of {order}{said}"
        return TensorRef("unknown", sizes, unsupported=reason)
    if isinstance(raw, bytearray):
        raw = bytes(raw)
    if not isinstance(raw, (bytes, EncodedText)):
        return TensorRef(name, sizes, unsupported="a numpy array without values in the pickle")
    size = math.prod(sizes)
    return TensorRef(
        dtype=name,
        shape=sizes,
        stride=contiguous_strides(sizes, bool(by_columns)),
        storage=StorageRef(key, name, size, 0, size),
        inline=NumpyBytes(raw),
    )


def held_bytes(inline: NumpyBytes) -> int:
    """The number of bytes of the values."""
    raw = inline.raw
    return len(raw.text) if isinstance(raw, EncodedText) else len(raw)
