"""Turns a described tensor into one whose values are read lazily, after checking its view."""

import math
import mmap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.dtypes import ITEM_SIZE, decode, stored_dtype, why_unsupported
from allennlp_analyze.sources.pickles.description import StorageRef, TensorRef
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.lines import excerpt

MAX_DIMENSIONS = 32  # the limit of numpy 1.x
# A view that repeats elements has values up to this size; a larger one is only described.
MAX_EXPANDED_ELEMENTS = 2**24


@dataclass(frozen=True)
class Block:
    """The bytes of one storage; `read` returns them as a uint8 array of shape (nbytes,)."""

    nbytes: int
    read: Callable[[], np.ndarray]


def mapped_block(mapping: mmap.mmap, start: int, nbytes: int) -> Block:
    """Returns the `nbytes` bytes from `start` of a mapped file, read on access."""
    if start < 0 or nbytes < 0 or start + nbytes > len(mapping):
        raise CheckpointError(
            f"is truncated: storage of {nbytes} bytes at {start} in a file of {len(mapping)} bytes"
        )
    return Block(nbytes, lambda: np.frombuffer(mapping, np.uint8, nbytes, start))


def map_file(path: Path) -> mmap.mmap:
    """Map the file for reading; the map stays valid after the file is removed."""
    with path.open("rb") as file:
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
    load = _loader(name, ref, stride, offset, block)
    return StoredTensor(name, ref.shape, ref.dtype, identity, load, decode=partial(_decode, ref))


def _described(
    name: str, ref: TensorRef, identity: tuple[object, ...], reason: str
) -> StoredTensor:
    return StoredTensor(name, ref.shape, ref.dtype, identity, None, unsupported=reason)


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


def _loader(
    name: str, ref: TensorRef, stride: tuple[int, ...], offset: int, block: Block
) -> Callable[[], np.ndarray]:
    dtype = stored_dtype(ref.dtype)

    def stored() -> np.ndarray:
        try:
            return block.read()
        except CheckpointError as error:  # compressed records are inflated only here
            raise TensorError(f"{name}: {error}") from None

    def load() -> np.ndarray:
        if 0 in ref.shape:
            return np.empty(ref.shape, dtype)
        steps = tuple(s * dtype.itemsize for s in stride)
        # The constructor checks the view against the buffer again.
        return np.ndarray(ref.shape, dtype, buffer=stored(), offset=offset, strides=steps)

    return load


def _decode(ref: TensorRef, stored: np.ndarray) -> np.ndarray:
    values = decode(stored, ref.dtype)
    if ref.conjugated:
        values = np.conjugate(values)
    return np.negative(values) if ref.negated else values
