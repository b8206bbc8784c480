"""Groups of matrices are solved in the turn of the first, and each is found in its own."""

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from allennlp_analyze.analysis.measure import Analysis, analyze
from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.cuda import OnDevice
from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.groups import Ahead
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.blocks import Entries
from allennlp_analyze.sources.dtypes import AsType
from tests.support.matrices import gaussian, low_rank, stored

torch = pytest.importorskip("torch")
SHAPES = [(400, 260), (260, 400), (500, 300), (400, 260), (300, 500), (400, 260)]


def layer(index: int, values: np.ndarray) -> WeightMatrix:
    codes = (stored(values, "bfloat16").view(np.uint32) >> 16).astype(np.uint16)
    return WeightMatrix(
        name=f"layer_{index}",
        parameter=f"layer_{index}.weight",
        part=None,
        kind="linear",
        kind_source="inferred",
        shape=(values.shape[0], values.shape[1]),
        dtype="bfloat16",
        load=lambda: codes,
        decode=AsType("bfloat16"),
    )


def layers() -> "list[WeightMatrix]":
    """Of full rank, collapsed, all zero, invalid, and beyond the range of their squares."""
    values = [gaussian(index, *shape) for index, shape in enumerate(SHAPES)]
    values[1] = low_rank(1, *SHAPES[1], 40)
    values[2] *= 0.0
    values[4][3, 4] = np.nan
    values[5] *= 1e30
    return [layer(index, matrix) for index, matrix in enumerate(values)]


def on_device(matrices: "list[WeightMatrix]", jobs: int = 2, small: int = 1024) -> Analysis:
    notes: list[str] = []
    solver = OnDevice(torch.device("cpu"), notes.append, small=small)
    found = analyze(matrices, Settings(jobs=jobs), solver)
    assert not notes
    return found


def require_same(found: Analysis, expected: Analysis, error: float) -> None:
    assert [x.name for x in found.layers] == [x.name for x in expected.layers]
    for one, other in zip(found.layers, expected.layers):
        limit = error * max(other.singular_values[0], 1e-300)
        assert np.abs(one.singular_values - other.singular_values).max() <= limit
        assert (one.verdict, one.hard_rank) == (other.verdict, other.hard_rank)
    assert found.skipped == expected.skipped


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_are_those_of_the_processor_in_groups_or_not(jobs: int) -> None:
    matrices = layers()
    expected = analyze(matrices, Settings(jobs=1))
    assert {x.verdict for x in expected.layers} == {"full_rank", "collapsed"}
    assert len(expected.skipped) == 1
    grouped = on_device(matrices, jobs)
    require_same(grouped, expected, 1e-7)
    require_same(grouped, on_device(matrices, jobs, small=0), 1e-12)


def test_one_that_cannot_be_read_is_skipped_and_the_others_are_measured() -> None:
    matrices = layers()

    def unreadable() -> np.ndarray:
        raise TensorError("is not there")

    def too_large() -> np.ndarray:
        raise MemoryError

    matrices[3] = replace(matrices[3], load=unreadable)
    matrices[5] = replace(matrices[5], load=too_large)
    found = on_device(matrices)
    require_same(found, analyze(matrices, Settings(jobs=1)), 1e-7)
    reasons = {one.parameter: one.reason for one in found.skipped}
    assert reasons["layer_3.weight"] == "is not there"
    assert reasons["layer_5.weight"].startswith("not enough memory")


def test_what_is_done_or_quantized_is_read_by_no_group() -> None:
    read: Counter[int] = Counter()

    def watched(index: int, matrix: WeightMatrix) -> WeightMatrix:
        def load() -> np.ndarray:
            read[index] += 1
            return matrix.load()

        return replace(matrix, load=load)

    matrices = [watched(index, matrix) for index, matrix in enumerate(layers())]
    matrices[1] = replace(matrices[1], noise=lambda: 0.0)
    expected = analyze(matrices, Settings(jobs=1))
    alone, read = read, Counter()
    done = {3: next(one for one in expected.layers if one.name == "layer_3")}
    solver = OnDevice(torch.device("cpu"), print)
    require_same(analyze(matrices, Settings(jobs=1), solver, finished=done), expected, 1e-7)
    # Each is read in its own turn; 4 in the group of 2, and 5 in that of 0, once more.
    assert read == alone - Counter([3]) + Counter([4, 5])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_threads_that_ask_at_once_get_each_its_own(device: str) -> None:
    """The device "meta" can do nothing: each falls back to the processor, in its own turn."""
    many = [Entries(gaussian(seed, 300, 200)) for seed in range(6)]
    notes: list[str] = []
    solver = OnDevice(torch.device(device), notes.append)
    ahead = Ahead(solver, [(300, 200)] * 6, many.__getitem__)
    found = {}

    def ask(index: int) -> None:
        found[index] = ahead.solver(index)(many[index], 1.0)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, entries in enumerate(many):
        expected, one = gram_spectrum(entries), found[index]
        assert one is not None and expected is not None
        assert one.eigenvalues == pytest.approx(expected.eigenvalues, rel=1e-9)
        assert one.total == pytest.approx(expected.total)
    assert len(notes) == (device == "meta")
    # Another scale, or the same again, is computed anew.
    twice = ahead.solver(2)(many[2], 2.0)
    again = ahead.solver(2)(many[2], 1.0)
    assert twice is not None and again is not None
    assert twice.eigenvalues == pytest.approx(4 * again.eigenvalues)


def test_the_processor_has_no_groups_and_one_large_matrix_at_a_time() -> None:
    def unread(index: int) -> Entries:
        raise AssertionError(index)

    ahead = Ahead(gram_spectrum, SHAPES, unread)
    assert ahead.at_once == 1
    assert {ahead.solver(index) for index in range(len(SHAPES))} == {gram_spectrum}
    assert Ahead(OnDevice(torch.device("cpu"), print), SHAPES, unread).at_once == 2
