"""Inflates and hashes a gzip file in one pass, and verifies its checksums at the end.

Python's tarfile ignores the gzip checksum, and its gzip module rejects trailing data.
"""

import hashlib
import zlib
from typing import BinaryIO

from allennlp_analyze.sources.damaged import DamagedError

# What is left of a chunk is copied for each read and each member: no more of it than necessary.
_CHUNK = 2**16
_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class GzipStream:
    """Inflates `raw`. `trailing_junk` and `sha256` (of the gzip file) are valid after `drain`."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self._pending = b""
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._finished = False
        self.trailing_junk = False

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int) -> bytes:
        """Returns between 1 and `size` bytes, or b"" at the end. Raises `DamagedError`."""
        while not self._finished:
            if not self._pending and not self._fill():
                raise DamagedError("is truncated: its gzip stream is incomplete")
            try:
                data = self._inflater.decompress(self._pending, size)
            except zlib.error as error:
                raise DamagedError(f"is damaged: its gzip stream is invalid ({error})") from None
            self._pending = self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._pending = self._inflater.unused_data
                self._next_member()
            if data:
                return data
        return b""

    def drain(self) -> None:
        """Hash the rest of the file."""
        self._pending = b""
        while self._fill():
            self._pending = b""

    def _fill(self) -> bool:
        chunk = self._raw.read(_CHUNK)
        self._hash.update(chunk)
        self._pending += chunk
        return bool(chunk)

    def _next_member(self) -> None:
        """Continue with the next gzip member; skip zeros that pad the file, as gzip does."""
        self._pending = self._pending.lstrip(b"\0")
        while len(self._pending) < len(_MAGIC) and self._fill():
            self._pending = self._pending.lstrip(b"\0")
        if self._pending.startswith(_MAGIC):
            self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        else:
            self._finished = True
            self.trailing_junk = bool(self._pending)
