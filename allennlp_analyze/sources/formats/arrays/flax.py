"""Reads the msgpack files of Flax (flax_model.msgpack); values are mapped, nothing is executed."""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.dtypes import ITEM_SIZE
from allennlp_analyze.sources.formats.arrays.layouts import (
    MAX_DEPTH,
    Array,
    dtype_name,
    tensor_of,
    unread,
)
from allennlp_analyze.sources.formats.checkpoint_keys import OF_OPTIMIZER, is_optimizer_key
from allennlp_analyze.sources.formats.guarded import mapped, reading
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.sources.views import (
    MAX_DIMENSIONS,
    MAX_TENSORS,
    Block,
    mapped_block,
)
from allennlp_analyze.storage.mapped import mapped_copy
from allennlp_analyze.text.lines import excerpt

MAX_ITEMS = 4 * MAX_TENSORS
_MAX_NAME_BYTES = 4096
_CHUNKED = "__msgpack_chunked_array__"
_NDARRAY = 1
_PARAMETERS = "params"

_FIXED = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_FIXED |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
# The size of the length that follows: of a text, of bytes, of an array, of a map.
_TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_LISTS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


@dataclass(frozen=True)
class _Bytes:
    """Bytes of the file, or of an extension of some kind."""

    start: int
    size: int
    kind: Optional[int] = None


def read_flax(path: Path, label: str) -> Weights:
    """Returns the arrays of a tree that Flax has written, by path. Raises `CheckpointError`."""
    with reading(label):
        mapping = mapped(path)
        reader = _Reader(mapping, 0, len(mapping))
        tree = reader.value()
        if not isinstance(tree, dict) or reader.position != len(mapping):
            raise CheckpointError("is not a tree of arrays that Flax has written (msgpack)")
        return Weights(_tensors(mapping, tree))


def is_flax(head: bytes) -> bool:
    """Whether a file begins as a msgpack map whose first key is a printable name."""
    if head[:1] == b"\xde":
        head = head[2:]
    elif not 0x81 <= (head[0] if head else 0) <= 0x8F:
        return False
    size = head[1] & 0x1F if head[1:2] and 0xA1 <= head[1] <= 0xBF else 0
    name, follows = head[2 : 2 + size], head[2 + size : 3 + size]
    if not 0 < size == len(name) or not follows or not name.isascii():
        return False
    is_number = follows[0] < 0x80 or 0xCC <= follows[0] <= 0xCF
    is_map_or_array = 0x80 <= follows[0] <= 0x8F or follows[0] in (*_MAPS, *_EXTENSIONS)
    return name.decode().isprintable() and (is_number or is_map_or_array)


