"""A tensor of an ONNX file: its description, and the block of bytes that holds its values."""

import math
import mmap
from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.formats.external import ExternalFiles
from allennlp_analyze.sources.formats.onnx.wire import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Span,
    Wire,
    count_varints,
    decode_varints,
)
from allennlp_analyze.sources.pickles.description import StorageRef, TensorRef, contiguous_strides
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.sources.views import Block, mapped_block, stored_tensor
from allennlp_analyze.text.lines import excerpt

MAX_DIMENSIONS = 64
_EXTERNAL = 1
_MAX_CHUNKS = 1_000_000
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1fn",
    24: "float8_e8m0fnu",
    25: "uint2",
    26: "int2",
}
_STRING = 8
# Elements in a byte, of the types that have several.
PACKED = {"uint4": 2, "int4": 2, "float4_e2m1fn": 2, "uint2": 4, "int2": 4}
# The fields with values of a type: float_data, int32_data, int64_data, double_data, uint64_data.
_FLOATS, _INT32, _INT64, _DOUBLES, _UINT64 = 4, 5, 7, 10, 11
_TYPED = {
    "float32": _FLOATS,
    "complex64": _FLOATS,
    "float64": _DOUBLES,
    "complex128": _DOUBLES,
    "int64": _INT64,
    "uint32": _UINT64,
    "uint64": _UINT64,
}
_FIXED = {_FLOATS: FIXED32, _DOUBLES: FIXED64}


@dataclass
class Tensor:
    """A TensorProto: where its values are, by the number of the field that has them."""

    name: str = ""
    shape: tuple[int, ...] = ()
    data_type: int = 0
    raw: Optional[Span] = None
    chunks: dict[int, list[Span]] = field(default_factory=dict)
    external: Optional[dict[str, str]] = None
    is_sparse: bool = False

    @property
    def dtype(self) -> str:
        return _DTYPES.get(self.data_type, "string" if self.data_type == _STRING else "unknown")

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that its values take, by its shape and type."""
        if self.dtype in PACKED:
            return -(-self.size // PACKED[self.dtype])
        return self.size * ITEM_SIZE[self.dtype]


def parse_tensor(wire: Wire, span: Span) -> Tensor:
    """Returns the tensor described in `span`. Raises `CheckpointError` if it is damaged."""
    tensor = Tensor()
    dims: list[Span] = []
    external: dict[str, str] = {}
    is_external = False
    for number, kind, start, end in wire.fields(span):
        if number == 1:
            dims.append((start, -1) if kind == VARINT else (start, end))
        elif number == 2 and kind == VARINT:
            tensor.data_type = start
        elif number == 8 and kind == BYTES:
            tensor.name = wire.text((start, end))
        elif number == 9 and kind == BYTES:
            tensor.raw = (start, end)
        elif number == 13 and kind == BYTES:
            _add_entry(wire, (start, end), external)
        elif number == 14 and kind == VARINT:
            is_external = start == _EXTERNAL
        elif number in (_FLOATS, _INT32, _INT64, _DOUBLES, _UINT64):
            tensor.chunks.setdefault(number, []).append((start, -1 if kind == VARINT else end))
    tensor.shape = wire.integers(dims, MAX_DIMENSIONS)
    if any(n < 0 for n in tensor.shape):
        raise CheckpointError(f"tensor {excerpt(tensor.name)} has a negative dimension")
    if is_external:
        tensor.external = external
    return tensor


def parse_sparse(wire: Wire, span: Span) -> Tensor:
    """Returns a SparseTensorProto, of which only the name and the shape are kept."""
    found = Tensor(is_sparse=True)
    dims: list[Span] = []
    for number, kind, start, end in wire.fields(span):
        if number == 1 and kind == BYTES:
            values = parse_tensor(wire, (start, end))
            found.name, found.data_type = values.name, values.data_type
        elif number == 3:
            dims.append((start, -1) if kind == VARINT else (start, end))
    found.shape = wire.integers(dims, MAX_DIMENSIONS)
    return found


def _add_entry(wire: Wire, span: Span, entries: dict[str, str]) -> None:
    key = value = ""
    for number, kind, start, end in wire.fields(span):
        if kind == BYTES and number == 1:
            key = wire.text((start, end))
        elif kind == BYTES and number == 2:
            value = wire.text((start, end))
    entries[key] = value


class Values:
    """Finds the values of tensors of one file, and of the external files beside it."""

    def __init__(self, mapping: mmap.mmap, files: ExternalFiles) -> None:
        self._mapping = mapping
        self._files = files

    def stored(self, name: str, tensor: Tensor, key: object) -> StoredTensor:
        """Returns `tensor` as `name`; `key` tells it from others of the file.

        Raises `CheckpointError` if its values are not where the file says, or not as many.
        """
        dtype, shape = tensor.dtype, tensor.shape
        if tensor.is_sparse:
            return stored_tensor(name, TensorRef(dtype, shape, unsupported="a sparse tensor"), None)
        if dtype == "string":
            return stored_tensor(name, TensorRef(dtype, shape, unsupported="text"), None)
        if dtype == "unknown":
            reason = f"ONNX data type {tensor.data_type} is not supported"
            return stored_tensor(name, TensorRef(dtype, shape, unsupported=reason), None)
        if dtype in PACKED:
            self.block(tensor)
            reason = f"{dtype}: not floating point"
            return stored_tensor(name, TensorRef(dtype, shape, unsupported=reason), None)
        block = self.block(tensor)
        external = tensor.external
        place = (external.get("location"), external.get("offset")) if external else key
        storage = StorageRef(str(place), dtype, tensor.size, 0, tensor.size)
        ref = TensorRef(dtype, shape, contiguous_strides(shape), 0, storage)
        return stored_tensor(name, ref, block)

    def block(self, tensor: Tensor) -> Block:
        """Returns the bytes of the tensor's values, in the layout of raw_data."""
        if tensor.external is not None:
            return self._files.block(tensor.name, tensor.external, tensor.nbytes)
        if tensor.raw is not None:
            start, end = tensor.raw
            self._check(tensor, end - start)
            return mapped_block(self._mapping, start, end - start)
        return self._typed(tensor)

    def _typed(self, tensor: Tensor) -> Block:
        number = _TYPED.get(tensor.dtype, _INT32)
        chunks = tensor.chunks.get(number, [])
        if len(chunks) > _MAX_CHUNKS:
            raise CheckpointError(f"tensor {excerpt(tensor.name)} has too many fields")
        if number in _FIXED:
            self._check(tensor, sum(end - start for start, end in chunks))
            if len(chunks) == 1:
                return mapped_block(self._mapping, chunks[0][0], tensor.nbytes)
            return _JoinedBlock(self._mapping, chunks, tensor.nbytes)
        block = _VarintBlock(self._mapping, chunks, tensor)
        count = tensor.nbytes if tensor.dtype in PACKED else tensor.size
        if block.count() != count:
            raise CheckpointError(
                f"tensor {excerpt(tensor.name)}: expected {count} values, got {block.count()}"
            )
        return block

    def _check(self, tensor: Tensor, found: int) -> None:
        if found != tensor.nbytes:
            raise CheckpointError(
                f"tensor {excerpt(tensor.name)}: shape {excerpt(tensor.shape, 60)} needs"
                f" {tensor.nbytes} bytes of {tensor.dtype}, got {found}"
            )


