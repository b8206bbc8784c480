"""The bytes of one weights file, mapped from disk or fetched from a server in parts.

A reader of a format takes the header from `begin` and each tensor's values from a `Block`, so that
it need not know where the file is.
"""

import mmap
from pathlib import Path
from typing import Optional, Protocol, Union

from allennlp_analyze.sources.views import Block, map_file, mapped_block


class StoredFile(Protocol):
    """A weights file of `size` bytes, wherever it is."""

    @property
    def path(self) -> Path:
        """Where a library finds the first bytes that were asked for, and the length of the file."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def address(self) -> str:
        """Its path or redacted URL, for messages."""
        ...

    def begin(self, size: int) -> Union[bytes, mmap.mmap]:
        """Returns the first `size` bytes or more; all if the file has fewer."""
        ...

    def block(self, start: int, nbytes: int) -> Block:
        """Returns the `nbytes` bytes from `start`, read on access.

        Raises `CheckpointError` if the file ends before.
        """
        ...

    def beside(self, name: str) -> Optional["StoredFile"]:
        """Returns the file `name` of the same directory, or None if it is missing."""
        ...


class LocalFile:
    """A mapped file. Raises `OSError` if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = str(path)
        self._mapping = map_file(path)
        self.size = len(self._mapping)

    def begin(self, size: int) -> mmap.mmap:
        return self._mapping

    def block(self, start: int, nbytes: int) -> Block:
        return mapped_block(self._mapping, start, nbytes)

    def beside(self, name: str) -> Optional[StoredFile]:
        path = self.path.with_name(name)
        return LocalFile(path) if path.is_file() else None


# What a reader accepts: the path of a file on disk, or an opened file.
Place = Union[Path, StoredFile]


def opened(place: Place) -> StoredFile:
    """Returns the file at a path, or the file itself. Raises `OSError`."""
    return LocalFile(place) if isinstance(place, Path) else place
