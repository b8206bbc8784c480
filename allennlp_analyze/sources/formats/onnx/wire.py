"""Reads protobuf's wire format from a mapped file: fields as numbers and spans, nothing copied."""

import mmap
from collections.abc import Iterable, Iterator
from typing import Union

import numpy as np

from allennlp_analyze.errors import CheckpointError

# A field takes one to two microseconds. The largest models there are have a tenth of this.
MAX_FIELDS = 4_000_000
MAX_NAME_BYTES = 10_000
_MAX_VARINT_BYTES = 10
_SIGN = 1 << 63

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Span = tuple[int, int]
# Field number, wire type, then the value and 0 of a varint, else the start and end of its bytes.
Field = tuple[int, int, int, int]


class Wire:
    """A message in `data`; all readings together may take at most `MAX_FIELDS` fields."""

    def __init__(self, data: Union[bytes, mmap.mmap]) -> None:
        self.data = data
        self._left = MAX_FIELDS

    def fields(self, span: Span) -> Iterator[Field]:
        """Yields the fields of the message in `span`. Raises `CheckpointError` if it is damaged."""
        data, (position, end) = self.data, span
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise CheckpointError(f"has more than {MAX_FIELDS} fields")
            tag = data[position]
            position += 1
            if tag >= 0x80:
                tag, position = self.varint(position - 1, end)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise CheckpointError("is damaged (a field has the number 0)")
            if wire == VARINT:
                value, position = self.varint(position, end)
                yield number, wire, value, 0
                continue
            if wire == BYTES:
                size = data[position] if position < end else 0x80
                position += 1
                if size >= 0x80:
                    size, position = self.varint(position - 1, end)
            elif wire in (FIXED32, FIXED64):
                size = 4 if wire == FIXED32 else 8
            else:
                raise CheckpointError(f"is damaged (a field of wire type {wire})")
            if size > end - position:
                raise CheckpointError(
                    f"is truncated or damaged: a field of {size} bytes where {end - position} are"
                    f" left of {len(data)}"
                )
            yield number, wire, position, position + size
            position += size

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """Returns the unsigned number of 64 bits at `position`, and the position after it."""
        data, value, shift = self.data, 0, 0
        while position < end:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value, position
            shift += 7
            if shift >= 7 * _MAX_VARINT_BYTES:
                break
        raise CheckpointError("is truncated or damaged (a number has no end)")

    def text(self, span: Span) -> str:
        """Returns a name. Raises `CheckpointError` if it is too long to be one."""
        start, end = span
        if end - start > MAX_NAME_BYTES:
            raise CheckpointError(f"has a name of more than {MAX_NAME_BYTES} bytes")
        return bytes(self.data[start:end]).decode("utf-8", "backslashreplace")

    def integers(self, spans: Iterable[Span], most: int) -> tuple[int, ...]:
        """Returns the numbers of packed spans, or of single numbers (value, -1), as signed."""
        found: list[int] = []
        for start, end in spans:
            if end < 0:
                found.append(signed(start))
            position = start
            while position < end and len(found) <= most:
                value, position = self.varint(position, end)
                found.append(signed(value))
            if len(found) > most:
                raise CheckpointError(f"is damaged (a list of more than {most} numbers)")
        return tuple(found)


def signed(value: int) -> int:
    """Returns the int64 that a varint holds."""
    return value - 2 * _SIGN if value & _SIGN else value


def count_varints(stored: np.ndarray) -> int:
    """Returns how many varints the bytes hold, counting an unfinished one."""
    if not len(stored):
        return 0
    return int(np.count_nonzero(stored < 0x80)) + int(stored[-1] >= 0x80)


def decode_varints(stored: np.ndarray) -> np.ndarray:
    """Returns the unsigned 64-bit numbers in packed bytes, (count,).

    Raises `CheckpointError` if one is longer than ten bytes, or unfinished.
    """
    ends = np.flatnonzero(stored < 0x80)
    if not len(stored):
        return np.zeros(0, np.uint64)
    if not len(ends) or ends[-1] != len(stored) - 1:
        raise CheckpointError("is damaged (a number has no end)")
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    lengths = ends - starts + 1
    if lengths.max() > _MAX_VARINT_BYTES:
        raise CheckpointError("is damaged (a number has no end)")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max())):
        longer = lengths > place
        bits = (stored[starts[longer] + place] & np.uint8(0x7F)).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values