@dataclass(frozen=True)
class _JoinedBlock:
    """A `Block` of numbers of fixed size that are written in several pieces."""

    mapping: mmap.mmap
    chunks: list[Span]
    nbytes: int

    @property
    def inflated(self) -> int:
        return self.nbytes

    def read(self) -> np.ndarray:
        pieces = [self.mapping[start:end] for start, end in self.chunks]
        return np.frombuffer(b"".join(pieces), np.uint8)


@dataclass(frozen=True)
class _VarintBlock:
    """A `Block` of numbers that are written as varints, or one to a field."""

    mapping: mmap.mmap
    chunks: list[Span]
    tensor: Tensor

    @property
    def nbytes(self) -> int:
        return self.tensor.nbytes

    @property
    def inflated(self) -> int:
        return self.nbytes

    def count(self) -> int:
        packed = [self._bytes(chunk) for chunk in self.chunks if chunk[1] >= 0]
        return len(self.chunks) - len(packed) + sum(count_varints(piece) for piece in packed)

    def read(self) -> np.ndarray:
        item = 1 if self.tensor.dtype in PACKED else ITEM_SIZE[self.tensor.dtype]
        pieces = [
            np.array([start], np.uint64) if end < 0 else decode_varints(self._bytes((start, end)))
            for start, end in self.chunks
        ]
        values = np.concatenate(pieces) if pieces else np.zeros(0, np.uint64)
        return values.astype(f"<u{item}").view(np.uint8)

    def _bytes(self, chunk: Span) -> np.ndarray:
        start, end = chunk
        return np.frombuffer(self.mapping, np.uint8, end - start, start)
