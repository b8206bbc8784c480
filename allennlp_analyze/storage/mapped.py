"""Bytes that may be more than memory, in a mapped file that has no name."""

import mmap
import tempfile
from collections.abc import Iterable
from typing import Union

import numpy as np


def mapped_copy(pieces: Iterable[Union[bytes, memoryview]]) -> np.ndarray:
    """All `pieces` one after the other, (n,) uint8, read only; the file goes with the array.

    Raises `OSError` when there is no room for them. They are written, not copied into a mapping:
    there a full disk would end the process.
    """
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        if not file.tell():
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
