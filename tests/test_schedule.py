"""Matrices side by side: each is done once, the large ones alone, at most `jobs` at a time."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import gaussian
from threadpoolctl import threadpool_info

from allennlp_analyze.cost import is_large, memory, seconds, why_refused
from allennlp_analyze.schedule import in_parallel, largest_first

SHAPES = st.lists(st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)), max_size=40)
LARGE = (9000, 9000)


def blas_threads() -> "set[int]":
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@given(SHAPES)
def test_every_matrix_is_placed_once_and_the_costliest_come_first(
    shapes: "list[tuple[int, int]]",
) -> None:
    alone, together = largest_first(shapes)
    assert sorted(alone + together) == list(range(len(shapes)))
    for indices in (alone, together):
        costs = [seconds(shapes[index]) for index in indices]
        assert costs == sorted(costs, reverse=True)
    assert all(is_large(shapes[index]) for index in alone)
    assert not any(is_large(shapes[index]) for index in together)


@given(SHAPES, st.integers(1, 5))
@settings(max_examples=30)
def test_each_result_comes_once_with_its_index(shapes: "list[tuple[int, int]]", jobs: int) -> None:
    found = list(in_parallel(lambda index: index * 10, shapes, jobs))
    assert sorted(found) == [(index, index * 10) for index in range(len(shapes))]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_no_more_than_so_many_run_at_a_time_each_on_one_blas_thread(jobs: int) -> None:
    busy, most, threads, lock = 0, 0, set(), threading.Lock()

    def work(index: int) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        threads.update(blas_threads())
        time.sleep(0.02)
        with lock:
            busy -= 1

    before = blas_threads()
    assert len(list(in_parallel(work, [(20, 10)] * 12, jobs))) == 12
    assert most == jobs
    assert threads <= {1}
    assert blas_threads() == before


def test_a_large_matrix_is_alone_and_keeps_the_threads_that_there_are() -> None:
    before, seen, running = blas_threads(), [], set()

    def work(index: int) -> None:
        running.add(index)
        seen.append((index, set(running), blas_threads()))
        running.discard(index)

    list(in_parallel(work, [(20, 10), LARGE, (30, 10), LARGE], 4))
    assert seen[:2] == [(1, {1}, before), (3, {3}, before)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_stops_what_has_not_begun(jobs: int) -> None:
    begun: list[int] = []

    def work(index: int) -> None:
        begun.append(index)
        if index == 1:
            raise ValueError("the one")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="the one"):
        list(in_parallel(work, [(10, 5)] * 200, jobs))
    time.sleep(0.1)
    assert len(begun) < 100


def interrupted() -> Iterator[int]:
    begun: list[int] = []

    def work(index: int) -> int:
        begun.append(index)
        time.sleep(0.01)
        return index

    results = in_parallel(work, [(10, 5)] * 200, 2)
    for _ in range(3):
        yield next(results)[1]
    results.close()  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert len(begun) < 100


def test_a_caller_that_stops_early_stops_the_rest() -> None:
    assert len(list(interrupted())) == 3


def test_estimates_have_the_right_order() -> None:
    """Against numpy on this machine: an order of magnitude is what an estimate is for."""
    matrix = gaussian(0, 3000, 1200)
    started = time.process_time()
    np.linalg.eigvalsh(matrix.T @ matrix)
    took = time.process_time() - started
    assert took / 10 < seconds(matrix.shape) < took * 10
    assert memory((50_000, 20_000)) == 2 * 20_000**2 * 8


def test_a_refusal_names_what_it_would_take() -> None:
    line = why_refused((30_000, 20_000), 16_384)
    assert "30000 x 20000" in line and "M = 20000" in line and "--max-dim 16384" in line
    assert " min on " in line and "6.0 GiB" in line
    assert " h on " in why_refused((200_000, 200_000), 16_384)
