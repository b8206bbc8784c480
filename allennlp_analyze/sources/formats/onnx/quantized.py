"""Dequantizes integer weights of ONNX: x = scale (q - zero), by tensor, axis or block."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional, Union

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.blocks import BLOCK_ELEMENTS
from allennlp_analyze.sources.dtypes import decode, stored_dtype, why_unsupported
from allennlp_analyze.sources.formats.onnx.noise import noise_of
from allennlp_analyze.sources.formats.onnx.tensors import PACKED, Tensor, Values
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.sources.views import Block
from allennlp_analyze.storage.mapped import IN_MEMORY_BYTES, mapped_copy
from allennlp_analyze.text.lines import excerpt

_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
Blocks = list[Optional[Block]]
_FLOATS = ("float32", "float16", "bfloat16", "float64", "float8_e8m0fnu")


@dataclass(eq=False)
class Quantized:
    """The weight of a DequantizeLinear, or of an operator on integers.

    One scale for all, or one for each index of `axis`, or, with `block`, for `block` of them.
    `bits` is less than 8 for numbers that are packed in bytes along the last axis.
    """

    stored: Tensor
    scale: Optional[Tensor]
    zero: Optional[Tensor]
    axis: int
    block: int = 0
    bits: int = 8

    @property
    def key(self) -> object:
        return (self.axis, self.block, self.bits)

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self._unpacked_shape(self.stored)

    @property
    def dtype(self) -> str:
        return self.stored.dtype

    def tensor(self, values: Values, name: str, key: object) -> StoredTensor:
        """Returns the dequantized weight, or why it cannot be. Raises `CheckpointError`."""
        parts = (self.stored, self.scale, self.zero)
        if any(part is not None and part.dtype in ("unknown", "string") for part in parts):
            blocks: Blocks = []
            reason: Optional[str] = "quantized with a data type that is not supported"
        else:
            # What the file lacks is found out now, not when the values are read.
            blocks = [None if part is None else values.block(part) for part in parts]
            reason = self._why_not()
        return _tensor(self, blocks, reason, name, key)

    def _why_not(self) -> Optional[str]:
        if self.scale is None:
            return f"{self.dtype}: its scale was not found in the graph"
        if self.scale.dtype not in _FLOATS:
            return f"{self.dtype}: its scale is of type {self.scale.dtype}"
        unreadable = self.stored.dtype not in PACKED and why_unsupported(self.stored.dtype)
        if unreadable:
            return unreadable
        try:
            self._spread(np.empty(self.scale.shape, np.bool_), slice(0, 1))
            if self.zero is not None:
                self._spread(np.empty(self._unpacked_shape(self.zero), np.bool_), slice(0, 1))
        except (ValueError, IndexError):
            return f"{self.dtype}: scale of shape {excerpt(self.scale.shape, 60)} does not fit it"
        return None

    def _unpacked_shape(self, tensor: Tensor) -> tuple[int, ...]:
        if self.bits == 8 or not tensor.shape:
            return tensor.shape
        return (*tensor.shape[:-1], tensor.shape[-1] * (8 // self.bits))

    def rows(self, blocks: Blocks, rows: slice) -> np.ndarray:
        """The dequantized numbers of a slice of the first axis."""
        stored, scale, zero = blocks
        assert self.scale is not None and stored is not None and scale is not None
        numbers = _numbers(self.stored, stored, self.bits, rows)
        if self.zero is not None and zero is not None:
            numbers = numbers - self._spread(_numbers(self.zero, zero, self.bits), rows)
        elif self.bits < 8:
            numbers = numbers - np.float32(1 << (self.bits - 1))
        return numbers * self._spread(_numbers(self.scale, scale, 8), rows)

    def variances(self, blocks: Blocks, rows: slice) -> np.ndarray:
        """The variance of a rounding to whole steps, s^2/12, in the shape of those rows."""
        assert self.scale is not None and blocks[1] is not None
        steps = self._spread(_numbers(self.scale, blocks[1], 8), rows)
        whole = (len(range(*rows.indices(self.shape[0]))) if self.shape else 1, *self.shape[1:])
        return np.broadcast_to(steps.astype(np.float64) ** 2 / 12, whole)

    def _spread(self, values: np.ndarray, rows: slice) -> np.ndarray:
        """`values` of the scales as an array that can be multiplied with those rows."""
        shape = self.shape
        if values.size == 1:
            return values.reshape(())
        axis = self.axis % len(shape)
        if self.block:
            if values.ndim != len(shape) or values.shape[axis] * self.block < shape[axis]:
                raise ValueError("blocks do not fit")
            if axis != 0:
                values = values[rows]
            wanted = np.arange(shape[axis])[rows] if axis == 0 else np.arange(shape[axis])
            values = np.take(values, wanted // self.block, axis)
        elif values.ndim == 2 and len(shape) == 3:  # a recurrent layer: directions x gates
            values = values[rows, np.newaxis, :]
        else:
            if values.size != shape[axis]:
                raise ValueError("channels do not fit")
            values = values.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            values = values[rows] if axis == 0 else values
        whole = (len(range(*rows.indices(shape[0]))), *shape[1:])
        return np.broadcast_to(values, whole)


@dataclass(eq=False)
class NBits:
    """The weight of a MatMulNBits of com.microsoft: N rows of K numbers, in blocks of each row."""

    stored: Tensor
    scale: Tensor
    zero: Optional[Tensor]
    groups: Optional[Tensor]
    outputs: int
    inputs: int
    bits: int
    block: int

    @property
    def key(self) -> object:
        return (self.outputs, self.inputs, self.bits, self.block)

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.outputs, self.inputs)

    @property
    def dtype(self) -> str:
        return f"uint{self.bits}"

    def tensor(self, values: Values, name: str, key: object) -> StoredTensor:
        """Returns the dequantized weight, or why it cannot be. Raises `CheckpointError`."""
        parts = (self.stored, self.scale, self.zero, self.groups)
        blocks = [None if part is None else values.block(part) for part in parts]
        reason = self._why_not()
        return _tensor(self, blocks, reason, name, key)

    @property
    def _blocks(self) -> int:
        return -(-self.inputs // self.block)

    def _why_not(self) -> Optional[str]:
        if self.bits not in (2, 4, 8) or self.block < 1 or min(self.shape) < 1:
            return f"{self.bits} bits in blocks of {self.block} are not supported"
        packed = -(-self.block * self.bits // 8)
        fits = self.stored.dtype == "uint8" and self.scale.dtype in _FLOATS
        fits = fits and self.stored.size == self.outputs * self._blocks * packed
        fits = fits and self.scale.size == self.outputs * self._blocks
        if self.zero is not None:
            row = -(-self._blocks * self.bits // 8) if self.zero.dtype == "uint8" else self._blocks
            fits = fits and self.zero.size == self.outputs * row
        if self.groups is not None:
            fits = fits and self.groups.dtype == "int32" and self.groups.size >= self.inputs
        return None if fits else "its scales and zero points do not fit it"

    def variances(self, blocks: Blocks, rows: slice) -> np.ndarray:
        assert blocks[1] is not None
        scales = _numbers(self.scale, blocks[1], 8).reshape(self.outputs, -1)[rows]
        return np.repeat(scales.astype(np.float64) ** 2 / 12, self.block, 1)[:, : self.inputs]

    def rows(self, blocks: Blocks, rows: slice) -> np.ndarray:
        stored, scale, zero, groups = blocks
        assert stored is not None and scale is not None
        count = self._blocks
        packed = stored.read().reshape(self.outputs, -1)[rows]
        numbers = _unpacked(packed.reshape(-1, packed.shape[1] // count), self.bits)
        numbers = numbers[:, : self.block].reshape(len(packed), count, self.block)
        scales = _numbers(self.scale, scale, 8).reshape(self.outputs, count)[rows]
        if self.zero is None:
            zeros = np.full(scales.shape, 1 << (self.bits - 1), np.float32)
        elif zero is not None and self.zero.dtype == "uint8":
            points = zero.read().reshape(self.outputs, -1)[rows]
            zeros = _unpacked(points, self.bits)[:, :count].astype(np.float32)
        else:
            assert zero is not None
            zeros = _numbers(self.zero, zero, 8).reshape(self.outputs, count)[rows]
        if groups is None:
            whole = (numbers - zeros[:, :, np.newaxis]) * scales[:, :, np.newaxis]
            return whole.reshape(len(packed), -1)[:, : self.inputs]
        index = groups.read().view("<i4")[: self.inputs]
        if index.min() < 0 or index.max() >= count:
            raise CheckpointError(f"tensor {excerpt(self.name)}: a group of it does not exist")
        flat = numbers.reshape(len(packed), -1)[:, : self.inputs].astype(np.float32)
        return (flat - zeros[:, index]) * scales[:, index]


def _numbers(tensor: Tensor, block: Block, bits: int, rows: slice = slice(None)) -> np.ndarray:
    """The numbers of a tensor, or of some rows of it, in float32: as stored, without a scale.

    Less than 8 `bits`: they are packed along its last axis.
    """
    stored = block.read()
    if bits < 8:
        packed = stored.reshape(-1, tensor.shape[-1]) if tensor.shape else stored.reshape(1, 1)
        found = _unpacked(packed, bits).reshape((*tensor.shape[:-1], -1))
        return found[rows].astype(np.float32)
    if tensor.dtype in PACKED:
        width = 8 // PACKED[tensor.dtype]
        numbers = _unpacked(stored.reshape(1, -1), width)[0]
        numbers = numbers[: tensor.size].reshape(tensor.shape)[rows if tensor.shape else ()]
        if tensor.dtype == "float4_e2m1fn":
            return _E2M1[numbers]
        half = 1 << (width - 1) if tensor.dtype.startswith("int") else 0
        return np.subtract(numbers ^ np.uint8(half), np.float32(half), dtype=np.float32)
    if tensor.dtype == "float8_e8m0fnu":
        return np.ldexp(np.float32(1), stored.astype(np.int32) - 127).reshape(tensor.shape)
    values = stored[: tensor.nbytes].view(stored_dtype(tensor.dtype)).reshape(tensor.shape)
    return decode(values[rows if tensor.shape else ()], tensor.dtype).astype(np.float32)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of `bits` bits from rows of bytes, the lowest bits first."""
    if bits == 8:
        return packed
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[:, :, np.newaxis] >> shifts) & np.uint8((1 << bits) - 1)
    return parts.reshape(len(packed), -1)