def _tensors(mapping: mmap.mmap, tree: Mapping[str, object]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for path, node in _leaves(tree, ()):
        inside = path[1:] if path[0] == _PARAMETERS and len(path) > 1 else path
        tensor = _tensor(mapping, inside, node)
        if is_optimizer_key(path[0]):
            tensor = replace(tensor, joined=OF_OPTIMIZER)
        if tensor.name in tensors:
            raise CheckpointError(f"contains {excerpt(tensor.name)} twice")
        tensors[tensor.name] = tensor
        if len(tensors) > MAX_TENSORS:
            raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")
    return tensors


def _leaves(node: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yields every array with its path; numbers and texts are no arrays."""
    if isinstance(node, dict) and _CHUNKED not in node:
        for name, inner in node.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _leaves(inner, (*path, str(index)))
    elif path and (isinstance(node, dict) or (isinstance(node, _Bytes) and node.kind == _NDARRAY)):
        yield path, node


def _tensor(mapping: mmap.mmap, path: Sequence[str], node: object) -> StoredTensor:
    name = excerpt(".".join(path))
    if isinstance(node, _Bytes):
        shape, dtype, values = _array(mapping, name, node)
        block: Block = mapped_block(mapping, values.start, values.size)
    else:
        shape, dtype, block = _chunked(mapping, name, node)
    known = dtype_name(dtype)
    if known is None:
        return unread(path, shape, f"type {excerpt(dtype, 40)} of Flax: not read")
    if math.prod(shape) * ITEM_SIZE[known] != block.nbytes:
        raise CheckpointError(f"array {name} has {block.nbytes} bytes for its shape")
    return tensor_of(path, Array(shape, known, block))


def _array(mapping: mmap.mmap, name: str, node: _Bytes) -> tuple[tuple[int, ...], str, _Bytes]:
    """Returns shape, type and bytes of an array: a list of the three."""
    reader = _Reader(mapping, node.start, node.start + node.size)
    found = reader.value()
    if not isinstance(found, list) or len(found) != 3:
        raise CheckpointError(f"array {name} is damaged")
    shape, dtype, values = found
    if not isinstance(dtype, str) or not isinstance(values, _Bytes) or not _is_shape(shape):
        raise CheckpointError(f"array {name} is damaged")
    return tuple(shape), dtype, values


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= MAX_DIMENSIONS
        and all(type(size) is int and size >= 0 for size in shape)
    )


def _chunked(mapping: mmap.mmap, name: str, node: object) -> tuple[tuple[int, ...], str, Block]:
    """Returns shape, type and bytes of an array of more than 1 GiB, which is stored in pieces."""
    whole = node if isinstance(node, dict) else {}
    shape, chunks = (_in_order(whole.get(key)) for key in ("shape", "chunks"))
    if not _is_shape(shape) or not chunks:
        raise CheckpointError(f"array {name} is damaged")
    if not all(isinstance(x, _Bytes) and x.kind == _NDARRAY for x in chunks):
        raise CheckpointError(f"array {name} is damaged")
    parts = [_array(mapping, name, x) for x in chunks if isinstance(x, _Bytes)]
    dtypes = {dtype for _, dtype, _ in parts}
    if len(dtypes) != 1:
        raise CheckpointError(f"array {name} has chunks of several types")
    blocks = [mapped_block(mapping, values.start, values.size) for _, _, values in parts]
    return tuple(shape), dtypes.pop(), _Joined(blocks)  # type: ignore[arg-type]


def _in_order(items: object) -> list[object]:
    """The values of a map whose keys are "0", "1" and so on; [] if they are others."""
    if not isinstance(items, dict) or list(items) != [str(i) for i in range(len(items))]:
        return []
    return list(items.values())


class _Joined:
    """A `Block` of several, one after the other."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self.nbytes = sum(block.nbytes for block in blocks)

    @property
    def inflated(self) -> int:
        return self.nbytes

    def read(self) -> np.ndarray:
        return mapped_copy(block.read().data for block in self._blocks)


class _Reader:
    """Reads msgpack between two positions of the file, without copying bytes."""

    def __init__(self, mapping: mmap.mmap, start: int, end: int) -> None:
        self._mapping, self.position, self._end = mapping, start, end
        self._items = 0

    def value(self, depth: int = 0) -> object:
        """Returns the next value: dicts with names, lists, `_Bytes`, and plain values."""
        self._items += 1
        if depth > MAX_DEPTH:
            raise CheckpointError(f"is nested more than {MAX_DEPTH} deep")
        if self._items > MAX_ITEMS:
            raise CheckpointError(f"contains more than {MAX_ITEMS} values")
        first = self._mapping[self._take(1)]
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        if first < 0x90:
            return self._map(first & 0xF, depth)
        if first < 0xA0:
            return self._list(first & 0xF, depth)
        if first < 0xC0:
            return self._text(first & 0x1F)
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _FIXED:
            return self._number(_FIXED[first])
        if first in _TEXTS:
            return self._text(self._number(_TEXTS[first]))
        if first in _BYTES:
            return self._bytes(self._number(_BYTES[first]))
        if first in _LISTS:
            return self._list(self._number(_LISTS[first]), depth)
        if first in _MAPS:
            return self._map(self._number(_MAPS[first]), depth)
        return self._extension(first)

    def _extension(self, first: int) -> _Bytes:
        if first in _FIXED_EXTENSIONS:
            size = _FIXED_EXTENSIONS[first]
        elif first in _EXTENSIONS:
            size = self._number(_EXTENSIONS[first])
        else:
            raise CheckpointError(f"is not msgpack: byte {first:#x} at {self.position - 1}")
        return self._bytes(size, self._number(">b"))

    def _map(self, count: int, depth: int) -> dict[str, object]:
        self._check(count, 2)
        found: dict[str, object] = {}
        for _ in range(count):
            name = self.value(depth + 1)
            if not isinstance(name, str):
                raise CheckpointError("has a map whose keys are no names")
            if name in found:
                raise CheckpointError(f"has the name {excerpt(name)} twice")
            found[name] = self.value(depth + 1)
        return found

    def _list(self, count: int, depth: int) -> list[object]:
        self._check(count, 1)
        return [self.value(depth + 1) for _ in range(count)]

    def _text(self, size: int) -> str:
        if size > _MAX_NAME_BYTES:
            raise CheckpointError(f"has a text of {size} bytes")
        start = self._take(size)
        return self._mapping[start : start + size].decode("utf-8", "replace")

    def _bytes(self, size: int, kind: Optional[int] = None) -> _Bytes:
        return _Bytes(self._take(size), size, kind)

    def _number(self, code: str) -> int:
        (number,) = struct.unpack_from(code, self._mapping, self._take(struct.calcsize(code)))
        return number

    def _check(self, count: int, each: int) -> None:
        if count * each > self._end - self.position:
            raise CheckpointError(f"is truncated: {count} values at {self.position}")

    def _take(self, size: int) -> int:
        """Returns the position of the next `size` bytes, and moves behind them."""
        start = self.position
        if size > self._end - start:
            raise CheckpointError(f"is truncated: {size} bytes at {start} of {self._end}")
        self.position = start + size
        return start
