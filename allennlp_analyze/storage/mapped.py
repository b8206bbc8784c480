"""Keeps bytes that may exceed the memory in a mapped file, and shows bytes as a file."""

import io
import math
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Union

import numpy as np

from allennlp_analyze.errors import TensorError

# An array up to this size is assembled in memory, a larger one in a file.
IN_MEMORY_BYTES = 1 << 25


def mapped_copy(pieces: Iterable[Union[bytes, memoryview]]) -> np.ndarray:
    """Concatenate `pieces` into a read-only uint8 array (n,); its file is removed with the array.

    Raises `OSError` if there is no room. The pieces are written, not copied into a mapping, because
    there a full disk would kill the process.
    """
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        if not file.tell():
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def gathered(blocks: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Concatenate `blocks` (at least one) into one array of `shape`.

    Raises `TensorError` if there is no room.
    """
    first = next(blocks)
    everything = chain([first], blocks)
    if math.prod(shape) * first.itemsize <= IN_MEMORY_BYTES:
        return np.concatenate([block.ravel() for block in everything]).reshape(shape)
    try:
        written = mapped_copy(np.ascontiguousarray(block).data for block in everything)
    except OSError as error:
        raise TensorError(f"failed to assemble: {error.strerror or error}") from None
    return written.view(first.dtype).reshape(shape)


class BytesFile(io.RawIOBase):
    """A file of bytes in memory, or mapped, (n,) uint8: none is copied before it is read."""

    def __init__(self, stored: np.ndarray) -> None:
        self._stored = stored
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._stored)}
        position = base[whence] + offset
        if position < 0:
            raise OSError("negative position")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._stored[self._position : self._position + len(view)]
        view[: len(found)] = found.data
        self._position += len(found)
        return len(found)
