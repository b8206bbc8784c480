"""Groups the parts of files that are fetched by one request: a large tensor and its neighbours."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from allennlp_analyze.sources.remote_block import RemoteBlock, RemoteFile

# What lies between two parts is fetched with them if it takes less time than another request.
GAP_BYTES = 2**18
# A larger tensor is a part of its own; smaller ones beside each other are kept together.
SMALL_BYTES = 2**20
CLUSTER_BYTES = 2**23


class Part(NamedTuple):
    """Bytes of one file that are kept together: one large tensor, or small ones."""

    file: RemoteFile
    start: int
    stop: int
    is_small: bool

    @property
    def size(self) -> int:
        return self.stop - self.start


# Parts of one file in its order, with at most one that is large.
Span = tuple[Part, ...]


class Layout:
    """The spans of what will be read, in the order of the first time."""

    def __init__(self, blocks: Iterable[RemoteBlock]) -> None:
        first: dict[tuple[RemoteFile, int, int], int] = {}
        for block in blocks:
            first.setdefault((block.file, block.start, block.stop), len(first))
        files = {file: index for index, file in enumerate(dict.fromkeys(key[0] for key in first))}
        ordered = sorted(first, key=lambda key: (files[key[0]], key[1], key[2]))
        self._parts: dict[RemoteFile, list[Part]] = {}
        self._starts: dict[RemoteFile, list[int]] = {}
        self._span_of: dict[Part, Span] = {}
        turn: dict[Span, int] = {}
        for run in _runs(ordered):
            span = _span(run)
            turn[span] = min(first[key] for key in run)
            for part in span:
                self._parts.setdefault(part.file, []).append(part)
                self._starts.setdefault(part.file, []).append(part.start)
                self._span_of[part] = span
        self.spans: Sequence[Span] = sorted(turn, key=lambda span: turn[span])
        self.index = {span: index for index, span in enumerate(self.spans)}

    def part(self, file: RemoteFile, start: int, stop: int) -> Optional[Part]:
        """Returns the part that contains the bytes from `start` to `stop`, or None."""
        place = bisect_right(self._starts.get(file, []), start) - 1
        part = self._parts[file][place] if place >= 0 else None
        return part if part is not None and stop <= part.stop else None

    def span(self, part: Part) -> Span:
        return self._span_of[part]


_Run = list[tuple[RemoteFile, int, int]]


def _runs(ordered: Iterable[tuple[RemoteFile, int, int]]) -> Iterable[_Run]:
    """Yields the blocks of each span: near each other, at most one of them large."""
    run: _Run = []
    end, small, has_large = 0, 0, False
    for block in ordered:
        file, start, stop = block
        is_large = stop - start > SMALL_BYTES
        apart = bool(run) and (file is not run[0][0] or start - end > GAP_BYTES)
        full = (is_large and has_large) or (not is_large and small > CLUSTER_BYTES)
        if run and (apart or full):
            yield run
            run, end, small, has_large = [], 0, 0, False
        run.append(block)
        end, has_large = max(end, stop), has_large or is_large
        small += 0 if is_large else stop - start
    if run:
        yield run


def _span(run: _Run) -> Span:
    parts: list[Part] = []
    for file, start, stop in run:
        is_small = stop - start <= SMALL_BYTES
        last = parts[-1] if parts else None
        if last is not None and (start < last.stop or (is_small and last.is_small)):
            small = is_small and last.is_small
            parts[-1] = Part(file, last.start, max(stop, last.stop), small)
        else:
            parts.append(Part(file, start, stop, is_small))
    return tuple(parts)
