"""Reads the members of a tar stream in order, without seeking back or trusting a size."""

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Optional, cast

from allennlp_analyze.errors import Advice, SourceError
from allennlp_analyze.sources.damaged import DamagedError
from allennlp_analyze.sources.streams.gzip import GzipStream
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.sizes import size_text

MAX_MEMBERS = 100_000
MAX_HEADER_BYTES = 2**20
_CHUNK = 2**20
# tarfile searches from each digit of a row to its end (CVE-2024-6232): the square of its length.
_MANY_DIGITS = re.compile(rb"[0-9]{128}")

_TAR_DAMAGE = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError, MemoryError)


class TarStream:
    """Reads at most `max_size` bytes of the tar archive in `stream`."""

    def __init__(self, stream: GzipStream, max_size: int) -> None:
        self._file = _ForwardFile(stream, max_size)

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Yields every member; `content` reads it until the next one is requested.

        Raises `SourceError` if the archive is damaged or breaks a limit.
        """
        tar = self._opened()
        for _ in range(MAX_MEMBERS):
            self._file.limit_headers(MAX_HEADER_BYTES)
            member = self._guarded_next(tar)
            if member is None:
                return
            if member.size < 0:
                raise SourceError(f"member {excerpt(member.name)} has a negative size")
            self._file.limit_headers(None)
            yield member
            tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
            # It would copy all global headers so far for each member; no reader needs them.
            tar.pax_headers.clear()  # type: ignore[attr-defined]
        raise SourceError(f"has more than {MAX_MEMBERS} members")

    def content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """Yields the bytes of the member that `members` yielded last."""
        left = member.size
        while left:
            data = self._file.read(min(left, _CHUNK))
            if not data:
                raise DamagedError(f"is truncated: member {excerpt(member.name)} is incomplete")
            left -= len(data)
            yield data

    def drain(self) -> None:
        """Read to the end of the stream, so that its checksum is verified."""
        self._file.limit_headers(None)
        while self._file.read(_CHUNK):
            pass

    def _opened(self) -> tarfile.TarFile:
        self._file.limit_headers(MAX_HEADER_BYTES)
        try:
            return tarfile.TarFile(fileobj=cast(BinaryIO, self._file), mode="r")
        except _TAR_DAMAGE as error:
            raise DamagedError(f"contains no tar archive ({excerpt(error)})") from None

    def _guarded_next(self, tar: tarfile.TarFile) -> Optional[tarfile.TarInfo]:
        try:
            return tar.next()
        except _TAR_DAMAGE as error:
            raise DamagedError(f"contains a damaged tar archive ({excerpt(error)})") from None


class _ForwardFile:
    """A file for tarfile over a stream: it reads, and seeks forwards only."""

    def __init__(self, stream: GzipStream, max_size: int) -> None:
        self._stream = stream
        self._max_size = max_size
        self._position = 0
        self._headers_left: Optional[int] = None

    def limit_headers(self, size: Optional[int]) -> None:
        """From here on, let tar headers request at most `size` bytes."""
        self._headers_left = size

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise SourceError("contains a tar archive whose members are out of order")
        while self._position < position:
            if not self._advance(min(position - self._position, _CHUNK)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        """Returns `size` bytes; fewer only at the end of the stream."""
        if self._headers_left is not None:
            self._headers_left -= size
            if self._headers_left < 0:
                raise SourceError(f"has tar headers of more than {MAX_HEADER_BYTES >> 20} MiB")
        chunks: list[bytes] = []
        left = size
        while left > 0:
            data = self._advance(left)
            if not data:
                break
            chunks.append(data)
            left -= len(data)
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if self._headers_left is not None and _MANY_DIGITS.search(data):
            raise SourceError("has a tar header with a number of more than 127 digits")
        return data

    def _advance(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        if self._position > self._max_size:
            raise SourceError(
                f"unpacks to more than {size_text(self._max_size)}",
                Advice("max_unpacked_size", "use {} to raise the limit"),
            )
        return data
