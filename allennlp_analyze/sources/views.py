"""Turns a described tensor into one whose values are read lazily, after checking its view."""

import math
import mmap
from functools import cache
from pathlib import Path
from typing import Callable, Optional, Protocol

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.blocks import Decode
from allennlp_analyze.sources.dtypes import ITEM_SIZE, AsType, decode, stored_dtype, why_unsupported
from allennlp_analyze.sources.pickles.description import StorageRef, TensorRef
from allennlp_analyze.sources.remote_block import remote
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.text.lines import excerpt

MAX_DIMENSIONS = 32  # the limit of numpy 1.x
# A view that repeats elements has values up to this size; a larger one is only described.
MAX_EXPANDED_ELEMENTS = 2**20
# torch.save and safetensors write this many tensors for the largest models there are, and more.
MAX_TENSORS = 200_000
# Reports, figures and messages repeat a name; those of real models have a few hundred characters.
MAX_NAME = 4096


class HeldBlock:
    """A `Block` whose bytes are in memory, or are made when it is read."""

    __slots__ = ("_bytes", "nbytes")

    inflated = 0

    def __init__(self, nbytes: int, make: Callable[[], bytes]) -> None:
        self.nbytes = nbytes
        self._bytes = make

    def read(self) -> np.ndarray:
        return np.frombuffer(self._bytes(), np.uint8)


class Block(Protocol):
    """The bytes of one storage; `read` returns them as a uint8 array of shape (nbytes,)."""

    @property
    def nbytes(self) -> int: ...

    @property
    def inflated(self) -> int:
        """The bytes that a reading writes elsewhere, because they are compressed."""
        ...

    def read(self) -> np.ndarray: ...


class _MappedBlock:
    """A `Block` of a mapped file. Files have many: slots take a fifth of a closure's memory."""

    __slots__ = ("_mapping", "_start", "nbytes")

    inflated = 0

    def __init__(self, mapping: mmap.mmap, start: int, nbytes: int) -> None:
        self._mapping = mapping
        self._start = start
        self.nbytes = nbytes

    def read(self) -> np.ndarray:
        return np.frombuffer(self._mapping, np.uint8, self.nbytes, self._start)


def mapped_block(mapping: mmap.mmap, start: int, nbytes: int) -> Block:
    """Returns the `nbytes` bytes from `start` of a mapped file, read on access."""
    check_inside(start, nbytes, len(mapping))
    return _MappedBlock(mapping, start, nbytes)


def check_inside(start: int, nbytes: int, size: int) -> None:
    """Raise `CheckpointError` if a file of `size` bytes does not have these."""
    if start < 0 or nbytes < 0 or start + nbytes > size:
        raise CheckpointError(
            f"is truncated: storage of {nbytes} bytes at {start} in a file of {size} bytes"
        )


def map_file(path: Path) -> mmap.mmap:
    """Map the file for reading; the map stays valid after the file is removed."""
    with open_regular(path) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def storage_bytes(storage: StorageRef) -> int:
    """Returns the declared size of the block_size storage in bytes."""
    return storage.block_size * ITEM_SIZE[storage.dtype]


def stored_tensor(name: str, ref: TensorRef, block: Optional[Block]) -> StoredTensor:
    """Returns the tensor `name` that `ref` describes; its values are read from `block` on demand.

    Raises `CheckpointError` if the view reaches outside its storage.
    """
    reason = ref.unsupported
    if reason is None:
        reason = why_unsupported(ref.dtype)
    if any(n < 0 for n in ref.shape):
        raise CheckpointError(f"tensor {excerpt(name)} has a negative dimension")
    if ref.storage is None:
        return _described(name, ref, (name,), reason or "has no storage")
    if block is None:
        raise CheckpointError(
            f"tensor {excerpt(name)}: its storage {excerpt(ref.storage.key)} is missing"
        )
    offset = _checked_offset(name, ref, ref.storage, block)
    stride = tuple(s if n > 1 else 0 for n, s in zip(ref.shape, ref.stride))
    identity = (ref.storage.key, offset, ref.shape, stride, ref.dtype)
    reason = reason or _why_not_materialised(ref, block)
    if reason is not None:
        return _described(name, ref, identity, reason)
    load = _Loader(name, ref.shape, stride, ref.dtype, offset, block)
    decoded = _decoder(ref.dtype, ref.conjugated, ref.negated)
    unpacked = block.inflated + _repeated(ref, block)
    return StoredTensor(
        name,
        ref.shape,
        ref.dtype,
        identity,
        load,
        decode=decoded,
        unpacked=unpacked,
        kind=ref.kind,
        is_buffer=ref.is_buffer,
        remote=remote(block),
    )


