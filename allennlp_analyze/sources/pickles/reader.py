"""Reads the parts of a pickle: numbers, lines and texts, within limits."""

import mmap
import struct
from typing import Union

from allennlp_analyze.errors import CheckpointError

MAX_PICKLE_BYTES = 64 * 2**20
MAX_LINE_BYTES = 16 * 2**10
MAX_INTEGER_BYTES = 64

Buffer = Union[bytes, mmap.mmap]


class Reader:
    """A position in the pickle that starts at byte `start` of `data`, of `limit` bytes at most."""

    def __init__(self, data: Buffer, start: int, limit: int = MAX_PICKLE_BYTES) -> None:
        self._data = data
        self._position = start
        self._limit = limit
        self._end = min(len(data), start + limit)

    def _take(self, size: int) -> bytes:
        stop = self._position + size
        if size < 0 or stop > self._end:
            if self._end < len(self._data):
                raise CheckpointError(f"its pickle is longer than {self._limit >> 20} MiB")
            raise CheckpointError("is truncated: it ends in the middle of its pickle")
        taken = self._data[self._position : stop]
        self._position = stop
        return taken

    def _number(self, code: str) -> int:
        value: int = struct.unpack(code, self._take(struct.calcsize(code)))[0]
        return value

    def _line(self, encoding: str = "utf-8") -> str:
        limit = min(self._end, self._position + MAX_LINE_BYTES)
        stop = self._data.find(b"\n", self._position, limit)
        if stop < 0:
            raise CheckpointError("its pickle is damaged (a line has no end)")
        return self._take(stop + 1 - self._position)[:-1].decode(encoding)

    def _sized(self, code: str) -> bytes:
        return self._take(self._number(code))

    @staticmethod
    def _parsed(digits: str) -> int:
        if len(digits) > MAX_INTEGER_BYTES:
            raise CheckpointError(
                f"its pickle has an integer of more than {MAX_INTEGER_BYTES} bytes"
            )
        return int(digits)

    def text_integer(self) -> int:
        line = self._line()
        return line == "01" if line in ("00", "01") else self._parsed(line)

    def text_long(self) -> int:
        return self._parsed(self._line().rstrip("L"))

    def long(self, code: str, most: int = MAX_INTEGER_BYTES) -> int:
        size = self._number(code)
        if not 0 <= size <= most:
            raise CheckpointError(f"its pickle has an integer of more than {most} bytes")
        return int.from_bytes(self._take(size), "little", signed=True)

    def string(self, code: str) -> str:
        return self._sized(code).decode("utf-8")

    def old_string(self, code: str) -> Union[str, bytes]:
        """A string of Python 2: text, or bytes if it is none."""
        raw = self._sized(code)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw

    def text_line(self) -> str:
        text = self._line("raw-unicode-escape")
        text.encode("utf-8")  # raises for a lone surrogate, which no report could write
        return text

    def frame(self) -> None:
        if self._number("<Q") > self._end - self._position:
            raise CheckpointError("is truncated: a frame of its pickle is incomplete")
