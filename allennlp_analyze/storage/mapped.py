"""Keeps bytes that may exceed the memory in a mapped file without a name."""

import mmap
import tempfile
from collections.abc import Iterable
from typing import Union

import numpy as np


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