def _described(
    name: str, ref: TensorRef, identity: tuple[object, ...], reason: str
) -> StoredTensor:
    return StoredTensor(
        name,
        ref.shape,
        ref.dtype,
        identity,
        None,
        unsupported=reason,
        kind=ref.kind,
        is_buffer=ref.is_buffer,
    )


def _checked_offset(name: str, ref: TensorRef, storage: StorageRef, block: Block) -> int:
    """Returns the byte offset of the view in its block, after checking that the view fits."""
    if len(ref.stride) != len(ref.shape):
        raise CheckpointError(
            f"tensor {excerpt(name)}: {len(ref.stride)} strides for {len(ref.shape)} dimensions"
        )
    if storage_bytes(storage) > block.nbytes:
        raise CheckpointError(
            f"tensor {excerpt(name)}: expected a storage of {storage_bytes(storage)} bytes,"
            f" got {block.nbytes}"
        )
    item = ITEM_SIZE[ref.dtype]
    begin = storage.start * ITEM_SIZE[storage.dtype]
    end = begin + storage.size * ITEM_SIZE[storage.dtype]
    spans = [(n - 1) * s for n, s in zip(ref.shape, ref.stride)]
    low = begin + item * (ref.offset + sum(span for span in spans if span < 0))
    high = begin + item * (ref.offset + sum(span for span in spans if span > 0) + 1)
    if 0 not in ref.shape and (low < begin or high > end):
        raise CheckpointError(
            f"tensor {excerpt(name)}: shape {_short(ref.shape)} with strides"
            f" {_short(ref.stride)} reaches outside its storage of {end - begin} bytes"
        )
    return begin + item * ref.offset


def _short(numbers: tuple[int, ...]) -> str:
    return excerpt(numbers, 60)


def _why_not_materialised(ref: TensorRef, block: Block) -> Optional[str]:
    if len(ref.shape) > MAX_DIMENSIONS:
        return f"has {len(ref.shape)} dimensions; the limit of numpy is {MAX_DIMENSIONS}"
    size = math.prod(n for n in ref.shape if n)
    if 0 in ref.shape and size > MAX_EXPANDED_ELEMENTS:
        return "no values: a dimension is 0"  # numpy may reject the shape
    if size > MAX_EXPANDED_ELEMENTS and size * ITEM_SIZE[ref.dtype] > block.nbytes:
        return f"an expanded view: {size} elements in {block.nbytes} stored bytes"
    return None


def _repeated(ref: TensorRef, block: Block) -> int:
    """The bytes of a view that repeats elements of its storage, 0 for another."""
    size = math.prod(ref.shape) * ITEM_SIZE[ref.dtype]
    return size if size > block.nbytes else 0


class _Loader:
    """Reads the values of one tensor when it is called. Files have many: see `_MappedBlock`."""

    __slots__ = ("_block", "_dtype", "_name", "_offset", "_shape", "_stride")

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
        dtype: str,
        offset: int,
        block: Block,
    ) -> None:
        self._name = name
        self._shape = shape
        self._stride = stride
        self._dtype = dtype
        self._offset = offset
        self._block = block

    def __call__(self) -> np.ndarray:
        dtype = stored_dtype(self._dtype)
        if 0 in self._shape:
            return np.empty(self._shape, dtype)
        try:
            stored = self._block.read()
        except CheckpointError as error:  # records are inflated and checked only here
            raise CheckpointError(f"{self._name}: {error}") from None
        steps = tuple(s * dtype.itemsize for s in self._stride)
        # The constructor checks the view against the buffer again.
        return np.ndarray(self._shape, dtype, buffer=stored, offset=self._offset, strides=steps)


@cache
def _decoder(dtype: str, conjugated: bool, negated: bool) -> Decode:
    """Returns the function that turns stored values into numbers, one for all such tensors."""
    if not (conjugated or negated):
        return AsType(dtype)

    def decoded(stored: np.ndarray) -> np.ndarray:
        values = decode(stored, dtype)
        if conjugated:
            values = np.conjugate(values)
        return np.negative(values) if negated else values

    return decoded
