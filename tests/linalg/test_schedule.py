"""Matrices side by side: each is done once, the large ones alone, at most `jobs` at a time."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from allennlp_analyze.linalg.machine import (
    Machine,
    is_large,
    memory,
    seconds,
    this_machine,
    why_refused,
)
from allennlp_analyze.linalg.schedule import in_parallel, largest_first
from tests.support.waiting import PATIENCE

SHAPES = st.lists(st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)), max_size=40)
LARGE = (9000, 9000)


def blas_threads() -> "set[int]":
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@given(SHAPES, st.integers(1, 64), st.integers(0, 2**38))
def test_every_matrix_is_placed_once_and_the_costliest_come_first(
    shapes: "list[tuple[int, int]]", cores: int, ram: int
) -> None:
    alone, together = largest_first(shapes, Machine(cores, ram))
    assert sorted(alone + together) == list(range(len(shapes)))
    for indices in (alone, together):
        costs = [seconds(shapes[index]) for index in indices]
        assert costs == sorted(costs, reverse=True)
    assert all(is_large(shapes[index]) for index in alone)
    for index in together:
        assert not is_large(shapes[index]) or cores * memory(shapes[index]) <= ram / 4


@given(SHAPES, st.integers(2, 64))
def test_no_core_is_left_with_one_matrix_while_the_others_are_done(
    shapes: "list[tuple[int, int]]", cores: int
) -> None:
    _, together = largest_first(shapes, Machine(cores, 2**60))
    busy = [0.0] * cores
    for index in together:
        busy[busy.index(min(busy))] += seconds(shapes[index])
    assert max(busy) <= max(2.0, 2 * sum(busy) / cores)


@pytest.mark.parametrize(
    ("shapes", "cores", "ram", "alone"),
    [
        ([(4096, 4096)] * 6, 2, 24, 0),  # the layers of a language model: side by side
        ([(4096, 4096)] * 6, 16, 64, 6),
        ([(4096, 4096)] * 6, 2, 1.9, 6),  # too little memory for two at a time
        ([(4096, 25088), (4096, 4096), (1000, 4096)], 2, 24, 2),  # the classifier of VGG16
        ([(16384, 512)] * 8 + [(4096, 2048)] * 2, 2, 24, 0),  # the NER model of 2018
        ([(9000, 9000), (100, 100)], 2, 24, 1),
    ],
)
def test_which_matrices_take_turns_on_all_cores(
    shapes: "list[tuple[int, int]]", cores: int, ram: float, alone: int
) -> None:
    found, _ = largest_first(shapes, Machine(cores, int(ram * 2**30)))
    assert found == list(range(alone))


@given(SHAPES, st.integers(1, 5))
@settings(max_examples=30)
def test_each_result_comes_once_with_its_index(shapes: "list[tuple[int, int]]", jobs: int) -> None:
    found = list(in_parallel(lambda index: index * 10, shapes, jobs))
    assert sorted(found) == [(index, index * 10) for index in range(len(shapes))]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_no_more_than_so_many_run_at_a_time_each_on_one_blas_thread(jobs: int) -> None:
    busy, most, threads, lock = 0, 0, set(), threading.Lock()
    together = threading.Barrier(jobs)

    def work(index: int) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        threads.update(blas_threads())
        together.wait(PATIENCE)  # none goes on before so many have begun
        with lock:
            busy -= 1

    with threadpool_limits(2, user_api="blas"):
        assert len(list(in_parallel(work, [(20, 10)] * 12, jobs))) == 12
        assert blas_threads() == {2}
    assert most == jobs
    assert threads == {1}


def test_a_large_matrix_is_alone_and_keeps_the_threads_that_there_are() -> None:
    seen, running = [], set()

    def work(index: int) -> None:
        running.add(index)
        seen.append((index, set(running), blas_threads()))
        running.discard(index)

    machine = Machine(4, 2**40)
    with threadpool_limits(2, user_api="blas"):
        list(in_parallel(work, [(20, 10), LARGE, (30, 10), LARGE], 4, machine))
    assert seen[:2] == [(1, {1}, {2}), (3, {3}, {2})]


@pytest.mark.parametrize(("jobs", "ram", "most"), [(3, 2**40, 2), (1, 2**40, 1), (3, 2**32, 1)])
def test_large_ones_overlap_where_a_device_computes_and_memory_has_room(
    jobs: int, ram: int, most: int
) -> None:
    lock, running, seen = threading.Lock(), set(), []
    together = threading.Barrier(most)

    def work(index: int) -> None:
        with lock:
            running.add(index)
            seen.append(len(running))
        together.wait(PATIENCE)
        assert blas_threads() == {2}
        with lock:
            running.discard(index)

    with threadpool_limits(2, user_api="blas"):
        list(in_parallel(work, [LARGE] * 4, jobs, Machine(8, ram), large_at_once=2))
    assert max(seen) == most


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_stops_what_has_not_begun(jobs: int) -> None:
    begun: list[int] = []

    def work(index: int) -> None:
        begun.append(index)
        if index == 1:
            raise ValueError("the one")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="the one"):
        list(in_parallel(work, [(10, 5)] * 2000, jobs))
    time.sleep(0.1)
    assert len(begun) < 1000


def interrupted() -> Iterator[int]:
    begun: list[int] = []

    def work(index: int) -> int:
        begun.append(index)
        time.sleep(0.01)
        return index

    results = in_parallel(work, [(10, 5)] * 2000, 2)
    for _ in range(3):
        yield next(results)[1]
    results.close()  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert len(begun) < 1000


def test_a_caller_that_stops_early_stops_the_rest() -> None:
    assert len(list(interrupted())) == 3


@pytest.mark.parametrize("shape", [(3000, 1200), (16_384, 512), (4096, 4096), (512, 1_000_000)])
def test_estimates_have_the_right_order(shape: tuple[int, int]) -> None:
    """Against the flops of syrk and sytrd (LAPACK Working Note 41): 1 to 200 GFLOP/s a core."""
    n, m = max(shape), min(shape)
    flops = n * m**2 + 4 / 3 * m**3
    assert flops / 200e9 < seconds(shape) < flops / 1e9
    assert seconds(shape, cores=4) == pytest.approx(seconds(shape) / 4)
    assert memory(shape) == 2 * m**2 * 8


def test_this_machine_has_the_cores_and_the_memory_of_this_machine() -> None:
    machine = this_machine()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        assert machine.memory == int(meminfo.read_text().split()[1]) * 1024


def test_a_refusal_names_what_it_would_take() -> None:
    line = why_refused((30_000, 20_000), 16_384)
    assert "30000 x 20000" in line and "M = 20000" in line and "max_dim = 16384" in line
    assert " min on " in line and "6.0 GiB" in line
    assert " h on " in why_refused((200_000, 200_000), 16_384)
