"""Which bytes are fetched together, and that every reading has the bytes of the file."""

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import SourceError
from allennlp_analyze.results.files import FileState
from allennlp_analyze.sources.download import fetching, spans
from allennlp_analyze.sources.download.fetching import Fetching
from allennlp_analyze.sources.download.spans import Layout
from allennlp_analyze.sources.remote_block import RemoteBlock, RemoteFile

pytestmark = pytest.mark.newest_python
BODY = np.random.default_rng(2).bytes(60_000)
# The limits, in proportion to files of 60 kB.
GAP, SMALL, CLUSTER = 100, 1000, 4000


@pytest.fixture(autouse=True, scope="module")
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spans, "GAP_BYTES", GAP)
        patched.setattr(spans, "SMALL_BYTES", SMALL)
        patched.setattr(spans, "CLUSTER_BYTES", CLUSTER)
        patched.setattr(fetching, "KEPT_BYTES", 10_000)
        patched.setattr(fetching, "AHEAD_BYTES", 8_000)
        patched.setattr(fetching, "IN_MEMORY_BYTES", 2_000)
        yield


class Bytes:
    """A file in memory that counts what is fetched of it."""

    address = "memory"
    state = FileState("memory")

    def __init__(self, breaks: bool = False) -> None:
        self.fetched: list[tuple[int, int]] = []
        self.breaks = breaks
        self.fetching = Fetching(self._pieces)

    def _pieces(self, file: RemoteFile, start: int, stop: int) -> Iterator[bytes]:
        if self.breaks:
            raise SourceError("memory: gone")
        self.fetched.append((start, stop))
        for at in range(start, stop, 777):
            yield BODY[at : min(at + 777, stop)]

    def read(self, start: int, nbytes: int) -> np.ndarray:
        return self.fetching.read(self, start, start + nbytes, lambda: Layout(()))

    def expect(self, blocks: Iterable[RemoteBlock]) -> None:
        self.fetching.expect(blocks)

    def blocks(self, sizes: Iterable[tuple[int, int]]) -> list[RemoteBlock]:
        """Blocks of the sizes, each behind a gap."""
        found, at = [], 0
        for gap, size in sizes:
            found.append(RemoteBlock(self, at + gap, size))
            at += gap + size
        return [block for block in found if block.stop <= len(BODY)]


SIZES = st.lists(
    st.tuples(st.integers(0, 2 * GAP), st.integers(1, 2 * SMALL) | st.integers(1, 30)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, data=st.data())
def test_every_reading_has_the_bytes_of_the_file(sizes: list[tuple[int, int]], data: st.DataObject):
    file = Bytes()
    blocks = file.blocks(sizes)
    expected = data.draw(st.lists(st.sampled_from(blocks), max_size=30)) if blocks else []
    read = data.draw(st.lists(st.sampled_from(blocks), max_size=30)) if blocks else []
    file.expect(expected)
    for block in read:
        assert block.read().tobytes() == BODY[block.start : block.stop]
    file.fetching.close()


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES)
def test_spans_cover_what_is_expected_once_and_little_else(sizes: list[tuple[int, int]]) -> None:
    file = Bytes()
    blocks = file.blocks(sizes)
    layout = Layout(blocks)
    places = sorted((part.start, part.stop) for span in layout.spans for part in span)
    assert all(stop <= start for (_, stop), (start, _) in zip(places, places[1:]))
    for span in layout.spans:
        assert sum(not part.is_small for part in span) <= 1
        for one, other in zip(span, span[1:]):
            assert other.start - one.stop <= GAP
    for block in blocks:
        part = layout.part(file, block.start, block.stop)
        assert part is not None and part.start <= block.start and block.stop <= part.stop
    covered = sum(stop - start for start, stop in places)
    assert covered <= sum(block.nbytes for block in blocks) + GAP * len(blocks)


def test_a_large_tensor_comes_with_its_small_neighbours() -> None:
    file = Bytes()
    bias, weight, gain = file.blocks([(5, 40), (0, 3000), (20, 40)])
    file.expect([weight, bias, gain])
    for block in (weight, bias, gain, weight):
        block.read()
    assert file.fetched == [(5, 3105)]


def test_a_small_tensor_does_not_bring_the_large_one() -> None:
    file = Bytes()
    _, bias, weight = file.blocks([(0, 3000), (5, 40), (0, 9000)])
    file.expect([weight, bias])
    file.fetching.close()  # nothing ahead
    bias.read()
    weight.read()
    assert file.fetched == [(3005, 3045), (3045, 12045)]


def test_what_comes_next_is_fetched_ahead_within_limits() -> None:
    file = Bytes()
    blocks = file.blocks([(0, 3000)] * 8)
    file.expect(blocks)
    blocks[0].read()
    for thread in threading.enumerate():
        if thread.name == "allennlp-analyze ahead":
            thread.join(10)
    # The two behind the one that is being worked on: three would exceed the limit.
    assert sorted(file.fetched) == [(0, 3000), (3000, 6000), (6000, 9000)]


def test_what_is_too_much_is_let_go() -> None:
    file = Bytes()
    blocks = file.blocks([(0, 3000)] * 8)
    for block in (*blocks, blocks[7], blocks[0]):
        block.read()
    assert file.fetched == [*((i * 3000, i * 3000 + 3000) for i in range(8)), (0, 3000)]


def test_the_number_of_files_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "KEPT_BYTES", len(BODY))
    monkeypatch.setattr(fetching, "KEPT_FILES", 5)
    file = Bytes()
    blocks = file.blocks([(0, 3000)] * 20)
    arrays = [block.read() for block in blocks]
    assert [array.tobytes() for array in arrays] == [BODY[x.start : x.stop] for x in blocks]
    for block in blocks[-5:]:
        block.read()
    assert len(file.fetched) == 20
    blocks[-6].read()
    assert len(file.fetched) == 21


def test_small_tensors_are_kept_longer_but_not_without_limit() -> None:
    file = Bytes()
    small = file.blocks([(2 * GAP, 900)] * 30)
    large = [RemoteBlock(file, 40_000 + 2000 * i, 2000) for i in range(6)]
    file.expect([small[0], *large])
    file.fetching.close()
    for block in (small[0], *large, small[0]):
        block.read()
    assert len(file.fetched) == 7
    file.expect(small)
    file.fetching.close()
    for block in (*small, small[0]):
        block.read()
    assert sum(stop - start for start, stop in file.fetched) > 12_000 + 31 * 900


def test_one_part_is_fetched_once_for_many_threads() -> None:
    file = Bytes()
    (block,) = file.blocks([(0, 50_000)])
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(block.read().tobytes())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [BODY[:50_000]] * 8
    assert len(file.fetched) == 1


def test_a_failure_is_that_of_the_reading_and_can_pass() -> None:
    file = Bytes(breaks=True)
    (block,) = file.blocks([(0, 5000)])
    with pytest.raises(SourceError, match="gone"):
        block.read()
    file.breaks = False
    assert block.read().tobytes() == BODY[:5000]
