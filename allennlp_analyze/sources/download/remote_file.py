"""A weights file on a server, read by its header and then by the bytes of its tensors."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.errors import Advice, CheckpointError, SourceError
from allennlp_analyze.results.files import FileState
from allennlp_analyze.sources.download.fetching import Fetching
from allennlp_analyze.sources.download.ranges import Ranges
from allennlp_analyze.sources.download.spans import SMALL_BYTES, Layout
from allennlp_analyze.sources.remote_block import RemoteBlock, RemoteFile
from allennlp_analyze.sources.stored_file import StoredFile
from allennlp_analyze.sources.views import check_inside

# Fetched to begin with; most headers are shorter.
FIRST_BYTES = 2**16
# No header is longer: the vocabularies of GGUF have some 20 MB, safetensors allows 100.
MAX_HEADER_BYTES = 2**28


class RangedFile:
    """A `StoredFile` and a `RemoteFile`.

    `begin` are its first bytes. The file at `path` stands for it where libraries and directories
    want one: it has the bytes that were read as the header, then zeros up to the same length, but
    takes no room. `find` returns another file of the same directory.
    """

    def __init__(
        self,
        ranges: Ranges,
        begin: bytes,
        path: Path,
        fetching: Fetching,
        find: Callable[[str], Optional[StoredFile]] = lambda name: None,
    ) -> None:
        self.path = path
        self.size = ranges.size
        self.address = ranges.address
        self._ranges = ranges
        self._begin = begin
        self._fetching = fetching
        self._find = find
        self._blocks: list[RemoteBlock] = []
        self._small = Layout(())
        self._laid_out = 0
        self._stand_in(0)

    @property
    def state(self) -> FileState:
        version = self._ranges.version
        said = version.etag or version.last_modified or ""
        return FileState(self.address, self.size, is_download=True, version=said)

    def begin(self, size: int) -> bytes:
        """Returns the first `size` bytes or more, or all. Raises `SourceError`."""
        known, size = len(self._begin), min(size, self.size)
        if size > known:
            if size > MAX_HEADER_BYTES:
                raise CheckpointError(
                    f"its header has more than {MAX_HEADER_BYTES >> 20} MiB",
                    Advice("cache", "use {} to download the file", switch=True),
                )
            self._begin += b"".join(self._ranges.pieces(known, size))
            self._stand_in(known)
        return self._begin

    def block(self, start: int, nbytes: int) -> RemoteBlock:
        check_inside(start, nbytes, self.size)
        block = RemoteBlock(self, start, nbytes)
        self._blocks.append(block)
        return block

    def beside(self, name: str) -> Optional[StoredFile]:
        return self._find(name)

    def read(self, start: int, nbytes: int) -> np.ndarray:
        stop = start + nbytes
        if stop <= len(self._begin):
            return np.frombuffer(self._begin, np.uint8, nbytes, start)
        return self._fetching.read(self, start, stop, self._small_ones)

    def expect(self, blocks: Iterable[RemoteBlock]) -> None:
        # What came with the header is not fetched again.
        self._fetching.expect(block for block in blocks if not self._is_known(block))

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yields bytes as they arrive. Raises `SourceError`."""
        return self._ranges.pieces(start, stop)

    def close(self) -> None:
        self._ranges.close()

    @staticmethod
    def _is_known(block: RemoteBlock) -> bool:
        file = block.file
        return isinstance(file, RangedFile) and block.stop <= len(file._begin)

    def _small_ones(self) -> Layout:
        if self._laid_out != len(self._blocks):
            self._laid_out = len(self._blocks)
            self._small = Layout(x for x in self._blocks if x.nbytes <= SMALL_BYTES)
        return self._small

    def _stand_in(self, known: int) -> None:
        """Write what is known of the header from the byte `known` on."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if known else "wb") as file:
                file.seek(known)
                file.write(self._begin[known:])
                file.truncate(self.size)
        except OSError as error:
            reason = error.strerror or error
            raise SourceError(f"{self.path.parent}: cannot be written ({reason})") from None


def pieces_of(file: RemoteFile, start: int, stop: int) -> Iterator[bytes]:
    """Yields bytes of a `RangedFile` as they arrive. Raises `SourceError`."""
    assert isinstance(file, RangedFile)  # there are no others
    return file.pieces(start, stop)