def _tensor(
    weight: Union[Quantized, NBits],
    blocks: Blocks,
    reason: Optional[str],
    name: str,
    key: object,
) -> StoredTensor:
    """Returns `weight`, dequantized from `blocks` when it is read, or with `reason` why not."""
    if reason is not None:
        return StoredTensor(name, weight.shape, weight.dtype, key, None, unsupported=reason)
    return StoredTensor(
        name,
        weight.shape,
        "float32",
        key,
        partial(_assembled, weight.shape, partial(weight.rows, blocks)),
        noise=partial(noise_of, weight.shape, partial(weight.variances, blocks)),
    )


def _assembled(shape: tuple[int, ...], rows: Callable[[slice], np.ndarray]) -> np.ndarray:
    """The whole array, a block of rows at a time; a large one is written to a mapped file."""
    if not shape or math.prod(shape) * 4 <= IN_MEMORY_BYTES:
        return np.asarray(rows(slice(None)), np.float32).reshape(shape)

    def pieces() -> Iterator[memoryview]:
        step = max(1, BLOCK_ELEMENTS // math.prod(shape[1:]))
        for start in range(0, shape[0], step):
            yield np.ascontiguousarray(rows(slice(start, start + step)), np.float32).data

    try:
        return mapped_copy(pieces()).view(np.float32).reshape(shape)
    except OSError as error:
        raise CheckpointError(f"cannot be unpacked ({error.strerror or error})") from None
