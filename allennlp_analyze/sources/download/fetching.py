"""Fetches parts of remote files: once, some of them ahead, and keeps a limited number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Callable

import numpy as np

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.download.spans import Layout, Part, Span
from allennlp_analyze.sources.remote_block import RemoteBlock, RemoteFile
from allennlp_analyze.storage.mapped import mapped_copy

# What was read is kept for the next time, in temporary files without a name.
KEPT_BYTES = 2**30
# Each of these files takes a descriptor, of which a process has a thousand.
KEPT_FILES = 256
# The last parts are kept whatever their size: the causes of a verdict read a matrix again.
KEPT_PARTS = 4
# Fetched before it is asked for.
AHEAD_BYTES = 2**26
AHEAD_SPANS = 2
IN_MEMORY_BYTES = 2**20

# Yields the bytes of a file from a first to a last one.
Pieces = Callable[[RemoteFile, int, int], Iterator[bytes]]


class Fetching:
    """What is fetched for one model, from all its files, by any thread.

    `pieces` sends the requests. `expect` says what will be read, so that it is fetched ahead, small
    tensors with their neighbours.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._lock = threading.RLock()
        self._held: OrderedDict[Part, Future[np.ndarray]] = OrderedDict()
        self._early: list[Part] = []
        self._layout = Layout(())
        self._turn = 0
        self._is_running = self._is_closed = False

    def expect(self, blocks: Iterable[RemoteBlock]) -> None:
        """Take note of what will be read, in this order."""
        with self._lock:
            self._early.extend(self._held)
            self._layout, self._turn = Layout(blocks), 0
            self._start_ahead()

    def read(
        self, file: RemoteFile, start: int, stop: int, beside: Callable[[], Layout]
    ) -> np.ndarray:
        """Returns bytes of `file` as a uint8 array (n,). Raises `SourceError`.

        Bytes that are not expected, and few, are fetched with their small neighbours in `beside`.
        """
        with self._lock:
            part, span = self._place(file, start, stop, beside)
            future = self._held.get(part)
            wanted = () if future is not None else self._missing(part, span)
            futures = self._promised(wanted)
            if future is not None:
                self._held.move_to_end(part)
            if span in self._layout.index and (not part.is_small or all(x.is_small for x in span)):
                self._turn = max(self._turn, self._layout.index[span] + 1)
                self._start_ahead()
        if future is None:
            self._fetch(futures)
            future = futures[part]
        return future.result()[start - part.start : stop - part.start]

    def close(self) -> None:
        """Fetch nothing more ahead."""
        self._is_closed = True
        with self._lock:
            self._held.clear()

    def _place(
        self, file: RemoteFile, start: int, stop: int, beside: Callable[[], Layout]
    ) -> tuple[Part, Span]:
        part = self._layout.part(file, start, stop)
        if part is not None and part in self._held:
            return part, self._layout.span(part)
        for early in self._early:
            if early.file is file and early.start <= start and stop <= early.stop:
                if early in self._held:
                    return early, (early,)
        if part is not None:
            return part, self._layout.span(part)
        alone = Part(file, start, stop, is_small=False)
        found = beside().part(file, start, stop)
        part = found if found is not None and found.is_small else alone
        self._early.append(part)
        return part, (part,)

    def _missing(self, part: Part, span: Span) -> Sequence[Part]:
        """The parts to fetch for `part`: a small one alone, a large one with its neighbours."""
        if part.is_small:
            return (part,)
        return [one for one in span if one not in self._held]

    def _promised(self, wanted: Iterable[Part]) -> dict[Part, "Future[np.ndarray]"]:
        futures: dict[Part, Future[np.ndarray]] = {part: Future() for part in wanted}
        self._held.update(futures)
        return futures

    def _fetch(self, futures: dict[Part, "Future[np.ndarray]"]) -> None:
        """Fetch parts of one file, in order, by one request. Errors are those of the futures."""
        wanted = list(futures)
        file, position = wanted[0].file, wanted[0].start
        stream = _Stream(self._pieces(file, position, wanted[-1].stop))
        try:
            for part in wanted:
                for _ in stream.take(part.start - position):
                    pass  # what lies between two parts
                futures[part].set_result(_kept(stream.take(part.size), part.size))
                position = part.stop
        except BaseException as error:
            told: BaseException = error
            if isinstance(error, OSError):
                reason = error.strerror or error
                told = SourceError(f"{file.address}: no room for a part of it ({reason})")
            with self._lock:
                for part, future in futures.items():
                    if not future.done():
                        self._held.pop(part, None)
                        future.set_exception(told)
            if not isinstance(error, Exception):
                raise
        self._forget()

    def _forget(self) -> None:
        """Let go what was used longest ago, if it is too much; large tensors first."""
        with self._lock:
            total = sum(part.size for part in self._held)
            files = sum(part.size > IN_MEMORY_BYTES for part in self._held)
            old = list(self._held)[:-KEPT_PARTS]
            for part in sorted(old, key=lambda part: part.is_small):
                if total <= KEPT_BYTES and files <= KEPT_FILES:
                    break
                if self._held[part].done():
                    del self._held[part]
                    total -= part.size
                    files -= part.size > IN_MEMORY_BYTES

    def _start_ahead(self) -> None:
        if not self._is_running and self._ahead():
            self._is_running = True
            threading.Thread(
                target=self._run_ahead, name="allennlp-analyze ahead", daemon=True
            ).start()

    def _ahead(self) -> Sequence[Part]:
        """Returns the parts to fetch ahead now."""
        size = 0
        for span in self._layout.spans[self._turn : self._turn + AHEAD_SPANS]:
            size += span[-1].stop - span[0].start
            missing = [part for part in span if part not in self._held]
            if self._is_closed or size > AHEAD_BYTES:
                return ()
            if missing:
                return missing
        return ()

    def _run_ahead(self) -> None:
        while True:
            with self._lock:
                wanted = self._ahead()
                if not wanted:
                    self._is_running = False
                    return
                futures = self._promised(wanted)
            self._fetch(futures)
            if any(future.exception() for future in futures.values()):
                with self._lock:  # whoever reads the part tries again, and tells the user
                    self._is_running = False
                return


class _Stream:
    """Hands out a stream of bytes in other lengths than those in which it arrives."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._pieces))
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece


def _kept(pieces: Iterator[memoryview], size: int) -> np.ndarray:
    if size <= IN_MEMORY_BYTES:
        return np.frombuffer(b"".join(pieces), np.uint8)
    return mapped_copy(pieces)
