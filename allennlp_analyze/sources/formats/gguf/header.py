"""Parses the header of a GGUF file: its values by key and where each tensor is."""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.stored_file import StoredFile
from allennlp_analyze.sources.views import MAX_TENSORS
from allennlp_analyze.text.lines import excerpt

MAGIC = b"GGUF"
# A key, and a name of a tensor, has at most 64 bytes in llama.cpp.
MAX_NAME_BYTES = 1024
MAX_KEYS = 65_536
MAX_DIMENSIONS = 4  # the limit of ggml
# Vocabularies have half a million strings; numbers in arrays are passed over without a look.
MAX_STRINGS = 4_000_000
# Longer texts and arrays (vocabularies, chat templates) are passed over.
_KEPT_TEXT_BYTES = 1024
_KEPT_ITEMS = 4096
_MAX_NESTING = 4
_DEFAULT_ALIGNMENT = 32
_MAX_ALIGNMENT = 1 << 20
_MOST_AHEAD = 1 << 22

_STRING, _ARRAY = 8, 9
_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

Scalar = Union[int, float, bool, str]
Value = Union[Scalar, tuple[Scalar, ...]]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header describes it; `offset` is from the start of the file.

    `shape` has the dimensions in the order of torch, the reverse of the file's.
    """

    name: str
    shape: tuple[int, ...]
    type_number: int
    offset: int


@dataclass(frozen=True)
class Header:
    """`values` has numbers, short texts and short arrays by key; long ones are left out."""

    version: int
    values: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...] = field(repr=False)


def read_header(file: StoredFile) -> Header:
    """Returns the header of a GGUF file. Raises `CheckpointError` if it is damaged."""
    cursor = _Cursor(file)
    if cursor.bytes(4) != MAGIC:
        raise CheckpointError("is not a GGUF file")
    version = cursor.number("<I")
    if version & 0xFFFF == 0:
        raise CheckpointError("is a big-endian GGUF file; convert it with gguf-convert-endian")
    if version not in (2, 3):
        raise CheckpointError(
            f"has version {version} of GGUF; versions 2 and 3 are supported: convert it again"
        )
    count, keys = cursor.number("<Q"), cursor.number("<Q")
    # The smallest description of a tensor has 24 bytes, that of a value 13.
    cursor.check_count(count, 24, MAX_TENSORS, "tensors")
    cursor.check_count(keys, 13, MAX_KEYS, "keys")
    values: dict[str, Value] = {}
    seen: set[str] = set()
    for _ in range(keys):
        key = cursor.name("key")
        if key in seen:
            raise CheckpointError(f"has the key {excerpt(key)} twice")
        seen.add(key)
        value = cursor.value(cursor.number("<I"))
        if value is not None:
            values[key] = value
    described = [_tensor(cursor) for _ in range(count)]
    start = _aligned(cursor.position, _alignment(values))
    return Header(version, values, tuple(_placed(described, start, _alignment(values))))


def _tensor(cursor: "_Cursor") -> TensorInfo:
    name = cursor.name("tensor")
    dimensions = cursor.number("<I")
    if dimensions > MAX_DIMENSIONS:
        raise CheckpointError(
            f"tensor {excerpt(name)} has {dimensions} dimensions; GGUF allows {MAX_DIMENSIONS}"
        )
    shape = tuple(cursor.number("<Q") for _ in range(dimensions))[::-1]
    type_number, offset = cursor.number("<I"), cursor.number("<Q")
    return TensorInfo(name, shape, type_number, offset)


def _placed(described: list[TensorInfo], start: int, alignment: int) -> list[TensorInfo]:
    """Returns the tensors with offsets from the start of the file, in the order of the header."""
    names: set[str] = set()
    placed = []
    for info in described:
        if info.name in names:
            raise CheckpointError(f"has the tensor {excerpt(info.name)} twice")
        if info.offset % alignment:
            raise CheckpointError(
                f"tensor {excerpt(info.name)} is at {info.offset}, no multiple of the alignment"
                f" {alignment}"
            )
        names.add(info.name)
        placed.append(TensorInfo(info.name, info.shape, info.type_number, start + info.offset))
    return placed


def _alignment(values: Mapping[str, Value]) -> int:
    alignment = values.get("general.alignment", _DEFAULT_ALIGNMENT)
    if isinstance(alignment, int) and not isinstance(alignment, bool):
        # A power of two has one bit.
        if 0 < alignment <= _MAX_ALIGNMENT and not alignment & (alignment - 1):
            return alignment
    raise CheckpointError(
        f"has the alignment {excerpt(alignment, 40)}; expected a power of two up to"
        f" {_MAX_ALIGNMENT}"
    )


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


class _Cursor:
    """Reads the header from its start to its end; every length is checked before it is used."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._begin: Union[bytes, mmap.mmap] = b""
        self._known = 0
        self._size = file.size
        self._strings = 0
        self.position = 0

    def bytes(self, size: int) -> bytes:
        start = self._skip(size)
        return self._begin[start : start + size]

    def number(self, code: str) -> int:
        start = self._skip(struct.calcsize(code))  # which may fetch more of the header
        (number,) = struct.unpack_from(code, self._begin, start)
        return number

    def name(self, of: str) -> str:
        """Returns the name of a tensor, or a key."""
        size = self.number("<Q")
        if size > MAX_NAME_BYTES:
            raise CheckpointError(f"the name of a {of} has {size} bytes, more than any has")
        text = self.bytes(size)
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(f"the name of a {of} is not UTF-8: {excerpt(text, 60)}") from None

    def check_count(self, count: int, each: int, most: int, of: str) -> None:
        """Refuse a count above `most`, or whose items of `each` bytes or more do not fit."""
        if count > most:
            raise CheckpointError(f"contains more than {most} {of}")
        if count * each > self._size - self.position:
            raise CheckpointError(f"is truncated: {count} {of} in {self._size} bytes")

    def value(self, kind: int, depth: int = 0) -> Union[Value, None]:
        """Returns the value at the cursor, or None for one that is passed over."""
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise CheckpointError(f"has a value of type {kind}, which GGUF does not have")
        if depth >= _MAX_NESTING:
            raise CheckpointError(f"has arrays nested more than {_MAX_NESTING} deep")
        return self._array(self.number("<I"), self.number("<Q"), depth)

    def _array(self, kind: int, count: int, depth: int) -> Union[Value, None]:
        if kind in _NUMBERS:
            code = _NUMBERS[kind]
            size = struct.calcsize(code)
            if count > _KEPT_ITEMS:
                self._skip(count * size)
                return None
            start = self._skip(count * size)
            return struct.unpack_from(f"<{count}{code[1]}", self._begin, start)
        if count > MAX_STRINGS - self._strings:
            raise CheckpointError(f"has arrays of more than {MAX_STRINGS} texts")
        self._strings += count
        kept = [self.value(kind, depth + 1) for _ in range(min(count, _KEPT_ITEMS))]
        for _ in range(count - len(kept)):
            self.value(kind, depth + 1)
        texts = tuple(item for item in kept if isinstance(item, str))
        return texts if len(texts) == count else None

    def _text(self) -> Union[str, None]:
        size = self.number("<Q")
        start = self._skip(size)
        if size > _KEPT_TEXT_BYTES:
            return None
        return self._begin[start : start + size].decode("utf-8", "replace")

    def _enough(self) -> int:
        """How much of the header to read: a server is asked for more than the next few bytes."""
        return max(self.position, min(2 * self._known, self.position + _MOST_AHEAD))

    def _skip(self, size: int) -> int:
        """Returns the position of the next `size` bytes, and moves behind them."""
        start = self.position
        if size > self._size - start:
            raise CheckpointError(
                f"is truncated: its header goes on for {size} bytes at {start} in a file of"
                f" {self._size} bytes"
            )
        self.position = start + size
        if self.position > self._known:
            self._begin = self._file.begin(self._enough())
            self._known = len(self._begin)
        return start
