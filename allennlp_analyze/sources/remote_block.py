"""Bytes of a file on a server, which are fetched when they are read."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from allennlp_analyze.results.files import FileState


class RemoteFile(Protocol):
    """A file on a server: `address` is its redacted URL, `state` the version that is read."""

    @property
    def address(self) -> str: ...

    @property
    def state(self) -> FileState: ...

    def read(self, start: int, nbytes: int) -> np.ndarray:
        """Returns bytes as a uint8 array (nbytes,). Raises `SourceError`."""
        ...

    def expect(self, blocks: "Iterable[RemoteBlock]") -> None:
        """Take note of what will be read, of all files of the model, in this order."""
        ...


class RemoteBlock:
    """A `Block` of a file on a server. Files have many, so it has slots."""

    __slots__ = ("file", "nbytes", "start")

    inflated = 0

    def __init__(self, file: RemoteFile, start: int, nbytes: int) -> None:
        self.file = file
        self.start = start
        self.nbytes = nbytes

    @property
    def stop(self) -> int:
        return self.start + self.nbytes

    def read(self) -> np.ndarray:
        return self.file.read(self.start, self.nbytes)


def remote(*blocks: object) -> tuple[RemoteBlock, ...]:
    """Returns those of `blocks` that a server has."""
    return tuple(block for block in blocks if isinstance(block, RemoteBlock))
